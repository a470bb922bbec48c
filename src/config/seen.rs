//! Which reports a run makes: settings from the arguments and from what the descriptors are.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Seek as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::cli::{ColorChoice, SeeingArgs};
use crate::observe::hexdump::Paint;
use crate::observe::journal::Verbosity;
use crate::observe::json::Bytes;
use crate::observe::report::Leaving;
use crate::observe::stamps::Stamps;
use crate::sys;

/// The reports of a run, and where they go.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How events and errors are written to standard error.
    pub told: Told,
    /// The hex dump on standard error (`--hex`).
    pub dump: Option<Paint>,
    /// The hex dump in a file (`--hex-file`).
    pub dump_file: Option<(PathBuf, Paint)>,
    /// The capture file (`--pcap`).
    pub pcap: Option<PathBuf>,
    /// The progress bar (`--progress`).
    pub bar: BarSetting,
    /// Where the received payload is shown.
    pub payload: PayloadOutput,
    /// Whether lines begin with the wall-clock time (`--timestamps`).
    pub stamps: Stamps,
    /// Whether `-v` says when a client leaves.
    pub leaving: Leaving,
}

/// The format of events and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Lines for people.
    Text,
    /// JSON lines (`--json`); with `-x` they contain the bytes.
    Json(Bytes),
}

/// Whether a progress bar is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BarSetting {
    /// No.
    None,
    /// Yes, on standard error.
    Drawn {
        /// Bytes that will be sent, if known.
        size: Option<u64>,
    },
}

/// Says that standard input is sent unchanged, so that its size is the number of bytes to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unchanged;

/// Bytes from the offset of standard input to its end; `None` unless it is a regular file.
fn size(_: Unchanged) -> Option<u64> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    Some(metadata.len().saturating_sub(file.stream_position().ok()?))
}

/// Where the received payload is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadOutput {
    /// On standard output.
    Stdout,
    /// Only in the dump, because standard output and the dump are the same terminal.
    Dump,
}

impl Seen {
    /// Settings from the arguments. `sending` is given when standard input is sent unchanged.
    #[must_use]
    pub(crate) fn new(args: SeeingArgs, sending: Option<Unchanged>) -> Self {
        let same = args.hex && is_same_terminal(io::stdout(), io::stderr());
        let told = match (args.json, args.hex) {
            (false, _) => Told::Text,
            (true, true) => Told::Json(Bytes::Shown),
            (true, false) => Told::Json(Bytes::Counted),
        };
        // Between the lines of a dump or of JSON the bar could not stay in place.
        let has_bar =
            args.progress && !args.hex && told == Told::Text && io::stderr().is_terminal();
        let dumps = args.hex && told == Told::Text;
        Self {
            told,
            dump: dumps.then(|| paint(args.color, io::stderr().is_terminal())),
            dump_file: args.hex_file.map(|path| (path, paint(args.color, false))),
            pcap: args.pcap,
            bar: if has_bar {
                BarSetting::Drawn { size: sending.and_then(size) }
            } else {
                BarSetting::None
            },
            payload: if same { PayloadOutput::Dump } else { PayloadOutput::Stdout },
            stamps: if args.timestamps { Stamps::WallClock } else { Stamps::None },
            leaving: Leaving::Untold,
        }
    }
}

/// How much is said, by `--quiet` and `--verbose`.
pub(super) fn verbosity(quiet: bool, verbose: bool) -> Verbosity {
    match (quiet, verbose) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    }
}

/// Whether to use colours. NO_COLOR and TERM=dumb turn them off (no-color.org).
pub(super) fn paint(choice: ColorChoice, is_terminal: bool) -> Paint {
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
    match (sys::terminal(one), sys::terminal(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
