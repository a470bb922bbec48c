//! Descriptors that are closed from the start: 0, 1 and 2 are never taken by something else.

use std::fs;
use std::io::Write;

use libtest_mimic::Trial;

use super::client;
use crate::tests;
use crate::util::{Ended, Input, Output, Running, eventually, net, pktcat, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        closed_stdin_is_an_empty_one,
        closed_stdout_is_dev_null,
        closed_stderr_is_dev_null,
        all_three_closed,
        a_listener_with_all_three_closed,
        a_udp_listener_with_all_three_closed,
    ]
}

#[track_caller]
fn expect_no_sockets(running: &Running) {
    // What passed has shown that the sockets are there; now where.
    let all = proc::descriptors(running.pid());
    for (fd, target) in &all {
        assert!(*fd > 2 || !target.to_string_lossy().starts_with("socket:"), "{all:?}");
    }
    assert!(
        all.iter().any(|(_, target)| target.to_string_lossy().starts_with("socket:")),
        "{all:?}"
    );
}

fn closed_stdin_is_an_empty_one() {
    let (running, mut peer) = client("-v", |pktcat| pktcat.stdin(Input::Closed));
    assert_eq!(net::read_to_fin(&peer), b"");
    peer.write_all(b"hello").unwrap();
    assert_eq!(running.wait_stdout(5), b"hello");
    expect_no_sockets(&running);
    drop(peer);
    running.wait().expect_code(0);
}

fn closed_stdout_is_dev_null() {
    let (running, mut peer) =
        client("-v", |pktcat| pktcat.stdin(Input::Pipe).stdout(Output::Closed));
    with_traffic(running, &mut peer).expect_code(0);
}

fn closed_stderr_is_dev_null() {
    let (running, mut peer) =
        client("-v", |pktcat| pktcat.stdin(Input::Pipe).stderr(Output::Closed));
    // Nor do the lines of -v end in stdout or in the connection.
    assert_eq!(with_traffic(running, &mut peer).expect_code(0).stdout_text(), "hello");
}

fn with_traffic(mut running: Running, peer: &mut std::net::TcpStream) -> Ended {
    running.send(b"ping");
    assert_eq!(net::read_exactly(peer, 4), b"ping");
    peer.write_all(b"hello").unwrap();
    net::wait_acknowledged(peer);
    running.expect_running();
    expect_no_sockets(&running);
    running.close_stdin();
    assert_eq!(net::read_to_fin(peer), b"");
    net::finish(peer);
    running.wait()
}

fn all_three_closed() {
    let (running, mut peer) = client("-v", |pktcat| {
        pktcat.stdin(Input::Closed).stdout(Output::Closed).stderr(Output::Closed)
    });
    assert_eq!(net::read_to_fin(&peer), b"");
    peer.write_all(b"hello").unwrap();
    running.expect_running();
    expect_no_sockets(&running);
    drop(peer);
    running.wait().expect_code(0);
}

/// A listener with nothing open at all, its port in a file.
fn listener(protocol: &str) -> (Running, u16) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("port");
    let running =
        pktcat(["listen", protocol, "-v", "--port-file"]).arg(&file).arg("127.0.0.1").arg("0");
    let running =
        running.stdin(Input::Closed).stdout(Output::Closed).stderr(Output::Closed).spawn();
    let text = eventually("the port file", || fs::read_to_string(&file).ok());
    (running, text.trim_end().parse().unwrap())
}

fn a_listener_with_all_three_closed() {
    let (running, port) = listener("-t");
    expect_no_sockets(&running);
    let mut peer = net::connect(port);
    peer.write_all(b"hello").unwrap();
    running.expect_running();
    expect_no_sockets(&running);
    drop(peer);
    running.wait().expect_code(0);
}

fn a_udp_listener_with_all_three_closed() {
    let (running, port) = listener("-u");
    let (socket, _) = net::udp();
    socket.send_to(b"hello", ("127.0.0.1", port)).unwrap();
    running.expect_running();
    expect_no_sockets(&running);
}
