//! A process that is stopped past one of its limits (SIGSTOP, a suspended machine) wakes up late: what
//! came while it was stopped counts before the time does.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{client, empty, open, server};
use crate::tests;
use crate::util::harness::test;
use crate::util::udp::{connect, listen, peer_of, receive_from};
use crate::util::{Input, Running, eventually, net, pktcat_line, proc};

/// Longer than every limit of these tests, which are a second each.
const PAST_THE_LIMIT: Duration = Duration::from_millis(1500);

pub(crate) fn tests() -> Vec<Trial> {
    let mut all = tests![
        a_connection_made_while_stopped_is_made_in_time,
        a_client_that_came_while_stopped_came_in_time,
        a_datagram_that_came_while_stopped_came_in_time,
        what_came_while_stopped_is_written_at_the_end_of_the_time,
        a_port_that_answered_while_stopped_is_open,
    ];
    for (name, options) in [
        ("linger", "-q 1"),
        ("idle_timeout", "--idle-timeout 1"),
        ("linger_of_many_clients", "-k -q 1 --count 2 -O lines"),
        ("idle_timeout_of_many_clients", "-k --idle-timeout 1 --count 2 -O lines"),
    ] {
        let name = format!("an_answer_that_came_while_stopped_is_no_silence_{name}");
        all.push(test(module_path!(), name, &[], move || stream_answer(options)));
    }
    for (name, options) in [
        ("default_linger", ""),
        ("count", "--count 1 -q 1"),
        ("idle", "--idle-timeout 1 -q 30 --count 1"),
    ] {
        let name = format!("a_reply_that_came_while_stopped_is_no_silence_{name}");
        all.push(test(module_path!(), name, &[], move || datagram_answer(options)));
    }
    all
}

/// Stops the program once it sleeps, lets something happen, and lets it go on past its limit.
fn stopped<T>(running: &Running, meanwhile: impl FnOnce() -> T) -> T {
    let asleep = || (proc::state(running.pid()) == 'S').then_some(());
    eventually("asleep", asleep);
    thread::sleep(Duration::from_millis(50));
    eventually("asleep", asleep);
    running.signal(Signal::SIGSTOP);
    eventually("stopped", || (proc::state(running.pid()) == 'T').then_some(()));
    let result = meanwhile();
    thread::sleep(PAST_THE_LIMIT);
    running.signal(Signal::SIGCONT);
    result
}

/// What was sent has come, so the clock of the limit runs; the answer comes while it is stopped.
fn stream_answer(options: &str) {
    let is_hub = options.starts_with("-k");
    let start: fn(&str, Input) -> (Running, TcpStream) = if is_hub { server } else { client };
    let (running, mut peer) = start(&format!("{options} --send hi"), Input::Null);
    if is_hub {
        peer.write_all(b"first\n").unwrap();
        running.wait_stdout(6);
    }
    assert_eq!(net::read_to_fin(&peer), b"hi");
    stopped(&running, || {
        peer.write_all(b"answer\n").unwrap();
        net::finish(&peer);
    });
    let ended = running.wait().expect_code(0);
    assert!(ended.stdout_text().ends_with("answer\n"), "{}", ended.stdout_text());
}

fn datagram_answer(options: &str) {
    let (running, peer) = connect(&format!("--send hi {options}"), empty());
    let (_, from) = receive_from(&peer);
    stopped(&running, || peer.send_to(b"answer", from).unwrap());
    assert_eq!(running.wait().expect_code(0).stdout_text(), "answer");
}

/// The queue of this listener is full, so that the first SYN gets no answer; its repetition a second later
/// does, after somebody was accepted.
fn a_connection_made_while_stopped_is_made_in_time() {
    let (listener, port) = net::listener();
    // A queue of one holds two (listen(2), net.core.somaxconn; Linux adds one).
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _fills = net::connect(port);
    let running = pktcat_line(&format!("connect -w 1 -d 127.0.0.1 {port}")).spawn();
    eventually("a SYN is sent", || connecting_to(port).then_some(()));
    let peer = stopped(&running, || {
        drop(net::accept(&listener));
        net::accept(&listener)
    });
    (&peer).write_all(b"in time").unwrap();
    net::finish(&peer);
    assert_eq!(running.wait().expect_code(0).stdout_text(), "in time");
}

/// Whether a socket waits for the answer to its SYN to this port of 127.0.0.1 (proc(5), state 02).
fn connecting_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next() == Some(remote.as_str()) && fields.next() == Some("02")
    })
}

fn a_client_that_came_while_stopped_came_in_time() {
    for options in ["", "-k --count 1 -O lines"] {
        let line = format!("listen {options} --accept-timeout 1 -d 127.0.0.1 0");
        let running = pktcat_line(&line).spawn();
        let port = running.port();
        let peer = stopped(&running, || net::connect(port));
        (&peer).write_all(b"in time\n").unwrap();
        net::finish(&peer);
        assert_eq!(running.wait().expect_code(0).stdout_text(), "in time\n");
    }
    let line = "listen --accept-timeout 1 127.0.0.1 0 -- echo in time";
    let running = pktcat_line(line).spawn();
    let port = running.port();
    let peer = stopped(&running, || net::connect(port));
    assert_eq!(net::read_to_fin(&peer), b"in time\n");
    running.wait().expect_code(0);
}

fn a_datagram_that_came_while_stopped_came_in_time() {
    let (running, peer) = listen("--accept-timeout 1 --count 1", Input::Null);
    stopped(&running, || peer.send(b"in time").unwrap());
    assert_eq!(running.wait().expect_code(0).stdout_text(), "in time");
    for options in ["-q 1", "--echo -q 1"] {
        let (running, first) = listen(options, Input::Null);
        let second = peer_of(&running);
        first.send(b"one ").unwrap();
        if options.starts_with("--echo") {
            first.recv(&mut [0; 16]).unwrap();
        } else {
            running.wait_stdout(4);
        }
        stopped(&running, || second.send(b"two").unwrap());
        let is_served = options.starts_with("--echo");
        let ended = running.wait().expect_code(0);
        if is_served {
            let mut reply = [0; 16];
            assert_eq!(second.recv(&mut reply).unwrap(), 3);
        } else {
            assert_eq!(ended.stdout_text(), "one two");
        }
    }
}

fn what_came_while_stopped_is_written_at_the_end_of_the_time() {
    let (running, mut peer) = client("--timeout 1", open());
    stopped(&running, || peer.write_all(b"late").unwrap());
    assert_eq!(running.wait().expect_code(5).stdout_text(), "late");
}

fn a_port_that_answered_while_stopped_is_open() {
    let service = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = service.local_addr().unwrap().port();
    let running = pktcat_line(&format!("scan -u -w 1 127.0.0.1 {port}")).spawn();
    let (_, from) = receive_from(&service);
    stopped(&running, || service.send_to(b"here", from).unwrap());
    let ended = running.wait().expect_code(0);
    assert!(ended.stdout_text().contains("open"), "{}", ended.stdout_text());
}
