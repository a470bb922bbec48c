//! A forwarder that waits for time or for a peer sleeps meanwhile.

use std::io::Write;
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;

use crate::bounded::expect_no_cpu;
use crate::tests;
use crate::util::{A_WHILE, Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_end_of_a_lingering_client_that_reads_nothing_is_waited_for_asleep,
        datagrams_on_their_way_after_the_clients_end_are_waited_for_asleep,
        datagrams_on_their_way_for_longer_than_the_idle_limit_are_waited_for_asleep,
        a_stream_that_does_not_answer_is_waited_for_asleep,
    ]
}

fn datagram_client(running: &Running) -> UdpSocket {
    let (client, _) = net::udp();
    client.connect(("127.0.0.1", running.port())).unwrap();
    client
}

fn the_end_of_a_lingering_client_that_reads_nothing_is_waited_for_asleep() {
    let server = pktcat_line("listen -u --echo 127.0.0.1 0").spawn();
    let line = format!("forward --lines --sndbuf 4096 0 udp:127.0.0.1:{}", server.port());
    let running = pktcat_line(&line).spawn();
    let mut client = net::connect(running.port());
    // More comes back than finds room on the way to a client that reads nothing.
    let message = [&[b'x'; 8_000][..], b"\n"].concat();
    for _ in 0..1_000 {
        client.write_all(&message).unwrap();
    }
    net::finish(&client);
    // Longer than answers are waited for after an end.
    thread::sleep(Duration::from_millis(1_500));
    expect_no_cpu(&running);
}

fn datagrams_on_their_way_after_the_clients_end_are_waited_for_asleep() {
    let (_server, port) = net::udp();
    let line = format!("forward --lines --impair delay=1m 0 udp:127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"late\n").unwrap();
    net::finish(&client);
    // Longer than answers are waited for after an end.
    thread::sleep(Duration::from_millis(1_500));
    expect_no_cpu(&running);
}

fn datagrams_on_their_way_for_longer_than_the_idle_limit_are_waited_for_asleep() {
    let (_server, port) = net::udp();
    let line = format!("forward -u --idle-timeout 100ms --impair delay=1m 0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    datagram_client(&running).send(b"late").unwrap();
    thread::sleep(A_WHILE);
    expect_no_cpu(&running);
}

fn a_stream_that_does_not_answer_is_waited_for_asleep() {
    let (_held, port) = net::unanswering_port();
    let line = format!("forward --idle-timeout 100ms udp:0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    datagram_client(&running).send(b"hello?").unwrap();
    thread::sleep(A_WHILE);
    expect_no_cpu(&running);
}
