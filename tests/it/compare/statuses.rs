//! How runs end that do not end well.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use super::peer::{self, Peer, Tcp};
use super::{compare, numbers};
use crate::tests;
use crate::util::{net, pktcat_line};
use libtest_mimic::Trial;

pub(super) fn tests() -> Vec<Trial> {
    tests![
        nobody_there,
        nobody_there_for_datagrams,
        a_refused_connection_leaves_the_datagrams_standing,
        a_refused_connection_leaves_datagrams_that_nobody_answers_standing,
        two_protocols_that_fail_in_two_ways_are_both_shown,
        no_such_name,
        a_group_is_no_peer,
        no_answer_to_anything,
        no_answer_to_datagrams_is_a_result,
        a_connection_that_ends_early_is_broken,
        a_connection_that_ends_after_the_last_echo_is_whole,
        what_makes_no_sense_is_usage,
        messages_that_are_none,
        a_drawing_that_cannot_be_written,
    ]
}

/// Ends with this status and one line that has these words; nothing on stdout.
#[track_caller]
fn fails(words: &str, status: i32, says: &[&str]) {
    let ended = pktcat_line(&format!("compare {words}")).run().expect_code(status);
    assert_eq!(ended.stdout_text(), "", "{words}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("pktcat: "), "{}", ended.stderr);
    for word in says {
        assert!(ended.stderr.contains(word), "no {word:?} in: {}", ended.stderr);
    }
}

fn nobody_there() {
    let (_kept, port) = net::refusing_port();
    fails(&format!("127.0.0.1 {port}"), 4, &["127.0.0.1", "(tcp)", "connection refused"]);
}

fn nobody_there_for_datagrams() {
    let listener = TcpListener::bind(net::only_at("127.0.0.1")).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        drop(std::io::copy(&mut &stream, &mut &stream));
    });
    let text = one_fails(&format!("127.0.0.1 {port}"), 4, &["127.0.0.1", "(udp)", "ICMP"]);
    let row = text.lines().find(|line| line.contains("outcome")).expect("a row");
    assert!(row.contains("done") && row.contains("refused (status 4)"), "{text}");
}

/// Ends with this status and one line that has these words, but the other protocol's column stands.
#[track_caller]
fn one_fails(words: &str, status: i32, says: &[&str]) -> String {
    let ended = pktcat_line(&format!("compare {words}")).run().expect_code(status);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    for word in says {
        assert!(ended.stderr.contains(word), "no {word:?} in: {}", ended.stderr);
    }
    let text = ended.stdout_text();
    let sent = text.lines().find(|line| line.trim_start().starts_with("sent")).expect("a row");
    let cells: Vec<_> = sent.split_whitespace().skip(1).collect();
    assert_eq!(cells.iter().filter(|cell| **cell == "-").count(), 1, "{text}");
    assert!(cells.iter().any(|cell| cell.ends_with("00")), "{text}");
    text
}

fn a_refused_connection_leaves_the_datagrams_standing() {
    // A port where only datagrams are echoed.
    let socket = UdpSocket::bind(net::only_at("127.0.0.1")).unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    let says = ["127.0.0.1", "(tcp)", "connection refused"];
    one_fails(&format!("127.0.0.1 {port}"), 4, &says);
    let json = format!("compare 127.0.0.1 {port} --json");
    let ended = pktcat_line(&json).run().expect_code(4);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(result["tcp"]["status"].as_u64(), Some(4), "{result}");
    assert_eq!(numbers(&result["udp"], ["sent", "received"]), [1000, 1000]);
    for words in ["--explain --plot", "--json"] {
        pktcat_line(&format!("compare 127.0.0.1 {port} {words}")).run().expect_code(4);
    }
}

/// Datagrams that were lost are a result, too.
fn a_refused_connection_leaves_datagrams_that_nobody_answers_standing() {
    let kept = UdpSocket::bind(net::only_at("127.0.0.1")).unwrap();
    let port = kept.local_addr().unwrap().port();
    let words = format!("compare 127.0.0.1 {port} -w 100ms --count 20 --window 20");
    let ended = pktcat_line(&words).run().expect_code(4);
    let text = ended.stdout_text();
    let row = |name: &str| text.lines().find(|line| line.contains(name)).expect("a row");
    assert!(row("outcome").contains("refused (status 4)"), "{text}");
    assert!(row("outcome").contains("no answer"), "{text}");
    let lost: Vec<_> = row("lost").split_whitespace().collect();
    let sent: Vec<_> = row("sent").split_whitespace().collect();
    assert_eq!(lost[1..], sent[1..], "{text}");
    assert_eq!(lost[1], "-", "{text}");
    for more in ["--explain --plot", "--json"] {
        pktcat_line(&format!("{words} {more}")).run().expect_code(4);
    }
}

