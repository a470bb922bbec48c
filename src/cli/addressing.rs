//! The words for which addresses are used.

use clap::Args;

/// Which addresses are used, and whether names are looked up.
#[derive(Debug, Args)]
pub struct AddressingArgs {
    /// IPv4 only
    #[arg(short = '4', long, conflicts_with = "ipv6", help_heading = "Protocol and addresses")]
    pub ipv4: bool,

    /// IPv6 only
    #[arg(short = '6', long, help_heading = "Protocol and addresses")]
    pub ipv6: bool,

    /// Look no names up
    #[arg(short, long, help_heading = "Protocol and addresses")]
    pub numeric: bool,
}
