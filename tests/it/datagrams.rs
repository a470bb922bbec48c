//! Datagrams, black box: every size whole in both directions and roles, and how raw input is cut into them.

use std::io::Write as _;
use std::net::UdpSocket;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::udp::{connect, expect_nothing, listen, receive, receive_from};
use crate::util::{Input, PATIENCE, eventually, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        listen_receives_every_size_whole,
        listen_sends_every_size_whole,
        connect_receives_every_size_whole,
        connect_sends_every_size_whole,
        the_longest_datagram_of_ipv6 needs [Need::Ipv6],
        an_empty_datagram_is_no_end,
        datagram_size_cuts_exactly,
        a_pause_sends_what_is_there,
        what_stdin_gave_before_it_failed_is_sent,
    ]
}

/// From nothing to the longest that IPv4 carries.
const SIZES: [usize; 5] = [0, 1, 1452, 9000, 65_507];

/// Datagrams of [`SIZES`] with bytes of their own.
fn datagrams() -> Vec<Vec<u8>> {
    SIZES.iter().zip(1..).map(|(&size, seed)| random(seed, size)).collect()
}

/// These messages as `frames`.
fn frames(messages: &[Vec<u8>]) -> Vec<u8> {
    let length = |message: &[u8]| u32::try_from(message.len()).unwrap().to_be_bytes();
    messages.iter().flat_map(|message| [&length(message), message.as_slice()].concat()).collect()
}

fn listen_receives_every_size_whole() {
    let (server, peer) = listen("-O frames --count 5", Input::Null);
    for datagram in datagrams() {
        peer.send(&datagram).unwrap();
    }
    assert_same(&server.wait().expect_code(0).stdout, &frames(&datagrams()));
}

fn listen_sends_every_size_whole() {
    let (mut server, peer) = listen("-I frames -q 1", Input::Pipe);
    peer.send(b"here I am").unwrap();
    for datagram in datagrams() {
        server.send(&frames(std::slice::from_ref(&datagram)));
        assert_same(&receive(&peer), &datagram);
    }
    server.close_stdin();
    server.wait().expect_code(0);
}

fn connect_receives_every_size_whole() {
    let (client, server) = connect("-O frames --count 5 -q 30s --send hello", Input::Null);
    let (_, peer) = receive_from(&server);
    for datagram in datagrams() {
        server.send_to(&datagram, peer).unwrap();
    }
    assert_same(&client.wait().expect_code(0).stdout, &frames(&datagrams()));
}

fn connect_sends_every_size_whole() {
    let (mut client, server) = connect("-I frames -q 0", Input::Pipe);
    for datagram in datagrams() {
        client.send(&frames(std::slice::from_ref(&datagram)));
        assert_same(&receive(&server), &datagram);
    }
    client.close_stdin();
    client.wait().expect_code(0);
    expect_nothing(&server);
}

fn the_longest_datagram_of_ipv6() {
    let server = UdpSocket::bind("[::1]:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let send = |size| {
        pktcat(["connect", "-u", "-q", "0", "--send", &"x".repeat(size), "::1", &port]).run()
    };
    send(65_527).expect_code(0);
    assert_eq!(receive(&server).len(), 65_527);
    send(65_528).expect_code(2);
    expect_nothing(&server);
}

fn an_empty_datagram_is_no_end() {
    let (server, peer) = listen("-v --count 4", Input::Null);
    let (client, other) = connect("--count 4 -q 30s --send hello", Input::Null);
    let (_, back) = receive_from(&other);
    for bytes in [&b""[..], b"a", b"", b"b"] {
        peer.send(bytes).unwrap();
        other.send_to(bytes, back).unwrap();
    }
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stdout_text(), "ab");
    assert!(ended.stderr.contains("in 4 datagrams"), "{}", ended.stderr);
    assert_eq!(client.wait().expect_code(0).stdout_text(), "ab");
}

fn datagram_size_cuts_exactly() {
    for (options, sizes) in [("--datagram-size 1000", [1000, 1000, 500]), ("", [1452, 1452, 96])] {
        let bytes = random(7, sizes.iter().sum());
        let (client, server) = connect(&format!("-q 0 {options}"), Input::Bytes(bytes.clone()));
        let got = [receive(&server), receive(&server), receive(&server)];
        assert_eq!(got.each_ref().map(Vec::len), sizes, "{options}");
        assert_same(&got.concat(), &bytes);
        client.wait().expect_code(0);
    }
}

fn a_pause_sends_what_is_there() {
    let (mut client, server) = connect("-q 0", Input::Pipe);
    for text in [&b"abc"[..], b"defg"] {
        client.send(text);
        assert_eq!(receive(&server), text, "before stdin has ended");
    }
    client.close_stdin();
    client.wait().expect_code(0);
}

/// A connection as standard input, reset behind what it has sent: that is read first.
fn what_stdin_gave_before_it_failed_is_sent() {
    for options in ["", "-C", "-I lines"] {
        let line = [b'x'; 79];
        let lines = |ending: &[u8]| [&line, ending].concat().repeat(40);
        let (listener, port) = net::listener();
        let mut feeder = net::connect(port);
        let stdin = net::accept(&listener);
        feeder.write_all(&lines(b"\n")).unwrap();
        net::wait_acknowledged(&feeder);
        net::reset(feeder);
        eventually("the reset", || stdin.peer_addr().is_err().then_some(()));
        let (server, port) = net::udp();
        let line = format!("connect -u --datagram-size 1000 {options} 127.0.0.1 {port}");
        let client = pktcat_line(&line).stdin(Input::Fd(stdin.into())).spawn();
        let (wanted, messages) = match options {
            "-C" => (lines(b"\r\n"), 4),
            "" => (lines(b"\n"), 4),
            _ => (lines(b""), 40),
        };
        let got: Vec<u8> = (0..messages).flat_map(|_| receive(&server)).collect();
        assert_same(&got, &wanted);
        let ended = client.wait().expect_code(6);
        assert!(ended.stderr.starts_with("pktcat: read: stdin: "), "{}", ended.stderr);
    }
}
