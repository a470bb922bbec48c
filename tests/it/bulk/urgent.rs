//! TCP urgent data: the byte stands outside the stream (tcp(7)), and nothing else is lost by it, however the
//! bytes travel. splice(2) stops in front of it with 0 or `EAGAIN`, which is neither an end nor a wait.

use std::io::Write;
use std::net::TcpStream;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socket2::SockRef;

use super::ends::{self, End};
use crate::util::data::{assert_same, random};
use crate::util::harness::test;
use crate::util::{Cmd, Input, Output, Running, eventually, net, pktcat_line, ways};

/// Enough to be spliced, and more than pipes and sockets hold.
const LENGTH: usize = 1_000_003;

/// What fits into the socket's buffer while nobody reads.
const LAST: usize = 100_003;

type Case = fn(End, &'static str);
type OneCase = fn(&'static str);

pub(crate) fn tests() -> Vec<Trial> {
    let to_ends: [(&str, &[End], Case); 2] = [
        (
            "a_closed_stream_goes_on_behind_urgent_data",
            &[End::Pipe, End::File, End::Append, End::Null, End::Socket],
            closed,
        ),
        ("what_is_behind_urgent_data_comes_before_a_reset", &[End::Pipe, End::File], reset),
    ];
    let others: [(&str, OneCase); 6] = [
        ("an_open_stream_goes_on_behind_urgent_data_pipe", open),
        ("an_open_stream_goes_on_behind_urgent_data_file", open_to_a_file),
        ("urgent_data_again_and_again", many),
        ("urgent_data_of_a_client_of_many", kept_open),
        ("urgent_data_to_an_echo", echoed),
        ("urgent_data_on_a_stdin_that_is_a_socket", stdin),
    ];
    let mut tests = Vec::new();
    for &options in ways() {
        for (name, ends, case) in to_ends {
            for &end in ends {
                let name = format!("{name}_{end:?} {options}").to_lowercase();
                tests.push(test(module_path!(), name.trim_end(), &[], move || case(end, options)));
            }
        }
        for (name, case) in others {
            tests.push(test(
                module_path!(),
                format!("{name} {options}").trim_end(),
                &[],
                move || case(options),
            ));
        }
    }
    tests
}

fn urgent(peer: &TcpStream) {
    assert_eq!(SockRef::from(peer).send_out_of_band(b"!").unwrap(), 1);
}

/// A listener with this stdout, and a client connected to it.
fn listener(options: &str, with: impl FnOnce(Cmd) -> Cmd) -> (Running, TcpStream) {
    let running = with(pktcat_line(&format!("listen -v {options} 127.0.0.1 0"))).spawn();
    let peer = net::connect(running.port());
    (running, peer)
}

/// The receiver is stopped while the mark, what is behind it and the FIN arrive, so that they wait together.
fn closed(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, check) = ends::drain(end, 70, 2 * LENGTH as u64, &dir);
    let (running, mut peer) = listener(options, |cmd| cmd.stdout(stdout));
    let sent = random(70, LENGTH + LAST);
    peer.write_all(&sent[..LENGTH]).unwrap();
    net::wait_acknowledged(&peer);
    running.signal(Signal::SIGSTOP);
    urgent(&peer);
    peer.write_all(&sent[LENGTH..]).unwrap();
    net::wait_acknowledged(&peer);
    drop(peer);
    running.signal(Signal::SIGCONT);
    assert_eq!(check.written(&running.wait().expect_code(0)), sent.len() as u64);
}

/// The mark comes alone, when everything before it has been taken, and what is behind it comes later.
fn open(options: &str) {
    let (running, mut peer) = listener(options, |cmd| cmd);
    let sent = random(71, 2 * LENGTH);
    peer.write_all(&sent[..LENGTH]).unwrap();
    running.wait_stdout(LENGTH);
    urgent(&peer);
    running.expect_running();
    peer.write_all(&sent[LENGTH..]).unwrap();
    running.wait_stdout(2 * LENGTH);
    drop(peer);
    assert_same(&running.wait().expect_code(0).stdout, &sent);
}

fn open_to_a_file(options: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let stdout = Output::Fd(file.reopen().unwrap().into());
    let (running, mut peer) = listener(options, |cmd| cmd.stdout(stdout));
    let sent = random(71, 2 * LENGTH);
    let wait_for = |length| {
        eventually("the bytes in the file", || {
            (file.as_file().metadata().unwrap().len() == length as u64).then_some(())
        });
    };
    peer.write_all(&sent[..LENGTH]).unwrap();
    wait_for(LENGTH);
    urgent(&peer);
    running.expect_running();
    peer.write_all(&sent[LENGTH..]).unwrap();
    wait_for(2 * LENGTH);
    drop(peer);
    running.wait().expect_code(0);
    assert_same(&std::fs::read(file.path()).unwrap(), &sent);
}

/// A socket tells of a reset once. When splicing has met it in front of the mark, reading would see an end.
fn reset(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, check) = ends::drain(end, 72, (LENGTH + LAST) as u64, &dir);
    let (running, mut peer) = listener(options, |cmd| cmd.stdout(stdout));
    let sent = random(72, LENGTH + LAST);
    peer.write_all(&sent[..LENGTH]).unwrap();
    net::wait_acknowledged(&peer);
    running.signal(Signal::SIGSTOP);
    urgent(&peer);
    peer.write_all(&sent[LENGTH..]).unwrap();
    net::wait_acknowledged(&peer);
    net::reset(peer);
    running.signal(Signal::SIGCONT);
    let ended = running.wait().expect_code(8);
    assert_eq!(check.written(&ended), sent.len() as u64);
}

