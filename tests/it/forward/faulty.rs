//! A forwarder between datagrams and a stream of messages: what came before what is none is delivered.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};

use libtest_mimic::Trial;
use socket2::SockRef;

use super::datagrams::client_of;
use crate::tests;
use crate::util::data::assert_same;
use crate::util::udp::{expect_nothing, receive};
use crate::util::{Running, each_at_once, net, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        what_a_client_said_before_a_fault_is_sent,
        what_a_server_said_before_a_fault_is_sent,
        what_a_server_said_before_its_end_is_sent,
        what_a_client_said_reaches_a_server_that_has_ended,
        answers_on_their_way_after_a_reset_are_waited_for_asleep,
    ]
}

/// Two messages, and what is none: a header of a frame that is too long, and a line that is longer than a datagram.
/// Nobody can tell where a message begins behind that.
fn streams() -> [(&'static str, Vec<u8>); 2] {
    let line = [&b"one\ntwo\n"[..], &[b'x'; 65_508], b"\nthree\n"].concat();
    let frame = b"\0\0\0\x03one\0\0\0\x03two\xff\xff\xff\xff\0\0\0\x05three".to_vec();
    [("--frames", frame), ("--lines", line)]
}

/// The same, with a bad network on the way and without one.
fn ways() -> Vec<(String, Vec<u8>)> {
    let way = |(framing, stream): (_, Vec<u8>)| {
        ["", " --impair delay=50ms"].map(|more| (format!("{framing}{more}"), stream.clone()))
    };
    streams().into_iter().flat_map(way).collect()
}

/// A forwarder from datagrams to a stream, its client, which has asked something, and the server.
fn asked(options: &str) -> (Running, UdpSocket, TcpStream) {
    let (listener, port) = net::listener();
    let line = format!("forward {options} udp:0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let client = client_of(&running);
    client.send(b"who?").unwrap();
    (running, client, net::accept(&listener))
}

fn what_a_client_said_before_a_fault_is_sent() {
    each_at_once(ways(), |(options, stream)| {
        let (server, port) = net::udp();
        let line = format!("forward {options} 0 udp:127.0.0.1:{port}");
        let running = pktcat_line(&line).spawn();
        let mut client = net::connect(running.port());
        client.write_all(&stream).unwrap();
        assert_eq!([receive(&server), receive(&server)], [b"one", b"two"], "{options}");
        assert!(client.read_to_end(&mut Vec::new()).is_err(), "{options}");
        running.wait_line("pktcat: receive: ");
        expect_nothing(&server);
        running.expect_running();
    });
}

fn what_a_server_said_before_a_fault_is_sent() {
    each_at_once(ways(), |(options, stream)| {
        let (running, client, mut server) = asked(&options);
        server.write_all(&stream).unwrap();
        assert_eq!([receive(&client), receive(&client)], [b"one", b"two"], "{options}");
        running.wait_line("pktcat: receive: ");
        expect_nothing(&client);
        running.expect_running();
    });
}

fn what_a_server_said_before_its_end_is_sent() {
    each_at_once(ways(), |(options, stream)| {
        let (_running, client, mut server) = asked(&options);
        let end = stream.windows(3).position(|bytes| bytes == b"two").unwrap() + 3;
        // A last line needs no newline.
        server.write_all(&stream[..end]).unwrap();
        net::finish(&server);
        assert_same(&[receive(&client), receive(&client)].concat(), b"onetwo");
    });
}

fn what_a_client_said_reaches_a_server_that_has_ended() {
    let (_running, _client, server) = asked("--impair-up delay=300ms");
    net::finish(&server);
    assert_eq!(net::read_exactly(&server, 8), b"\0\0\0\x04who?");
    assert_eq!(net::read_to_fin(&server), b"");
}

fn answers_on_their_way_after_a_reset_are_waited_for_asleep() {
    let (listener, port) = net::listener();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let options = "--idle-timeout 300ms --impair-down delay=2s --sndbuf 8192";
    let line = format!("forward {options} udp:0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let client = client_of(&running);
    (0..60).for_each(|_| assert!(client.send(&[0; 1000]).is_ok()));
    let mut server = net::accept(&listener);
    server.write_all(b"\0\0\0\x06answer").unwrap();
    net::reset(server);
    let before = proc::cpu_ticks(running.pid());
    assert_eq!(receive(&client), b"answer");
    let ticks = proc::cpu_ticks(running.pid()) - before;
    assert!(ticks < 30, "{ticks} clock ticks of processor time");
}
