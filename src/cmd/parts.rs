//! What several commands build from their settings: the input, the output, printed text.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use mio::Interest;
use socket2::Socket;

use crate::config::{Common, PayloadOutput, Reception, Stdin};
use crate::engine::ends::Fin;
use crate::engine::expect::{self, Dialogue, Within};
use crate::engine::input::{Input, InputSource, Wire};
use crate::engine::output::Output;
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::stdio::{Local, Which};
use crate::net::address::Protocol;
use crate::net::options::Options;
use crate::observe::journal::Verbosity;
use crate::observe::report::Lines;
use crate::observe::tap::Event;
use crate::run::console::Console;
use crate::run::session::Session;

/// Prints text to standard output, however slowly it is read.
///
/// # Errors
/// When standard output cannot be written, or a signal ends the run.
pub(super) fn print(text: &[u8]) -> Result<()> {
    let mut session = Session::new(Protocol::Tcp, Verbosity::Normal, None)?;
    let lines = Lines::new(session.console.journal(), Verbosity::Normal);
    session.observe(Box::new(lines));
    let result = show(text, &mut session);
    session.finish(result)
}

/// Queues text for standard output; [`Session::finish`] waits until it is written. It is no error if
/// the reader closes the pipe before that.
///
/// # Errors
/// When standard output cannot be used.
pub(super) fn show(text: &[u8], session: &mut Session) -> Result<()> {
    let stdout = Console::stdout(&mut session.reactor)?;
    stdout.journal().append(|out| out.extend_from_slice(text));
    session.add_file(stdout);
    Ok(())
}

/// The input whose data is sent, as the settings say.
///
/// # Errors
/// When standard input cannot be used.
pub(super) fn input(common: &Common, wire: Wire, session: &mut Session) -> Result<Input> {
    input_of(common, wire, None, session)
}

/// The same, where what is waited for has its place between the messages.
pub(super) fn input_of(
    common: &Common,
    wire: Wire,
    dialogue: Option<&expect::Shared>,
    session: &mut Session,
) -> Result<Input> {
    let payload = match (&common.given, dialogue, common.stdin) {
        (Some(_), Some(dialogue), _) => InputSource::Dialogue(Rc::clone(dialogue)),
        (Some(messages), None, _) => InputSource::Given(VecDeque::from(messages.clone())),
        (None, _, Stdin::Ignore) => InputSource::Nothing,
        (None, _, Stdin::Send) => InputSource::Local(take(Which::Stdin, session)?),
    };
    Ok(Input::new(payload, common.input, wire, common.crlf()))
}

/// What is waited for in what is received, if anything.
pub(super) fn dialogue(common: &Common) -> Option<expect::Shared> {
    if common.expected.is_empty() {
        return None;
    }
    let within = match common.protocol {
        Protocol::Tcp => Within::Stream,
        Protocol::Udp => Within::Datagram,
    };
    let messages = common.given.clone().unwrap_or_default();
    let dialogue = Dialogue::new(within, messages, common.expected.clone());
    Some(Rc::new(RefCell::new(dialogue)))
}

/// What the run ends with, where something was waited for.
pub(super) fn settled(result: Result<()>, dialogue: Option<&expect::Shared>) -> Result<()> {
    match (&result, dialogue) {
        // An end without an error is the relay's, which has judged it.
        (Err(_), Some(dialogue)) => dialogue.borrow().settle(result, false),
        _ => result,
    }
}

/// Where what is received goes, as the settings say.
pub(super) fn output(common: &Common, stream: bool, session: &mut Session) -> Result<Output> {
    let local = match common.reception {
        Reception::Write if common.seen.payload == PayloadOutput::Stdout => {
            Some(take(Which::Stdout, session)?)
        }
        Reception::Write | Reception::Discard => None,
    };
    Ok(Output::new(local, common.output, stream, common.count).stamped(common.seen.stamps))
}

fn take(which: Which, session: &mut Session) -> Result<Local> {
    Local::take(which, &mut session.reactor)
}

/// Reports the buffer sizes that the kernel granted, if any were asked for.
pub(super) fn tell_granted(options: &Options, socket: &Socket, session: &mut Session) {
    if let Some(granted) = options.granted(socket) {
        session.event(&Event::Detail(&granted));
    }
}

/// When a listener sends its clients a FIN. One that has nothing to send holds it back until the
/// client's: a client that quits at a FIN would be cut off before it has sent everything.
pub(super) fn fin(common: &Common, input: &Input) -> Fin {
    let nothing_to_say = common.stdin == Stdin::Ignore || input.is_null();
    if common.no_shutdown {
        Fin::Never
    } else if nothing_to_say && common.reception == Reception::Write {
        Fin::AtPeerClose
    } else {
        Fin::AtInputEnd
    }
}

/// Has the event loop watch a socket for reading and writing.
///
/// # Errors
/// When the kernel refuses, mostly for lack of memory.
pub(super) fn watch_socket(session: &mut Session, socket: &Socket) -> Result<Rc<Latch>> {
    session
        .reactor
        .watch(socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))
}
