//! UDP whose senders are forged, or gone, or far too many: what a listener owes nobody must not cost
//! its log, its standard input or its ear for signals.
use crate::tests;
use libtest_mimic::Trial;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::util::harness::Need;
use crate::util::udp::{Forger, listen, listening, peer_of, receive};
use crate::util::{Input, PATIENCE, Running, eventually, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_datagram_from_port_0_takes_no_lines_of_stdin needs [Need::Root],
        a_datagram_from_port_0_is_not_answered needs [Need::Root],
        failures_of_single_datagrams_are_a_line_a_second,
        newcomers_are_seen_however_many_there_were needs [Need::Root],
        signals_are_heard_while_many_peers_are_sent_to needs [Need::Root],
        two_services_that_answer_each_other_are_stopped,
        local_answers_wait_for_room,
        a_local_peer_that_reads_nothing_holds_nobody_up,
    ]
}

fn address(server: &Running) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.port())
}

const PORT_0: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

fn a_datagram_from_port_0_takes_no_lines_of_stdin() {
    for options in ["-u", "-u --to-all", "-t -u -k"] {
        let line = format!("listen {options} -I lines 127.0.0.1 0");
        let mut server = listening(pktcat_line(&line).stdin(Input::Pipe));
        let forger = Forger::new();
        // Nobody who could be sent to has been heard.
        forger.send(PORT_0, address(&server), b"0");
        server.wait_stdout(1);
        server.send(b"first\n");
        server.expect_running();
        let peer = peer_of(&server);
        peer.send(b"1").unwrap();
        assert_eq!(receive(&peer), b"first", "{options}");
        forger.send(PORT_0, address(&server), b"0");
        server.wait_stdout(3);
        server.send(b"second\n");
        assert_eq!(receive(&peer), b"second", "{options}");
        assert!(!server.stderr_now().contains("pktcat: "), "{}", server.stderr_now());
    }
}

fn a_datagram_from_port_0_is_not_answered() {
    for role in ["--echo", "--chargen", "--reply answer"] {
        let (server, peer) = listen(role, Input::Null);
        let forger = Forger::new();
        for _ in 0..500 {
            forger.send(PORT_0, address(&server), b"answer");
        }
        peer.send(b"answer").unwrap();
        assert_eq!(receive(&peer).len(), 6, "{role}");
        assert!(!server.stderr_now().contains("pktcat: "), "{}", server.stderr_now());
    }
}

/// Peers of a local socket that are gone before they are answered do what forged senders without a
/// route do over a network.
fn failures_of_single_datagrams_are_a_line_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (path, own) = (folder.path().join("s"), folder.path().join("peer"));
    let line = format!("listen -u -v --echo -U {}", path.display());
    let server = pktcat_line(&line).stdin(Input::Null).spawn();
    server.wait_line("listening on ");
    let mut sent = 0;
    let mut flood = || {
        server.signal(Signal::SIGSTOP);
        let peer = UnixDatagram::bind(&own).unwrap();
        peer.set_nonblocking(true).unwrap();
        while sent < 1000 && peer.send_to(b"x", &path).is_ok() {
            sent += 1;
        }
        drop(peer);
        std::fs::remove_file(&own).unwrap();
        server.signal(Signal::SIGCONT);
        sent
    };
    let first = flood();
    assert!(first > 2, "{first}");
    server.wait_line("pktcat: send: ");
    // The rest of them, and the second in which nothing more is said.
    thread::sleep(Duration::from_millis(1200));
    let lines = |server: &Running| {
        let text = server.stderr_now();
        text.lines().filter(|line| line.starts_with("pktcat: ")).count()
    };
    assert_eq!(lines(&server), 1, "{}", server.stderr_now());
    let all = flood();
    eventually("a second line", || (lines(&server) == 2).then_some(()));
    let held_back = format!("and {} more", first - 1);
    assert!(server.stderr_now().contains(&held_back), "{}", server.stderr_now());
    server.expect_running();
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert!(ended.stderr.contains(&format!(", not sent {all}\n")), "{all}: {}", ended.stderr);
}

