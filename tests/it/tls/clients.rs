//! Many TLS clients of one listener: every role, and nobody who waits for another's handshake.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{connect, here, listen};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, Running, eventually, net, proc, tls};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        every_role_talks_tls,
        a_client_that_shakes_no_hands_holds_nobody_up,
        who_shakes_hands_counts_for_the_most_clients,
        a_failed_handshake_ends_that_client_alone,
        one_client_of_a_role_ends_the_run_with_its_status,
        an_echo_of_much_comes_back_whole,
        a_client_that_is_cut_off_is_told_of,
        a_thousand_clients_are_echoed_at_once,
    ]
}

fn every_role_talks_tls() {
    let (authority, pair) = here();
    let ask = |server: &Running, words: &str| {
        connect(&authority, server.port(), words).run().expect_code(0).stdout_text()
    };
    let server = listen(&pair, "-k --echo").spawn();
    assert_eq!(ask(&server, "--send hello"), "hello");
    assert_eq!(ask(&server, "--send again"), "again");
    let server = listen(&pair, "-k --discard").spawn();
    assert_eq!(ask(&server, "--send hello"), "");
    let server = listen(&pair, "-k --reply answer").spawn();
    assert_eq!(ask(&server, "--send hello"), "answer");
    let server = listen(&pair, "-k --chargen").spawn();
    let mut peer = tls::connect(net::connect(server.port()), &authority.root(), "localhost");
    assert_eq!(peer.read_exactly(6), b" !\"#$%");
    // Without -k the run ends with its one client.
    let server = listen(&pair, "--echo").spawn();
    assert_eq!(ask(&server, "--send hello"), "hello");
    server.wait().expect_code(0);

    let server = listen(&pair, "--chat -O lines --tag").stdin(Input::Pipe).spawn();
    let mut one = connect(&authority, server.port(), "").stdin(Input::Pipe).spawn();
    let mut two = connect(&authority, server.port(), "").stdin(Input::Pipe).spawn();
    // Both are there once each has been heard by the other.
    two.send(b"two\n");
    server.wait_stdout(10);
    one.send(b"one\n");
    assert_eq!(two.wait_stdout(4), b"one\n");
    two.send(b"bye\n");
    eventually("the other's words", || one.stdout_now().ends_with(b"bye\n").then_some(()));
    drop(server);

    let mut server = listen(&pair, "-k").stdin(Input::Pipe).spawn();
    let one = connect(&authority, server.port(), "--send a").spawn();
    let two = connect(&authority, server.port(), "--send b").spawn();
    server.wait_stdout(2);
    server.send(b"to all");
    server.close_stdin();
    assert_eq!(one.wait().expect_code(0).stdout, b"to all");
    assert_eq!(two.wait().expect_code(0).stdout, b"to all");
}

fn a_client_that_shakes_no_hands_holds_nobody_up() {
    let (authority, pair) = here();
    let server = listen(&pair, "-k --echo -v -w 1s").spawn();
    let mut silent: Vec<_> = (0..20).map(|_| net::connect(server.port())).collect();
    // The beginning of a record, and no more.
    silent[0].write_all(&[22, 3, 1]).unwrap();
    let client = connect(&authority, server.port(), "--send quick -w 900ms").run();
    assert_eq!(client.expect_code(0).stdout, b"quick");
    server.wait_lines("pktcat: timed out: the TLS handshake", 20);
    for one in &silent {
        let mut one = one;
        let _ = one.set_read_timeout(Some(Duration::from_secs(10)));
        let mut rest = Vec::new();
        let _ = one.read_to_end(&mut rest);
    }
    let client = connect(&authority, server.port(), "--send again").run();
    assert_eq!(client.expect_code(0).stdout, b"again");
}

fn who_shakes_hands_counts_for_the_most_clients() {
    let (authority, pair) = here();
    let server = listen(&pair, "-k --echo -v --max-clients 1 -w 30s").spawn();
    let silent = net::connect(server.port());
    server.wait_line("accepted ");
    connect(&authority, server.port(), "--send x").run().expect_code(8);
    server.wait_line("pktcat: accept: ");
    drop(silent);
    eventually("room for another", || {
        let ended = connect(&authority, server.port(), "--send x").run();
        (ended.status.code() == Some(0)).then_some(())
    });
}