/// A port that answers no SYN, and where nobody has the datagrams.
fn two_protocols_that_fail_in_two_ways_are_both_shown() {
    let (_kept, port) = net::unanswering_port();
    let words = format!("compare 127.0.0.1 {port} -w 300ms");
    let ended = pktcat_line(&words).run().expect_code(4);
    let text = ended.stdout_text();
    let row = text.lines().find(|line| line.contains("outcome")).expect("a row");
    assert!(row.contains("no answer (status 5)") && row.contains("refused (status 4)"), "{text}");
    assert!(!text.contains("sent"), "no rows without a number: {text}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("(udp)"), "{}", ended.stderr);
    let ended = pktcat_line(&format!("{words} --json")).run().expect_code(4);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(numbers(&result, ["status"]), [4]);
    assert_eq!(numbers(&result["tcp"], ["status"]), [5]);
    assert_eq!(numbers(&result["udp"], ["status"]), [4]);
    for more in ["--explain", "--plot", "--svg /dev/null"] {
        pktcat_line(&format!("{words} {more}")).run().expect_code(4);
    }
}

fn no_such_name() {
    fails("no-such-host.invalid 7", 3, &["no-such-host.invalid"]);
}

fn a_group_is_no_peer() {
    fails("224.0.0.1 7", 7, &["connect", "224.0.0.1:7 (tcp)", "network is unreachable"]);
}

fn no_answer_to_anything() {
    let (_kept, port) = net::unanswering_port();
    let _silent = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    fails(&format!("127.0.0.1 {port} -w 300ms"), 5, &["connect", "within 300ms"]);
    let peer = Peer::start(Tcp::Discard, Box::new(|_, _| Vec::new()));
    fails(&format!("127.0.0.1 {} -w 100ms", peer.port), 5, &["no reply", "does this port echo?"]);
}

fn no_answer_to_datagrams_is_a_result() {
    let peer = Peer::start(Tcp::Echo, Box::new(|_, _| Vec::new()));
    let result = compare(&format!("127.0.0.1 {} -w 100ms", peer.port));
    assert_eq!(numbers(&result["tcp"], ["received"]), [1000]);
    let udp = &result["udp"];
    assert_eq!(udp["stopped_early"].as_bool(), Some(true));
    assert_eq!((udp["received"].as_u64(), &udp["lost"]), (Some(0), &udp["sent"]));
}

fn a_connection_that_ends_early_is_broken() {
    let peer = Peer::start(Tcp::End, Box::new(|_, message| vec![message]));
    one_fails(&format!("127.0.0.1 {}", peer.port), 8, &["127.0.0.1", "(tcp)"]);
}

fn a_connection_that_ends_after_the_last_echo_is_whole() {
    let peer = Peer::start(Tcp::EndAfter(100 * 64), Box::new(|_, message| vec![message]));
    let result = compare(&format!("127.0.0.1 {} --count 100 --size 64 --window 1", peer.port));
    assert_eq!(numbers(&result["tcp"], ["sent", "received"]), [100, 100]);
    assert_eq!(numbers(&result["udp"], ["received"]), [100]);
}

fn what_makes_no_sense_is_usage() {
    let peer = peer::echo();
    for words in [
        &format!("127.0.0.1 {} --impair loss=5%", peer.port)[..],
        "--impair loss=500%",
        "--impair lossy",
        "--size 15",
        "--size 65508",
        "--count 0",
        "--window 0",
        "--window 65537",
        "-w 0",
        "-I raw",
        "--messages /dev/null --size 20",
        "--json --plot",
        "--impair slice=10",
        "--impair queue=64KiB",
        "--cc no-such-thing",
        "--cc renorenorenorenoreno",
        "-6 --impair mtu=576",
        "127.0.0.1",
        "127.0.0.1 0",
        "1 2 3",
    ] {
        fails(words, 2, &["usage"]);
    }
}

fn messages_that_are_none() {
    fails("--messages /no/such/file", 6, &["/no/such/file", "no such file"]);
    fails("--messages /dev/null", 6, &["/dev/null", "no message"]);
    let bad = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), "00\n0x\n").unwrap();
    let words = format!("--messages {} -I hex", bad.path().display());
    fails(&words, 6, &["line 2, column 2", "hex digit"]);
}

fn a_drawing_that_cannot_be_written() {
    // Before anything is sent, if that is known by then; the table is shown all the same.
    fails("--svg /no/such/folder/x.svg", 6, &["/no/such/folder/x.svg"]);
    let ended = pktcat_line("compare --count 3 --svg /dev/full").run().expect_code(6);
    assert!(ended.stdout_text().contains("round trip"), "{}", ended.stdout_text());
    assert!(ended.stderr.contains("no space left"), "{}", ended.stderr);
}
