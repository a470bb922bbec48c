//! Which end of input ends what.

use std::io::Write;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use socket2::SockRef;

use super::{both, client, empty, open, server};
use crate::tests;
use crate::util::data::{assert_same, check_random, random, write_random};
use crate::util::tty::Pty;
use crate::util::{Input, Output, Rhythm, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        the_end_of_stdin_half_closes_and_receiving_goes_on,
        no_shutdown_keeps_the_sending_half_open,
        linger_ends_a_quiet_run,
        linger_starts_anew_with_every_arrival,
        no_stdin_sends_nothing_and_no_fin_before_the_peers,
        send_only_ends_once_all_is_acknowledged,
        send_only_waits_for_a_slow_reader,
        send_only_is_not_done_before_the_acknowledgement,
        until_fin_ends_whatever_stdin_holds,
        a_listener_with_nothing_to_say_holds_its_fin,
        a_client_with_nothing_to_say_half_closes_at_once,
        an_idle_pipe_keeps_the_run_alive_after_the_peers_fin,
        a_flowing_stdin_is_sent_after_the_peers_fin,
        a_flowing_stdin_ends_with_8_when_the_peer_is_gone,
        a_terminal_ends_the_run_at_the_peers_fin,
        a_listener_serves_one_client_only,
        a_listener_takes_its_port_again_at_once,
    ]
}

fn the_end_of_stdin_half_closes_and_receiving_goes_on() {
    for (mut running, mut peer) in both("", open) {
        running.send(b"question");
        running.close_stdin();
        assert_eq!(net::read_to_fin(&peer), b"question");
        running.expect_running();
        peer.write_all(b"a late answer").unwrap();
        drop(peer);
        assert_eq!(running.wait().expect_code(0).stdout_text(), "a late answer");
    }
}

fn no_shutdown_keeps_the_sending_half_open() {
    for (running, mut peer) in both("--no-shutdown", || Input::Bytes(b"question".into())) {
        assert_eq!(net::read_exactly(&peer, 8), b"question");
        net::expect_silence(&peer);
        peer.write_all(b"answer").unwrap();
        net::finish(&peer);
        assert_eq!(running.wait().expect_code(0).stdout_text(), "answer");
    }
}

fn linger_ends_a_quiet_run() {
    for (running, mut peer) in both("-q 500ms", || Input::Bytes(b"question".into())) {
        peer.write_all(b"answer").unwrap();
        assert_eq!(net::read_to_fin(&peer), b"question");
        assert_eq!(running.wait().expect_code(0).stdout_text(), "answer");
    }
    // It does not run before stdin has ended.
    for (mut running, peer) in both("--linger 100ms", open) {
        running.expect_running();
        running.close_stdin();
        assert_eq!(net::read_to_fin(&peer), b"");
        running.wait().expect_code(0);
    }
}

fn linger_starts_anew_with_every_arrival() {
    // Longer than 2 s in all, and each pause far from it.
    Rhythm::keep(Duration::from_secs(2), |rhythm| {
        let (running, mut peer) = client("-q 2s", empty());
        for _ in 0..5 {
            peer.write_all(b"still here ").unwrap();
            rhythm.pause(Duration::from_millis(500))?;
        }
        assert_eq!(running.wait().expect_code(0).stdout_text(), "still here ".repeat(5));
        Some(())
    });
}

fn no_stdin_sends_nothing_and_no_fin_before_the_peers() {
    for options in ["-d", "--no-stdin", "--recv-only"] {
        for (running, mut peer) in both(options, || Input::Bytes(b"not to be sent".into())) {
            net::expect_silence(&peer);
            peer.write_all(b"news").unwrap();
            net::finish(&peer);
            assert_eq!(net::read_to_fin(&peer), b"");
            assert_eq!(running.wait().expect_code(0).stdout_text(), "news");
        }
    }
}

fn send_only_ends_once_all_is_acknowledged() {
    for (running, mut peer) in both("--send-only", || Input::Bytes(b"a report".into())) {
        // Neither what the peer says nor that it never closes matters.
        peer.write_all(b"to be discarded").unwrap();
        assert_eq!(net::read_to_fin(&peer), b"a report");
        assert_eq!(running.wait().expect_code(0).stdout_text(), "");
        drop(peer);
    }
}

fn send_only_waits_for_a_slow_reader() {
    // More than the buffers on the way hold: as long as nobody reads, it is not done.
    const LENGTH: u64 = 24 << 20;
    let (mut running, peer) = client("--send-only", open());
    let stdin = running.take_stdin();
    let writer = thread::spawn(move || write_random(stdin, 5, LENGTH));
    running.expect_running();
    assert_eq!(check_random(&peer, 5), LENGTH);
    assert_eq!(writer.join().unwrap(), LENGTH);
    running.wait().expect_code(0);
}

