//! The kinds of standard input and output, each with somebody at its other side.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use tempfile::TempDir;

use crate::util::data::{check_random, write_random};
use crate::util::tty::Pty;
use crate::util::{Ended, Input, Output};

/// What stdin or stdout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// A pipe.
    Pipe,
    /// A regular file.
    File,
    /// A regular file opened for appending, into which splice(2) refuses to move anything.
    Append,
    /// `/dev/null`; as stdout only.
    Null,
    /// One half of a pair of UNIX sockets.
    Socket,
    /// A terminal in raw mode; as stdout only.
    Terminal,
}

/// A stdin with `len` bytes of a seed's stream in it, and the thread that provides them, if it takes one.
pub(crate) fn feed(
    end: End,
    seed: u64,
    len: u64,
    dir: &TempDir,
) -> (Input, Option<JoinHandle<u64>>) {
    match end {
        End::Pipe => {
            let (reader, writer) = std::io::pipe().unwrap();
            let thread = thread::spawn(move || write_random(writer, seed, len));
            (Input::Fd(reader.into()), Some(thread))
        }
        End::Socket => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let thread = thread::spawn(move || write_random(ours, seed, len));
            (Input::Fd(theirs.into()), Some(thread))
        }
        End::File => {
            let path = dir.path().join(format!("in-{seed}"));
            assert_eq!(write_random(File::create(&path).unwrap(), seed, len), len);
            (Input::Fd(File::open(path).unwrap().into()), None)
        }
        End::Append | End::Null | End::Terminal => panic!("{end:?} is no stdin with data"),
    }
}

/// Who looks at what was written to a stdout.
#[derive(Debug)]
pub(crate) enum Check {
    /// A thread compares it with a seed's stream as it comes.
    Reader(JoinHandle<u64>),
    /// A file has it, behind this text.
    Kept(PathBuf, &'static [u8], u64),
    /// Nobody: the summary has to tell how much it was.
    Summary,
}

/// A stdout that expects a seed's stream, at most `len` bytes where it has no end of its own.
pub(crate) fn drain(end: End, seed: u64, len: u64, dir: &TempDir) -> (Output, Check) {
    match end {
        End::Pipe => {
            let (reader, writer) = std::io::pipe().unwrap();
            (
                Output::Fd(writer.into()),
                Check::Reader(thread::spawn(move || check_random(reader, seed))),
            )
        }
        End::Socket => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (
                Output::Fd(theirs.into()),
                Check::Reader(thread::spawn(move || check_random(ours, seed))),
            )
        }
        End::File => {
            let path = dir.path().join(format!("out-{seed}"));
            let file = File::create(&path).unwrap();
            (Output::Fd(file.into()), Check::Kept(path, b"", seed))
        }
        End::Append => {
            let path = dir.path().join(format!("log-{seed}"));
            fs::write(&path, b"what was there\n").unwrap();
            let file = OpenOptions::new().append(true).open(&path).unwrap();
            (Output::Fd(file.into()), Check::Kept(path, b"what was there\n", seed))
        }
        End::Null => (Output::Null, Check::Summary),
        End::Terminal => {
            let Pty { master, slave, .. } = Pty::open();
            let mut mode = tcgetattr(&slave).unwrap();
            cfmakeraw(&mut mode);
            tcsetattr(&slave, SetArg::TCSANOW, &mode).unwrap();
            let reader = thread::spawn(move || check_random(master.take(len), seed));
            (Output::Fd(slave.into()), Check::Reader(reader))
        }
    }
}

impl Check {
    /// How many bytes were written; panics unless they are the seed's. `ended` ran with `-v`.
    #[track_caller]
    pub(crate) fn written(self, ended: &Ended) -> u64 {
        match self {
            Self::Reader(thread) => thread.join().unwrap(),
            Self::Kept(path, before, seed) => {
                let mut file = File::open(&path).unwrap();
                let mut start = vec![0; before.len()];
                file.read_exact(&mut start).unwrap();
                assert_eq!(start, before);
                let len = check_random(&file, seed);
                fs::remove_file(path).unwrap();
                len
            }
            Self::Summary => received(&ended.stderr),
        }
    }
}

/// The payload bytes received that the summary tells of.
#[track_caller]
fn received(stderr: &str) -> u64 {
    let summary = stderr.lines().last().unwrap_or_default();
    let after = summary.split_once("received ").map(|(_, rest)| rest);
    let digits: Option<String> =
        after.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no summary in\n{stderr}"))
}
