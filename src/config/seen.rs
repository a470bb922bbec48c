//! What is to be seen of a run: words and the facts of terminals become settings.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::cli::{ColorChoice, SeeingArgs};
use crate::hexdump::Paint;
use crate::json::Bytes;

/// What is to be seen of a run, and where.
#[derive(Debug)]
pub struct Seen {
    /// How events and errors are told on standard error.
    pub told: Told,
    /// The dump on standard error.
    pub dump: Option<Paint>,
    /// The dump in a file.
    pub dump_file: Option<(PathBuf, Paint)>,
    /// The capture file.
    pub pcap: Option<PathBuf>,
    /// Whether what is received is written to standard output, too.
    pub payload: Payload,
}

/// How events and errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// In lines for people.
    Text,
    /// In lines for programs; with `-x` the bytes are in them.
    Json(Bytes),
}

/// Where the payload that is received can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// On standard output.
    Stdout,
    /// In the dump alone: standard output and the dump are the same terminal.
    Dump,
}

impl Seen {
    /// Settings from words.
    #[must_use]
    pub fn new(args: SeeingArgs) -> Self {
        let same = args.hex && is_same_terminal(io::stdout(), io::stderr());
        let told = match (args.json, args.hex) {
            (false, _) => Told::Text,
            (true, true) => Told::Json(Bytes::Shown),
            (true, false) => Told::Json(Bytes::Counted),
        };
        let dumps = args.hex && told == Told::Text;
        Self {
            told,
            dump: dumps.then(|| paint(args.color, io::stderr().is_terminal())),
            dump_file: args.hex_file.map(|path| (path, paint(args.color, false))),
            pcap: args.pcap,
            payload: if same { Payload::Dump } else { Payload::Stdout },
        }
    }
}

/// Whether a destination gets colours (`NO_COLOR`: no-color.org).
fn paint(choice: ColorChoice, is_terminal: bool) -> Paint {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match choice {
        ColorChoice::Always => Paint::Coloured,
        ColorChoice::Auto if is_terminal && !is_set("NO_COLOR") && !is_dumb() => Paint::Coloured,
        ColorChoice::Auto | ColorChoice::Never => Paint::Plain,
    }
}

fn is_same_terminal(one: impl AsFd, other: impl AsFd) -> bool {
    if !one.as_fd().is_terminal() || !other.as_fd().is_terminal() {
        return false;
    }
    match (nix::sys::stat::fstat(one), nix::sys::stat::fstat(other)) {
        (Ok(one), Ok(other)) => one.st_rdev == other.st_rdev,
        _ => false,
    }
}
