//! One module a command: each wires the parts together and holds no byte-moving code.

mod check;
pub mod compare;
pub mod connect;
mod files;
pub mod listen;
mod port_file;
mod reply;
pub mod scan;
mod serve;
mod watch;

use std::collections::VecDeque;
use std::ffi::OsString;

use socket2::Socket;

use crate::cli::{self, Command, Parsed};
use crate::config::{self, Common, PayloadOutput, Reception, Stdin};
use crate::engine::input::{Input, InputSource, Wire};
use crate::engine::output::Output;
use crate::error::Result;
use crate::io::stdio::{Local, Which};
use crate::net::address::Protocol;
use crate::net::options::Options;
use crate::observe::journal::Verbosity;
use crate::observe::report::Lines;
use crate::observe::tap::Event;
use crate::run::console::Console;
use crate::run::session::Session;

/// Carries out a command line.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Result<()> {
    let (cli, payloads) = match cli::parse(words)? {
        Parsed::Run(cli, payloads) => (cli, payloads),
        Parsed::Print(text) => return print(text.as_bytes()),
    };
    match cli.command {
        Command::Listen(args) => listen::run(&config::Listen::new(args, &payloads)?),
        Command::Connect(args) => connect::run(&config::Connect::new(args, &payloads)?),
        Command::Scan(args) => scan::run(&config::Scan::new(args, &payloads)?),
        Command::Compare(args) => compare::run(&config::compare::Compare::new(args)?),
        Command::Completions { shell } => print(cli::completions::script(shell).as_bytes()),
    }
}

/// Prints text that was asked for, and waits for its reader as long as that takes.
fn print(text: &[u8]) -> Result<()> {
    let mut session = Session::new(Protocol::Tcp, Verbosity::Normal, None)?;
    let lines = Lines::new(session.console.journal(), Verbosity::Normal);
    session.observe(Box::new(lines));
    let result = show(text, &mut session);
    session.finish(result)
}

/// Puts text on its way to standard output; the session's end waits until it is written. A reader
/// that has seen enough is no error.
fn show(text: &[u8], session: &mut Session) -> Result<()> {
    let stdout = Console::stdout(&mut session.reactor)?;
    stdout.journal().append(|out| out.extend_from_slice(text));
    session.add_file(stdout);
    Ok(())
}

/// The payload to send, as the settings say.
fn input(common: &Common, wire: Wire, session: &mut Session) -> Result<Input> {
    let payload = match (&common.given, common.stdin) {
        (Some(messages), _) => InputSource::Given(VecDeque::from(messages.clone())),
        (None, Stdin::Ignore) => InputSource::Nothing,
        (None, Stdin::Send) => InputSource::Local(take(Which::Stdin, session)?),
    };
    Ok(Input::new(payload, common.input, wire, common.crlf()))
}

/// Where what is received goes, as the settings say.
fn output(common: &Common, stream: bool, session: &mut Session) -> Result<Output> {
    let local = match common.reception {
        Reception::Write if common.seen.payload == PayloadOutput::Stdout => {
            Some(take(Which::Stdout, session)?)
        }
        Reception::Write | Reception::Discard => None,
    };
    Ok(Output::new(local, common.output, stream, common.count))
}

fn take(which: Which, session: &mut Session) -> Result<Local> {
    Local::take(which, &mut session.reactor)
}

/// Says what the system granted of the buffers that were asked for.
fn tell_granted(options: &Options, socket: &Socket, session: &mut Session) {
    if let Some(granted) = options.granted(socket) {
        session.event(&Event::Detail(&granted));
    }
}
