//! The options of `pktcat scan`.

use std::time::Duration;

use clap::{Args, ValueHint};

use crate::units;

/// What `pktcat scan` does, in one line.
pub(super) const ABOUT: &str = "Tell which ports of a host are open";

/// `pktcat scan`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat scan [OPTIONS] HOST PORTS")]
pub struct ScanArgs {
    /// Whom to ask, and at which ports.
    #[arg(help = "Whom to ask: HOST PORTS, HOST:PORTS or [v6]:PORTS; PORTS as 22,80,8000-8100",
          value_names = ["HOST", "PORTS"], value_hint = ValueHint::Hostname, num_args = 1..=2, required = true)]
    pub address: Vec<String>,

    /// Connect to each port (the default)
    #[arg(short, long, conflicts_with = "udp", help_heading = "Protocol and addresses")]
    pub tcp: bool,

    /// Send each port a datagram, up to three times
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub udp: bool,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Protocol and addresses")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Protocol and addresses")]
    pub ipv6: bool,

    /// Look no names up, and show none
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub numeric: bool,

    /// Wait this long for a port's answer, and for HOST to be looked up [default: 2s; look-ups have none]
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Probes")]
    pub probe_timeout: Option<Duration>,

    /// Most probes in flight [default: 1000, or what the descriptor limit allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Probes")]
    pub concurrency: Option<u32>,

    /// Most probes a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Probes")]
    pub rate: Option<u32>,

    /// Ask again until every port is open (--any: one), for D at most; HOST need not be known yet
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Probes")]
    pub wait: Option<Duration>,

    /// Ask the ports in random order
    #[arg(long, help_heading = "Probes")]
    pub shuffle: bool,

    /// UDP: the datagram's payload [default: what the port's service answers, or nothing]
    #[arg(
        long,
        value_name = "TEXT",
        requires = "udp",
        allow_hyphen_values = true,
        help_heading = "Probes"
    )]
    pub send: Option<String>,

    /// UDP: the same as hex digits
    #[arg(
        long,
        value_name = "HEX",
        requires = "udp",
        conflicts_with = "send",
        help_heading = "Probes"
    )]
    pub send_hex: Option<String>,

    /// Print every port, not only open ones
    #[arg(long, help_heading = "What it says")]
    pub all: bool,

    /// Status 0 if at least one port is open [default: if all are]
    #[arg(long, help_heading = "What it says")]
    pub any: bool,

    /// One JSON object a line on stdout
    #[arg(long, help_heading = "What it says")]
    pub json: bool,

    /// Say on stderr which address is asked; -vv says no more
    #[arg(short, long, overrides_with = "verbose", help_heading = "What it says")]
    pub verbose: bool,

    /// Print nothing but errors, on stdout neither
    #[arg(long, help_heading = "What it says")]
    pub quiet: bool,
}
