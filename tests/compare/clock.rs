//! Times: when messages leave, and how long replies take.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::compare;
use super::peer::{self, Peer, Tcp};
use super::util::pktcat_line;

/// The time that a made-up message carries, in nanoseconds since the start of the run.
fn time_in(message: &[u8]) -> u64 {
    u64::from_be_bytes(message[8..16].try_into().unwrap())
}

pub fn no_message_leaves_before_its_time() {
    let peer = peer::echo();
    compare(&format!("127.0.0.1 {} --interval 3ms --count 100", peer.port));
    let streamed = peer.stream();
    for messages in [peer.datagrams(), streamed.chunks(64).map(<[u8]>::to_vec).collect()] {
        assert_eq!(messages.len(), 100);
        let first = time_in(&messages[0]);
        for (place, message) in (0..).zip(&messages) {
            let (at, due) = (time_in(message) - first, place * 3_000_000);
            assert!(at >= due, "message {place} left {} ns early", due - at);
        }
        // On average it keeps its time: one late wake-up does not delay all that follow.
        let last = time_in(&messages[99]) - first;
        assert!(last < 99 * 3_000_000 + 100_000_000, "the last one left after {last} ns");
    }
}

pub fn the_window_bounds_what_is_outstanding() {
    // Nobody answers, so that a stream never gets beyond its first window.
    let peer = Peer::start(Tcp::Discard, Box::new(|_, _| Vec::new()));
    let words = "--window 5 --size 100 -w 100ms";
    pktcat_line(&format!("compare 127.0.0.1 {} {words}", peer.port)).run().expect_code(5);
    assert_eq!(peer.stream().len(), 5 * 100);
    // Datagrams go on, a window at a time, until the silence has lasted.
    let datagrams = peer.datagrams().len();
    assert!(datagrams % 5 == 0 && (5..=25).contains(&datagrams), "{datagrams} datagrams");
}

const ROUNDS: usize = 7;
const MESSAGES: usize = 3000;

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1000.0
}

fn bare_tcp(port: u16) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut message = [7; 64];
    let times = (0..MESSAGES).map(|_| {
        let begun = Instant::now();
        stream.write_all(&message).unwrap();
        stream.read_exact(&mut message).unwrap();
        begun.elapsed()
    });
    median(times.collect())
}

fn bare_udp(port: u16) -> f64 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut message = [7; 64];
    let times = (0..MESSAGES).map(|_| {
        let begun = Instant::now();
        socket.send(&message).unwrap();
        socket.recv(&mut message).unwrap();
        begun.elapsed()
    });
    median(times.collect())
}

/// By turns, and the best median of each counts: whatever else runs on the machine only ever adds.
pub fn round_trips_are_those_of_a_bare_socket() {
    let peer = peer::echo();
    let mut best = [f64::INFINITY; 4];
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        let words = format!("127.0.0.1 {} --window 1 --count {MESSAGES}", peer.port);
        let result = compare(&words);
        let of = |side: &str| result[side]["round_trip_us"]["median"].as_f64().unwrap();
        let round = [bare_tcp(peer.port), of("tcp"), bare_udp(peer.port), of("udp")];
        for (best, now) in best.iter_mut().zip(round) {
            *best = best.min(now);
        }
        all.push(round);
    }
    let [bare_tcp, tcp, bare_udp, udp] = best;
    for (name, bare, ours) in [("tcp", bare_tcp, tcp), ("udp", bare_udp, udp)] {
        let ratio = ours / bare;
        assert!(
            (0.85..=1.15).contains(&ratio),
            "{name}: {ours} us against {bare} us, all rounds (bare, ours): {all:?}"
        );
    }
}
