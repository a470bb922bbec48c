//! How a TLS connection ends: each of the peer's ways, with the status and what was received.

use std::io::Write;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::{connect, here, listen};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, each_at_once, net, pktcat, tls};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_close_notify_ends_receiving_and_sending_goes_on,
        our_end_is_a_close_notify_and_then_a_fin_and_receiving_goes_on,
        a_bare_fin_is_status_8_and_loses_nothing,
        a_bare_fin_may_be_accepted,
        a_peer_that_is_gone_after_its_close_notify_is_no_failure,
        a_reset_is_status_8_with_all_that_came_before,
        an_alert_is_status_9,
        garbage_is_status_9,
        a_peer_that_never_shakes_hands_times_out,
        a_peer_that_leaves_in_the_handshake_is_status_8,
        a_signal_ends_the_stream_as_it_should,
        a_stalled_peer_holds_up_stdin_and_not_memory,
    ]
}

fn a_close_notify_ends_receiving_and_sending_goes_on() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let mut client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    peer.send(b"all I have");
    peer.notify();
    assert_eq!(client.wait_stdout_end(), b"all I have");
    let late = random(7, 300_000);
    client.send(&late);
    client.close_stdin();
    let (got, is_whole) = peer.read_to_end();
    assert_same(&got, &late);
    assert!(is_whole, "a close_notify comes before the FIN");
    client.wait().expect_code(0);
}

fn our_end_is_a_close_notify_and_then_a_fin_and_receiving_goes_on() {
    let (authority, pair) = here();
    for is_listener in [false, true] {
        let (ours, mut peer) = if is_listener {
            let ours = listen(&pair, "").stdin(Input::Bytes(b"question".to_vec())).spawn();
            let socket = net::connect(ours.port());
            let peer = tls::connect(socket, &authority.root(), "localhost");
            (ours, peer)
        } else {
            let (listener, port) = net::listener();
            let ours =
                connect(&authority, port, "").stdin(Input::Bytes(b"question".to_vec())).spawn();
            (ours, tls::serve(net::accept(&listener), &pair))
        };
        assert_eq!(peer.read_to_end(), (b"question".to_vec(), true));
        net::read_to_fin(&peer.socket);
        let answer = random(3, 1_000_000);
        peer.send(&answer);
        peer.notify();
        assert_same(&ours.wait().expect_code(0).stdout, &answer);
    }
}

