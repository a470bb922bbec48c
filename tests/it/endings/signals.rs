//! SIGINT and SIGTERM end a run by that signal, SIGUSR1 reports.

use std::io::Write;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{both, client, open};
use crate::tests;
use crate::util::{A_WHILE, Input, Output, Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_waiting_listener_ends_by_the_signal,
        an_open_connection_ends_by_the_signal,
        a_stalled_run_ends_by_the_signal,
        a_run_that_is_connecting_ends_by_the_signal,
        a_udp_run_ends_by_the_signal,
        without_v_a_signal_says_nothing,
        usr1_reports_and_the_run_goes_on,
        usr1_reports_before_anybody_is_connected,
    ]
}

const BOTH: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];

/// The summaries on stderr: the lines that are none of the others that `-v` prints.
fn summaries(stderr: &str) -> Vec<&str> {
    let others = ["listening on ", "connected to ", "accepted ", "peer "];
    stderr.lines().filter(|line| !others.iter().any(|other| line.starts_with(other))).collect()
}

/// Pktcat's signal handling is in place once it speaks; a client has spoken when it is connected.
fn listening(options: &str) -> Running {
    let running =
        pktcat_line(&format!("listen -v {options} 127.0.0.1 0")).stdin(Input::Pipe).spawn();
    running.port();
    running
}

fn a_waiting_listener_ends_by_the_signal() {
    for signal in BOTH {
        let running = listening("");
        running.signal(signal);
        let ended = running.wait().expect_signal(signal);
        assert_eq!(summaries(&ended.stderr).len(), 1, "{}", ended.stderr);
    }
}

fn an_open_connection_ends_by_the_signal() {
    for signal in BOTH {
        for (mut running, mut peer) in both("-v", open) {
            running.send(&[b'o'; 12_345]);
            net::read_exactly(&peer, 12_345);
            peer.write_all(&[b'i'; 54_321]).unwrap();
            assert_eq!(running.wait_stdout(54_321).len(), 54_321);
            running.signal(signal);
            let ended = running.wait().expect_signal(signal);
            assert_eq!(ended.stdout.len(), 54_321);
            let summary = summaries(&ended.stderr).join("\n");
            assert!(summary.contains("12345") && summary.contains("54321"), "{}", ended.stderr);
            assert!(!summary.contains('\n'), "{}", ended.stderr);
        }
    }
}

/// Neither a full pipe on stdout nor a peer that reads nothing holds a signal up.
fn a_stalled_run_ends_by_the_signal() {
    for signal in BOTH {
        let (listener, port) = net::listener();
        let line = format!("connect 127.0.0.1 {port}");
        let mut running = pktcat_line(&line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
        let mut peer = net::accept(&listener);
        peer.set_nonblocking(true).unwrap();
        crate::util::data::write_until_stalled(&mut peer, 1);
        let stdin = running.take_stdin();
        let writer =
            std::thread::spawn(move || crate::util::data::write_random(stdin, 2, u64::MAX));
        running.expect_running();
        running.signal(signal);
        running.wait().expect_signal(signal);
        writer.join().unwrap();
    }
}

fn a_run_that_is_connecting_ends_by_the_signal() {
    let (_kept, port) = net::unanswering_port();
    for signal in BOTH {
        let running = pktcat_line(&format!("connect 127.0.0.1 {port}")).spawn();
        running.expect_running();
        running.signal(signal);
        running.wait().expect_signal(signal);
    }
}

fn a_udp_run_ends_by_the_signal() {
    for signal in BOTH {
        let running = listening("-u");
        running.signal(signal);
        let ended = running.wait().expect_signal(signal);
        assert_eq!(summaries(&ended.stderr).len(), 1, "{}", ended.stderr);
    }
}

fn without_v_a_signal_says_nothing() {
    for signal in BOTH {
        let (running, mut peer) = client("", open());
        peer.write_all(b"x").unwrap();
        running.wait_stdout(1);
        running.signal(signal);
        assert_eq!(running.wait().expect_signal(signal).stderr, "");
    }
}

fn usr1_reports_and_the_run_goes_on() {
    for options in ["", "-v"] {
        for (mut running, mut peer) in both(options, open) {
            running.send(&[b'o'; 1_234]);
            net::read_exactly(&peer, 1_234);
            peer.write_all(&[b'i'; 4_321]).unwrap();
            running.wait_stdout(4_321);
            running.signal(Signal::SIGUSR1);
            eventually("the summary so far", || {
                let stderr = running.stderr_now();
                let reported = |line: &&str| line.contains("1234") && line.contains("4321");
                summaries(&stderr).iter().any(reported).then_some(())
            });
            running.send(b"more");
            assert_eq!(net::read_exactly(&peer, 4), b"more");
            peer.write_all(b"too").unwrap();
            drop(peer);
            running.close_stdin();
            let ended = running.wait().expect_code(0);
            assert_eq!(ended.stdout.len(), 4_324);
            let expected = if options == "-v" { 2 } else { 1 };
            assert_eq!(summaries(&ended.stderr).len(), expected, "{}", ended.stderr);
        }
    }
}

fn usr1_reports_before_anybody_is_connected() {
    let mut running = listening("");
    running.signal(Signal::SIGUSR1);
    eventually("the summary so far", || {
        (!summaries(&running.stderr_now()).is_empty()).then_some(())
    });
    std::thread::sleep(A_WHILE);
    let peer = net::connect(running.port());
    running.close_stdin();
    assert_eq!(net::read_to_fin(&peer), b"");
    drop(peer);
    running.wait().expect_code(0);
}
