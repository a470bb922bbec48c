//! What is to be seen of a run: words and the facts of terminals become settings.

use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Seek as _};
use std::os::fd::AsFd;
use std::path::PathBuf;

use crate::cli::{ColorChoice, SeeingArgs};
use crate::observe::hexdump::Paint;
use crate::observe::json::Bytes;
use crate::sys;

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
    /// The bar.
    pub bar: BarSetting,
    /// Whether what is received is written to standard output, too.
    pub payload: PayloadOutput,
}

/// How events and errors are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// In lines for people.
    Text,
    /// In lines for programs; with `-x` the bytes are in them.
    Json(Bytes),
}

/// Whether a bar is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarSetting {
    /// There is none.
    None,
    /// On standard error.
    Drawn {
        /// Bytes that will be sent, if that is known.
        size: Option<u64>,
    },
}

/// Standard input is sent as it is, so that its size is what will be sent.
#[derive(Debug, Clone, Copy)]
pub struct Unchanged;

/// What is left of standard input, when it is a file.
fn size(_: Unchanged) -> Option<u64> {
    let mut file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let metadata = file.metadata().ok().filter(Metadata::is_file)?;
    Some(metadata.len().saturating_sub(file.stream_position().ok()?))
}

/// Where the payload that is received can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadOutput {
    /// On standard output.
    Stdout,
    /// In the dump alone: standard output and the dump are the same terminal.
    Dump,
}

impl Seen {
    /// Settings from words; `sending` when standard input is sent byte by byte.
    #[must_use]
    pub fn new(args: SeeingArgs, sending: Option<Unchanged>) -> Self {
        let same = args.hex && is_same_terminal(io::stdout(), io::stderr());
        let told = match (args.json, args.hex) {
            (false, _) => Told::Text,
            (true, true) => Told::Json(Bytes::Shown),
            (true, false) => Told::Json(Bytes::Counted),
        };
        // A bar among other text that never ends would be no bar.
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
        }
    }
}

/// Whether a destination gets colours (`NO_COLOR`: no-color.org).
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