fn a_failed_handshake_ends_that_client_alone() {
    let (authority, pair) = here();
    let server = listen(&pair, "-k").stdin(Input::Null).spawn();
    let talking = connect(&authority, server.port(), "--send first --no-shutdown").spawn();
    server.wait_stdout(5);
    net::connect(server.port()).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    server.wait_line("pktcat: tls: ");
    let other = tls::Authority::new("Stranger");
    connect(&other, server.port(), "").run().expect_code(9);
    server.wait_lines("pktcat: tls: ", 2);
    connect(&authority, server.port(), "--send second").run().expect_code(0);
    assert_eq!(server.wait_stdout(11), b"firstsecond");
    drop(talking);
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}

fn one_client_of_a_role_ends_the_run_with_its_status() {
    let (_authority, pair) = here();
    for role in ["--echo", "--chargen", "--reply x"] {
        let server = listen(&pair, role).spawn();
        net::connect(server.port()).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        super::refused(server, "not TLS");
        let server = listen(&pair, &format!("{role} -w 100ms")).spawn();
        let silent = net::connect(server.port());
        server.wait().expect_code(5);
        drop(silent);
    }
}

fn an_echo_of_much_comes_back_whole() {
    let (authority, pair) = here();
    let server = listen(&pair, "-k --echo").spawn();
    let bytes = random(5, 20_000_000);
    let client = connect(&authority, server.port(), "").stdin(Input::Bytes(bytes.clone())).run();
    assert_same(&client.expect_code(0).stdout, &bytes);
}

fn a_client_that_is_cut_off_is_told_of() {
    let (authority, pair) = here();
    for (words, is_told) in [("-k", true), ("-k --accept-fin", false)] {
        let server = listen(&pair, words).stdin(Input::Null).spawn();
        let mut peer = tls::connect(net::connect(server.port()), &authority.root(), "localhost");
        peer.send(b"half");
        net::finish(&peer.socket);
        assert_eq!(peer.read_to_end(), (Vec::new(), true));
        assert_eq!(server.wait_stdout(4), b"half");
        drop(peer);
        connect(&authority, server.port(), "--send x").run().expect_code(0);
        server.wait_stdout(5);
        assert_eq!(
            server.stderr_now().contains("close_notify"),
            is_told,
            "{}",
            server.stderr_now()
        );
    }
    // Alone, its end is that of the run.
    let server = listen(&pair, "--reply answer").spawn();
    let mut peer = tls::connect(net::connect(server.port()), &authority.root(), "localhost");
    peer.send(b"half");
    net::finish(&peer.socket);
    assert_eq!(peer.read_to_end(), (b"answer".to_vec(), true));
    server.wait().expect_code(8);
}

/// All are connected before the first is asked.
fn a_thousand_clients_are_echoed_at_once() {
    const CLIENTS: usize = 1000;
    let (authority, pair) = here();
    let server =
        listen(&pair, "-k --echo --quiet --port-file").arg(authority.folder().join("port")).spawn();
    let port: u16 = eventually("the port", || {
        std::fs::read_to_string(authority.folder().join("port")).ok()?.trim().parse().ok()
    });
    let root = Arc::new(authority.root());
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let root = Arc::clone(&root);
            std::thread::spawn(move || {
                let socket = || -> TcpStream { net::connect(port) };
                let connect = |_| tls::connect(socket(), &root, "localhost");
                let mut peers: Vec<_> = (0..CLIENTS / 8).map(connect).collect();
                for (number, peer) in peers.iter_mut().enumerate() {
                    peer.send(format!("{worker:03} {number:05}").as_bytes());
                }
                for (number, peer) in peers.iter_mut().enumerate() {
                    assert_eq!(peer.read_exactly(9), format!("{worker:03} {number:05}").as_bytes());
                }
                peers
            })
        })
        .collect();
    let mut peers: Vec<_> = workers.into_iter().flat_map(|one| one.join().unwrap()).collect();
    assert_eq!(peers.len(), CLIENTS);
    // Nothing is lost or mixed up while all of them are there, and each costs little.
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("{number:06}").as_bytes());
    }
    for (number, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.read_exactly(6), format!("{number:06}").as_bytes());
    }
    let kib = proc::memory_kib(server.pid(), "VmHWM");
    assert!(kib < 128 * 1024, "{kib} KiB for {CLIENTS} clients");
    for peer in &mut peers {
        peer.notify();
        assert_eq!(peer.read_to_end(), (Vec::new(), true));
    }
}
