//! A stream that is led to datagrams: what is to be seen of it, and how it ends.

use std::io::{Read, Write};
use std::net::UdpSocket;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::read_to_reset;
use super::seen::{first, json_port, told};
use crate::tests;
use crate::util::udp::{receive, receive_from};
use crate::util::{Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_refusal_is_the_status_of_the_only_client_unless_somebody_answered,
        a_stream_that_ends_inside_a_message_is_told_of_unasked,
        marks_tell_when_the_client_closed_and_when_the_forwarder_did,
        a_capture_has_the_fins_of_both_sides_in_their_time,
        a_reset_of_the_client_is_its_own_and_one_of_ours_is_not,
        a_stop_tells_what_has_passed,
    ]
}

/// A forwarder with these options from streams to datagrams, and the server.
fn forwarder(options: &str) -> (Running, UdpSocket) {
    let (server, port) = net::udp();
    let line = format!("forward {options} tcp:0 udp:127.0.0.1:{port}");
    (pktcat_line(&line).spawn(), server)
}

fn a_refusal_is_the_status_of_the_only_client_unless_somebody_answered() {
    for (options, ends) in [("", true), ("--idle-timeout 100ms", false)] {
        let (_deaf, port) = net::refusing_udp_port();
        let line = format!("forward --once --lines {options} 0 udp:127.0.0.1:{port}");
        let running = pktcat_line(&line).spawn();
        let mut client = net::connect(running.port());
        client.write_all(b"abc\n").unwrap();
        if ends {
            net::finish(&client);
        }
        let ended = running.wait().expect_code(4);
        let refused = format!("pktcat: receive: 127.0.0.1:{port} (udp): connection refused");
        assert!(ended.stderr.contains(&refused), "{options}: {}", ended.stderr);
        assert_eq!(ended.stderr.matches("refused").count(), 1, "{options}: {}", ended.stderr);
    }

    // Whoever has answered is there.
    let (running, server) = forwarder("--once --lines");
    let mut client = net::connect(running.port());
    client.write_all(b"who?\n").unwrap();
    let (_, route) = receive_from(&server);
    server.send_to(b"me", route).unwrap();
    assert_eq!(net::read_exactly(&client, 3), b"me\n");
    drop(server);
    client.write_all(b"still?\n").unwrap();
    net::finish(&client);
    running.wait().expect_code(0);
}

fn a_stream_that_ends_inside_a_message_is_told_of_unasked() {
    let (running, server) = forwarder("");
    let mut client = net::connect(running.port());
    let own = client.local_addr().unwrap();
    client.write_all(b"\0\0\0\x02hi\0\0\0\x05zz").unwrap();
    net::finish(&client);
    // What was whole is delivered.
    assert_eq!(receive(&server), b"hi");
    assert_eq!(read_to_reset(&client), b"");
    let line = running.wait_line("pktcat: receive: ");
    assert!(line.contains("ends inside a frame, 6 bytes into it"), "{line}");
    assert!(line.ends_with(&format!("(for #1 {own})")), "{line}");
    running.expect_running();
    assert_eq!(running.stderr_now().matches("pktcat: ").count(), 1, "{}", running.stderr_now());

    let (running, _server) = forwarder("--once");
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0").unwrap();
    net::finish(&client);
    let ended = running.wait().expect_code(8);
    assert_eq!(ended.stderr.matches("pktcat: ").count(), 1, "{}", ended.stderr);
}

fn marks_tell_when_the_client_closed_and_when_the_forwarder_did() {
    let (running, server) = forwarder("-v -x --lines");
    let mut client = net::connect(running.port());
    let own = client.local_addr().unwrap();
    client.write_all(b"question\n").unwrap();
    let (_, route) = receive_from(&server);
    net::finish(&client);
    let mark = |what: &str| {
        let mark = format!("tcp #1 {own} {what}\n");
        eventually(&mark, || running.stderr_now().find(&mark))
    };
    // It is told when it is, and not when the client is given up.
    let closed = mark("client closed");
    server.send_to(b"answer", route).unwrap();
    assert_eq!(net::read_to_fin(&client), b"answer\n");
    running.wait_line("#1 closed, 8 bytes up, 6 bytes down, ");
    let (answered, ended) = (mark("6 bytes at 0"), mark("server closed"));
    assert!(closed < answered && answered < ended, "{}", running.stderr_now());
    running.signal(Signal::SIGTERM);
    let text = running.wait().stderr;
    assert!(text.contains(", client closed first"), "{text}");
}

