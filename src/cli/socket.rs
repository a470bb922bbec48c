//! The words for socket options.

use clap::Args;

use crate::units;

/// Options for every socket of a run.
#[derive(Debug, Args)]
pub struct SocketArgs {
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

    /// Don't fragment; a datagram that is too long is an error that names the path MTU
    #[arg(long, help_heading = "Socket options")]
    pub df: bool,

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
}
