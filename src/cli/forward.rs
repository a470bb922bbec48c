//! The words of `pktcat forward`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::addressing::AddressingArgs;
use super::seeing::SeeingArgs;
use super::socket::SocketArgs;
use super::tls::{AdmitArgs, TlsArgs, TrustArgs};
use crate::units;

/// What `pktcat forward` does, in one line.
pub(super) const ABOUT: &str =
    "Listen here, connect there, and see what passes between a client and a server";

/// `pktcat forward`
#[derive(Debug, Args)]
#[command(about = ABOUT, override_usage = "pktcat forward [OPTIONS] FROM TO")]
pub struct ForwardArgs {
    /// Where to listen: [tcp:|udp:|tls:|unix:]ADDRESS; a bare PORT is one of this machine alone
    #[arg(value_name = "FROM")]
    pub from: String,

    /// Where every client's connection leads: [tcp:|udp:|tls:|unix:]ADDRESS
    #[arg(value_name = "TO")]
    pub to: String,

    /// TCP where FROM and TO say nothing else (the default)
    #[arg(short, long, conflicts_with = "udp", help_heading = "Protocol and addresses")]
    pub tcp: bool,

    /// UDP where FROM and TO say nothing else, and datagrams for unix:
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub udp: bool,

    /// Which addresses are used.
    #[command(flatten)]
    pub addressing: AddressingArgs,

    /// Write the port number to FILE once the listener is ready
    #[arg(long, value_name = "FILE", help_heading = "Protocol and addresses")]
    pub port_file: Option<PathBuf>,

    /// Give up connecting to TO after D
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Time limits")]
    pub connect_timeout: Option<Duration>,

    /// Forget a client when nothing has passed for D [default: none; datagrams: 2m]
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Time limits")]
    pub idle_timeout: Option<Duration>,

    /// Stop the whole run after D, with status 5
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Time limits")]
    pub timeout: Option<Duration>,

    /// End with the first client, and with its status
    #[arg(long, help_heading = "Clients")]
    pub once: bool,

    /// Most clients at once; more are turned away (where a side has sent its FIN, the longest such
    /// client gives up its place first), or of datagrams the longest idle one is forgotten
    #[arg(long, value_name = "N", help_heading = "Clients")]
    pub max_clients: Option<usize>,

    /// Between datagrams and a stream: each datagram with its 4-byte length before it (the default)
    #[arg(long, conflicts_with = "lines", help_heading = "Messages")]
    pub frames: bool,

    /// Between datagrams and a stream: each datagram as a line
    #[arg(long, help_heading = "Messages")]
    pub lines: bool,

    /// A bad network between the two on purpose, both ways: delay=20ms,jitter=5ms,rate=1M,seed=1; datagrams: loss=5%,dup=1%,reorder=2%,corrupt=1%; streams: slice=N,reset=N,stall=N
    #[arg(long, value_name = "SPEC", help_heading = "Impairment")]
    pub impair: Option<String>,

    /// The same for what goes from clients to TO, in place of --impair
    #[arg(long, value_name = "SPEC", help_heading = "Impairment")]
    pub impair_up: Option<String>,

    /// The same for what goes from TO to clients, in place of --impair
    #[arg(long, value_name = "SPEC", help_heading = "Impairment")]
    pub impair_down: Option<String>,

    /// Let in only this block of addresses; may repeat
    #[arg(long, value_name = "CIDR", help_heading = "Clients")]
    pub allow: Vec<String>,

    /// Do not let this block of addresses in; may repeat
    #[arg(long, value_name = "CIDR", help_heading = "Clients")]
    pub deny: Vec<String>,

    /// The proxy that connects to TO in our place.
    #[arg(
        long,
        value_name = "URL",
        help = "Reach TO by socks5://[USER:PASS@]HOST:PORT or http://[USER:PASS@]HOST:PORT",
        help_heading = "Protocol and addresses"
    )]
    pub proxy: Option<String>,

    /// TLS: --cert, --key and --client-ca are for FROM, --alpn is for TO.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// Whom TLS with TO trusts.
    #[command(flatten)]
    pub trust: TrustArgs,

    /// Whom TLS at FROM lets in.
    #[command(flatten)]
    pub admit: AdmitArgs,

    /// Say on stderr what happens, and a summary at the end; -vv says no more
    #[arg(short, long, overrides_with = "verbose", help_heading = "What it says")]
    pub verbose: bool,

    /// Print nothing but errors
    #[arg(long, help_heading = "What it says")]
    pub quiet: bool,

    /// What is to be seen of the bytes.
    #[command(flatten)]
    pub seeing: SeeingArgs,

    /// Socket options.
    #[command(flatten)]
    pub socket: SocketArgs,

    /// Copy through a buffer where a faster way would do
    #[arg(long, hide = true)]
    pub portable: bool,
}
