//! `--timestamps`: the wall-clock time before lines, and nowhere else.

use std::io::Write;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::{Ended, Input, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        every_line_of_v_begins_with_the_time,
        errors_keep_their_form,
        every_line_of_lines_and_hex_begins_with_the_time,
        every_line_of_a_datagram_begins_with_the_time,
        a_tag_follows_the_time,
        raw_bytes_and_frames_stay_as_they_are,
        headers_and_marks_of_a_dump_begin_with_the_time,
        json_is_the_same_with_it,
    ]
}

/// Length of `2026-11-26T17:06:26.123Z `.
const STAMP: usize = 25;

/// What follows the time; panics unless it is one of RFC 3339 in UTC with milliseconds, and is now.
#[track_caller]
fn unstamped(line: &str) -> &str {
    let (time, rest) = line.split_at_checked(STAMP).unwrap_or_else(|| panic!("short: {line:?}"));
    let time = time.strip_suffix(' ').unwrap_or_else(|| panic!("no time: {line:?}"));
    assert!(time.ends_with('Z') && time.as_bytes()[19] == b'.', "no milliseconds: {line:?}");
    let time = humantime::parse_rfc3339(time).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    let age = SystemTime::now() + Duration::from_millis(1);
    let age = age.duration_since(time).unwrap_or_else(|_| panic!("in the future: {line:?}"));
    assert!(age < Duration::from_secs(600), "long ago: {line:?}");
    rest
}

#[track_caller]
fn all_unstamped(text: &str) -> Vec<&str> {
    text.lines().map(unstamped).collect()
}

/// A listener with these options that hears one client, which says this.
fn heard(options: &str, said: &[u8]) -> Ended {
    let server = pktcat_line(&format!("listen {options} 127.0.0.1 0"));
    let server = server.stdin(Input::Bytes(Vec::new())).spawn();
    let listening = server.wait_line("");
    let port = listening.rsplit_once(':').unwrap().1.split(' ').next().unwrap().parse().unwrap();
    let mut client = net::connect(port);
    client.write_all(said).unwrap();
    net::finish(&client);
    net::read_to_fin(&client);
    server.wait().expect_code(0)
}

fn every_line_of_v_begins_with_the_time() {
    let ended = heard("-v --timestamps", b"hello");
    let lines = all_unstamped(&ended.stderr);
    let begins = ["listening on 127.0.0.1:", "accepted 127.0.0.1:", "sent 0 bytes in 0 writes"];
    assert_eq!(lines.len(), begins.len(), "{}", ended.stderr);
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line:?}");
    }
    assert_eq!(ended.stdout, b"hello");
    let (peer, port) = net::udp();
    let ended =
        pktcat_line(&format!("connect -u -v --timestamps -q 10ms --send x 127.0.0.1 {port}"))
            .run()
            .expect_code(0);
    assert!(all_unstamped(&ended.stderr)[0].starts_with("connected to 127.0.0.1:"));
    drop(peer);
}

fn errors_keep_their_form() {
    let (held, port) = net::refusing_port();
    let line = format!("connect -v --timestamps 127.0.0.1 {port}");
    let ended = pktcat_line(&line).run().expect_code(4);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert!(lines[0].starts_with("pktcat: connect: 127.0.0.1:"), "{lines:?}");
    assert!(unstamped(lines[1]).starts_with("sent 0 bytes"), "{lines:?}");
    drop(held);
}

fn every_line_of_lines_and_hex_begins_with_the_time() {
    let ended = heard("--timestamps -O lines", b"one\n\ntwo\nlast");
    assert_eq!(all_unstamped(&ended.stdout_text()), ["one", "", "two", "last"]);
    let ended = heard("--timestamps -O hex", b"A\nB");
    assert_eq!(all_unstamped(&ended.stdout_text()).concat(), "410a42");
}

fn every_line_of_a_datagram_begins_with_the_time() {
    for (options, expected) in [("-O lines", vec!["a", "b", ""]), ("-O hex", vec!["610a62", ""])] {
        let line = format!("listen -u --timestamps --count 2 {options} 127.0.0.1 0");
        let server = pktcat_line(&line).stdin(Input::Null).spawn();
        let listening = server.wait_line("");
        let at = unstamped(&listening).split(' ').nth(2).unwrap().to_owned();
        let (peer, _) = net::udp();
        peer.send_to(b"a\nb", &at).unwrap();
        peer.send_to(b"", &at).unwrap();
        let ended = server.wait().expect_code(0);
        assert_eq!(all_unstamped(&ended.stdout_text()), expected, "{options}");
    }
}

fn a_tag_follows_the_time() {
    for options in ["", "-k --count 1"] {
        let line = format!("listen --tag --timestamps -O lines {options} 127.0.0.1 0");
        let server = pktcat_line(&line).stdin(Input::Null).spawn();
        let listening = server.wait_line("");
        let port = unstamped(&listening).rsplit_once(':').unwrap().1;
        let mut client = net::connect(port.split(' ').next().unwrap().parse().unwrap());
        client.write_all(b"hello\n").unwrap();
        net::finish(&client);
        let ended = server.wait().expect_code(0);
        let expected = format!("{} hello", client.local_addr().unwrap());
        assert_eq!(all_unstamped(&ended.stdout_text()), [expected]);
    }
}

fn raw_bytes_and_frames_stay_as_they_are() {
    assert_eq!(heard("--timestamps", b"a\nb\n").stdout, b"a\nb\n");
    let framed = b"\0\0\0\x02a\n\0\0\0\0";
    assert_eq!(heard("--timestamps -O frames", framed).stdout, framed);
}

fn headers_and_marks_of_a_dump_begin_with_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let (listener, port) = net::listener();
    let client = pktcat(["connect", "-x", "--color", "always", "--timestamps", "--hex-file"])
        .arg(&file)
        .arg("127.0.0.1")
        .arg(port.to_string())
        .stdin(Input::Bytes(b"hello".to_vec()))
        .spawn();
    let mut peer = net::accept(&listener);
    assert_eq!(net::read_to_fin(&peer), b"hello");
    peer.write_all(b"bye").unwrap();
    drop(peer);
    let ended = client.wait().expect_code(0);
    assert_eq!(ended.stdout, b"bye");
    let dump = std::fs::read_to_string(&file).unwrap();
    for text in [&dump, &ended.stderr] {
        let is_row = |line: &&str| line.contains("  |") || line.contains('|');
        let (rows, headers): (Vec<_>, Vec<_>) = text.lines().partition(is_row);
        assert_eq!(rows.len(), 2, "{text}");
        let signs: String = headers
            .iter()
            .map(|line| unstamped(line).chars().find(|sign| "<>*".contains(*sign)).unwrap())
            .collect();
        // Connected, sent, we closed, received, peer closed.
        assert_eq!(signs, "*>*<*", "{text}");
    }
}

fn json_is_the_same_with_it() {
    let (held, port) = net::refusing_port();
    let ended =
        pktcat_line(&format!("connect --json --timestamps 127.0.0.1 {port}")).run().expect_code(4);
    assert!(ended.stderr.lines().all(|line| line.starts_with("{\"event\":")), "{}", ended.stderr);
    drop(held);
}
