//! The options that `pktcat listen` and `pktcat connect` have in common.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::addressing::AddressingArgs;
use super::dialogue::DialogueArgs;
use super::seeing::SeeingArgs;
use super::socket::SocketArgs;
use super::tls::TlsArgs;
use super::values::FormatArg;
use crate::units;

/// The options that `listen` and `connect` have in common.
#[derive(Debug, Args)]
pub struct CommonArgs {
    /// UDP
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub udp: bool,

    /// A local socket instead of HOST PORT: stream, or datagram with -u; @NAME is an abstract name
    #[arg(short = 'U', long, value_name = "PATH", help_heading = "Protocol and addresses")]
    pub unix: Option<PathBuf>,

    /// Which addresses are used.
    #[command(flatten)]
    pub addressing: AddressingArgs,

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

    /// What is waited for, and escapes.
    #[command(flatten)]
    pub dialogue: DialogueArgs,

    /// Payload bytes a datagram when the input is raw [default: 1452]
    #[arg(long, value_name = "N", value_parser = units::size, help_heading = "Messages")]
    pub datagram_size: Option<u64>,

    /// Stop, with status 0, after N messages received; what is due of --send is sent first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Messages")]
    pub count: Option<u64>,

    /// Pause this long between messages
    #[arg(long, value_name = "D", value_parser = units::duration, help_heading = "Messages")]
    pub interval: Option<Duration>,

    /// Send at most this many bytes a second
    #[arg(long, value_name = "BYTES", value_parser = units::size, help_heading = "Messages")]
    pub rate: Option<u64>,

    /// Say on stderr what happens, and a summary at the end; -vv says no more
    #[arg(short, long, overrides_with = "verbose", help_heading = "What it says")]
    pub verbose: bool,

    /// Print nothing but errors
    #[arg(long, help_heading = "What it says")]
    pub quiet: bool,

    /// Socket options.
    #[command(flatten)]
    pub socket: SocketArgs,

    /// Talk TLS 1.3 or 1.2 over TCP
    #[arg(long, help_heading = "TLS (exit status 9)")]
    pub tls: bool,

    /// Options of TLS for both roles.
    #[command(flatten)]
    pub tls_options: TlsArgs,

    /// What is to be seen of the bytes.
    #[command(flatten)]
    pub seeing: SeeingArgs,

    /// Copy through a buffer where a faster way would do
    #[arg(long, hide = true)]
    pub portable: bool,
}
