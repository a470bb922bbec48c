//! Time limits, each of which ends with status 5, and trying again.

use std::io::Write;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::fcntl::{FcntlArg, fcntl};

use super::{both, client, open, server};
use crate::tests;
use crate::util::{Input, Output, PATIENCE, Rhythm, each_at_once, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        timeout_ends_the_whole_run,
        idle_timeout_ends_a_quiet_connection,
        idle_timeout_starts_anew_with_every_byte,
        idle_timeout_waits_for_the_first_client,
        a_reset_is_told_although_stdout_takes_nothing,
        accept_timeout_ends_a_run_without_clients,
        accept_timeout_is_over_with_the_first_client,
        connect_timeout_ends_an_unanswered_connect,
        retry_waits_until_somebody_listens,
        retry_gives_up_with_the_status_of_the_last_try,
    ]
}

fn timeout_ends_the_whole_run() {
    pktcat_line("listen --timeout 200ms 127.0.0.1 0").stdin(open()).run().expect_code(5);
    pktcat_line("listen -u --timeout 200ms 127.0.0.1 0").stdin(open()).run().expect_code(5);
    let (_kept, port) = net::unanswering_port();
    pktcat_line(&format!("connect --timeout 200ms 127.0.0.1 {port}")).run().expect_code(5);
    each_at_once(both("--timeout 1s", open), |(running, mut peer)| {
        peer.write_all(b"what came before").unwrap();
        let ended = running.wait().expect_code(5);
        assert_eq!(ended.stdout_text(), "what came before");
        assert!(ended.stderr.contains("pktcat: "), "{}", ended.stderr);
    });
}

fn idle_timeout_ends_a_quiet_connection() {
    each_at_once(both("--idle-timeout 500ms", open), |(running, mut peer)| {
        peer.write_all(b"what came before").unwrap();
        assert_eq!(running.wait().expect_code(5).stdout_text(), "what came before");
    });
}

fn idle_timeout_starts_anew_with_every_byte() {
    // Either direction counts. Longer than 2 s in all, and each pause far from it.
    Rhythm::keep(Duration::from_secs(2), |rhythm| {
        let (mut running, mut peer) = client("--idle-timeout 2s", open());
        for _ in 0..3 {
            peer.write_all(b"i").unwrap();
            rhythm.pause(Duration::from_millis(400))?;
            running.send(b"o");
            rhythm.pause(Duration::from_millis(400))?;
        }
        assert!(running.ended().is_none(), "{}", running.stderr_now());
        net::finish(&peer);
        running.close_stdin();
        assert_eq!(running.wait().expect_code(0).stdout_text(), "iii");
        assert_eq!(net::read_to_fin(&peer), b"ooo");
        Some(())
    });
}

fn idle_timeout_waits_for_the_first_client() {
    let line = "listen --idle-timeout 150ms 127.0.0.1 0";
    let running = pktcat_line(line).stdin(open()).spawn();
    let port = running.port();
    running.expect_running();
    let _peer = net::connect(port);
    running.wait().expect_code(5);
}

/// What came before the reset has no room, and nobody makes any.
fn a_reset_is_told_although_stdout_takes_nothing() {
    let (_unread, mut stdout) = std::io::pipe().unwrap();
    let room = fcntl(&stdout, FcntlArg::F_GETPIPE_SZ).unwrap();
    stdout.write_all(&vec![b'.'; usize::try_from(room).unwrap()]).unwrap();
    let (listener, port) = net::listener();
    let line = format!("connect --idle-timeout 500ms -O lines 127.0.0.1 {port}");
    let cmd = pktcat_line(&line).stdin(open()).stdout(Output::Fd(stdout.into()));
    let running = cmd.spawn();
    let mut peer = net::accept(&listener);
    peer.write_all(b"a last line without an end").unwrap();
    net::wait_acknowledged(&peer);
    net::reset(peer);
    let ended = running.wait().expect_code(8);
    assert!(ended.stderr.contains("reset"), "{}", ended.stderr);
}

fn accept_timeout_ends_a_run_without_clients() {
    for protocol in ["", "-u"] {
        let line = format!("listen {protocol} --accept-timeout 200ms 127.0.0.1 0");
        let ended = pktcat_line(&line).stdin(open()).run().expect_code(5);
        assert_eq!(ended.stdout_text(), "");
    }
}

fn accept_timeout_is_over_with_the_first_client() {
    let (running, mut peer) = server("--accept-timeout 2s", Input::Null);
    peer.write_all(b"early, ").unwrap();
    thread::sleep(Duration::from_millis(2200));
    peer.write_all(b"and late").unwrap();
    drop(peer);
    assert_eq!(running.wait().expect_code(0).stdout_text(), "early, and late");
}

fn connect_timeout_ends_an_unanswered_connect() {
    let (_kept, port) = net::unanswering_port();
    for option in ["-w 200ms", "--connect-timeout 0.2"] {
        let ended = pktcat_line(&format!("connect {option} 127.0.0.1 {port}")).run().expect_code(5);
        assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "{}", ended.stderr);
    }
    // Once connected it means nothing any more.
    let (running, mut peer) = client("-w 300ms", Input::Null);
    thread::sleep(Duration::from_millis(500));
    peer.write_all(b"late").unwrap();
    drop(peer);
    assert_eq!(running.wait().expect_code(0).stdout_text(), "late");
}

fn retry_waits_until_somebody_listens() {
    let (socket, port) = net::refusing_port();
    let line = format!("connect --retry 1000 --retry-delay 20ms 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(Input::Bytes(b"at last".into())).spawn();
    running.expect_running();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.listen(1).unwrap();
    let peer = net::accept(&socket.into());
    assert_eq!(net::read_to_fin(&peer), b"at last");
    drop(peer);
    running.wait().expect_code(0);
}

fn retry_gives_up_with_the_status_of_the_last_try() {
    let (_socket, port) = net::refusing_port();
    pktcat_line(&format!("connect --retry 3 --retry-delay 10ms 127.0.0.1 {port}"))
        .run()
        .expect_code(4);
}