/// Whether each of the TCP packets in a capture comes from this port, and has a FIN, and its payload.
fn packets(capture: &[u8], from: u16) -> Vec<(bool, bool, Vec<u8>)> {
    // 24 bytes of the file, then 16 before each packet (pcap-savefile(5)). IPv4 headers have 20 bytes here.
    let (mut rest, mut packets) = (&capture[24..], Vec::new());
    while rest.len() > 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        let segment = &rest[16 + 20..16 + length];
        let port = u16::from_be_bytes([segment[0], segment[1]]);
        let header = 4 * usize::from(segment[12] >> 4);
        packets.push((port == from, segment[13] & 1 != 0, segment[header..].to_vec()));
        rest = &rest[16 + length..];
    }
    packets
}

fn a_capture_has_the_fins_of_both_sides_in_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capture");
    let (running, server) = forwarder(&format!("--once --lines --json --pcap {}", file.display()));
    let mut client = net::connect(json_port(&running));
    let own = client.local_addr().unwrap().port();
    client.write_all(b"question\n").unwrap();
    let (_, route) = receive_from(&server);
    net::finish(&client);
    // The forwarder reads the FIN before the answer is there.
    eventually("the FIN to be read", || {
        let capture = std::fs::read(&file).unwrap();
        (capture.len() > 24 && packets(&capture, own).iter().any(|(_, fin, _)| *fin)).then_some(())
    });
    server.send_to(b"answer", route).unwrap();
    assert_eq!(net::read_to_fin(&client), b"answer\n");
    let ended = running.wait().expect_code(0);
    let telling: Vec<_> = packets(&std::fs::read(&file).unwrap(), own)
        .into_iter()
        .filter(|(_, fin, payload)| *fin || !payload.is_empty())
        .collect();
    let [question, answer] = [&b"question"[..], b"answer"].map(<[u8]>::to_vec);
    let wanted = [
        (true, false, question),
        (true, true, Vec::new()),
        (false, false, answer),
        (false, true, Vec::new()),
    ];
    assert_eq!(telling, wanted);
    let events = told(&ended.stderr);
    assert_eq!(first(&events, "closed")["closed_first"], "client", "{}", ended.stderr);
}

fn a_reset_of_the_client_is_its_own_and_one_of_ours_is_not() {
    for (is_clients, by, mark) in
        [(true, "client", " client reset\n"), (false, "us", " we reset\n")]
    {
        let (running, server) = forwarder("--json");
        let (dumping, other) = forwarder("-x");
        for (port, server) in [(json_port(&running), server), (dumping.port(), other)] {
            let mut client = net::connect(port);
            client.write_all(b"\0\0\0\x02hi").unwrap();
            assert_eq!(receive(&server), b"hi");
            if is_clients {
                net::reset(client);
            } else {
                client.write_all(b"\xff\xff\xff\xff").unwrap();
                read_to_reset(&client);
            }
        }
        eventually(mark, || dumping.stderr_now().contains(mark).then_some(()));
        running.wait_line("{\"event\":\"closed\"");
        running.signal(Signal::SIGTERM);
        let text = running.wait().stderr;
        let events = told(&text);
        let closed = first(&events, "closed");
        assert_eq!(
            (&closed["reset"], &closed["closed_first"]),
            (&true.into(), &by.into()),
            "{text}"
        );
        let is_told = events.iter().any(|event| event["event"] == "error");
        assert_eq!(is_told, !is_clients, "{text}");
    }
}

fn a_stop_tells_what_has_passed() {
    let (running, server) = forwarder("-v");
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x02hi").unwrap();
    let (_, route) = receive_from(&server);
    server.send_to(b"there", route).unwrap();
    assert_eq!(net::read_exactly(&client, 9), b"\0\0\0\x05there");
    running.signal(Signal::SIGTERM);
    assert!(client.read(&mut [0]).is_err());
    let text = running.wait().stderr;
    assert!(text.contains("#1 closed, 2 bytes up, 5 bytes down, "), "{text}");
}
