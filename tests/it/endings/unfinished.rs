//! What becomes of a message that the peer has begun, whatever ends the run in the middle of it.

use std::io::Write;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{client, open, server};
use crate::tests;
use crate::util::data::assert_same;
use crate::util::{Ended, Input, Output, Running, each_at_once, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_peer_may_be_inside_a_message_when_the_run_ends,
        clients_may_be_inside_messages_when_the_run_ends,
        without_a_reader_nobody_wants_the_rest_of_a_message,
        the_peers_end_inside_a_frame_is_an_error,
        a_reset_inside_a_message_is_the_error,
    ]
}

/// What a peer sends in a format, one message and the beginning of another, and what is written: a last line
/// needs no newline, and part of a frame is none.
const BEGUN: [(&str, &[u8], &[u8]); 2] = [
    ("frames", b"\0\0\0\x03one\0\0\0\x05tw", b"\0\0\0\x03one"),
    ("lines", b"one\ntw", b"one\ntw\n"),
];

/// What is written of that if only one message is wanted.
fn first(written: &[u8]) -> &[u8] {
    written.strip_suffix(b"tw\n").unwrap_or(written)
}

/// The status of a run that SIGTERM ends.
const TERMINATED: i32 = 128 + 15;

#[track_caller]
fn expect_end(running: Running, status: i32) -> Ended {
    match status {
        TERMINATED => running.wait().expect_signal(Signal::SIGTERM),
        _ => running.wait().expect_code(status),
    }
}

/// Each end of runs in each format.
fn each<'a>(
    ends: &'a [(&'a str, i32)],
) -> impl Iterator<Item = (&'a str, i32, (&'static str, &'static [u8], &'static [u8]))> {
    ends.iter().flat_map(|(options, status)| BEGUN.map(|begun| (*options, *status, begun)))
}

fn the_peer_may_be_inside_a_message_when_the_run_ends() {
    let ends = [
        ("--expect one", 0),
        ("--send x --expect one", 0),
        ("--send x -q 1s", 8),
        ("--count 1", 0),
        ("--send x --expect two -q 1s", 10),
        ("--expect one --send x --timeout 2s", 5),
        ("--timeout 2s", 5),
        ("--idle-timeout 1s", 5),
        ("", TERMINATED),
    ];
    each_at_once(each(&ends), |(options, status, (format, sent, written))| {
        for start in [client, server] {
            let (running, mut peer) = start(&format!("-O {format} {options}"), open());
            peer.write_all(sent).unwrap();
            if status == TERMINATED {
                running.wait_stdout(first(written).len());
                running.signal(Signal::SIGTERM);
            }
            // Only a silence loses what would have been wanted.
            let status = if status == 8 && format == "lines" { 0 } else { status };
            let ended = expect_end(running, status);
            let wanted = if options == "--count 1" { first(written) } else { written };
            assert_same(&ended.stdout, wanted);
            let told = ended.stderr.matches("pktcat: ").count();
            assert_eq!(told, usize::from(matches!(status, 5 | 8 | 10)), "{}", ended.stderr);
            assert_eq!(ended.stderr.contains("inside a frame"), status == 8, "{}", ended.stderr);
        }
    });
}

fn clients_may_be_inside_messages_when_the_run_ends() {
    let ends = [("-q 1s", 0), ("--count 1", 0), ("--timeout 2s", 5), ("", TERMINATED)];
    let many = |(options, status, begun)| {
        ["-k", "--reply x", "-k --discard"].map(|role| (role, options, status, begun))
    };
    each_at_once(each(&ends).flat_map(many), |(role, options, status, (format, sent, written))| {
        let stdin = Input::Bytes(Vec::new());
        let (running, mut peer) = server(&format!("{role} -O {format} {options}"), stdin);
        peer.write_all(sent).unwrap();
        if status == TERMINATED {
            match role {
                "-k --discard" => net::wait_acknowledged(&peer),
                _ => drop(running.wait_stdout(first(written).len())),
            }
            running.signal(Signal::SIGTERM);
        }
        let is_one = role == "--reply x" && options == "-q 1s" && format == "frames";
        let ended = expect_end(running, if is_one { 8 } else { status });
        let wanted = if options == "--count 1" { first(written) } else { written };
        assert_same(&ended.stdout, if role == "-k --discard" { b"" } else { wanted });
        let is_lost = options == "-q 1s" && format == "frames" && role != "-k --discard";
        assert_eq!(ended.stderr.contains("inside a frame"), is_lost, "{}", ended.stderr);
    });
}

fn without_a_reader_nobody_wants_the_rest_of_a_message() {
    each_at_once(each(&[("", 0), ("-k", 0)]), |(options, status, (format, sent, _))| {
        let line = format!("listen -O {format} {options} 127.0.0.1 0");
        let mut running = pktcat_line(&line).stdin(open()).stdout(Output::Pipe).spawn();
        let mut peer = net::connect(running.port());
        drop(running.take_stdout());
        peer.write_all(sent).unwrap();
        let ended = running.wait().expect_code(status);
        assert!(!ended.stderr.contains("pktcat: "), "{}", ended.stderr);
    });
}

fn the_peers_end_inside_a_frame_is_an_error() {
    each_at_once(["", "--until-fin", "--send x -q 9s", "--expect two"], |options| {
        for (format, sent, written) in BEGUN {
            let (mut running, mut peer) = server(&format!("-O {format} {options}"), open());
            peer.write_all(sent).unwrap();
            net::finish(&peer);
            running.close_stdin();
            let status = match (format, options) {
                ("frames", _) => 8,
                (_, "--expect two") => 10,
                _ => 0,
            };
            let ended = running.wait().expect_code(status);
            assert_same(&ended.stdout, written);
            assert_eq!(
                ended.stderr.contains("inside a frame"),
                format == "frames",
                "{}",
                ended.stderr
            );
        }
    });
}

fn a_reset_inside_a_message_is_the_error() {
    each_at_once(
        each(&[("", 8), ("--reply x", 8)]),
        |(options, status, (format, sent, written))| {
            let (running, mut peer) = server(&format!("-O {format} {options}"), open());
            peer.write_all(sent).unwrap();
            net::wait_acknowledged(&peer);
            net::reset(peer);
            let ended = running.wait().expect_code(status);
            assert_same(&ended.stdout, written);
            assert_eq!(ended.stderr.matches("pktcat: ").count(), 1, "{}", ended.stderr);
            assert!(!ended.stderr.contains("inside a frame"), "{}", ended.stderr);
        },
    );
}
