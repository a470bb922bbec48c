//! Calls that are interrupted (EINTR), and receiving that fails: the readiness of the descriptor stands, and no
//! event will tell of it again.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::random;
use crate::util::harness::{Need, test};
use crate::util::{Input, Output, net, pktcat_line, udp};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = tests![
        an_error_of_receiving_does_not_hide_the_datagrams_behind_it needs [Need::Strace],
        errors_of_receiving_do_not_keep_the_run_from_ending needs [Need::Strace],
        errors_of_receiving_are_told_once_and_cost_nothing needs [Need::Strace],
        what_a_reader_of_stdin_sees_of_an_interruption_is_no_pause needs [Need::Strace],
        an_interrupted_client_has_sent_nothing needs [Need::Strace],
    ];
    // The loader and the runtime read a few times before there is a descriptor of ours to be read.
    for when in ["6", "7", "8", "9", "10"] {
        let name = format!("an_interrupted_read_of_stdin_{when}");
        tests.push(test(module_path!(), name, &[Need::Strace], move || reading(when)));
    }
    for when in ["1", "2", "3", "5"] {
        for (name, run) in [
            ("an_interrupted_write_to_stdout", writing as fn(&str)),
            ("an_interrupted_send", sending),
            ("an_interrupted_datagram", datagram),
        ] {
            tests.push(test(
                module_path!(),
                format!("{name}_{when}"),
                &[Need::Strace],
                move || run(when),
            ));
        }
    }
    for call in ["read", "write", "sendto", "recvfrom", "splice"] {
        let name = format!("a_signal_is_heard_where_every_{call}_is_interrupted");
        tests.push(test(module_path!(), name, &[Need::Strace], move || heard(call)));
    }
    tests
}

/// Bytes that came before they were read: no event will tell of them twice.
fn reading(when: &str) {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}")).stdin(Input::Pipe);
    let mut running = cmd.injecting(&format!("read:error=EINTR:when={when}")).spawn();
    let peer = net::accept(&listener);
    for _ in 0..3 {
        // Everything has come to rest, so that nothing else wakes it.
        running.expect_running();
        running.send(b"payload");
        assert_eq!(net::read_exactly(&peer, 7), b"payload");
    }
    drop(peer);
    running.close_stdin();
    running.wait().expect_code(0);
}

fn writing(when: &str) {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}"));
    let running = cmd.injecting(&format!("write:error=EINTR:when={when}")).spawn();
    let mut peer = net::accept(&listener);
    for round in 1..=6 {
        std::io::Write::write_all(&mut peer, b"payload").unwrap();
        running.wait_stdout(7 * round);
    }
    drop(peer);
    running.wait().expect_code(0);
}

fn sending(when: &str) {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}")).stdin(Input::Pipe);
    let mut running = cmd.injecting(&format!("sendto:error=EINTR:when={when}")).spawn();
    let peer = net::accept(&listener);
    for _ in 0..6 {
        running.send(b"payload");
        assert_eq!(net::read_exactly(&peer, 7), b"payload");
    }
    drop(peer);
    running.close_stdin();
    running.wait().expect_code(0);
}

fn datagram(when: &str) {
    let (server, port) = net::udp();
    let cmd = pktcat_line(&format!("connect -u -q 0.1 127.0.0.1 {port}")).stdin(Input::Pipe);
    let mut running = cmd.injecting(&format!("sendto:error=EINTR:when={when}")).spawn();
    for _ in 0..6 {
        running.send(b"payload");
        assert_eq!(udp::receive(&server), b"payload");
    }
    running.close_stdin();
    running.wait().expect_code(0);
}

/// Raw input is cut into datagrams where it pauses; an interruption is no pause.
fn what_a_reader_of_stdin_sees_of_an_interruption_is_no_pause() {
    let (server, port) = net::udp();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, random(90, 100_000)).unwrap();
    let stdin = std::fs::File::open(&file).unwrap();
    let options = "-u -q 0.1 --datagram-size 999";
    let cmd = pktcat_line(&format!("connect {options} 127.0.0.1 {port}"));
    let cmd = cmd.stdin(Input::Fd(stdin.into()));
    let running = cmd.injecting("read:error=EINTR:when=6+3").spawn();
    for _ in 0..100 {
        assert_eq!(udp::receive(&server).len(), 999);
    }
    assert_eq!(udp::receive(&server).len(), 100);
    running.wait().expect_code(0);
}

