//! A listener that answers by itself, over UDP: what it answers, and whom it never answers.

use std::io::ErrorKind;
use std::net::UdpSocket;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::udp::{expect_nothing, listen, peer_of, receive};
use crate::util::{Input, PATIENCE, net, udp};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        echo_keeps_every_boundary,
        echo_answers_each_peer_with_its_own,
        discard_says_nothing,
        chargen_answers_with_as_many_characters_as_came,
        a_port_below_1024_is_not_answered needs [Need::Root],
        its_own_port_is_not_answered,
        reply_answers_every_datagram,
        reply_hex_and_file_are_one_datagram,
        a_reply_too_long_for_a_datagram_is_a_usage_error,
        with_and_without_keep_open_it_is_the_same,
        a_service_stops_after_count_datagrams,
        whoever_may_not_come_in_is_ignored_and_counted,
        stdin_goes_to_tcp_clients_and_the_last_udp_peer,
        a_tag_names_udp_peers_too,
    ]
}

fn echo_keeps_every_boundary() {
    let (_server, peer) = listen("--echo", Input::Null);
    for length in [5, 0, 1, 1452, 0, 9000, 65_507, 3] {
        let sent = random(4, length);
        peer.send(&sent).unwrap();
        assert_same(&receive(&peer), &sent);
    }
    expect_nothing(&peer);
}

fn echo_answers_each_peer_with_its_own() {
    let (server, first) = listen("--echo", Input::Null);
    let peers = [first, peer_of(&server), peer_of(&server)];
    for round in 0..50 {
        for (at, peer) in peers.iter().enumerate() {
            peer.send(format!("{at} {round}").as_bytes()).unwrap();
        }
        for (at, peer) in peers.iter().enumerate() {
            assert_eq!(receive(peer), format!("{at} {round}").as_bytes());
        }
    }
    assert_eq!(server.stdout_now(), b"");
}

fn a_service_stops_after_count_datagrams() {
    for (options, answered) in
        [("--echo", 3), ("--chargen", 3), ("--reply hello", 3), ("--discard", 0)]
    {
        let (server, peer) = listen(&format!("{options} --count 3"), Input::Null);
        for _ in 0..2 {
            peer.send(b"hello").unwrap();
        }
        server.expect_running();
        peer.send(b"hello").unwrap();
        server.wait().expect_code(0);
        for _ in 0..answered {
            assert_eq!(receive(&peer).len(), 5, "{options}");
        }
    }
}

fn discard_says_nothing() {
    let (server, peer) = listen("-v --discard", Input::Null);
    for _ in 0..3 {
        peer.send(b"hello").unwrap();
    }
    expect_nothing(&peer);
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert_eq!(ended.stdout, b"");
    assert!(ended.stderr.contains("received 15 bytes in 3 datagrams"), "{}", ended.stderr);
}

