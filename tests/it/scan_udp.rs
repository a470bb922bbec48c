//! `pktcat scan --udp`: silence, refusals and replies, and what the probes are like.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, net, pktcat_line, udp};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        replied_refused_and_no_answer_are_told_apart,
        a_refusal_or_a_reply_is_not_waited_for,
        a_probe_is_empty_and_sent_three_times,
        a_lost_probe_is_made_good,
        answers_to_the_unspecified_address_have_another,
        answers_to_the_unspecified_address_of_ipv6_have_another needs [Need::Ipv6],
        members_of_a_group_answer_from_their_own_addresses,
        the_payload_is_for_the_user_to_choose,
    ]
}

#[track_caller]
fn scan(line: &str, status: i32) -> Ended {
    pktcat_line(&format!("scan -u {line}")).run().expect_code(status)
}

/// A port that answers every datagram from the `nth` on, once each.
fn replying_port(nth: usize) -> u16 {
    replying_from(net::udp().0, nth)
}

/// The same with a socket of the caller's.
fn replying_from(socket: UdpSocket, nth: usize) -> u16 {
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        for number in 1.. {
            let Ok((_, peer)) = socket.recv_from(&mut [0; 2048]) else { return };
            if number >= nth {
                drop(socket.send_to(b"here", peer));
            }
        }
    });
    port
}

/// A port where datagrams are refused: it is held by a socket that hears nobody but itself.
fn lines(mut wanted: Vec<(u16, &str)>) -> Vec<String> {
    wanted.sort_unstable();
    wanted.iter().map(|(port, word)| format!("{port}/udp {word}")).collect()
}

/// Lines up to the time.
fn without_times(ended: &Ended) -> Vec<String> {
    let cut = |line: &str| line.split(" open ").next().unwrap().to_owned();
    let line =
        |line: &str| if line.contains(" open ") { cut(line) + " open" } else { line.to_owned() };
    ended.stdout_text().lines().map(line).collect()
}

fn replied_refused_and_no_answer_are_told_apart() {
    let open = replying_port(1);
    let (_deaf, closed) = net::refusing_udp_port();
    let (_mute, silent) = net::udp();
    let ended = scan(&format!("-n --all -w 400ms 127.0.0.1 {open},{closed},{silent}"), 4);
    let wanted = lines(vec![(open, "open"), (closed, "closed"), (silent, "no answer")]);
    assert_eq!(without_times(&ended), wanted);
    assert!(ended.stderr.starts_with("1 open, 1 closed, 1 no answer, "), "{}", ended.stderr);
    for (port, word, status) in [(open, "open", 0), (closed, "closed", 4), (silent, "no answer", 5)]
    {
        let ended = scan(&format!("-n -w 400ms 127.0.0.1 {port}"), status);
        assert_eq!(without_times(&ended), lines(vec![(port, word)]));
    }
    for (ports, all, any) in [
        (format!("{open},{silent}"), 5, 0),
        (format!("{open},{closed}"), 4, 0),
        (format!("{closed},{silent}"), 4, 4),
    ] {
        scan(&format!("-w 400ms 127.0.0.1 {ports}"), all);
        scan(&format!("-w 400ms --any 127.0.0.1 {ports}"), any);
    }
}

fn a_refusal_or_a_reply_is_not_waited_for() {
    let open = replying_port(1);
    let (_deaf, closed) = net::refusing_udp_port();
    let begun = Instant::now();
    scan(&format!("-w 20s 127.0.0.1 {open},{closed}"), 4);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn a_probe_is_empty_and_sent_three_times() {
    let (mute, port) = net::udp();
    let begun = Instant::now();
    scan(&format!("-w 400ms 127.0.0.1 {port}"), 5);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    for _ in 0..3 {
        assert_eq!(udp::receive(&mute), b"");
    }
    udp::expect_nothing(&mute);
}

fn a_lost_probe_is_made_good() {
    for nth in [2, 3] {
        let port = replying_port(nth);
        scan(&format!("-w 1s 127.0.0.1 {port}"), 0);
    }
}

/// The kernel takes it for this machine (ip(7)), which answers from a loopback address.
fn answers_to_the_unspecified_address_have_another() {
    let open = replying_port(1);
    let (_deaf, closed) = net::refusing_udp_port();
    for host in ["0.0.0.0", "::ffff:0.0.0.0", "0"] {
        let ended = scan(&format!("--all -w 20s {host} {open},{closed}"), 4);
        assert_eq!(without_times(&ended), lines(vec![(open, "open"), (closed, "closed")]));
    }
}

fn answers_to_the_unspecified_address_of_ipv6_have_another() {
    let open = replying_from(UdpSocket::bind("[::1]:0").unwrap(), 1);
    // It hears nobody but itself.
    let deaf = UdpSocket::bind("[::1]:0").unwrap();
    deaf.connect(deaf.local_addr().unwrap()).unwrap();
    let closed = deaf.local_addr().unwrap().port();
    for host in ["::", "::%lo", "::1", "::1%lo"] {
        let ended = scan(&format!("--all -w 20s {host} {open},{closed}"), 4);
        assert_eq!(without_times(&ended), lines(vec![(open, "open"), (closed, "closed")]));
    }
}

fn members_of_a_group_answer_from_their_own_addresses() {
    let group = "239.255.77.1";
    let Some((member, _)) = net::group_member(group) else { return };
    let port = replying_from(member, 1);
    scan(&format!("-w 20s {group} {port}"), 0);
}

fn the_payload_is_for_the_user_to_choose() {
    let (mute, port) = net::udp();
    for (option, payload) in
        [("--send who?", &b"who?"[..]), ("--send-hex 00:ff", b"\x00\xff"), ("--send -x", b"-x")]
    {
        scan(&format!("-w 100ms {option} 127.0.0.1 {port}"), 5);
        for _ in 0..3 {
            assert_eq!(udp::receive(&mute), payload, "{option}");
        }
    }
    let long = "ab".repeat(65_508);
    let ended = scan(&format!("--send-hex {long} 127.0.0.1 {port}"), 2);
    assert!(ended.stderr.contains("65508") && ended.stderr.contains("65507"), "{}", ended.stderr);
}