/// A ready-made answer leaves at a client's first data, of which there is none yet.
fn an_interrupted_client_has_sent_nothing() {
    let cmd = pktcat_line("listen -k --reply answer 127.0.0.1 0");
    let running = cmd.injecting("recvfrom:error=EINTR").spawn();
    let peer = net::connect(running.port());
    net::expect_silence(&peer);
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
}

fn heard(call: &str) {
    let cmd = pktcat_line("listen -v 127.0.0.1 0").stdin(Input::Pipe).stderr(Output::Collect);
    let dir = tempfile::tempdir().unwrap();
    let port_file = dir.path().join("port");
    let cmd = cmd.arg("--port-file").arg(&port_file);
    let mut running = cmd.injecting(&format!("{call}:error=EINTR:when=30+")).spawn();
    let port = crate::util::eventually("the port", || {
        std::fs::read_to_string(&port_file).ok()?.trim().parse().ok()
    });
    let peer = net::connect(port);
    peer.set_nonblocking(true).unwrap();
    crate::util::data::write_random(&peer, 91, 400_000);
    let mut stdin = running.take_stdin();
    let feeder = std::thread::spawn(move || {
        drop(std::io::Write::write_all(&mut stdin, &[b'x'; 300_000]));
    });
    running.expect_running();
    let signalled = Instant::now();
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
    assert!(signalled.elapsed() < Duration::from_secs(2), "deaf for {:?}", signalled.elapsed());
    feeder.join().unwrap();
}

/// The calls that receive, with and without the fast ways.
const RECEIVING: &str = "recvmmsg,recvmsg";

fn an_error_of_receiving_does_not_hide_the_datagrams_behind_it() {
    let cmd = pktcat_line("listen -u -q 0.3 127.0.0.1 0");
    let server = udp::listening(cmd.injecting(&format!("{RECEIVING}:error=ENOMEM:when=3")));
    let peer = udp::peer_of(&server);
    for round in 1..=4 {
        peer.send(b"x").unwrap();
        server.wait_stdout(round);
    }
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stderr.matches("cannot allocate memory").count(), 1, "{}", ended.stderr);
}

/// Silence that is none is no success.
fn errors_of_receiving_do_not_keep_the_run_from_ending() {
    for options in ["", "--to-all"] {
        let cmd = pktcat_line(&format!("listen -u -q 0.3 {options} 127.0.0.1 0"));
        let server = udp::listening(cmd.injecting(&format!("{RECEIVING}:error=ENOMEM:when=3+")));
        let peer = udp::peer_of(&server);
        peer.send(b"x").unwrap();
        server.wait_stdout(1);
        peer.send(b"y").unwrap();
        server.wait().expect_code(1);
    }
}

fn errors_of_receiving_are_told_once_and_cost_nothing() {
    let cmd = pktcat_line("listen -u 127.0.0.1 0");
    let server = udp::listening(cmd.injecting(&format!("{RECEIVING}:error=ENOMEM:when=2+")));
    let peer = udp::peer_of(&server);
    peer.send(b"x").unwrap();
    server.wait_line("pktcat: receive: ");
    let before = crate::util::proc::cpu_ticks(server.pid());
    for _ in 0..5 {
        peer.send(b"x").unwrap();
        server.expect_running();
    }
    let ticks = crate::util::proc::cpu_ticks(server.pid()) - before;
    assert!(ticks < 30, "{ticks} clock ticks of processor time");
    server.signal(Signal::SIGTERM);
    let ended = server.wait().expect_signal(Signal::SIGTERM);
    assert_eq!(ended.stderr.matches("cannot allocate memory").count(), 1, "{}", ended.stderr);
}
