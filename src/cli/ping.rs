//! The words of `pktcat ping`.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::addressing::AddressingArgs;
use crate::units;

/// What `pktcat ping` does, in one line.
pub(super) const ABOUT: &str = "Ask a port again and again: is it there, since when, how fast";

/// `pktcat ping`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat ping [-t] [-u] [OPTIONS] HOST PORT")]
pub struct PingArgs {
    /// Whom to ask.
    #[arg(help = "Whom to ask: HOST PORT, HOST:PORT or [v6]:PORT",
          value_names = ["HOST", "PORT"], value_hint = ValueHint::Hostname, num_args = 1..=2, required = true)]
    pub address: Vec<String>,

    /// Connect for each probe (the default)
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub tcp: bool,

    /// Send a datagram for each probe; with -t both by turns
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub udp: bool,

    /// Which addresses are used.
    #[command(flatten)]
    pub addressing: AddressingArgs,

    /// Between two probes [default: 1s]
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Probes")]
    pub interval: Option<Duration>,

    /// Stop after N probes of each protocol
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Probes")]
    pub count: Option<u64>,

    /// Wait this long for an answer [default: 1s]
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Probes")]
    pub reply_timeout: Option<Duration>,

    /// Stop at the first probe that is open or answered; HOST need not be known yet
    #[arg(long, help_heading = "Probes")]
    pub until_open: bool,

    /// UDP: the datagram's payload [default: what the port's service answers]
    #[arg(
        long,
        value_name = "TEXT",
        requires = "udp",
        conflicts_with = "echo",
        allow_hyphen_values = true,
        help_heading = "Probes"
    )]
    pub send: Option<String>,

    /// UDP: the same as hex digits
    #[arg(
        long,
        value_name = "HEX",
        requires = "udp",
        conflicts_with_all = ["send", "echo"],
        help_heading = "Probes"
    )]
    pub send_hex: Option<String>,

    /// Send messages to an echo service, on one connection or socket
    #[arg(long, help_heading = "Probes")]
    pub echo: bool,

    /// Bytes of a message of --echo, 16 at least [default: 64]
    #[arg(long, value_name = "N", value_parser = units::size, requires = "echo", help_heading = "Probes")]
    pub size: Option<u64>,

    /// Draw the round trips at the end: a histogram and a time line
    #[arg(long, conflicts_with = "json", help_heading = "What it says")]
    pub plot: bool,

    /// Begin each line with the time of day; --json has times of its own
    #[arg(long, help_heading = "What it says")]
    pub timestamps: bool,

    /// One JSON object a line on stdout
    #[arg(long, help_heading = "What it says")]
    pub json: bool,

    /// Print nothing but errors
    #[arg(long, help_heading = "What it says")]
    pub quiet: bool,
}
