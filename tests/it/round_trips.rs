//! Round trips of `pktcat compare` against those of a bare socket client.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::compare::peer;
use crate::tests;
use crate::util::harness::Need;
use crate::util::{pktcat_line, program};

/// What an unoptimised build may take longer than the same client unoptimised, which makes nearly
/// nothing but system calls.
const TOLERANCE: f64 = if cfg!(debug_assertions) { 1.0 } else { 0.15 };

const ROUNDS: usize = 16;
const SERIES: usize = 4;
const MESSAGES: usize = 3000;

/// With a port in it, this binary is the bare client and no test.
const BARE: &str = "PKTCAT_TEST_BARE_CLIENT";

pub(crate) fn tests() -> Vec<Trial> {
    tests![round_trips_are_those_of_a_bare_socket needs [Need::Quiet]]
}

/// What `main` asks before all else.
pub(crate) fn is_bare_client() -> bool {
    let Ok(port) = std::env::var(BARE) else { return false };
    let port = port.parse().unwrap();
    println!("{} {}", bare_tcp(port), bare_udp(port));
    true
}

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

/// In a process of its own, as ours is: between threads of one process, switching is cheaper.
fn bare(port: u16) -> [f64; 2] {
    let client = program(std::env::current_exe().unwrap(), [""; 0]).env(BARE, port.to_string());
    let said = client.run().expect_code(0).stdout_text();
    let medians: Vec<f64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    medians.try_into().unwrap()
}

fn ours(port: u16) -> [f64; 2] {
    let words = format!("compare --json 127.0.0.1 {port} --window 1 --count {MESSAGES}");
    let ended = pktcat_line(&words).run().expect_code(0);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    ["tcp", "udp"].map(|side| result[side]["round_trip_us"]["median"].as_f64().unwrap())
}

/// By turns, and the lower quartile of each one's medians counts: whatever else runs on the machine,
/// and whichever core it gives to client and peer, only ever adds, and a single lucky round says
/// little. How far ours is off, as shares of the bare client's, and all medians.
fn measure(port: u16) -> ([f64; 2], String) {
    let mut all: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        let [tcp, udp] = ours(port);
        let [bare_tcp, bare_udp] = bare(port);
        for (medians, now) in all.iter_mut().zip([bare_tcp, tcp, bare_udp, udp]) {
            medians.push(now);
        }
    }
    for medians in &mut all {
        medians.sort_by(f64::total_cmp);
    }
    let [bare_tcp, tcp, bare_udp, udp] = [0, 1, 2, 3].map(|i| all[i][ROUNDS / 4]);
    (
        [tcp / bare_tcp - 1.0, udp / bare_udp - 1.0],
        format!("tcp bare, ours, udp bare, ours: {all:?}"),
    )
}

/// 15% of a loopback round trip is about one system call, and a busy machine moves a whole series
/// by as much: a series may be measured again.
fn round_trips_are_those_of_a_bare_socket() {
    let peer = peer::echo();
    let mut series = Vec::new();
    for _ in 0..SERIES {
        let (off, medians) = measure(peer.port);
        if off.iter().all(|off| off.abs() <= TOLERANCE) {
            return;
        }
        series.push((off, medians));
    }
    panic!("off in every series: {series:#?}");
}
