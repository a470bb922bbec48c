//! The options of `pktcat listen`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::common::CommonArgs;
use super::tls::AdmitArgs;
use crate::units;

/// What `pktcat listen` does, in one line.
pub(super) const ABOUT: &str = "Wait for a peer: stdin goes to it, what it sends to stdout";

/// `pktcat listen`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat listen [OPTIONS] [HOST] PORT [-- COMMAND [ARG]...]")]
pub struct ListenArgs {
    /// Where to listen.
    #[arg(help = "Where to listen: PORT, HOST PORT, HOST:PORT or [v6]:PORT",
          value_names = ["HOST", "PORT"], value_hint = ValueHint::Other, num_args = 1..=2,
          required_unless_present = "unix", conflicts_with = "unix")]
    pub address: Vec<String>,

    /// TCP (the default)
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub tcp: bool,

    /// Options shared with `connect`.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Write the port number to FILE once the listener is ready
    #[arg(long, value_name = "FILE", help_heading = "Protocol and addresses")]
    pub port_file: Option<PathBuf>,

    /// Give up when no client or datagram has come within D
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub accept_timeout: Option<Duration>,

    /// Give a client D for its TLS handshake [default: 10s]
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub connect_timeout: Option<Duration>,

    /// Whom TLS lets in.
    #[command(flatten)]
    pub admit: AdmitArgs,

    /// Send stdin to every UDP peer heard so far, not only to the last one
    #[arg(long, help_heading = "Sending and receiving")]
    pub to_all: bool,

    /// Serve any number of clients at once: stdin goes to all, stdout gets everything
    #[arg(short, long, help_heading = "Many clients")]
    pub keep_open: bool,

    /// Turn clients away while N are connected; half-closed ones give up their places first
    #[arg(long, value_name = "N", help_heading = "Many clients")]
    pub max_clients: Option<usize>,

    /// Bytes that may wait for one client, and most of a message from it [default: 1MiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Many clients")]
    pub queue: Option<u64>,

    /// Begin each message on stdout with the peer's address
    #[arg(long, help_heading = "Many clients")]
    pub tag: bool,

    /// Let in only this block of addresses; may repeat
    #[arg(long, value_name = "CIDR", help_heading = "Many clients")]
    pub allow: Vec<String>,

    /// Do not let this block of addresses in; may repeat
    #[arg(long, value_name = "CIDR", help_heading = "Many clients")]
    pub deny: Vec<String>,

    /// Send everything back (RFC 862)
    #[arg(long, group = "role", help_heading = "Answering by itself")]
    pub echo: bool,

    /// Throw everything away (RFC 863)
    #[arg(long, group = "role", help_heading = "Answering by itself")]
    pub discard: bool,

    /// Send characters without end (RFC 864)
    #[arg(long, group = "role", help_heading = "Answering by itself")]
    pub chargen: bool,

    /// Answer each client's first data, or each datagram, with TEXT
    #[arg(
        long,
        value_name = "TEXT",
        group = "role",
        allow_hyphen_values = true,
        help_heading = "Answering by itself"
    )]
    pub reply: Option<String>,

    /// The same with these bytes
    #[arg(long, value_name = "HEX", group = "role", help_heading = "Answering by itself")]
    pub reply_hex: Option<String>,

    /// The same with what FILE holds
    #[arg(long, value_name = "FILE", group = "role", help_heading = "Answering by itself")]
    pub reply_file: Option<PathBuf>,

    /// Send what one client sends to all others; implies --keep-open. With --send-only they hear stdin only, with -d they are heard only
    #[arg(long, group = "role", help_heading = "Answering by itself")]
    pub chat: bool,

    /// Run this for each connection, the socket as its stdin and stdout; HOST must be given
    #[arg(
        last = true,
        value_name = "COMMAND",
        value_hint = ValueHint::CommandWithArguments,
        group = "role",
        num_args = 1..
    )]
    pub command: Vec<OsString>,
}
