//! The limits on time: each ends the run with status 5 and is named in the message. And `--retry`.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::{Input, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        retry_waits_for_a_peer_that_is_late,
        nobody_answers,
        nobody_comes,
        the_accept_timeout_is_for_the_first_peer_only,
        nothing_passes,
        the_idle_timeout_begins_with_the_first_peer,
        retries_without_a_pause_end_with_the_run,
        a_connected_socket_is_idle_from_the_start,
    ]
}

/// Status 5, and one line that has these words in it; nothing comes on stdout.
#[track_caller]
fn times_out(line: &str, words: &[&str]) {
    let ended = pktcat_line(line).run().expect_code(5);
    assert_eq!(ended.stdout_text(), "");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "an error is one line:\n{}", ended.stderr);
    assert!(lines[0].starts_with("pktcat: "), "{}", lines[0]);
    for word in words {
        assert!(lines[0].contains(word), "no {word:?} in: {}", lines[0]);
    }
}

fn retry_waits_for_a_peer_that_is_late() {
    let (held, port) = net::refusing_port();
    let line = format!("connect --retry 500 --retry-delay 20ms 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Bytes(b"at last".to_vec())).spawn();
    client.expect_running();
    held.listen(1).unwrap();
    let stream = net::accept(&TcpListener::from(held));
    assert_eq!(net::read_to_fin(&stream), b"at last");
    drop(stream);
    client.wait().expect_code(0);
}

fn nobody_answers() {
    let (_queue, port) = net::unanswering_port();
    let place = format!("127.0.0.1:{port}");
    times_out(&format!("connect -w 300ms {place}"), &[&place, "300ms"]);
    times_out(&format!("connect -w 100ms --retry 1 --retry-delay 50ms {place}"), &[&place]);
    times_out(&format!("connect --timeout 300ms {place}"), &["--timeout", "300ms"]);
}

fn nobody_comes() {
    for protocol in ["-t", "-u"] {
        for limit in ["--accept-timeout", "--timeout"] {
            let line = format!("listen --quiet {protocol} {limit} 300ms 127.0.0.1 0");
            times_out(&line, &[limit, "300ms"]);
        }
    }
}

fn the_accept_timeout_is_for_the_first_peer_only() {
    let server = pktcat_line("listen --accept-timeout 2 127.0.0.1 0").spawn();
    let stream = net::connect(server.port());
    thread::sleep(Duration::from_millis(2500));
    (&stream).write_all(b"slow").unwrap();
    net::finish(&stream);
    assert_eq!(server.wait().expect_code(0).stdout_text(), "slow");
}

fn nothing_passes() {
    let (listener, port) = net::listener();
    let line = format!("connect --idle-timeout 500ms 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    (&stream).write_all(b"something").unwrap();
    let ended = client.wait().expect_code(5);
    assert_eq!(ended.stdout_text(), "something");
    let words = ["--idle-timeout", "500ms"];
    assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);
}

fn the_idle_timeout_begins_with_the_first_peer() {
    for protocol in ["-t", "-u"] {
        let line = format!("listen {protocol} --idle-timeout 200ms 127.0.0.1 0");
        let server = pktcat_line(&line).stdin(Input::Pipe).spawn();
        let port = server.port();
        server.expect_running();
        let (udp, _) = net::udp();
        let mut kept = None;
        if protocol == "-u" {
            udp.send_to(b"first", ("127.0.0.1", port)).unwrap();
        } else {
            let stream = kept.insert(net::connect(port));
            stream.write_all(b"first").unwrap();
        }
        let ended = server.wait().expect_code(5);
        assert_eq!(ended.stdout_text(), "first", "{protocol}");
    }
}

fn retries_without_a_pause_end_with_the_run() {
    let (_held, port) = net::refusing_port();
    for options in ["", "-u --send x"] {
        let line = format!("connect {options} --retry 4000000000 --retry-delay 0");
        let limit = format!("{line} --timeout 200ms 127.0.0.1 {port}");
        pktcat_line(&limit).run().expect_code(5);
        let client = pktcat_line(&format!("{line} 127.0.0.1 {port}")).spawn();
        client.expect_running();
        client.signal(Signal::SIGTERM);
        client.wait().expect_signal(Signal::SIGTERM);
    }
}

fn a_connected_socket_is_idle_from_the_start() {
    let (_peer, port) = net::udp();
    let line = format!("connect -u -d --idle-timeout 200ms 127.0.0.1 {port}");
    pktcat_line(&line).run().expect_code(5);
}
