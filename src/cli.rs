//! The words of the command line: names, values and help, and no logic.
//!
//! `--help`, the man pages and the completions are all generated from these definitions;
//! [`config`](crate::config) checks them against each other and turns them into typed settings.

mod compare;
mod complaint;
pub mod completions;
mod parse;
mod scan;
mod seeing;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

pub use self::seeing::{ColorChoice, SeeingArgs};
use crate::units;
pub use scan::ScanArgs;

pub use compare::CompareArgs;
pub use parse::{MessageArg, MessageArgs, Parsed, parse};

/// Send and receive over TCP and UDP: stdin goes to the socket, the socket to stdout.
#[derive(Debug, Parser)]
#[command(
    name = "pktcat",
    version,
    about = "Send and receive over TCP and UDP: stdin goes to the socket, the socket to stdout",
    after_help = "\
Examples:
  pktcat listen 9000 > copy              receive one TCP stream
  pktcat connect localhost 9000 < file   send it
  echo hello | pktcat connect -u -x localhost 9000

Exit status: 0 done, 1 other failure, 2 usage, 3 name not resolved, 4 refused,
5 timed out, 6 local input or output, 7 unreachable, 8 connection broken.",
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `pktcat listen` does, in one line.
const LISTEN: &str = "Wait for a peer: stdin goes to it, what it sends to stdout";

/// What `pktcat connect` does, in one line.
const CONNECT: &str = "Connect to a peer: stdin goes to it, what it sends to stdout";

/// The subcommands. The words of each are made when it is the one that is asked for: making all of
/// them is a twentieth of the time that a short run takes.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Command {
    /// `pktcat listen`
    #[command(about = LISTEN, after_help = "\
PORT 0 takes a free port and prints it. Without HOST one socket hears IPv4 and IPv6.
A TCP listener whose stdin is /dev/null or closed keeps its half open until the peer's end.
An idle pipe as stdin keeps the run alive: -d sends nothing, --until-fin ends at the peer's end.
With -k and -O lines or frames a client whose message is longer than --queue (16MiB at most) is
dropped, and so is the one with the longest unfinished message when all of them together are
over 64MiB (or over --queue).
Over UDP --echo, --chargen and --reply answer no port below 1024 and no port of their own
number, and a peer that got over 1000 answers a second for 10 s gets none for the next 10 s:
two services could go on answering each other for ever.
Over 65536 UDP peers, those silent for longest are forgotten.
A TCP run that fails while it sends, or is stopped or timed out with something left to send, ends
with a reset: what is cut off never looks whole. One with nothing left to send ends with a FIN.
Files to be written keep what they hold until the run listens.
A command's connection is closed once the command has ended, its output has arrived and the
client has closed its side too; a client that does not is waited for 5 s, and for 30 s while it
goes on sending. A process that the command leaves behind with the connection open keeps it.
A device as stdin holds nothing up where it can be polled (poll(2)); others are read like files.
The byte of TCP's urgent data is no part of what is received (tcp(7)); all around it is.
D is 250ms, 2s, 1m or a number of seconds; SIZE and BYTES are 64k (64,000) or 64KiB (65,536).
SIGUSR1 prints the summary so far.")]
    Listen(ListenArgs),
    /// `pktcat connect`
    #[command(about = CONNECT, after_help = "\
When stdin ends, TCP is half-closed and receiving goes on until the peer's end; UDP waits
--linger for replies. An idle pipe as stdin keeps the run alive: -d is for scripts with
nothing to send, --until-fin ends the run at the peer's end.
A TCP run that fails while it sends, or is stopped or timed out with something left to send, ends
with a reset: what is cut off never looks whole. One with nothing left to send ends with a FIN.
Files to be written keep what they hold until the run is connected.
A device as stdin holds nothing up where it can be polled (poll(2)); others are read like files.
The byte of TCP's urgent data is no part of what is received (tcp(7)); all around it is.
D is 250ms, 2s, 1m or a number of seconds; SIZE and BYTES are 64k (64,000) or 64KiB (65,536).
SIGUSR1 prints the summary so far.")]
    Connect(ConnectArgs),
    /// `pktcat scan`
    #[command(about = scan::ABOUT, after_help = "\
