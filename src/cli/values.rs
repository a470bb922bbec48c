//! Option values that several commands share.

use clap::ValueEnum;

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
