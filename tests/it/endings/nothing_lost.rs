//! Every byte that was sent arrives, whatever ends right behind it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use socket2::SockRef;

use super::{MakeInput, both, client, empty, open};
use crate::tests;
use crate::util::data::{assert_same, check_random, random, write_random};
use crate::util::{Input, Output, PATIENCE, Rhythm, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_reply_and_a_close_right_behind_it,
        both_directions_at_once_between_two_instances,
        a_slow_reader_loses_nothing_by_linger,
        a_slow_reader_loses_no_datagrams_by_linger,
        what_arrived_before_a_reset_is_written,
        what_arrived_before_a_reset_is_written_while_sending,
        what_arrived_before_a_reset_is_written_when_stdout_is_slow,
    ]
}

/// 200 runs in all. A stdin that never ends does not end by itself: that is what `-d` and `--until-fin` are for.
fn a_reply_and_a_close_right_behind_it() {
    let reply = random(11, 5_000_000);
    let variants: [(&str, MakeInput); 5] =
        [("", empty), ("", || Input::Null), ("", open), ("-d", open), ("--until-fin", open)];
    for round in 0..20 {
        for (options, stdin) in variants {
            for (mut running, mut peer) in both(options, stdin) {
                let sent = peer.write_all(&reply);
                drop(peer);
                sent.unwrap_or_else(|error| panic!("round {round} {options:?}: {error}"));
                assert_same(&running.wait_stdout_end(), &reply);
                if options.is_empty() {
                    running.close_stdin();
                }
                running.wait().expect_code(0);
            }
        }
    }
}

fn both_directions_at_once_between_two_instances() {
    const LENGTH: u64 = 96 << 20;
    let pipes = |line: &str| pktcat_line(line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let mut server = pipes("listen 127.0.0.1 0");
    let mut client = pipes(&format!("connect 127.0.0.1 {}", server.port()));
    let (to_server, from_server) = (server.take_stdin(), server.take_stdout());
    let (to_client, from_client) = (client.take_stdin(), client.take_stdout());
    let threads = [
        thread::spawn(move || write_random(to_server, 12, LENGTH)),
        thread::spawn(move || write_random(to_client, 13, LENGTH)),
        thread::spawn(move || check_random(from_server, 13)),
        thread::spawn(move || check_random(from_client, 12)),
    ];
    for thread in threads {
        assert_eq!(thread.join().unwrap(), LENGTH);
    }
    server.wait().expect_code(0);
    client.wait().expect_code(0);
}

/// `-q` waits for silence of the peer; a reader that is slow is no silence.
fn a_slow_reader_loses_nothing_by_linger() {
    const LENGTH: u64 = 24 << 20;
    let linger = Duration::from_secs(1);
    Rhythm::keep(linger, |rhythm| {
        let (listener, port) = net::listener();
        let line = format!("connect -q 1s 127.0.0.1 {port}");
        let mut running = pktcat_line(&line).stdin(empty()).stdout(Output::Pipe).spawn();
        let peer = net::accept(&listener);
        let (begun, beginning) = channel();
        let writer = thread::spawn(move || {
            begun.send(()).unwrap();
            write_random(peer, 16, LENGTH)
        });
        beginning.recv().unwrap();
        rhythm.pause(Duration::ZERO)?;
        thread::sleep(linger * 3 / 2);
        let came = check_random(running.take_stdout(), 16);
        let ended = running.wait();
        assert_eq!((came, ended.status.code()), (LENGTH, Some(0)));
        assert_eq!(writer.join().unwrap(), LENGTH);
        Some(())
    });
}

fn a_slow_reader_loses_no_datagrams_by_linger() {
    let linger = Duration::from_secs(1);
    Rhythm::keep(linger, |rhythm| {
        // A socket, because pktcat may enlarge a pipe: this one has no room for more than a few datagrams.
        let (mut reader, stdout) = UnixStream::pair().unwrap();
        SockRef::from(&stdout).set_send_buffer_size(4096).unwrap();
        reader.set_read_timeout(Some(PATIENCE)).unwrap();
        let line = "listen -u -q 1s 127.0.0.1 0";
        let running = pktcat_line(line).stdin(open()).stdout(Output::Fd(stdout.into())).spawn();
        let (socket, _) = net::udp();
        socket.connect(("127.0.0.1", running.port())).unwrap();
        rhythm.pause(Duration::ZERO)?;
        // Less than the smallest receive buffer holds.
        let sent = random(17, 60 * 1400);
        for datagram in sent.chunks(1400) {
            socket.send(datagram).unwrap();
        }
        rhythm.pause(Duration::ZERO)?;
        thread::sleep(linger * 3 / 2);
        let mut got = Vec::new();
        reader.read_to_end(&mut got).unwrap();
        running.wait().expect_code(0);
        assert_same(&got, &sent);
        Some(())
    });
}

/// Few enough that they fit into the receiver's buffer, and more than fit into a pipe.
const BEFORE_RESET: usize = 100_003;

fn what_arrived_before_a_reset_is_written() {
    for _ in 0..10 {
        for stdin in [open, empty, || Input::Null] {
            for (running, mut peer) in both("", stdin) {
                let sent = random(14, BEFORE_RESET);
                peer.write_all(&sent).unwrap();
                // What is not acknowledged is thrown away at the sender's side.
                net::wait_acknowledged(&peer);
                net::reset(peer);
                let ended = running.wait().expect_code(8);
                assert_same(&ended.stdout, &sent);
            }
        }
    }
}

fn what_arrived_before_a_reset_is_written_while_sending() {
    for (mut running, mut peer) in both("", open) {
        let stdin = running.take_stdin();
        let writer = thread::spawn(move || write_random(stdin, 15, u64::MAX));
        let sent = random(14, BEFORE_RESET);
        peer.write_all(&sent).unwrap();
        net::wait_acknowledged(&peer);
        net::reset(peer);
        let ended = running.wait().expect_code(8);
        assert_same(&ended.stdout, &sent);
        writer.join().unwrap();
    }
}

fn what_arrived_before_a_reset_is_written_when_stdout_is_slow() {
    for stdin in [open, empty] {
        let (listener, port) = net::listener();
        let line = format!("connect 127.0.0.1 {port}");
        let mut running = pktcat_line(&line).stdin(stdin()).stdout(Output::Pipe).spawn();
        let mut peer = net::accept(&listener);
        let sent = random(14, BEFORE_RESET);
        peer.write_all(&sent).unwrap();
        net::wait_acknowledged(&peer);
        net::reset(peer);
        // Time to notice the reset while the pipe is full; then somebody reads at last.
        thread::sleep(Duration::from_millis(200));
        let mut got = Vec::new();
        running.take_stdout().read_to_end(&mut got).unwrap();
        assert_same(&got, &sent);
        running.wait().expect_code(8);
    }
    let (running, peer) = client("", open());
    net::reset(peer);
    let ended = running.wait().expect_code(8);
    assert!(
        ended.stderr.starts_with("pktcat: ") && ended.stderr.lines().count() == 1,
        "{}",
        ended.stderr
    );
}
