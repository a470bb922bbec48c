//! The options that show what is transferred: dumps, events for programs, captures, progress.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What is shown of the transferred bytes, and where.
#[derive(Debug, Args)]
pub struct SeeingArgs {
    /// Dump both directions in hex to stderr
    #[arg(short = 'x', long, help_heading = "What it says")]
    pub hex: bool,

    /// Dump both directions in hex to FILE
    #[arg(long, value_name = "FILE", help_heading = "What it says")]
    pub hex_file: Option<PathBuf>,

    /// Write what passes the socket to FILE as a packet capture: payload and times are real; its
    /// handshakes, acknowledgements and windows are made up
    #[arg(long, value_name = "FILE", help_heading = "What it says")]
    pub pcap: Option<PathBuf>,

    /// Write events to stderr as one JSON object a line; see pktcat-json(5)
    #[arg(long, help_heading = "What it says")]
    pub json: bool,

    /// Begin lines of -v, dump headers, and lines of -O lines and hex with the wall-clock time
    #[arg(long, help_heading = "What it says")]
    pub timestamps: bool,

    /// Show a bar on stderr when it is a terminal
    #[arg(long, help_heading = "What it says")]
    pub progress: bool,

    /// Colour the dump: auto, always or never [default: auto]
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "What it says"
    )]
    pub color: ColorChoice,
}

/// When a dump has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
