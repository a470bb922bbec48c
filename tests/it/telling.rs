//! What `-v` tells of connections: that a client of many left, who closed first, what the kernel measured.

use std::io::Write;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::{Input, Running, net, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        each_client_that_leaves_is_told_with_its_bytes_and_duration,
        a_client_that_resets_is_told_too,
        what_a_command_said_and_heard_is_told,
        the_clients_of_a_stopped_run_are_told,
        without_v_or_without_k_no_client_is_told,
        a_summary_names_who_closed_first,
        a_fin_that_was_not_read_yet_came_first_all_the_same,
        a_summary_of_many_connections_counts_them,
        a_summary_of_a_local_socket_or_of_datagrams_has_none_of_it,
    ]
}

fn listen(options: &str, stdin: Input) -> Running {
    pktcat_line(&format!("listen {options} 127.0.0.1 0")).stdin(stdin).spawn()
}

/// Bytes sent and received and seconds of a `closed` line of this client.
#[track_caller]
fn told(line: &str, client: &std::net::TcpStream) -> (u64, u64, f64) {
    let name = format!("closed {} (tcp), sent ", client.local_addr().unwrap());
    let rest = line.strip_prefix(&name).unwrap_or_else(|| panic!("{line:?} is not {name:?}"));
    let (sent, rest) = rest.split_once(" bytes, received ").unwrap();
    let (received, rest) = rest.split_once(" bytes, ").unwrap();
    let seconds = rest.strip_suffix(" s").unwrap();
    assert_eq!(seconds.split_once('.').unwrap().1.len(), 3, "{line:?}");
    (sent.parse().unwrap(), received.parse().unwrap(), seconds.parse().unwrap())
}

fn each_client_that_leaves_is_told_with_its_bytes_and_duration() {
    for way in ways() {
        let server = listen(&format!("-k -v --echo {way}"), Input::Null);
        let port = server.port();
        for (before, length) in [5, 100_000].into_iter().enumerate() {
            let client = net::connect(port);
            let sent = vec![b'x'; length];
            let echoed = std::thread::scope(|scope| {
                scope.spawn(|| (&client).write_all(&sent).unwrap());
                net::read_exactly(&client, length)
            });
            assert_eq!(echoed, sent);
            net::finish(&client);
            let lines = server.wait_lines("closed ", before + 1);
            let (sent, received, seconds) = told(&lines[before], &client);
            assert_eq!((sent, received), (length as u64, length as u64));
            assert!(seconds < 60.0, "{seconds}");
        }
        server.signal(Signal::SIGTERM);
        let ended = server.wait().expect_signal(Signal::SIGTERM);
        assert_eq!(ended.stderr.matches("closed ").count(), 3, "{}", ended.stderr);
    }
}

/// Nothing of it passes through the listener.
fn what_a_command_said_and_heard_is_told() {
    let server = pktcat_line("listen -k -v 127.0.0.1 0 -- cat").stdin(Input::Null).spawn();
    let port = server.port();
    for before in 0..2 {
        let mut client = net::connect(port);
        client.write_all(b"hello").unwrap();
        assert_eq!(net::read_exactly(&client, 5), b"hello");
        net::finish(&client);
        assert_eq!(net::read_to_fin(&client), b"");
        let lines = server.wait_lines("closed ", before + 1);
        let (sent, received, _) = told(&lines[before], &client);
        assert_eq!((sent, received), (5, 5));
    }
    server.signal(Signal::SIGTERM);
    let ended = server.wait().expect_signal(Signal::SIGTERM);
    let summary = ended.stderr.lines().last().unwrap();
    assert!(summary.contains(", 2 connections, peer closed first in 2, round trip"), "{summary}");
    // Of a local socket nobody knows.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let line = format!("listen -k -v -U {} -- true", path.display());
    let server = pktcat_line(&line).stdin(Input::Null).spawn();
    server.wait_line("listening on ");
    drop(std::os::unix::net::UnixStream::connect(&path).unwrap());
    let line = server.wait_line("closed ");
    let seconds = line.strip_prefix("closed unnamed (unix), ").unwrap().strip_suffix(" s").unwrap();
    seconds.parse::<f64>().unwrap();
}

fn a_client_that_resets_is_told_too() {
    let server = listen("-k -v", Input::Pipe);
    let mut client = net::connect(server.port());
    client.write_all(b"hello").unwrap();
    server.wait_stdout(5);
    net::reset(client);
    let line = server.wait_line("closed ");
    assert_eq!(line.matches(", sent 0 bytes, received 5 bytes, ").count(), 1, "{line:?}");
}

fn the_clients_of_a_stopped_run_are_told() {
    let mut server = listen("-k -v", Input::Pipe);
    let client = net::connect(server.port());
    server.wait_line("accepted ");
    server.send(b"news");
    assert_eq!(net::read_exactly(&client, 4), b"news");
    server.signal(Signal::SIGINT);
    let ended = server.wait().expect_signal(Signal::SIGINT);
    let line = ended.stderr.lines().find(|line| line.starts_with("closed ")).unwrap();
    assert_eq!(told(line, &client).0, 4);
}