/// Has so many forged peers heard, each with one byte; all of them have been received.
fn crowd(server: &Running, forger: &Forger, count: u32) {
    let to = address(server);
    for n in 0..count {
        let from =
            SocketAddrV4::new(Ipv4Addr::from(0x7f01_0001 + (n >> 8)), 20_000 + (n & 255) as u16);
        forger.send(from, to, b"x");
        if n % 100 == 99 {
            server.wait_stdout(n as usize + 1);
        }
    }
    server.wait_stdout(count as usize);
}

fn newcomers_are_seen_however_many_there_were() {
    let folder = tempfile::tempdir().unwrap();
    let dump = folder.path().join("dump");
    let (server, peer) = listen(&format!("--hex-file {}", dump.display()), Input::Null);
    crowd(&server, &Forger::new(), 65_600);
    peer.send(b"at last").unwrap();
    server.wait_stdout(65_600 + 7);
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    let text = std::fs::read_to_string(&dump).unwrap();
    assert!(text.contains("|at last|"), "{}", ended.stderr);
    let told = ended.stderr.lines().filter(|line| line.contains("forgotten")).count();
    assert_eq!(told, 1, "{}", ended.stderr);
}

fn signals_are_heard_while_many_peers_are_sent_to() {
    let (mut server, peer) = listen("--to-all -I lines", Input::Pipe);
    crowd(&server, &Forger::new(), 60_000);
    server.send("a line for each of them\n".repeat(200).as_bytes());
    peer.send(b"x").unwrap();
    server.wait_stdout(60_001);
    let begun = Instant::now();
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

fn two_services_that_answer_each_other_are_stopped() {
    let (first, other) = listen("-v --echo", Input::Null);
    let port = other.local_addr().unwrap().port();
    // It hears the datagram once the second service has the place of its sender.
    first.signal(Signal::SIGSTOP);
    // So many that their answers are fast enough on a busy machine, where each turn of the two has to wait.
    for _ in 0..64 {
        other.send(b"again").unwrap();
    }
    drop(other);
    let second = listening(pktcat_line(&format!("listen -u -v --reply again 127.0.0.1 {port}")));
    first.signal(Signal::SIGCONT);
    let all = || first.stderr_now() + &second.stderr_now();
    let words = " (udp): not answered for 10s, after more than 1000 answers a second for 10 s";
    eventually("one of them to stop", || all().contains(words).then_some(()));
    // Others are answered all the while.
    for server in [&first, &second] {
        let peer = peer_of(server);
        peer.send(b"again").unwrap();
        assert_eq!(receive(&peer), b"again");
    }
    assert!(all().matches(words).count() <= 2, "{}", all());
}

fn local_answers_wait_for_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let server = pktcat_line(&format!("listen -u -v --echo -U {}", path.display()))
        .stdin(Input::Null)
        .spawn();
    server.wait_line("listening on ");
    let peer = UnixDatagram::bind(folder.path().join("peer")).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let sender = peer.try_clone().unwrap();
    let sending = thread::spawn(move || {
        for n in 0..5u8 {
            sender.send_to(&vec![n; 60_000], &path).unwrap();
        }
    });
    // So many of them have no room at the same time.
    thread::sleep(Duration::from_millis(300));
    let mut room = vec![0; 70_000];
    for n in 0..5 {
        assert_eq!(peer.recv(&mut room).unwrap(), 60_000);
        assert_eq!(room[0], n);
    }
    sending.join().unwrap();
    server.signal(Signal::SIGTERM);
    let ended = server.wait();
    assert!(!ended.stderr.contains("not sent"), "{}", ended.stderr);
}

fn a_local_peer_that_reads_nothing_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let server = pktcat_line(&format!("listen -u --reply yes -U {}", path.display()))
        .stdin(Input::Null)
        .spawn();
    let deaf = UnixDatagram::bind(folder.path().join("deaf")).unwrap();
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    eventually("the listener", || deaf.send_to(b"x", &path).is_ok().then_some(()));
    // More than wait in any queue (net.unix.max_dgram_qlen).
    for _ in 0..1000 {
        deaf.send_to(b"x", &path).unwrap();
    }
    let peer = UnixDatagram::bind(folder.path().join("peer")).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.send_to(b"x", &path).unwrap();
    let mut room = [0; 10];
    assert_eq!(peer.recv(&mut room).unwrap(), 3);
    server.wait_stdout(1002);
    server.signal(Signal::SIGTERM);
    let stderr = server.wait().stderr;
    assert!(stderr.contains("could not be sent"), "{stderr}");
}