TCP: open, closed (refused), filtered (no answer).
UDP: open (replied), closed (ICMP), no answer.
One line a port, on stdout; without --all only open ports, unless one was asked.
Status 0 if every asked port is open (--any: one), else 4 if any is closed,
else 5. Of a name's addresses the first with a route is asked; if all of them
are this machine's own loopback, each is.")]
    Scan(ScanArgs),
    /// `pktcat compare`
    #[command(about = compare::ABOUT, after_help = "\
Without an address it starts an echoing peer of its own on this machine. 'pktcat listen -t -u
-k --echo PORT' is one for other machines, as is any echo service (RFC 862). Every message ends
as received, late or lost; TCP and UDP run one after the other.")]
    Compare(CompareArgs),
    /// Print the completions for a shell
    Completions {
        /// Which shell
        shell: CompletionShell,
    },
}

/// The shells there are completions for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CompletionShell {
    /// GNU bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

/// `pktcat listen`
#[derive(Debug, Args)]
#[command(about = LISTEN, override_usage = "pktcat listen [OPTIONS] [HOST] PORT [-- COMMAND [ARG]...]")]
pub struct ListenArgs {
    /// Where to listen.
    #[arg(help = "Where to listen: PORT, HOST PORT, HOST:PORT or [v6]:PORT",
          value_names = ["HOST", "PORT"], value_hint = ValueHint::Hostname, num_args = 1..=2,
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

    /// Send stdin to every UDP peer heard so far, not only to the last one
    #[arg(long, help_heading = "Sending and receiving")]
    pub to_all: bool,

    /// Serve any number of clients at once: stdin goes to all, stdout gets everything
    #[arg(short, long, help_heading = "Many clients")]
    pub keep_open: bool,

    /// Turn clients away while N are connected
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

/// `pktcat connect`
#[derive(Debug, Args)]
#[command(about = CONNECT, override_usage = "pktcat connect [OPTIONS] HOST PORT")]
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

    /// Send from this address; with -U, this path
    #[arg(short, long, value_name = "ADDR", help_heading = "Protocol and addresses")]
    pub source: Option<String>,

    /// Send from this port
    #[arg(short = 'p', long, value_name = "PORT", help_heading = "Protocol and addresses")]
    pub source_port: Option<String>,

    /// Give up looking HOST up and connecting after D
    #[arg(short = 'w', long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub connect_timeout: Option<Duration>,

    /// Try again up to N times while refused, timed out, unreachable or not resolved
    #[arg(long, value_name = "N", help_heading = "Protocol and addresses")]
    pub retry: Option<u32>,

    /// Wait this long between the tries [default: 1s]
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Protocol and addresses")]
    pub retry_delay: Option<Duration>,
}