fn many(options: &str) {
    let (running, mut peer) = listener(options, |cmd| cmd);
    let sent = random(73, LENGTH);
    let mut left = &sent[..];
    for length in (0..).map(|round| 40_009 + 1_003 * round) {
        let (part, rest) = left.split_at(left.len().min(length));
        left = rest;
        peer.write_all(part).unwrap();
        net::wait_acknowledged(&peer);
        if left.is_empty() {
            break;
        }
        // A second mark before the first was read would put the first byte into the stream.
        running.wait_stdout(sent.len() - left.len());
        urgent(&peer);
    }
    drop(peer);
    assert_same(&running.wait().expect_code(0).stdout, &sent);
}

fn kept_open(options: &str) {
    let (running, mut peer) =
        listener(&format!("-k --count 2 -O lines {options}"), |cmd| cmd.stdout(Output::Collect));
    let mut other = net::connect(running.port());
    peer.write_all(b"before").unwrap();
    urgent(&peer);
    peer.write_all(b" and behind\n").unwrap();
    running.wait_stdout(18);
    urgent(&other);
    other.write_all(b"other\n").unwrap();
    assert_eq!(running.wait().expect_code(0).stdout_text(), "before and behind\nother\n");
}

fn echoed(options: &str) {
    let (running, mut peer) = listener(&format!("-k --echo {options}"), |cmd| cmd);
    peer.write_all(b"before").unwrap();
    urgent(&peer);
    peer.write_all(b" and behind").unwrap();
    net::finish(&peer);
    assert_eq!(net::read_to_fin(&peer), b"before and behind");
    drop(running);
}

fn stdin(options: &str) {
    let (inner, port) = net::listener();
    let mut feed = net::connect(port);
    let stdin = net::accept(&inner);
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect {options} 127.0.0.1 {port}"));
    let running = cmd.stdin(Input::Fd(stdin.into())).spawn();
    let peer = net::accept(&listener);
    let sent = random(74, LENGTH);
    let feeder = std::thread::spawn({
        let sent = sent.clone();
        move || {
            feed.write_all(&sent[..LENGTH / 2]).unwrap();
            urgent(&feed);
            feed.write_all(&sent[LENGTH / 2..]).unwrap();
        }
    });
    assert_same(&net::read_to_fin(&peer), &sent);
    feeder.join().unwrap();
    drop(peer);
    running.wait().expect_code(0);
}