fn send_only_is_not_done_before_the_acknowledgement() {
    let (listener, port) = net::listener();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    // It fits into the sender's buffer, so that stdin ends, and not into the receiver's.
    let sent = random(9, 30_011);
    let line = format!("connect --send-only 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(Input::Bytes(sent.clone())).spawn();
    let peer = net::accept(&listener);
    running.expect_running();
    assert_same(&net::read_to_fin(&peer), &sent);
    running.wait().expect_code(0);
}

fn until_fin_ends_whatever_stdin_holds() {
    for (running, mut peer) in both("--until-fin", open) {
        let sent = random(6, 300_007);
        peer.write_all(&sent).unwrap();
        net::finish(&peer);
        assert_same(&running.wait_stdout_end(), &sent);
        running.wait().expect_code(0);
    }
}

fn a_listener_with_nothing_to_say_holds_its_fin() {
    for stdin in [Input::Null, Input::Closed] {
        let (running, mut peer) = server("", stdin);
        // A client that quits at a FIN would quit here.
        net::expect_silence(&peer);
        peer.write_all(b"all of it").unwrap();
        net::finish(&peer);
        assert_eq!(net::read_to_fin(&peer), b"");
        assert_eq!(running.wait().expect_code(0).stdout_text(), "all of it");
    }
}

fn a_client_with_nothing_to_say_half_closes_at_once() {
    for stdin in [Input::Null, Input::Closed] {
        let (running, mut peer) = client("", stdin);
        assert_eq!(net::read_to_fin(&peer), b"");
        peer.write_all(b"answer").unwrap();
        drop(peer);
        assert_eq!(running.wait().expect_code(0).stdout_text(), "answer");
    }
    // A listener whose stdin is an empty pipe is no exception either.
    let (running, peer) = server("", empty());
    assert_eq!(net::read_to_fin(&peer), b"");
    drop(peer);
    running.wait().expect_code(0);
}

fn an_idle_pipe_keeps_the_run_alive_after_the_peers_fin() {
    for (mut running, mut peer) in both("", open) {
        peer.write_all(b"last words").unwrap();
        net::finish(&peer);
        // stdout is closed at once: what reads it goes on.
        assert_eq!(running.wait_stdout_end(), b"last words");
        running.expect_running();
        running.close_stdin();
        running.wait().expect_code(0);
    }
}

fn a_flowing_stdin_is_sent_after_the_peers_fin() {
    for (mut running, peer) in both("", open) {
        net::finish(&peer);
        assert_eq!(running.wait_stdout_end(), b"");
        const LENGTH: u64 = 3_000_017;
        let stdin = running.take_stdin();
        let writer = thread::spawn(move || write_random(stdin, 7, LENGTH));
        assert_eq!(check_random(&peer, 7), LENGTH);
        assert_eq!(writer.join().unwrap(), LENGTH);
        running.wait().expect_code(0);
    }
}

fn a_flowing_stdin_ends_with_8_when_the_peer_is_gone() {
    for (mut running, peer) in both("", open) {
        drop(peer);
        assert_eq!(running.wait_stdout_end(), b"");
        // The first bytes provoke a reset, further ones find the connection broken.
        let stdin = running.take_stdin();
        thread::spawn(move || write_random(stdin, 8, u64::MAX));
        running.wait().expect_code(8);
    }
}

fn a_terminal_ends_the_run_at_the_peers_fin() {
    let pty = Pty::open();
    for (running, mut peer) in
        [client("", Input::Fd(pty.slave_fd())), server("", Input::Fd(pty.slave_fd()))]
    {
        peer.write_all(b"bye").unwrap();
        net::finish(&peer);
        assert_eq!(running.wait().expect_code(0).stdout_text(), "bye");
    }
}

fn a_listener_serves_one_client_only() {
    let running = pktcat_line("listen 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let port = running.port();
    let mut peer = net::connect(port);
    // Served: its data comes out. From then on the port is closed.
    peer.write_all(b"x").unwrap();
    running.wait_stdout(1);
    let second = std::net::TcpStream::connect(("127.0.0.1", port));
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    drop(peer);
}

fn a_listener_takes_its_port_again_at_once() {
    // The side that closes first keeps the pair of ports busy for a minute (TIME_WAIT).
    let (running, peer) = server("", empty());
    let port = peer.peer_addr().unwrap().port();
    assert_eq!(net::read_to_fin(&peer), b"");
    drop(peer);
    running.wait().expect_code(0);
    let line = format!("listen -v 127.0.0.1 {port}");
    let again = pktcat_line(&line).stdout(Output::Null).spawn();
    assert_eq!(again.port(), port);
}
