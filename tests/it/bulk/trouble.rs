//! Stalls, resets and half-closes in the middle of much data, for every kind of stdin and stdout.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::thread;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::ends::{self, End};
use crate::util::data::{
    Random, assert_same, check_random, random, write_random, write_until_stalled,
};
use crate::util::{A_WHILE, Input, Output, Running, eventually, harness, net, pktcat_line, ways};

/// Enough to be spliced, and more than pipes and sockets hold.
const BULK: u64 = (24 << 20) + 777;

type Case = fn(End, &'static str);

pub(crate) fn tests() -> Vec<Trial> {
    let sinks = [End::Pipe, End::File, End::Append, End::Null, End::Socket];
    let sources = [End::Pipe, End::File, End::Socket];
    let cases: [(&str, &[End], Case); 6] = [
        ("before_a_reset_is_written", &sinks, what_arrived_before_a_reset_is_written),
        ("pause_holds_nothing_back", &sinks, a_pause_holds_nothing_back),
        ("slow_stdout", &[End::Pipe, End::Socket], a_slow_stdout_loses_nothing),
        ("slow_peer", &sources, a_slow_peer_loses_nothing),
        ("reset_while_sending", &sources, a_reset_while_sending),
        ("half_close", &sources, a_half_close_leaves_the_other_direction),
    ];
    let mut tests = Vec::new();
    for (name, ends, case) in cases {
        for &end in ends {
            for &options in ways() {
                let name = format!("{name}_{end:?} {options}").to_lowercase();
                tests.push(harness::test(module_path!(), name.trim_end(), &[], move || {
                    case(end, options)
                }));
            }
        }
    }
    tests
}

/// `pktcat connect -v` with this stdin and stdout, and the peer it is connected to.
fn client(options: &str, stdin: Input, stdout: Output) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect -v {options} 127.0.0.1 {port}"));
    let running = cmd.stdin(stdin).stdout(stdout).spawn();
    (running, net::accept(&listener))
}

/// The receiver is stopped while the last bytes and the reset arrive, so that both wait for it together.
fn what_arrived_before_a_reset_is_written(end: End, options: &str) {
    const LAST: usize = 100_003;
    let dir = tempfile::tempdir().unwrap();
    let sent = random(50, (4 << 20) + LAST);
    let (stdout, check) = ends::drain(end, 50, sent.len() as u64, &dir);
    let (running, mut peer) = client(options, Input::Pipe, stdout);
    peer.write_all(&sent[..sent.len() - LAST]).unwrap();
    net::wait_acknowledged(&peer);
    running.signal(Signal::SIGSTOP);
    peer.write_all(&sent[sent.len() - LAST..]).unwrap();
    net::wait_acknowledged(&peer);
    net::reset(peer);
    running.signal(Signal::SIGCONT);
    let ended = running.wait().expect_code(8);
    assert_eq!(check.written(&ended), sent.len() as u64);
}

/// A peer that stops in the middle: what it has sent is at the other side before it goes on.
fn a_pause_holds_nothing_back(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, check) = ends::drain(end, 51, 2 * BULK, &dir);
    let (running, mut peer) = client(options, Input::Null, stdout);
    let mut random = Random::new(51);
    let mut bytes = vec![0; usize::try_from(BULK).unwrap()];
    for round in 1..=2 {
        random.fill(&mut bytes);
        peer.write_all(&bytes).unwrap();
        match &check {
            ends::Check::Kept(path, before, _) => {
                let wanted = before.len() as u64 + round * BULK;
                eventually("all of it in the file", || {
                    (fs::metadata(path).unwrap().len() == wanted).then_some(())
                });
            }
            ends::Check::Reader(_) | ends::Check::Summary => net::wait_acknowledged(&peer),
        }
        running.expect_running();
    }
    drop(peer);
    assert_eq!(check.written(&running.wait().expect_code(0)), 2 * BULK);
}

fn a_slow_stdout_loses_nothing(end: End, options: &str) {
    // The reader waits for a go-ahead, so that everything in front of it is full.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (stdout, reader) = match end {
        End::Socket => {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            (
                Output::Fd(theirs.into()),
                thread::spawn(move || wait.recv().map(|()| check_random(ours, 52))),
            )
        }
        _ => {
            let (ours, theirs) = std::io::pipe().unwrap();
            (
                Output::Fd(theirs.into()),
                thread::spawn(move || wait.recv().map(|()| check_random(ours, 52))),
            )
        }
    };
    let (running, mut peer) = client(options, Input::Null, stdout);
    peer.set_nonblocking(true).unwrap();
    let taken = write_until_stalled(&mut peer, 52);
    go.send(()).unwrap();
    net::wait_acknowledged(&peer);
    drop(peer);
    running.wait().expect_code(0);
    assert_eq!(reader.join().unwrap(), Ok(taken));
}

fn a_slow_peer_loses_nothing(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, feeder) = ends::feed(end, 53, BULK, &dir);
    let (running, peer) = client(options, stdin, Output::Null);
    thread::sleep(A_WHILE);
    // Some, a stall again, and the rest.
    let mut random = Random::new(53);
    let mut wanted = vec![0; 3_000_017];
    random.fill(&mut wanted);
    assert_same(&net::read_exactly(&peer, wanted.len()), &wanted);
    thread::sleep(A_WHILE);
    let mut rest = vec![0; usize::try_from(BULK).unwrap() - wanted.len()];
    random.fill(&mut rest);
    assert_same(&net::read_to_fin(&peer), &rest);
    drop(peer);
    running.wait().expect_code(0);
    if let Some(feeder) = feeder {
        assert_eq!(feeder.join().unwrap(), BULK);
    }
}

fn a_reset_while_sending(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, feeder) = ends::feed(end, 54, 2 * BULK, &dir);
    let (running, peer) = client(options, stdin, Output::Null);
    assert_same(&net::read_exactly(&peer, 2_000_003), &random(54, 2_000_003));
    // The sender is held up by now, with bytes on the way that nobody will have.
    thread::sleep(A_WHILE);
    net::reset(peer);
    running.wait().expect_code(8);
    if let Some(feeder) = feeder {
        assert!(feeder.join().unwrap() < 2 * BULK);
    }
}

/// Our end first, then the peer's: both directions carry much, one after the other's end.
fn a_half_close_leaves_the_other_direction(end: End, options: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, _feeder) = ends::feed(end, 55, BULK, &dir);
    let (stdout, check) = ends::drain(end, 56, BULK, &dir);
    let (running, peer) = client(options, stdin, stdout);
    assert_eq!(check_random(&peer, 55), BULK);
    running.expect_running();
    assert_eq!(write_random(&peer, 56, BULK), BULK);
    drop(peer);
    assert_eq!(check.written(&running.wait().expect_code(0)), BULK);

    let (stdout, check) = ends::drain(end, 56, BULK, &dir);
    let (mut running, peer) = client(options, Input::Pipe, stdout);
    assert_eq!(write_random(&peer, 56, BULK), BULK);
    net::finish(&peer);
    let stdin = running.take_stdin();
    let writer = thread::spawn(move || write_random(stdin, 57, BULK));
    assert_eq!(check_random(&peer, 57), BULK);
    assert_eq!(writer.join().unwrap(), BULK);
    drop(peer);
    assert_eq!(check.written(&running.wait().expect_code(0)), BULK);
}
