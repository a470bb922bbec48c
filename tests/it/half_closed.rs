//! Half-closed clients and their places, and local peers that close for good. Those of TCP that are found gone
//! by asking are in `networks/gone.rs`: that takes a network of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, PATIENCE, Running, net, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_longest_half_closed_gives_up_its_place,
        a_client_that_left_holds_up_nobody,
        whoever_may_not_come_in_takes_no_place,
        nobody_is_cut_off_from_an_answer,
        characters_without_end_hold_no_place,
        what_is_cut_off_by_a_newcomer_ends_with_a_reset,
        descriptors_are_given_up_too,
        a_reset_after_the_fin_is_a_failure,
        a_local_peer_that_is_gone_is_not_waited_for,
        a_local_peer_that_only_half_closed_gets_late_data,
        a_local_peer_that_did_not_read_all_is_a_failure,
        a_local_client_that_is_gone_leaves,
    ]
}

fn listen(options: &str, stdin: Input) -> (Running, u16) {
    let server = pktcat_line(&format!("listen -k {options} 127.0.0.1 0")).stdin(stdin).spawn();
    let port = server.port();
    (server, port)
}

fn name(client: &TcpStream) -> String {
    client.local_addr().unwrap().to_string()
}

/// The line that says whose place was given up.
fn gave_up(client: &TcpStream) -> String {
    format!("pktcat: close: {} (tcp): another client needs the place", name(client))
}

/// Half-closes, and waits until the server (with `-x`) knows.
fn finish(server: &Running, client: &TcpStream) {
    net::finish(client);
    let mark = format!("{} peer closed", name(client));
    crate::util::eventually(&mark, || server.stderr_now().contains(&mark).then_some(()));
}

fn the_longest_half_closed_gives_up_its_place() {
    for way in ways() {
        let (mut server, port) = listen(&format!("-v -x --max-clients 2 {way}"), Input::Pipe);
        let (one, other) = (net::connect(port), net::connect(port));
        server.wait_lines("accepted ", 2);
        // Not whoever came first, but whoever said first that it has nothing more to say.
        finish(&server, &other);
        finish(&server, &one);
        server.send(b"to both\n");
        for client in [&one, &other] {
            assert_eq!(net::read_exactly(client, 8), b"to both\n");
        }
        let third = net::connect(port);
        server.wait_line(&gave_up(&other));
        assert_eq!(net::read_to_fin(&other), b"");
        let closed = format!("closed {} (tcp), sent 8 bytes, received 0 bytes, ", name(&other));
        server.wait_line(&closed);
        server.send(b"to the others\n");
        for client in [&one, &third] {
            assert_eq!(net::read_exactly(client, 14), b"to the others\n");
        }
        let fourth = net::connect(port);
        server.wait_line(&gave_up(&one));
        assert_eq!(net::read_to_fin(&one), b"");
        // Nobody is half-closed any more.
        let fifth = net::connect(port);
        server.wait_line(&format!("pktcat: accept: {} (tcp): turned away", name(&fifth)));
        server.send(b"end\n");
        for client in [&third, &fourth] {
            assert_eq!(net::read_exactly(client, 4), b"end\n");
        }
    }
}

fn a_client_that_left_holds_up_nobody() {
    for options in ["", "--chat", "-O lines"] {
        let (server, port) = listen(&format!("--max-clients 1 {options}"), Input::Pipe);
        for round in 1..=50 {
            let mut client = net::connect(port);
            client.write_all(b"hello\n").unwrap();
            // A program that another test is starting has the socket until it runs: closing ours alone may
            // say nothing yet.
            net::finish(&client);
            drop(client);
            server.wait_stdout(6 * round);
        }
        assert!(!server.stderr_now().contains("turned away"), "{}", server.stderr_now());
    }
}

fn whoever_may_not_come_in_takes_no_place() {
    let options = "-v -x --max-clients 1 --allow 127.0.0.1";
    let line = format!("listen -k {options} 0.0.0.0 0");
    let mut server = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let port = server.port();
    let client = net::connect(port);
    server.wait_line("accepted ");
    finish(&server, &client);
    let stranger = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    stranger.bind(&"127.0.0.2:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    stranger.connect(&std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    server.wait_line("pktcat: accept: 127.0.0.2:");
    server.send(b"still yours\n");
    assert_eq!(net::read_exactly(&client, 12), b"still yours\n");
    assert!(!server.stderr_now().contains("needs the place"), "{}", server.stderr_now());
}

fn nobody_is_cut_off_from_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("answer");
    let answer = random(1, 20 << 20);
    std::fs::write(&file, &answer).unwrap();
    let options = format!("-v --max-clients 1 --reply-file {}", file.display());
    let (server, port) = listen(&options, Input::Null);
    let mut client = net::connect(port);
    client.write_all(b"please").unwrap();
    net::finish(&client);
    assert_same(&net::read_exactly(&client, 1000), &answer[..1000]);
    let newcomer = net::connect(port);
    server.wait_line(&format!("pktcat: accept: {} (tcp): turned away", name(&newcomer)));
    assert_same(&net::read_to_fin(&client), &answer[1000..]);
    let mut next = net::connect(port);
    next.write_all(b"please").unwrap();
    assert_same(&net::read_exactly(&next, 1000), &answer[..1000]);
}

