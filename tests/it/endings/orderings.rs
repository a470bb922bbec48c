//! Every ordering of close, reset, stall and signal: no run hangs, none tells success after a reset,
//! and what had arrived is written.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::util::data::{assert_same, random, write_random};
use crate::util::{Input, Output, Running, eventually, harness, net, pktcat_line};

/// One test for each role and first event, which goes through all that may follow.
pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for (role, start) in [("client", client as Start), ("server", server as Start)] {
        for first in EVENTS {
            let name =
                format!("{role}_in_every_ordering_that_begins_with_{first:?}").to_lowercase();
            let run = move || orderings(first).for_each(|events| check(events, start()));
            tests.push(harness::test(module_path!(), name, &[], run));
        }
    }
    tests
}

/// A connected pktcat whose stdin and stdout are pipes that the test holds, and its peer.
type Start = fn() -> (Running, TcpStream);

fn client() -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let line = format!("connect 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    (running, net::accept(&listener))
}

fn server() -> (Running, TcpStream) {
    let running = pktcat_line("listen 127.0.0.1 0").stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let peer = net::connect(running.port());
    (running, peer)
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

fn check(events: [Event; 3], (mut running, mut peer): (Running, TcpStream)) {
    let before = random(51, ARRIVED);
    peer.write_all(&before).unwrap();
    net::wait_acknowledged(&peer);
    let mut stdin = Some(running.take_stdin());
    let mut stdout = Some(running.take_stdout());
    let mut peer = Some(peer);
    for event in events {
        match event {
            InputEnd => stdin = None,
            ReaderGone => stdout = None,
            Flood => flood(&mut stdin, peer.as_ref()),
            PeerFin => drop(peer.as_ref().map(|peer| peer.shutdown(Shutdown::Write))),
            PeerClose => peer = None,
            PeerReset => drop(peer.take().map(net::reset)),
        }
        // The event itself can be seen nowhere; this makes it likely that it is noticed before the next.
        thread::sleep(Duration::from_millis(5));
    }

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
fn flood(stdin: &mut Option<ChildStdin>, peer: Option<&TcpStream>) {
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
