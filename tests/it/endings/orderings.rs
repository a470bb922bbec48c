//! Every ordering of close, reset, stall and signal: no run hangs, none tells success after a reset,
//! and what had arrived is written.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::util::data::{assert_same, random, write_random};
use crate::util::{Input, Output, Running, eventually, harness, net, pktcat_line, proc};

/// One test for each role and first event, which goes through all that may follow.
pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for (role, start) in [("client", client as Start), ("server", server as Start)] {
        for first in EVENTS {
            let name =
                format!("{role}_in_every_ordering_that_begins_with_{first:?}").to_lowercase();
            let run =
                move || orderings(first).for_each(|events| check(events, Connected::new(start)));
            tests.push(harness::test(module_path!(), name, &[], run));
        }
    }
    tests
}

/// A connected pktcat, and all that it is connected to.
struct Connected {
    running: Running,
    peer: Option<TcpStream>,
    /// Of the peer, and of pktcat.
    ports: (u16, u16),
    stdin: Option<PipeWriter>,
    /// Whether a flood has taken stdin, which does not end any more.
    is_flooded: bool,
    stdout: Option<PipeReader>,
    /// Copies of pktcat's own ends, which show what has happened to the others.
    watched: Option<(PipeReader, PipeWriter)>,
}

/// Starts one with these as its standard input and output.
type Start = fn(Input, Output) -> (Running, TcpStream);

fn client(stdin: Input, stdout: Output) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let line = format!("connect 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(stdin).stdout(stdout).spawn();
    (running, net::accept(&listener))
}

fn server(stdin: Input, stdout: Output) -> (Running, TcpStream) {
    let running = pktcat_line("listen 127.0.0.1 0").stdin(stdin).stdout(stdout).spawn();
    let peer = net::connect(running.port());
    (running, peer)
}

impl Connected {
    fn new(start: Start) -> Self {
        let (their_stdin, stdin) = pipe().unwrap();
        let (stdout, their_stdout) = pipe().unwrap();
        let watched = (their_stdin.try_clone().unwrap(), their_stdout.try_clone().unwrap());
        let (running, peer) = start(Input::Fd(their_stdin.into()), Output::Fd(their_stdout.into()));
        Self {
            running,
            ports: net::ports(&peer),
            peer: Some(peer),
            stdin: Some(stdin),
            is_flooded: false,
            stdout: Some(stdout),
            watched: Some(watched),
        }
    }

    /// Makes it happen, and waits until pktcat has noticed, so that it does before the next event.
    fn happen(&mut self, event: Event) {
        match event {
            InputEnd => self.stdin = None,
            ReaderGone => self.stdout = None,
            Flood => {
                self.is_flooded |= self.stdin.is_some();
                flood(&mut self.stdin, self.peer.as_ref());
            }
            PeerFin => drop(self.peer.as_ref().map(|peer| peer.shutdown(Shutdown::Write))),
            PeerClose => self.peer = None,
            PeerReset => match self.peer.take() {
                Some(peer) => net::reset(peer),
                None => return,
            },
        }
        eventually(&format!("{event:?} to happen"), || self.has_happened(event).then_some(()));
        thread::sleep(Duration::from_millis(5));
        eventually("everything to be noticed", || {
            let is_over = self.running.ended().is_some();
            (is_over || proc::state(self.running.pid()) == 'S').then_some(())
        });
    }

    /// Closing an end changes nothing as long as another process has a copy of it: one that another test just
    /// starts has copies of everything for a moment.
    fn has_happened(&self, event: Event) -> bool {
        let (peer, own) = self.ports;
        let Some((stdin, stdout)) = &self.watched else { return true };
        match event {
            InputEnd => self.is_flooded || has(stdin, PollFlags::POLLHUP),
            ReaderGone => has(stdout, PollFlags::POLLERR),
            PeerClose => !net::may_send(peer, own),
            PeerReset => !net::may_send(peer, own) && !net::may_send(own, peer),
            PeerFin | Flood => true,
        }
    }
}

/// Whether this is to be seen at a descriptor now.
fn has(end: &impl AsFd, what: PollFlags) -> bool {
    let mut ends = [PollFd::new(end.as_fd(), PollFlags::empty())];
    poll(&mut ends, PollTimeout::ZERO).unwrap();
    ends[0].revents().is_some_and(|seen| seen.contains(what))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    /// stdin ends.
    InputEnd,
    /// The peer half-closes.
    PeerFin,
    /// The peer closes: a FIN, or a reset when it has not read everything; what comes later gets a reset.
    PeerClose,
    /// The peer resets.
    PeerReset,
    /// Whoever reads stdout goes away.
    ReaderGone,
    /// Both sides offer more than anybody reads: both directions stall. stdin does not end after that.
    Flood,
}

