//! How long nobody was there, by the probes.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::{objects, ping};
use crate::tests;
use crate::util::net;

pub(super) fn tests() -> Vec<Trial> {
    tests![an_outage_of_two_seconds_is_one]
}

const OUTAGE: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_millis(100);

/// Answers for a while, is silent for [`OUTAGE`], and answers again.
fn answer_with_outage(socket: &UdpSocket, begins: Instant) {
    while let Ok((_, peer)) = socket.recv_from(&mut [0; 100]) {
        if !(begins..begins + OUTAGE).contains(&Instant::now()) {
            drop(socket.send_to(b"x", peer));
        }
    }
}

/// Both protocols at once: over TCP nobody listens meanwhile, over UDP nobody answers. Judged by what
/// the test itself did, and so on a machine with little else to do.
fn an_outage_of_two_seconds_is_one() {
    let (held, port) = net::refusing_port();
    let listener = net::open(held);
    let socket = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let begins = Instant::now() + Duration::from_secs(1);
    thread::spawn(move || answer_with_outage(&socket, begins));
    let tcp = thread::spawn(move || {
        thread::sleep(begins.saturating_duration_since(Instant::now()));
        let gone = Instant::now();
        let held = net::close(listener);
        thread::sleep((begins + OUTAGE).saturating_duration_since(Instant::now()));
        let again = net::open(held);
        (again, gone.elapsed())
    });
    let line = format!("-t -u --json --interval 100ms --count 45 -w 500ms 127.0.0.1 {port}");
    let ended = ping(&line, 0);
    let (_again, tcp) = tcp.join().unwrap();
    let all = objects(&ended.stdout_text());
    let summary = all.last().unwrap();
    for (protocol, real) in [("tcp", tcp), ("udp", OUTAGE)] {
        let outage = &summary[protocol]["longest_outage"];
        let told = outage["duration_us"].as_f64().unwrap() / 1e6;
        let off = (told - real.as_secs_f64()).abs();
        assert!(off <= INTERVAL.as_secs_f64(), "{protocol}: {told} s, not {real:?}: {summary}");
        assert_eq!((&outage["over"], &summary[protocol]["outages"]), (&true.into(), &1.into()));
    }
}
