//! One module for each command. It connects the parts that do the work and moves no bytes itself.

mod bind;
mod check;
pub(crate) mod compare;
pub(crate) mod connect;
mod files;
pub(crate) mod forward;
pub(crate) mod listen;
mod parts;
pub(crate) mod ping;
mod port_file;
mod reading;
mod reply;
pub(crate) mod scan;
mod serve;
mod tls;
mod watch;

use std::ffi::OsString;

use crate::cli::{self, Command, Parsed};
use crate::config;
use crate::error::Result;
use parts::print;

/// Runs a command line; `words` begin with the name of the program.
///
/// # Errors
/// Whatever makes the exit status other than 0.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Result<()> {
    let (cli, payloads) = match cli::parse(words)? {
        Parsed::Run(cli, payloads) => (cli, payloads),
        Parsed::Print(text) => return print(text.as_bytes()),
    };
    match cli.command {
        Command::Listen(args) => listen::run(&config::Listen::new(args, &payloads)?),
        Command::Connect(args) => connect::run(&config::Connect::new(args, &payloads)?),
        Command::Forward(args) => forward::run(&config::Forward::new(args)?),
        Command::Scan(args) => scan::run(&config::Scan::new(args, &payloads)?),
        Command::Ping(args) => ping::run(&config::Ping::new(args, &payloads)?),
        Command::Compare(args) => compare::run(&config::compare::Compare::new(args)?),
        Command::Completions { shell } => print(cli::completions::script(shell).as_bytes()),
    }
}

#[cfg(test)]
mod hint_tests;
