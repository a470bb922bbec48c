//! Messages there and back again: ten thousand boundaries kept, paces kept, no word too strange.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use proptest::prelude::*;

use crate::tests;
use crate::util::data::{Random, assert_same};
use crate::util::{Ended, Input, net, pktcat, pktcat_line, proc};
use pktcat::engine::framing::{Format, encode, parse_hex};
use pktcat::net::address::{Protocol, Target, port_number};
use pktcat::units;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        ten_thousand_datagrams_keep_their_boundaries,
        an_empty_datagram_is_an_empty_line_of_hex,
        a_bad_word_of_the_command_line_names_its_column_and_sends_nothing,
        the_pace_is_right_on_average,
        pacing_sleeps_and_does_not_spin,
        words_for_quantities_are_read_or_refused,
        numbers_with_units_are_read_or_refused,
        sizes_mean_what_they_say,
        addresses_are_read_or_refused,
        hex_words_are_bytes_or_an_error_with_its_place,
    ]
}

/// Sends a file of messages through two pktcats and gives what the second wrote down.
#[track_caller]
fn there_and_back(format: &str, written: &[u8], count: usize) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("messages");
    fs::write(&path, written).unwrap();
    let line = format!("listen -u -v -O {format} --count {count} --idle-timeout 5s 127.0.0.1 0");
    let server = pktcat_line(&line).spawn();
    // Slowly enough for the receive buffer of an ordinary user.
    let line = format!("connect -u -q 0 -I {format} --interval 100us 127.0.0.1 {}", server.port());
    let client = pktcat_line(&line).stdin(Input::Fd(File::open(&path).unwrap().into())).run();
    client.expect_code(0);
    server.wait().expect_code(0)
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

/// How long sending so many messages takes at this pace, as the sender tells.
fn paced(count: usize, options: &str) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lines");
    fs::write(&path, "0123456789\n".repeat(count)).unwrap();
    let (_socket, port) = net::udp();
    let line = format!("connect -u -v -I lines --send-only {options} 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Fd(File::open(&path).unwrap().into())).run();
    let stderr = client.expect_code(0).stderr;
    let summary = stderr.lines().last().unwrap();
    assert!(summary.starts_with(&format!("sent {} bytes in {count} ", 10 * count)), "{summary}");
    let seconds = summary.split(", ").find_map(|part| part.strip_suffix(" s")).unwrap();
    seconds.parse().unwrap()
}

fn the_pace_is_right_on_average() {
    for (count, options, wanted) in [
        (3, "--interval 1s", 2.0),
        (150, "--interval 10ms", 1.49),
        (1_500, "--interval 1ms", 1.499),
        (15_000, "--interval 100us", 1.5),
        (150_000, "--interval 10us", 1.5),
        (2_000, "--rate 10k", 2.0),
        (200_000, "--rate 1M", 2.0),
    ] {
        // A busy machine may hold a run up; it cannot make one right by chance three times.
        let times: Vec<f64> = (0..3)
            .scan(false, |done, _| {
                let time = (!*done).then(|| paced(count, options))?;
                *done = (time - wanted).abs() < 0.05 * wanted;
                Some(time)
            })
            .collect();
        let best = times.last().unwrap();
        assert!((best - wanted).abs() < 0.05 * wanted, "{options}: {times:?} s, not {wanted}");
    }
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

proptest! {
    fn words_for_quantities_are_read_or_refused(text in "\\PC{0,20}") {
        let _ = units::duration(&text);
        let _ = units::size(&text);
    }

    fn numbers_with_units_are_read_or_refused(
        number in "[0-9]{0,25}(\\.[0-9]{0,25})?",
        unit in "[a-zA-Z]{0,4}",
    ) {
        let text = number + &unit;
        let _ = units::duration(&text);
        let _ = units::size(&text);
    }

    fn sizes_mean_what_they_say(number in 0u64..1 << 40, unit in 0usize..3) {
        let (word, factor) = [("", 1), ("k", 1000), ("KiB", 1024)][unit];
        prop_assert_eq!(units::size(&format!("{number}{word}")), Ok(number * factor));
    }

    fn addresses_are_read_or_refused(
        words in prop::collection::vec("[\\[\\]:%.0-9a-fx]{0,20}|\\PC{0,12}", 1..3),
        number in "[0-9]{0,8}",
    ) {
        let _ = Target::parse(&words);
        if let Ok(port) = port_number(&number, Protocol::Tcp) {
            prop_assert_eq!(Ok(port), number.parse());
        }
    }

    fn hex_words_are_bytes_or_an_error_with_its_place(text in "[0-9a-fA-F: #x]{0,40}") {
        match parse_hex(&text, 100) {
            Ok(bytes) => prop_assert!(2 * bytes.len() <= text.len()),
            Err(error) => prop_assert!(error.to_string().starts_with("line 1, column ")),
        }
    }
}