use Event::{Flood, InputEnd, PeerClose, PeerFin, PeerReset, ReaderGone};

const EVENTS: [Event; 6] = [InputEnd, PeerFin, PeerClose, PeerReset, ReaderGone, Flood];

/// What has arrived before any event, and must be written unless nobody reads it.
const ARRIVED: usize = 10_007;

fn orderings(first: Event) -> impl Iterator<Item = [Event; 3]> {
    let all = EVENTS.into_iter().flat_map(move |second| EVENTS.map(|third| [first, second, third]));
    all.filter(|[a, b, c]| a != b && b != c && a != c)
}

/// How the run must end by itself; `None` when it may also go on until it is stopped.
fn expected(events: [Event; 3]) -> Option<i32> {
    match events {
        // Two events that each end the run: on a busy machine either may be noticed first.
        [PeerReset, ReaderGone, _]
        | [PeerReset, _, ReaderGone]
        | [Flood, PeerReset, ReaderGone] => None,
        [InputEnd, PeerFin, PeerReset] | [PeerFin, InputEnd, PeerReset] => None,
        [ReaderGone, PeerReset, _] | [ReaderGone, _, PeerReset] => None,
        [PeerReset, ..] => Some(8),
        [ReaderGone, ..] => Some(0),
        [InputEnd, PeerFin | PeerClose, _] | [PeerFin, InputEnd, _] | [PeerClose, InputEnd, _] => {
            Some(0)
        }
        [InputEnd, PeerReset, _] | [PeerFin, PeerReset, _] | [Flood, PeerReset, _] => Some(8),
        _ => None,
    }
}

fn check(events: [Event; 3], mut all: Connected) {
    let before = random(51, ARRIVED);
    let mut peer = all.peer.as_ref().unwrap();
    peer.write_all(&before).unwrap();
    net::wait_acknowledged(peer);
    events.into_iter().for_each(|event| all.happen(event));
    let Connected { running, peer: _peer, stdin: _stdin, mut stdout, watched, .. } = all;
    drop(watched);

    // From now on somebody reads again: what stalled goes on.
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        let mut chunk = vec![0; 65_536];
        while let Some(Ok(count @ 1..)) = stdout.as_mut().map(|pipe| pipe.read(&mut chunk)) {
            // Of a flood the beginning is enough.
            let room = (2 * ARRIVED).saturating_sub(all.len());
            all.extend_from_slice(&chunk[..count.min(room)]);
        }
        all
    });
    let expected = expected(events);
    if expected.is_none() {
        running.signal(Signal::SIGTERM);
    }
    eventually(&format!("the end after {events:?}"), || running.ended());
    let ended = running.wait();
    let status = (ended.status.code(), expected);
    let told = format!("{events:?}: {}; {}", ended.status, ended.stderr);
    match status {
        (code, Some(_)) => assert_eq!(code, expected, "{told}"),
        (Some(8), None) => {
            assert!(events.contains(&PeerReset) || events.contains(&PeerClose), "{told}");
        }
        (Some(code), None) => assert_eq!(code, 0, "{told}"),
        (None, None) => drop(ended.expect_signal(Signal::SIGTERM)),
    }
    let written = reader.join().unwrap();
    if !events.contains(&ReaderGone) {
        assert!(written.len() >= ARRIVED, "{} bytes written; {told}", written.len());
        assert_same(&written[..ARRIVED], &before);
    }
}

/// Fills both directions; the thread at stdin ends by an error when the run has ended.
fn flood(stdin: &mut Option<PipeWriter>, peer: Option<&TcpStream>) {
    if let Some(stdin) = stdin.take() {
        thread::spawn(move || write_random(stdin, 52, u64::MAX));
    }
    if let Some(mut peer) = peer {
        peer.set_nonblocking(true).unwrap();
        let chunk = random(53, 50_021);
        // Until there is no room, or the sending half is closed, or nobody is there any more.
        while peer.write(&chunk).is_ok() {}
        peer.set_nonblocking(false).unwrap();
    }
}
