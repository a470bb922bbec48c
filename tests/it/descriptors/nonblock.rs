//! O_NONBLOCK belongs to the open file description, which everyone who inherited it shares: set by
//! one, it breaks all the others. It is never seen there: the test keeps a second descriptor of each
//! description and looks at the flag all the time.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::sys::termios::{self, LocalFlags, SetArg};

use super::client;
use crate::util::tty::{FlagWatch, Pty};
use crate::util::{Collected, Input, Output, eventually, harness, net};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Pipe,
    Socket,
    Terminal,
    File,
    Null,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// stdin ends, then the peer.
    Eof,
    /// The peer ends while stdin is still open.
    PeersFin,
    Kill(Signal),
}

pub(crate) fn tests() -> Vec<Trial> {
    let ends = [
        ("eof", End::Eof),
        ("peers_fin", End::PeersFin),
        ("sigint", End::Kill(Signal::SIGINT)),
        ("sigterm", End::Kill(Signal::SIGTERM)),
        ("sigkill", End::Kill(Signal::SIGKILL)),
    ];
    let mut tests = Vec::new();
    for kind in [Kind::Pipe, Kind::Socket, Kind::Terminal, Kind::File, Kind::Null] {
        for (name, end) in ends {
            let name = format!("nonblock_is_never_seen_{kind:?}_{name}").to_lowercase();
            tests.push(harness::test(module_path!(), name, &[], move || never_seen(kind, end)));
        }
    }
    tests
}

/// Descriptors for a child, and the test's side of them.
struct Ends {
    kind: Kind,
    /// For 0, 1 and 2.
    inherited: [OwnedFd; 3],
    /// Where the child's stdin comes from; dropped for its end.
    feed: Option<File>,
    /// What the child wrote on stdout, if it can be seen.
    shown: Shown,
}

enum Shown {
    Stream(Collected),
    File(File),
    Nowhere,
}

fn copy(fd: &impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

impl Ends {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Pipe => {
                let (stdin, feed) = std::io::pipe().unwrap();
                let (shown, stdout) = std::io::pipe().unwrap();
                let (said, stderr) = std::io::pipe().unwrap();
                drop(Collected::start(said));
                Self {
                    kind,
                    inherited: [stdin.into(), stdout.into(), stderr.into()],
                    feed: Some(File::from(OwnedFd::from(feed))),
                    shown: Shown::Stream(Collected::start(shown)),
                }
            }
            Kind::Socket => {
                // As inetd and some shells do it: one socket for all three.
                let (inner, outer) = UnixStream::pair().unwrap();
                let shown = Shown::Stream(Collected::start(outer.try_clone().unwrap()));
                let inherited = [copy(&inner), copy(&inner), inner.into()];
                Self { kind, inherited, feed: Some(File::from(OwnedFd::from(outer))), shown }
            }
            Kind::Terminal => {
                let pty = Pty::open();
                let mut settings = termios::tcgetattr(&pty.slave).unwrap();
                settings.local_flags.remove(LocalFlags::ECHO);
                termios::tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
                let master = File::from(OwnedFd::from(pty.master));
                let shown = Shown::Stream(Collected::start(master.try_clone().unwrap()));
                let inherited = [copy(&pty.slave), copy(&pty.slave), pty.slave.into()];
                Self { kind, inherited, feed: Some(master), shown }
            }
            Kind::File => {
                let mut stdin = tempfile::tempfile().unwrap();
                stdin.write_all(b"ping\n").unwrap();
                stdin.seek(SeekFrom::Start(0)).unwrap();
                let (stdout, stderr) =
                    (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
                let shown = Shown::File(stdout.try_clone().unwrap());
                Self {
                    kind,
                    inherited: [stdin.into(), stdout.into(), stderr.into()],
                    feed: None,
                    shown,
                }
            }
            Kind::Null => {
                let null =
                    || OpenOptions::new().read(true).write(true).open("/dev/null").unwrap().into();
                Self {
                    kind,
                    inherited: [null(), null(), null()],
                    feed: None,
                    shown: Shown::Nowhere,
                }
            }
        }
    }

    /// Ends the child's stdin.
    fn end_feed(&mut self) {
        match (self.kind, self.feed.take()) {
            // As it is typed: Ctrl-D on an empty line.
            (Kind::Terminal, Some(mut feed)) => feed.write_all(b"\x04").unwrap(),
            // Closing it is not enough, the thread that collects has another descriptor of it.
            (Kind::Socket, Some(feed)) => {
                UnixStream::from(OwnedFd::from(feed)).shutdown(Shutdown::Write).unwrap();
            }
            _ => {}
        }
    }

    /// Waits until the child's stdout shows this.
    fn wait_shown(&self, wanted: &[u8]) {
        let has =
            |bytes: &[u8]| bytes.windows(wanted.len()).any(|part| part == wanted).then_some(());
        match &self.shown {
            Shown::Stream(collected) => collected.wait("the payload on stdout", has),
            // Not by the shared position, which is the child's.
            Shown::File(file) => eventually("the payload in the file", || {
                let mut bytes = vec![0; 4096];
                let count = file.read_at(&mut bytes, 0).unwrap();
                has(&bytes[..count])
            }),
            Shown::Nowhere => {}
        }
    }
}

fn never_seen(kind: Kind, end: End) {
    let mut ends = Ends::new(kind);
    let shared = [("stdin", 0), ("stdout", 1), ("stderr", 2)];
    let shared = shared.map(|(name, fd)| (name, copy(&ends.inherited[fd])));
    let watch = FlagWatch::start(shared.into());
    let [stdin, stdout, stderr] = ends.inherited.each_ref().map(copy);
    let (running, mut peer) = client("-v", |pktcat| {
        pktcat.stdin(Input::Fd(stdin)).stdout(Output::Fd(stdout)).stderr(Output::Fd(stderr))
    });

    if let Some(feed) = &mut ends.feed {
        feed.write_all(b"ping\n").unwrap();
    }
    if !matches!(kind, Kind::Null) {
        assert_eq!(net::read_exactly(&peer, 5), b"ping\n");
    }
    peer.write_all(b"pong").unwrap();
    ends.wait_shown(b"pong");

    match end {
        End::Kill(signal) => {
            running.signal(signal);
            running.wait().expect_signal(signal);
        }
        End::Eof => {
            ends.end_feed();
            assert_eq!(net::read_to_fin(&peer), b"");
            drop(peer);
            running.wait().expect_code(0);
        }
        End::PeersFin => {
            net::finish(&peer);
            // A file has ended by itself, a terminal ends with the peer, a pipe or socket keeps the run alive.
            if matches!(kind, Kind::Pipe | Kind::Socket) {
                running.expect_running();
                ends.end_feed();
            }
            running.wait().expect_code(0);
        }
    }
    watch.expect_never();
}