fn a_bare_fin_is_status_8_and_loses_nothing() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let mut client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    peer.send(b"half a mess");
    net::finish(&peer.socket);
    assert_eq!(client.wait_stdout_end(), b"half a mess");
    client.send(b"still here");
    client.close_stdin();
    assert_eq!(peer.read_to_end(), (b"still here".to_vec(), true));
    let ended = client.wait().expect_code(8);
    assert!(ended.stderr.contains("close_notify"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--accept-fin"), "{}", ended.stderr);
}

fn a_bare_fin_may_be_accepted() {
    let (authority, pair) = here();
    for is_gone in [false, true] {
        let (listener, port) = net::listener();
        let mut client = connect(&authority, port, "--accept-fin").stdin(Input::Pipe).spawn();
        let mut peer = tls::serve(net::accept(&listener), &pair);
        peer.send(b"all of it");
        net::finish(&peer.socket);
        assert_eq!(client.wait_stdout_end(), b"all of it");
        if is_gone {
            // Our close_notify is answered by a reset.
            drop(peer);
        }
        client.close_stdin();
        client.wait().expect_code(0);
    }
}

fn a_peer_that_is_gone_after_its_close_notify_is_no_failure() {
    let (authority, pair) = here();
    for words in ["", "--until-fin", "-d"] {
        let (listener, port) = net::listener();
        let mut client = connect(&authority, port, words).stdin(Input::Pipe).spawn();
        let mut peer = tls::serve(net::accept(&listener), &pair);
        peer.send(b"bye");
        peer.notify();
        drop(peer);
        assert_eq!(client.wait_stdout_end(), b"bye");
        client.close_stdin();
        client.wait().expect_code(0);
    }
}

fn a_reset_is_status_8_with_all_that_came_before() {
    let (authority, pair) = here();
    for (words, is_late) in [("", true), ("", false), ("--accept-fin", false)] {
        let (listener, port) = net::listener();
        let client = connect(&authority, port, words).stdin(Input::Pipe).spawn();
        let mut peer = tls::serve(net::accept(&listener), &pair);
        if !is_late {
            // Data and reset are there together.
            client.signal(Signal::SIGSTOP);
        }
        peer.send(b"before");
        if is_late {
            client.wait_stdout(6);
        }
        net::reset(peer.socket);
        client.signal(Signal::SIGCONT);
        let ended = client.wait().expect_code(8);
        assert_eq!(ended.stdout, b"before");
        assert!(ended.stderr.contains("reset"), "{}", ended.stderr);
    }
}

/// A record of the alert protocol in plain text, or of what looks like payload but cannot be decrypted.
fn an_alert_is_status_9() {
    let (authority, _) = here();
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let mut socket = net::accept(&listener);
    // Fatal, handshake_failure (RFC 8446, B.2).
    socket.write_all(&[21, 3, 3, 0, 2, 2, 40]).unwrap();
    super::refused(client, "handshake_failure");
}

fn garbage_is_status_9() {
    let (authority, pair) = here();
    // Instead of a handshake: a server that speaks something else.
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    net::accept(&listener).write_all(b"220 mail.example.com ESMTP ready\r\n").unwrap();
    super::refused(client, "not TLS");
    let server = listen(&pair, "").spawn();
    net::connect(server.port()).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    super::refused(server, "not TLS");
    // In the middle of the stream: what came before it is written.
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    // Both are there when it looks.
    client.signal(Signal::SIGSTOP);
    peer.send(b"good");
    peer.socket.write_all(&[[23, 3, 3, 0, 40].as_slice(), &[7; 40]].concat()).unwrap();
    client.signal(Signal::SIGCONT);
    let ended = client.wait().expect_code(9);
    assert_eq!(ended.stdout, b"good");
    assert!(ended.stderr.contains("decrypted"), "{}", ended.stderr);
}

fn a_peer_that_never_shakes_hands_times_out() {
    let (authority, pair) = here();
    each_at_once([false, true], |is_listener| {
        if is_listener {
            let server = listen(&pair, "-w 300ms").spawn();
            let silent = net::connect(server.port());
            let ended = server.wait().expect_code(5);
            assert!(ended.stderr.contains("TLS handshake"), "{}", ended.stderr);
            drop(silent);
        } else {
            let (listener, port) = net::listener();
            let client = connect(&authority, port, "-w 300ms").stdin(Input::Pipe).spawn();
            let silent = net::accept(&listener);
            let ended = client.wait().expect_code(5);
            assert!(ended.stderr.contains("TLS handshake"), "{}", ended.stderr);
            drop(silent);
        }
    });
}

fn a_peer_that_leaves_in_the_handshake_is_status_8() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    drop(net::accept(&listener));
    client.wait().expect_code(8);
    let server = listen(&pair, "").spawn();
    drop(net::connect(server.port()));
    let ended = server.wait().expect_code(8);
    assert!(ended.stderr.contains("during the handshake"), "{}", ended.stderr);
}

fn a_signal_ends_the_stream_as_it_should() {
    let (authority, pair) = here();
    // With nothing left to send the peer reads an end.
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    peer.send(b"x");
    client.wait_stdout(1);
    client.signal(Signal::SIGTERM);
    assert_eq!(peer.read_to_end(), (Vec::new(), true));
    client.wait().expect_signal(Signal::SIGTERM);
    // In the handshake it is heard as well.
    let (listener, port) = net::listener();
    let client = connect(&authority, port, "").stdin(Input::Pipe).spawn();
    let silent = net::accept(&listener);
    client.expect_running();
    client.signal(Signal::SIGTERM);
    client.wait().expect_signal(Signal::SIGTERM);
    drop(silent);
}

fn a_stalled_peer_holds_up_stdin_and_not_memory() {
    let (authority, pair) = here();
    let (listener, port) = net::listener();
    let client = pktcat(["connect", "--tls", "127.0.0.1", &port.to_string(), "--ca"])
        .arg(authority.root())
        .stdin(Input::Fd(std::fs::File::open("/dev/zero").unwrap().into()))
        .spawn();
    let mut peer = tls::serve(net::accept(&listener), &pair);
    peer.send(b"the other way is free");
    client.wait_stdout(21);
    let pid = client.pid();
    crate::util::data::settled("stdin to wait", || crate::util::proc::cpu_ticks(pid));
    let kib = crate::util::proc::memory_kib(pid, "VmHWM");
    assert!(kib < 64 * 1024, "{kib} KiB");
    std::thread::sleep(Duration::from_millis(50));
    net::reset(peer.socket);
    client.wait().expect_code(8);
}
