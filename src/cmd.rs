//! One module a command: each wires the parts together and holds no byte-moving code.

pub mod compare;
pub mod connect;
pub mod listen;
mod port_file;
pub mod scan;
mod serve;
mod watch;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;
use socket2::Socket;

use crate::cli::{self, Cli, Command, CompletionShell, Parsed};
use crate::config::{self, Common, Payload as Shown, Reception, Stdin};
use crate::endpoint::input::{Input, Payload, Wire};
use crate::endpoint::output::Output;
use crate::endpoint::stdio::{Local, Which};
use crate::error::{Error, Result};
use crate::options::Options;
use crate::session::Session;
use crate::tap::Event;

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
        Command::Completions { shell } => print(&completions(shell)),
    }
}

/// Prints text that was asked for; a reader that has seen enough is no error.
fn print(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::local("write", "stdout", &cause))
        }
        _ => Ok(()),
    }
}

fn completions(shell: CompletionShell) -> Vec<u8> {
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pktcat", &mut script);
    script
}

/// The payload to send, as the settings say.
fn input(common: &Common, wire: Wire, session: &mut Session) -> Result<Input> {
    let payload = match (&common.given, common.stdin) {
        (Some(messages), _) => Payload::Given(VecDeque::from(messages.clone())),
        (None, Stdin::Ignore) => Payload::Nothing,
        (None, Stdin::Send) => Payload::Local(take(Which::Stdin, session)?),
    };
    Ok(Input::new(payload, common.input, wire, common.crlf()))
}

/// Where what is received goes, as the settings say.
fn output(common: &Common, stream: bool, session: &mut Session) -> Result<Output> {
    let local = match common.reception {
        Reception::Write if common.seen.payload == Shown::Stdout => {
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
