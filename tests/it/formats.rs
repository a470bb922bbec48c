//! Messages there and back again: ten thousand boundaries kept, and paces kept.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{Random, assert_same};
use crate::util::{Ended, Input, each_at_once, net, pktcat, pktcat_line, proc};
use pktcat::engine::framing::{Format, encode};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        ten_thousand_datagrams_keep_their_boundaries,
        an_empty_datagram_is_an_empty_line_of_hex,
        a_bad_word_of_the_command_line_names_its_column_and_sends_nothing,
        the_pace_is_right_on_average,
        pacing_sleeps_and_does_not_spin,
    ]
}

/// Sends a file of messages through two pktcats and gives what the second wrote down.
#[track_caller]
fn there_and_back(format: &str, written: &[u8], count: usize) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("messages");
    fs::write(&path, written).unwrap();
    // At an address of its own, as every datagram counts, also one that strays to a port that was another's.
    const HOST: &str = "127.0.0.77";
    let line = format!("listen -u -v -O {format} --count {count} --idle-timeout 10s {HOST} 0");
    let server = pktcat_line(&line).spawn();
    // Slowly enough for the receive buffer of an ordinary user.
    let line = format!("connect -u -v -q 0 -I {format} --interval 100us {HOST} {}", server.port());
    let client = pktcat_line(&line).stdin(Input::Fd(File::open(&path).unwrap().into())).run();
    let server = server.wait();
    let codes = (client.status.code(), server.status.code());
    assert_eq!(codes, (Some(0), Some(0)), "{}\n{}", client.stderr, server.stderr);
    server
}

fn ten_thousand_datagrams_keep_their_boundaries() {
    const COUNT: usize = 10_000;
    let mut random = Random::new(77);
    let mut numbers = vec![0; 2 * COUNT];
    random.fill(&mut numbers);
    for (name, format) in [("frames", Format::Frames), ("hex", Format::Hex)] {
        let (mut written, mut empty) = (Vec::new(), 0);
        for pair in numbers.chunks(2) {
            // Mostly short, some as long as an Ethernet frame carries, a good many empty.
            let length = match pair[0] {
                0..16 => 1200 + usize::from(pair[1]),
                16..64 => 0,
                other => usize::from(other) / 4,
            };
            // A blank line of hex is no message: there, an empty one cannot be fed back.
            let length = if format == Format::Hex { length.max(1) } else { length };
            empty += usize::from(length == 0);
            let mut message = vec![0; length];
            random.fill(&mut message);
            encode(format, &message, &mut written);
        }
        assert!(empty > 1000 || format == Format::Hex);
        let ended = there_and_back(name, &written, COUNT);
        assert_same(&ended.stdout, &written);
        assert!(ended.stderr.contains("kernel drops 0"), "{}", ended.stderr);
    }
}

fn an_empty_datagram_is_an_empty_line_of_hex() {
    let ended = there_and_back("hex", b"00\n\nff\n", 2);
    assert_eq!(ended.stdout_text(), "00\nff\n");
    let server = pktcat_line("listen -u -O hex --count 2 127.0.0.1 0").spawn();
    let line = format!("connect -u -q 0 127.0.0.1 {}", server.port());
    pktcat(line.split(' ').chain(["--send", "", "--send", "a"])).run().expect_code(0);
    assert_eq!(server.wait().expect_code(0).stdout_text(), "\n61\n");
}

fn a_bad_word_of_the_command_line_names_its_column_and_sends_nothing() {
    let (socket, port) = net::udp();
    let port = port.to_string();
    for (words, why) in [
        (["--send", "good", "--send-hex", "00 11 2"], "column 7: odd number of hex digits"),
        (["--send", "good", "--send-hex", "0x41"], "column 2: 'x' is no hex digit"),
    ] {
        let line = ["connect", "-u"].into_iter().chain(words).chain(["127.0.0.1", &port]);
        let ended = pktcat(line).run().expect_code(2);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
    crate::util::udp::expect_nothing(&socket);
}

/// How long a run took, and for how long of it it was held up.
struct Took {
    /// As the sender tells, in seconds.
    time: f64,
    /// How long it had a processor, or waited for one that others had.
    awake: f64,
    /// How long it waited for a processor.
    held_up: f64,
}

impl Took {
    /// Whether it is what was asked for, to a twentieth.
    fn is_right(&self, wanted: f64) -> bool {
        // One that hardly ever slept could not have been faster on this machine.
        let could_be_faster = self.awake < 0.9 * self.time;
        self.time - self.held_up < 1.05 * wanted || !could_be_faster
    }
}

/// Sends so many messages at this pace.
fn paced(count: usize, options: &str) -> Took {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    fs::write(&path, "0123456789\n".repeat(count)).unwrap();
    let (_socket, port) = net::udp();
    let line = format!("connect -u -v -I lines --send-only {options} 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Fd(File::open(&path).unwrap().into())).spawn();
    let (mut running, mut waiting) = (0.0, 0.0);
    while client.ended().is_none() {
        if let Some(now) = proc::running_and_waiting(client.pid()) {
            (running, waiting) = now;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let stderr = client.wait().expect_code(0).stderr;
    let summary = stderr.lines().last().unwrap();
    assert!(summary.starts_with(&format!("sent {} bytes in {count} ", 10 * count)), "{summary}");
    let seconds = summary.split(", ").find_map(|part| part.strip_suffix(" s")).unwrap();
    Took { time: seconds.parse().unwrap(), awake: running + waiting, held_up: waiting }
}

fn the_pace_is_right_on_average() {
    // Those that mostly sleep do not disturb each other.
    each_at_once(
        [
            (3, "--interval 1s", 2.0),
            (150, "--interval 10ms", 1.49),
            (1_500, "--interval 1ms", 1.499),
            (2_000, "--rate 10k", 2.0),
        ],
        |(count, options, wanted)| keeps_pace(count, options, wanted),
    );
    for (count, options, wanted) in [
        (15_000, "--interval 100us", 1.5),
        (150_000, "--interval 10us", 1.5),
        (200_000, "--rate 1M", 2.0),
    ] {
        keeps_pace(count, options, wanted);
    }
}

/// Never too fast; and not too slow more than twice, as a busy machine may hold a run up.
fn keeps_pace(count: usize, options: &str, wanted: f64) {
    let mut times = Vec::new();
    while times.len() < 3 {
        let took = paced(count, options);
        assert!(took.time > 0.95 * wanted, "{options}: {} s, not {wanted}", took.time);
        if took.is_right(wanted) {
            return;
        }
        times.push((took.time, took.awake, took.held_up));
    }
    panic!("{options}: (time, awake, held up) of {times:?} s, not {wanted}");
}

fn pacing_sleeps_and_does_not_spin() {
    let (_socket, port) = net::udp();
    let line = format!("connect -u -I lines --interval 10ms 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Bytes(b"x\n".repeat(10_000))).spawn();
    thread::sleep(Duration::from_millis(300));
    let before = proc::cpu_ticks(client.pid());
    thread::sleep(Duration::from_secs(2));
    let used = proc::cpu_ticks(client.pid()) - before;
    assert!(used <= 10, "{used} ticks of 200 for 200 messages");
}