fn chargen_answers_with_as_many_characters_as_came() {
    let (_server, peer) = listen("--chargen", Input::Null);
    for length in [0, 1, 10, 512, 1472, 65_507, 10] {
        peer.send(&vec![0; length]).unwrap();
        let answer = receive(&peer);
        // RFC 864 says 0 to 512; as an amplifier it would be misused, so never more than came.
        assert!(answer.len() <= length, "{} for {length}", answer.len());
        assert!(length > 1472 || answer.len() == length, "{} for {length}", answer.len());
        assert!(answer.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')));
    }
    expect_nothing(&peer);
}

/// A socket bound here that a listener on 127.0.0.1 may hear; nothing when the port is taken.
fn bound(address: &str, port: u16) -> Option<UdpSocket> {
    let socket = match UdpSocket::bind((address, port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => return None,
        result => result.unwrap(),
    };
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    Some(socket)
}

/// Speaks from `unsafe_peer`, then from a usual one, and sees who is answered.
fn expect_unanswered(role: &str, unsafe_peer: impl FnOnce(u16) -> UdpSocket) {
    let (server, usual) = listen(role, Input::Null);
    let unanswered = unsafe_peer(server.port());
    unanswered.connect(("127.0.0.1", server.port())).unwrap();
    unanswered.send(b"to whom?").unwrap();
    usual.send(b"to me!").unwrap();
    assert_eq!(receive(&usual).len(), 6);
    expect_nothing(&unanswered);
}

fn a_port_below_1024_is_not_answered() {
    for role in ["--echo", "--chargen", "--reply sixsix"] {
        expect_unanswered(role, |_| {
            (1..1024).rev().find_map(|port| bound("127.0.0.2", port)).unwrap()
        });
    }
}

fn its_own_port_is_not_answered() {
    for role in ["--echo", "--chargen", "--reply sixsix"] {
        expect_unanswered(role, |port| bound("127.0.0.2", port).unwrap());
    }
}

fn reply_answers_every_datagram() {
    let (server, peer) = listen("--reply hello", Input::Null);
    for text in ["one ", "", "two "] {
        peer.send(text.as_bytes()).unwrap();
        assert_eq!(receive(&peer), b"hello");
    }
    assert_eq!(server.wait_stdout(8), b"one two ");
    expect_nothing(&peer);
}

fn reply_hex_and_file_are_one_datagram() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reply");
    let bytes = random(2, 20_000);
    std::fs::write(&path, &bytes).unwrap();
    let (_server, peer) = listen(&format!("--reply-file {}", path.display()), Input::Null);
    peer.send(b"?").unwrap();
    assert_same(&receive(&peer), &bytes);
    let (_server, peer) = listen("--reply-hex 00ff", Input::Null);
    peer.send(b"?").unwrap();
    assert_eq!(receive(&peer), b"\x00\xff");
}

fn a_reply_too_long_for_a_datagram_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reply");
    for (length, code) in [(65_508, 2), (65_507, 0)] {
        std::fs::write(&path, random(2, length)).unwrap();
        let line = format!("listen -u --reply-file {} 127.0.0.1 0", path.display());
        let server = crate::util::pktcat_line(&line).spawn();
        if code == 2 {
            server.wait().expect_code(2);
        } else {
            let peer = peer_of(&server);
            peer.send(b"?").unwrap();
            assert_eq!(receive(&peer).len(), length);
        }
    }
}

fn with_and_without_keep_open_it_is_the_same() {
    for options in ["--reply x", "-k --reply x", "-k --echo"] {
        let (server, first) = listen(options, Input::Null);
        for peer in [&first, &peer_of(&server), &first] {
            peer.send(b"x").unwrap();
            assert_eq!(receive(peer), b"x", "{options}");
        }
    }
}

fn whoever_may_not_come_in_is_ignored_and_counted() {
    for (role, answered) in [("", false), ("--echo", true)] {
        let (server, good) = listen(&format!("-v --deny 127.0.0.2 {role}"), Input::Null);
        let bad = UdpSocket::bind("127.0.0.2:0").unwrap();
        bad.connect(("127.0.0.1", server.port())).unwrap();
        for _ in 0..3 {
            bad.send(b"not heard").unwrap();
        }
        good.send(b"heard").unwrap();
        if answered {
            assert_eq!(receive(&good), b"heard");
        } else {
            assert_eq!(server.wait_stdout(5), b"heard");
        }
        expect_nothing(&bad);
        server.signal(Signal::SIGTERM);
        let stderr = server.wait().stderr;
        assert!(stderr.contains("received 5 bytes in 1 datagram,"), "{stderr}");
        assert!(stderr.contains("ignored 3"), "{stderr}");
        assert!(!stderr.contains("peer 127.0.0.2"), "{stderr}");
    }
}

fn stdin_goes_to_tcp_clients_and_the_last_udp_peer() {
    let line = "listen -t -u -k -v -I lines -O lines 127.0.0.1 0";
    let mut server = crate::util::pktcat_line(line).stdin(Input::Pipe).spawn();
    let client = net::connect(server.port());
    server.wait_line("accepted ");
    let (early, late) = (peer_of(&server), peer_of(&server));
    early.send(b"early").unwrap();
    server.wait_stdout(6);
    late.send(b"late").unwrap();
    assert_eq!(server.wait_stdout(11), b"early\nlate\n");
    server.send(b"to all\n");
    assert_eq!(net::read_exactly(&client, 7), b"to all\n");
    assert_eq!(receive(&late).trim_ascii_end(), b"to all");
    expect_nothing(&early);
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert!(ended.stderr.contains("received 9 bytes in 2 messages, "), "{}", ended.stderr);
}

fn a_tag_names_udp_peers_too() {
    let line = "listen -t -u -k --tag -O lines 127.0.0.1 0";
    let server = udp::listening(crate::util::pktcat_line(line));
    let peer = peer_of(&server);
    peer.send(b"hello").unwrap();
    let wanted = format!("{} hello\n", peer.local_addr().unwrap());
    assert_eq!(server.wait_stdout(wanted.len()), wanted.as_bytes());
}