fn without_v_or_without_k_no_client_is_told() {
    for options in ["-k", "-v"] {
        let server = listen(options, Input::Null);
        let client = net::connect(server.port());
        drop(client);
        if options == "-v" {
            let ended = server.wait().expect_code(0);
            assert!(!ended.stderr.lines().any(|line| line.starts_with("closed ")));
        } else {
            server.signal(Signal::SIGTERM);
            let ended = server.wait().expect_signal(Signal::SIGTERM);
            assert!(!ended.stderr.contains("closed"), "{}", ended.stderr);
        }
    }
}

#[track_caller]
fn has_measures(summary: &str) {
    let (_, rest) = summary.split_once(", round trip ").unwrap_or_else(|| panic!("{summary}"));
    let (millis, rest) = rest.split_once(" ms").unwrap();
    assert!(millis.parse::<f64>().unwrap() > 0.0, "{summary}");
    assert!(rest.ends_with(", retransmissions 0"), "{summary}");
}

fn a_summary_names_who_closed_first() {
    for way in ways() {
        for (ending, expected) in [("peer", ", peer closed first"), ("we", ", we closed first")] {
            let (listener, port) = net::listener();
            let mut client = pktcat_line(&format!("connect -v {way} 127.0.0.1 {port}"))
                .stdin(Input::Pipe)
                .spawn();
            let peer = net::accept(&listener);
            client.wait_line("connected ");
            if ending == "peer" {
                net::finish(&peer);
                client.wait_stdout_end();
                client.close_stdin();
            } else {
                client.close_stdin();
                assert_eq!(net::read_to_fin(&peer), b"");
                net::finish(&peer);
            }
            let ended = client.wait().expect_code(0);
            let summary = ended.stderr.lines().last().unwrap();
            assert!(summary.contains(expected), "{ending}: {summary}");
            has_measures(summary);
        }
    }
    let (listener, port) = net::listener();
    let client = || {
        let client =
            pktcat_line(&format!("connect -v 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
        client.wait_line("connected ");
        client
    };
    let stopped = client();
    let _held = net::accept(&listener);
    stopped.signal(Signal::SIGTERM);
    let ended = stopped.wait().expect_signal(Signal::SIGTERM);
    assert!(ended.stderr.lines().last().unwrap().contains(", we closed first"));
    let broken = client();
    net::reset(net::accept(&listener));
    let ended = broken.wait().expect_code(8);
    let summary = ended.stderr.lines().last().unwrap();
    assert!(summary.contains(", peer closed first"), "{summary}");
}

/// Standard output takes nothing more, so that the FIN behind what waits for it is not read before ours is
/// sent.
fn a_fin_that_was_not_read_yet_came_first_all_the_same() {
    let (reader, writer) = std::io::pipe().unwrap();
    let (listener, port) = net::listener();
    let mut client = pktcat_line(&format!("connect -v 127.0.0.1 {port}"))
        .stdin(Input::Pipe)
        .stdout(crate::util::Output::Fd(writer.into()))
        .spawn();
    let peer = net::accept(&listener);
    let much = vec![b'x'; 1 << 20];
    (&peer).write_all(&much).unwrap();
    net::finish(&peer);
    net::wait_acknowledged(&peer);
    client.close_stdin();
    assert_eq!(net::read_to_fin(&peer), b"");
    let read = std::thread::spawn(move || std::io::copy(&mut &reader, &mut std::io::sink()));
    let ended = client.wait().expect_code(0);
    assert_eq!(read.join().unwrap().unwrap(), much.len() as u64);
    let summary = ended.stderr.lines().last().unwrap();
    assert!(summary.contains(", peer closed first"), "{summary}");
}

fn a_summary_of_many_connections_counts_them() {
    let mut server = listen("-k -v", Input::Pipe);
    let port = server.port();
    let clients: Vec<_> = (0..3).map(|_| net::connect(port)).collect();
    server.wait_lines("accepted ", 3);
    net::finish(&clients[0]);
    server.send(b"x");
    server.close_stdin();
    for client in &clients {
        assert_eq!(net::read_to_fin(client), b"x");
    }
    drop(clients);
    server.wait_lines("closed ", 3);
    server.signal(Signal::SIGTERM);
    let ended = server.wait().expect_signal(Signal::SIGTERM);
    let summary = ended.stderr.lines().last().unwrap();
    assert!(summary.contains(", 3 connections, peer closed first in 1, round trip "), "{summary}");
    assert!(summary.ends_with(" ms on average, retransmissions 0"), "{summary}");
}

fn a_summary_of_a_local_socket_or_of_datagrams_has_none_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = pktcat_line("connect -v -U").arg(&path).stdin(Input::Bytes(Vec::new())).spawn();
    drop(listener.accept().unwrap());
    let (peer, port) = net::udp();
    let line = format!("connect -v -u --send x -q 10ms 127.0.0.1 {port}");
    let datagrams = pktcat_line(&line).run().expect_code(0);
    for ended in [client.wait().expect_code(0), datagrams] {
        let summary = ended.stderr.lines().last().unwrap();
        assert!(summary.starts_with("sent "), "{summary}");
        for word in ["closed first", "round trip", "retransmissions", "connections"] {
            assert!(!summary.contains(word), "{summary}");
        }
    }
    drop(peer);
}