/// What `listen` and `connect` have in common.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// UDP
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub udp: bool,

    /// A local socket instead of HOST PORT: stream, or datagram with -u
    #[arg(short = 'U', long, value_name = "PATH", help_heading = "Protocol and addresses")]
    pub unix: Option<PathBuf>,

    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Protocol and addresses")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Protocol and addresses")]
    pub ipv6: bool,

    /// Look no names up
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub numeric: bool,

    /// Stop when nothing has passed for D, once a peer is there
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub idle_timeout: Option<Duration>,

    /// Stop the whole run after D
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Time limits (exit status 5)")]
    pub timeout: Option<Duration>,

    /// Send nothing, and no FIN until the peer's FIN
    #[arg(
        short = 'd',
        long,
        visible_alias = "recv-only",
        conflicts_with = "send_only",
        help_heading = "Sending and receiving"
    )]
    pub no_stdin: bool,

    /// Discard what is received; done once all that was sent is acknowledged
    #[arg(long, help_heading = "Sending and receiving")]
    pub send_only: bool,

    /// End at the peer's FIN, whatever stdin still holds
    #[arg(long, help_heading = "Sending and receiving")]
    pub until_fin: bool,

    /// Keep the sending half open when stdin ends
    #[arg(long, help_heading = "Sending and receiving")]
    pub no_shutdown: bool,

    /// After stdin's end, stop once nothing has arrived for D [default: none; connect --udp: 1s]
    #[arg(short = 'q', long, value_name = "D", value_parser = units::duration, help_heading = "Sending and receiving")]
    pub linger: Option<Duration>,

    /// Send LF as CRLF
    #[arg(short = 'C', long, help_heading = "Messages")]
    pub crlf: bool,

    /// How stdin becomes messages: raw, lines, hex or frames
    #[arg(
        short = 'I',
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Messages"
    )]
    pub input: FormatArg,

    /// How messages become stdout: raw, lines, hex or frames
    #[arg(
        short = 'O',
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Messages"
    )]
    pub output: FormatArg,

    /// Send TEXT instead of stdin; may repeat, one message each
    #[arg(long, value_name = "TEXT", action = ArgAction::Append, allow_hyphen_values = true, conflicts_with = "no_stdin", help_heading = "Messages")]
    pub send: Vec<String>,

    /// Send these bytes instead of stdin; may repeat, one message each
    #[arg(long, value_name = "HEX", action = ArgAction::Append, conflicts_with = "no_stdin", help_heading = "Messages")]
    pub send_hex: Vec<String>,

    /// Payload bytes a datagram when the input is raw [default: 1452]
    #[arg(long, value_name = "N", value_parser = units::size, help_heading = "Messages")]
    pub datagram_size: Option<u64>,

    /// Stop, with status 0, after N messages received
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Messages")]
    pub count: Option<u64>,

    /// Pause this long between messages
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Messages")]
    pub interval: Option<Duration>,

    /// Send at most this many bytes a second
    #[arg(long, value_name = "BYTES", value_parser = units::size, help_heading = "Messages")]
    pub rate: Option<u64>,

    /// Say on stderr what happens, and a summary at the end
    #[arg(short, long, help_heading = "What it says")]
    pub verbose: bool,

    /// Print nothing but errors
    #[arg(long, help_heading = "What it says")]
    pub quiet: bool,

    /// Ask for a receive buffer of SIZE
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Socket options")]
    pub rcvbuf: Option<u64>,

    /// Ask for a send buffer of SIZE
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Socket options")]
    pub sndbuf: Option<u64>,

    /// Hops a packet may take (1 to 255); for multicast too
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..), help_heading = "Socket options")]
    pub ttl: Option<u8>,

    /// Type of service, or traffic class (0 to 255)
    #[arg(long, value_name = "N", help_heading = "Socket options")]
    pub tos: Option<u8>,

    /// Allow sending to broadcast addresses
    #[arg(long, help_heading = "Socket options")]
    pub broadcast: bool,

    /// Join a multicast group (UDP), on a port that others may hear it on too; may repeat
    #[arg(long, value_name = "GROUP[%IF]", help_heading = "Socket options")]
    pub join: Vec<String>,

    /// Use this network interface only
    #[arg(long, value_name = "IF", help_heading = "Socket options")]
    pub device: Option<String>,

    /// Probe a silent TCP peer (SO_KEEPALIVE)
    #[arg(long, help_heading = "Socket options")]
    pub keepalive: bool,

    /// Gather small TCP writes (Nagle's algorithm)
    #[arg(long, help_heading = "Socket options")]
    pub delay: bool,

    /// What is to be seen of the bytes.
    #[command(flatten)]
    pub seeing: SeeingArgs,

    /// Copy through a buffer where a faster way would do
    #[arg(long, hide = true)]
    pub portable: bool,
}

/// How a stream of bytes and messages map to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FormatArg {
    /// TCP: a byte stream. UDP: cut at --datagram-size, written one after the other
    #[default]
    Raw,
    /// One line is one message
    Lines,
    /// One line of hex digits is one message
    Hex,
    /// A 4-byte big-endian length before every message
    Frames,
}
