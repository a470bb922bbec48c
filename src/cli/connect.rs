//! The options of `pktcat connect`.

use std::time::Duration;

use clap::{Args, ValueHint};

use super::common::CommonArgs;
use super::tls::TrustArgs;
use crate::units;

/// What `pktcat connect` does, in one line.
pub(super) const ABOUT: &str = "Connect to a peer: stdin goes to it, what it sends to stdout";

/// `pktcat connect`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat connect [OPTIONS] HOST PORT")]
pub struct ConnectArgs {
    /// Whom to connect to.
    #[arg(help = "Whom to connect to: HOST PORT, HOST:PORT or [v6]:PORT",
          value_names = ["HOST", "PORT"], value_hint = ValueHint::Hostname, num_args = 1..=2,
          required_unless_present = "unix", conflicts_with = "unix")]
    pub address: Vec<String>,

    /// TCP (the default)
    #[arg(short, long, conflicts_with = "udp", help_heading = "Protocol and addresses")]
    pub tcp: bool,

    /// Options shared with `listen`.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The proxy to connect through.
    #[arg(
        help = "Connect through a proxy: socks5://[USER:PASS@]HOST:PORT or http://...; it resolves HOST unless -n",
        long,
        value_name = "URL",
        help_heading = "Protocol and addresses"
    )]
    pub proxy: Option<String>,

    /// Whom TLS trusts.
    #[command(flatten)]
    pub trust: TrustArgs,

    /// Send from this address; with -U, this path, where datagrams can be answered
    #[arg(short, long, value_name = "ADDR", help_heading = "Protocol and addresses")]
    pub source: Option<String>,

    /// Send from this port
    #[arg(short = 'p', long, value_name = "PORT", help_heading = "Protocol and addresses")]
    pub source_port: Option<String>,

    /// Hear answers from any address and port (UDP); the default when HOST is a broadcast or multicast address
    #[arg(
        long,
        requires = "udp",
        conflicts_with = "unix",
        help_heading = "Protocol and addresses"
    )]
    pub any_peer: bool,

    /// The same, and send what follows to whoever answered first
    #[arg(
        long,
        requires = "udp",
        conflicts_with = "unix",
        help_heading = "Protocol and addresses"
    )]
    pub follow: bool,

    /// Begin each message on stdout with the peer's address
    #[arg(long, help_heading = "Messages")]
    pub tag: bool,

    /// Give up looking HOST up, connecting and shaking hands after D [default: TLS 10s]
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub connect_timeout: Option<Duration>,

    /// Try again up to N times while refused, timed out, unreachable or not resolved
    #[arg(long, value_name = "N", help_heading = "Protocol and addresses")]
    pub retry: Option<u32>,

    /// Wait this long between the tries [default: 1s]
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Protocol and addresses")]
    pub retry_delay: Option<Duration>,
}
