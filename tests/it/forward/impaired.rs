//! A forwarder that makes a bad network on purpose.

use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{joined, read_to_reset};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::udp::{expect_nothing, receive, receive_from};
use crate::util::{Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_delay_is_kept_each_way,
        slices_change_nothing_but_the_writes,
        a_reset_comes_after_so_many_bytes,
        a_stall_comes_after_so_many_bytes,
        what_is_on_its_way_outlives_the_idle_limit,
        lost_datagrams_are_lost_and_counted,
        doubled_datagrams_come_twice,
        a_seed_has_the_same_fate_again,
        one_way_can_be_spoilt_alone,
        keys_that_mean_nothing_are_usage_errors,
    ]
}

/// A datagram forwarder, its client, and the server.
fn datagrams(options: &str) -> (Running, UdpSocket, UdpSocket) {
    let (server, port) = net::udp();
    let running = pktcat_line(&format!("forward -u {options} 0 127.0.0.1:{port}")).spawn();
    let (client, _) = net::udp();
    client.connect(("127.0.0.1", running.port())).unwrap();
    (running, client, server)
}

/// The summary so far.
fn summary(running: &Running) -> String {
    running.signal(Signal::SIGUSR1);
    running.wait_line("sent ")
}

fn a_delay_is_kept_each_way() {
    const DELAY: Duration = Duration::from_millis(60);
    let (_running, mut client, mut server) = joined("--impair delay=60ms");
    for _ in 0..2 {
        let begun = Instant::now();
        client.write_all(b"there").unwrap();
        assert_eq!(net::read_exactly(&server, 5), b"there");
        assert!(begun.elapsed() >= DELAY);
        server.write_all(b"back").unwrap();
        assert_eq!(net::read_exactly(&client, 4), b"back");
        assert!(begun.elapsed() >= 2 * DELAY);
    }
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"");

    let (_running, client, server) = datagrams("--impair delay=60ms");
    let begun = Instant::now();
    client.send(b"there").unwrap();
    let (_, route) = receive_from(&server);
    server.send_to(b"back", route).unwrap();
    assert_eq!(receive(&client), b"back");
    assert!(begun.elapsed() >= 2 * DELAY);
}

fn slices_change_nothing_but_the_writes() {
    let (running, mut client, server) = joined("--impair-up slice=100");
    let sent = random(1, 20_000);
    client.write_all(&sent).unwrap();
    net::finish(&client);
    assert_same(&net::read_to_fin(&server), &sent);
    let line = summary(&running);
    let sliced = line.split("impaired up: sliced ").nth(1).unwrap();
    let sliced: u32 = sliced.split([',', ' ']).next().unwrap().parse().unwrap();
    assert!(sliced >= 100, "{line}");
    assert!(line.ends_with("impaired down: nothing"), "{line}");
}

fn a_reset_comes_after_so_many_bytes() {
    let (running, mut client, server) = joined("--impair-up reset=10");
    client.write_all(b"0123456789 and more").unwrap();
    assert_eq!(read_to_reset(&server), b"0123456789");
    assert_eq!(read_to_reset(&client), b"");
    assert!(summary(&running).contains("impaired up: resets 1"));
}

fn a_stall_comes_after_so_many_bytes() {
    let (_running, mut client, mut server) = joined("--impair-up stall=10");
    client.write_all(b"0123456789 and more").unwrap();
    assert_eq!(net::read_exactly(&server, 10), b"0123456789");
    net::expect_silence(&server);
    // The other direction is not concerned.
    server.write_all(b"back").unwrap();
    assert_eq!(net::read_exactly(&client, 4), b"back");
}

fn what_is_on_its_way_outlives_the_idle_limit() {
    let (running, mut client, server) = joined("-v --impair delay=500ms --idle-timeout 100ms");
    client.write_all(b"late").unwrap();
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"late");
    running.wait_line("#1 timed out: nothing has passed after 100ms (--idle-timeout)");
    // What never arrives is not on its way.
    let (_running, mut client, server) =
        joined("--impair-up stall=4,delay=10ms --idle-timeout 100ms");
    client.write_all(b"the rest of it is lost").unwrap();
    assert_eq!(read_to_reset(&server), b"the ");
}

fn lost_datagrams_are_lost_and_counted() {
    let (running, client, server) = datagrams("--impair loss=100%");
    for _ in 0..3 {
        client.send(b"x").unwrap();
    }
    expect_nothing(&server);
    assert!(summary(&running).contains("impaired up: lost 3"));
}

fn doubled_datagrams_come_twice() {
    let (_running, client, server) = datagrams("--impair-up dup=100%");
    client.send(b"twice").unwrap();
    for _ in 0..2 {
        assert_eq!(receive(&server), b"twice");
    }
    expect_nothing(&server);
}

fn a_seed_has_the_same_fate_again() {
    let fate = || {
        let (_running, client, server) = datagrams("--impair-up loss=50%,seed=7");
        let mut came = Vec::new();
        for n in 0..40 {
            client.send(&[n]).unwrap();
        }
        server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut number = [0];
        while server.recv(&mut number).is_ok() {
            came.push(number[0]);
        }
        came
    };
    let first = fate();
    assert!((5..35).contains(&first.len()), "{first:?}");
    assert_eq!(fate(), first);
}

fn one_way_can_be_spoilt_alone() {
    let (_running, client, server) = datagrams("--impair-down loss=100%");
    client.send(b"there").unwrap();
    let (payload, route) = receive_from(&server);
    assert_eq!(payload, b"there");
    server.send_to(b"back", route).unwrap();
    expect_nothing(&client);
}

fn keys_that_mean_nothing_are_usage_errors() {
    for options in [
        "--impair loss=5% 0 127.0.0.1:9",
        "--impair-up queue=64KiB 0 127.0.0.1:9",
        "-u --impair slice=5 0 127.0.0.1:9",
        "--impair-down nonsense=1 0 127.0.0.1:9",
        "--impair delay 0 127.0.0.1:9",
    ] {
        let ended = pktcat_line(&format!("forward {options}")).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{options}: {}", ended.stderr);
    }
}
