//! When probes leave, and whether their times are right. On a machine with little else to do.

use std::net::UdpSocket;

use libtest_mimic::Trial;

use super::{echo_port, objects, ping};
use crate::tests;
use crate::util::harness::Need;
use crate::util::{net, program};

pub(super) fn tests() -> Vec<Trial> {
    tests![
        a_thousand_probes_leave_on_time,
        silence_does_not_delay_the_next_probe,
        medians_are_those_of_a_bare_client needs [Need::Program("python3"), Need::Quiet],
    ]
}

/// How late each probe left, in seconds, sorted: a millisecond apart, counted from the first.
fn lateness(line: &str, status: i32, interval: f64) -> Vec<f64> {
    let ended = ping(line, status);
    let all = objects(&ended.stdout_text());
    let mut left: Vec<(u64, f64)> = all
        .iter()
        .filter(|one| one["event"] == "probe")
        .map(|one| (one["seq"].as_u64().unwrap(), one["left"].as_f64().unwrap()))
        .collect();
    left.sort_by_key(|(seq, _)| *seq);
    let mut late: Vec<f64> =
        left.iter().map(|(seq, left)| left - (*seq as f64 - 1.0) * interval).collect();
    // The times are told in whole microseconds.
    assert!(late.iter().all(|late| *late > -2e-6), "one left early: {late:?}");
    late.sort_by(f64::total_cmp);
    late
}

/// A machine that does other work holds up a whole series, which is then measured again; how late the latest
/// probes are, only one says that does nothing else.
#[track_caller]
fn is_on_time(measure: impl Fn() -> Vec<f64>) {
    let mut all = Vec::new();
    for _ in 0..8 {
        let late = measure();
        let (median, p99) = (late[late.len() / 2], late[late.len() * 99 / 100]);
        if median <= 0.001 && (p99 <= 0.003 || !Need::Quiet.is_met()) {
            return;
        }
        all.push((median, p99));
    }
    panic!("late by so many seconds at the median, and at p99: {all:?}");
}

/// A port where every connection is accepted, so that no queue fills up.
fn open_port() -> u16 {
    let (listener, port) = net::listener();
    std::thread::spawn(move || while listener.accept().is_ok() {});
    port
}

fn a_thousand_probes_leave_on_time() {
    let port = open_port();
    let echo = echo_port();
    for (options, port) in [("", port), ("-u --send x", echo), ("-u --echo", echo)] {
        let line = format!("{options} --json --interval 1ms --count 1000 127.0.0.1 {port}");
        is_on_time(|| {
            let late = lateness(&line, 0, 0.001);
            assert_eq!(late.len(), 1000);
            late
        });
    }
}

fn silence_does_not_delay_the_next_probe() {
    let mute = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let line = format!("-u --json --interval 5ms --count 200 -w 1s 127.0.0.1 {port}");
    is_on_time(|| lateness(&line, 5, 0.005));
}

/// Python's calls are those of the C library with a microsecond around them.
const BARE: &str = r"
import socket, statistics, sys, time
port, udp = int(sys.argv[1]), int(sys.argv[2])
times = []
for _ in range(300):
    s = socket.socket()
    begun = time.perf_counter_ns()
    s.connect(('127.0.0.1', port))
    times.append(time.perf_counter_ns() - begun)
    s.close()
    time.sleep(0.001)
tcp = statistics.median(times) / 1000
times = []
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('127.0.0.1', udp))
for _ in range(300):
    begun = time.perf_counter_ns()
    s.send(b'x' * 64)
    s.recv(100)
    times.append(time.perf_counter_ns() - begun)
    time.sleep(0.001)
print(tcp, statistics.median(times) / 1000)
";

/// By turns, and the least median of each counts: whatever else runs on the machine only ever adds.
fn medians_are_those_of_a_bare_client() {
    let (port, echo) = (open_port(), echo_port());
    let mut least = [f64::INFINITY; 4];
    for _ in 0..8 {
        let said = program("python3", ["-c", BARE, &port.to_string(), &echo.to_string()]).run();
        let bare: Vec<f64> =
            said.stdout_text().split_whitespace().map(|word| word.parse().unwrap()).collect();
        let ours = [("tcp", "", port), ("udp", "-u --echo", echo)].map(|(side, options, port)| {
            let line = format!("{options} --json --interval 1ms --count 300 127.0.0.1 {port}");
            let all = objects(&ping(&line, 0).stdout_text());
            all.last().unwrap()[side]["round_trip_us"]["median"].as_f64().unwrap()
        });
        for (least, now) in least.iter_mut().zip([bare[0], ours[0], bare[1], ours[1]]) {
            *least = least.min(now);
        }
    }
    for (name, bare, ours) in [("tcp", least[0], least[1]), ("udp", least[2], least[3])] {
        let most = (bare * 0.1).max(5.0);
        assert!((ours - bare).abs() <= most, "{name}: {ours} us, bare {bare} us");
    }
}
