//! `ping --echo`: messages on one connection or socket.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use libtest_mimic::Trial;

use super::{echo_from, echo_port, expect_lines, ping};
use crate::tests;
use crate::util::net;

pub(super) fn tests() -> Vec<Trial> {
    tests![
        messages_come_back_on_one_connection,
        messages_come_back_on_one_socket,
        members_of_a_group_answer_from_their_own_addresses,
        a_lost_connection_is_made_again,
        a_service_that_is_no_echo_is_named,
        refusals_are_told,
    ]
}

/// The message as every echo has to send it back, whole.
fn messages_come_back_on_one_connection() {
    let (listener, port) = net::listener();
    let server = thread::spawn(move || {
        let mut stream = net::accept(&listener);
        let (mut all, mut room) = (Vec::new(), [0; 7]);
        // In small pieces, as a network may deliver them.
        while let Ok(count @ 1..) = stream.read(&mut room) {
            all.extend_from_slice(&room[..count]);
            stream.write_all(&room[..count]).unwrap();
        }
        all
    });
    let line = format!("--echo --size 100 --count 5 --interval 10ms 127.0.0.1 {port}");
    let ended = ping(&line, 0);
    let lines = (1..=5).map(|seq| format!("tcp 127.0.0.1:{port} seq {seq} answered # 100 bytes"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    assert_eq!(server.join().unwrap().len(), 500);
}

fn messages_come_back_on_one_socket() {
    let port = echo_port();
    for (options, size) in [("", 64), ("--size 16", 16), ("--size 65507", 65_507)] {
        let line = format!("-u --echo {options} --count 3 --interval 10ms 127.0.0.1 {port}");
        let ended = ping(&line, 0);
        let lines =
            (1..=3).map(|seq| format!("udp 127.0.0.1:{port} seq {seq} answered # {size} bytes"));
        expect_lines(&ended, &lines.collect::<Vec<_>>());
    }
    // Both of this machine's addresses are asked until one has answered.
    let ended = ping(&format!("-u --echo --count 2 --interval 50ms :{port}"), 0);
    let lines = (1..=2).map(|seq| format!("udp 127.0.0.1:{port} seq {seq} answered # 64 bytes"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
}

fn members_of_a_group_answer_from_their_own_addresses() {
    let group = "239.255.77.2";
    let Some((member, _)) = net::group_member(group) else { return };
    let port = echo_from(member);
    for options in ["--echo", "--send x"] {
        ping(&format!("-u {options} --count 1 -w 10s {group} {port}"), 0);
    }
}

fn echo_once(listener: &TcpListener) {
    let mut stream = net::accept(listener);
    let mut room = [0; 64];
    stream.read_exact(&mut room).unwrap();
    stream.write_all(&room).unwrap();
}

fn a_lost_connection_is_made_again() {
    let (listener, port) = net::listener();
    let server = thread::spawn(move || (0..3).for_each(|_| echo_once(&listener)));
    let line = format!("--echo --count 3 --interval 100ms -w 80ms 127.0.0.1 {port}");
    let ended = ping(&line, 0);
    server.join().unwrap();
    let lines = (1..=3).map(|seq| format!("tcp 127.0.0.1:{port} seq {seq} answered # 64 bytes"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    assert_eq!(ended.stderr.matches("closed by the peer").count(), 1, "{}", ended.stderr);
}

fn a_service_that_is_no_echo_is_named() {
    let (listener, port) = net::listener();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            drop(stream.write_all(&[b'#'; 64]));
            drop(stream.read(&mut [0; 100]));
        }
    });
    let ended = ping(&format!("--echo --count 2 --interval 50ms 127.0.0.1 {port}"), 5);
    assert!(ended.stderr.contains("echo services (RFC 862)"), "{}", ended.stderr);
}

fn refusals_are_told() {
    let (_held, port) = net::refusing_port();
    let ended = ping(&format!("--echo --count 2 --interval 10ms 127.0.0.1 {port}"), 4);
    let lines = (1..=2).map(|seq| format!("tcp 127.0.0.1:{port} seq {seq} refused #"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    let (_deaf, port) = net::refusing_udp_port();
    let ended = ping(&format!("-u --echo --count 3 --interval 10ms 127.0.0.1 {port}"), 4);
    let lines = (1..=3).map(|seq| format!("udp 127.0.0.1:{port} seq {seq} refused #"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
}
