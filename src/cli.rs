//! The definition of the command line: options, values and help, without any logic.
//!
//! `--help`, the man pages and the completions are all generated from these definitions;
//! [`config`](crate::config) checks them against each other and turns them into typed settings.

mod addressing;
mod command;
mod common;
mod compare;
mod complaint;
pub mod completions;
mod connect;
mod dialogue;
mod forward;
mod habits;
mod listen;
mod parse;
mod ping;
mod scan;
mod seeing;
mod similar;
mod socket;
mod tls;
mod values;

pub use addressing::AddressingArgs;
pub use command::{Cli, Command};
pub use common::CommonArgs;
pub use compare::CompareArgs;
pub use connect::ConnectArgs;
pub use dialogue::DialogueArgs;
pub use forward::ForwardArgs;
#[cfg(test)]
pub(crate) use habits::foreign_options;
pub use listen::ListenArgs;
pub use parse::{MessageArg, MessageArgs, Parsed, parse};
pub use ping::PingArgs;
pub use scan::ScanArgs;
pub use seeing::{ColorChoice, SeeingArgs};
pub use socket::SocketArgs;
pub use tls::{AdmitArgs, TlsArgs, TrustArgs};
pub use values::{CompletionShell, FormatArg};
