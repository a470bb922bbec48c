//! The options of `pktcat compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::values::FormatArg;
use crate::units;

/// What `pktcat compare` does, in one line.
pub(super) const ABOUT: &str = "Send the same messages over TCP and UDP, side by side";

/// `pktcat compare`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat compare [OPTIONS] [HOST PORT]")]
pub struct CompareArgs {
    /// Whom to send to.
    #[arg(help = "An echoing peer: HOST PORT, HOST:PORT or [v6]:PORT; without it, one of its own",
          value_names = ["HOST", "PORT"], value_hint = ValueHint::Hostname, num_args = 0..=2)]
    pub address: Vec<String>,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Addresses")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Addresses")]
    pub ipv6: bool,

    /// Look no names up
    #[arg(short, long, help_heading = "Addresses")]
    pub numeric: bool,

    /// How many messages to send [default: 1000, or all of FILE]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Messages")]
    pub count: Option<u64>,

    /// Bytes of each message, 16 at least [default: 64]
    #[arg(long, value_name = "BYTES", value_parser = units::size, help_heading = "Messages")]
    pub size: Option<u64>,

    /// Send the messages in FILE instead of made-up ones
    #[arg(long, value_name = "FILE", help_heading = "Messages")]
    pub messages: Option<PathBuf>,

    /// How FILE becomes messages: lines, hex, frames, or raw: pieces of --size [default: lines]
    #[arg(
        short = 'I',
        long,
        value_name = "FORMAT",
        value_enum,
        requires = "messages",
        hide_possible_values = true,
        help_heading = "Messages"
    )]
    pub input: Option<FormatArg>,

    /// Between the times of two messages; 0 is as fast as the window allows [default: 0]
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Pace")]
    pub interval: Option<Duration>,

    /// At most N messages wait for their replies at once [default: 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Pace")]
    pub window: Option<u32>,

    /// A reply may take this long [default: 1s; for the TCP connection 5s]
    #[arg(
        short = 'w',
        long,
        value_name = "D",
        value_parser = units::duration,
        help_heading = "Pace"
    )]
    pub reply_timeout: Option<Duration>,

    /// A bad network for both protocols, packets each way:
    /// loss=5%,dup=1%,reorder=2%,corrupt=1%,delay=20ms,jitter=5ms,rate=10M,queue=64KiB,mtu=1500,seed=1
    /// (rate: bits a second). Where the system allows none, UDP replies alone
    #[arg(long, value_name = "DAMAGE", conflicts_with = "address", help_heading = "Pace")]
    pub impair: Option<String>,

    /// TCP's congestion control, such as reno, cubic or bbr
    #[arg(long, value_name = "NAME", help_heading = "Pace")]
    pub cc: Option<String>,

    /// Dump what is sent and received in hex to stderr
    #[arg(short = 'x', long, help_heading = "What it shows")]
    pub hex: bool,

    /// A sentence of plain English for every difference
    #[arg(long, conflicts_with = "json", help_heading = "What it shows")]
    pub explain: bool,

    /// Draw the round trips of both protocols on one scale, and message by message
    #[arg(long, conflicts_with = "json", help_heading = "What it shows")]
    pub plot: bool,

    /// Write the same drawings to FILE
    #[arg(long, value_name = "FILE", help_heading = "What it shows")]
    pub svg: Option<PathBuf>,

    /// Capture file for Wireshark; with --impair the packets as their senders sent them
    #[arg(long, value_name = "FILE", help_heading = "What it shows")]
    pub pcap: Option<PathBuf>,

    /// One JSON object instead of the table
    #[arg(long, help_heading = "What it shows")]
    pub json: bool,
}