fn characters_without_end_hold_no_place() {
    let (server, port) = listen("-v --max-clients 1 --chargen", Input::Null);
    let client = net::connect(port);
    net::finish(&client);
    net::read_exactly(&client, 100_000);
    let next = net::connect(port);
    server.wait_line(&gave_up(&client));
    net::read_exactly(&next, 100_000);
}

fn what_is_cut_off_by_a_newcomer_ends_with_a_reset() {
    let (mut server, port) = listen("-v -x --max-clients 1 --queue 64MiB", Input::Pipe);
    let mut client = net::connect(port);
    server.wait_line("accepted ");
    finish(&server, &client);
    server.send(&vec![b'x'; 20 << 20]);
    net::read_exactly(&client, 1000);
    let _next = net::connect(port);
    server.wait_line(&gave_up(&client));
    let end = client.read_to_end(&mut Vec::new());
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

fn descriptors_are_given_up_too() {
    let server = pktcat_line("listen -k -v -x 127.0.0.1 0")
        .through(["/bin/sh", "-c", "ulimit -n 24; exec \"$@\"", "sh"])
        .stdin(Input::Pipe)
        .spawn();
    let port = server.port();
    let mut clients = Vec::new();
    for _ in 0..60 {
        let mut client = net::connect(port);
        client.write_all(b".").unwrap();
        server.wait_stdout(clients.len() + 1);
        finish(&server, &client);
        clients.push(client);
    }
    // The oldest have made room, in their order; nobody without need.
    let stderr = server.stderr_now();
    let told: Vec<_> = stderr.lines().filter(|line| line.starts_with("pktcat: ")).collect();
    assert!(told.len() > 30, "{stderr}");
    for (line, client) in told.iter().zip(&clients) {
        assert!(line.starts_with(&gave_up(client)), "{line:?} is not {:?}", gave_up(client));
    }
    let left = &clients[told.len()..];
    assert!(left.len() > 5, "{} are left", left.len());
    server.expect_running();
}

/// The peer says itself that it has thrown something away.
fn a_reset_after_the_fin_is_a_failure() {
    let (listener, port) = net::listener();
    let line = format!("connect 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let peer = net::accept(&listener);
    net::finish(&peer);
    running.wait_stdout_end();
    net::reset(peer);
    let ended = running.wait().expect_code(8);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    let (server, port) = listen("-x", Input::Pipe);
    let client = net::connect(port);
    finish(&server, &client);
    let name = name(&client);
    net::reset(client);
    server.wait_line(&format!("pktcat: receive: {name} (tcp): "));
}

/// The run, its end of a local stream, and the folder that the path is in.
fn local(options: &str) -> (Running, UnixStream, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let line = format!("connect {options} -U {}", path.display());
    let running = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    (running, peer, folder)
}

fn a_local_peer_that_is_gone_is_not_waited_for() {
    for way in ways() {
        let (mut running, mut peer, _folder) = local(way);
        running.send(b"asked");
        peer.read_exact(&mut [0; 5]).unwrap();
        peer.write_all(b"answered").unwrap();
        drop(peer);
        let ended = running.wait().expect_code(0);
        assert_eq!((&ended.stdout[..], &ended.stderr[..]), (&b"answered"[..], ""));
    }
}

fn a_local_peer_that_only_half_closed_gets_late_data() {
    let (mut running, mut peer, _folder) = local("");
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    running.wait_stdout_end();
    std::thread::sleep(Duration::from_millis(200));
    running.send(b"late");
    peer.read_exact(&mut [0; 4]).unwrap();
    running.close_stdin();
    running.wait().expect_code(0);
}

fn a_local_peer_that_did_not_read_all_is_a_failure() {
    let (mut running, peer, _folder) = local("");
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    running.wait_stdout_end();
    running.send(b"not read");
    let waits = || {
        nix::poll::poll(
            &mut [nix::poll::PollFd::new(
                std::os::fd::AsFd::as_fd(&peer),
                nix::poll::PollFlags::POLLIN,
            )],
            nix::poll::PollTimeout::from(10_000u16),
        )
    };
    assert_eq!(waits().unwrap(), 1);
    drop(peer);
    running.wait().expect_code(8);
}

fn a_local_client_that_is_gone_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let line = format!("listen -k -v --max-clients 1 -U {}", path.display());
    let server = pktcat_line(&line).stdin(Input::Pipe).spawn();
    server.wait_line("listening on ");
    for round in 1..=3 {
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"hello").unwrap();
        drop(client);
        server.wait_stdout(5 * round);
        let closed = server.wait_lines("closed ", round);
        let expected = "closed unnamed (unix), sent 0 bytes, received 5 bytes, ";
        assert!(closed[round - 1].starts_with(expected), "{closed:?}");
    }
    assert!(!server.stderr_now().contains("pktcat: "), "{}", server.stderr_now());
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}
