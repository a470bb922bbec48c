//! What a forwarder between datagrams and streams has not sent: it counts as that, and no message is cut off
//! by what looks like an end.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use socket2::SockRef;

use super::datagrams::client_of;
use super::read_to_reset;
use crate::tests;
use crate::util::udp::{receive, receive_from};
use crate::util::{PATIENCE, Rhythm, Running, each_at_once, eventually, net, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_stream_that_takes_nothing_is_reset_and_what_waits_is_not_sent,
        events_tell_what_is_not_sent,
        what_waits_for_a_stream_does_not_keep_it,
        a_stream_that_moves_in_time_is_kept,
        a_client_that_makes_room_leaves_no_half_message,
        a_stop_counts_what_waits,
        a_server_that_is_not_there_gets_nothing_sent,
        a_server_that_has_ended_gets_what_waits,
        what_a_server_said_before_its_reset_is_passed_on,
        the_end_of_the_only_client_tells_what_is_missing,
        a_server_whose_stream_is_no_frames_is_reset,
        a_local_server_that_takes_nothing_is_left,
        frames_before_one_that_is_none_are_sent,
        what_a_client_said_before_its_reset_is_passed_on,
        answers_that_a_client_does_not_take_are_not_sent,
        datagrams_on_their_way_outlive_the_idle_limit,
    ]
}

/// So few that the system keeps them all until they are read.
const COUNT: usize = 60;
const SIZE: usize = 1000;
/// With its length before it.
const FRAME: usize = SIZE + 4;

/// A forwarder with these options from datagrams to a stream that has room for few of them, a client that
/// has sent all, and the server, which has read nothing.
fn stalled(options: &str) -> (Running, UdpSocket, TcpStream) {
    let (listener, port) = net::listener();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let line = format!("forward {options} --sndbuf 8192 udp:0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let client = client_of(&running);
    client.send(&[0; SIZE]).unwrap();
    let server = net::accept(&listener);
    for number in 1..COUNT {
        client.send(&[number as u8; SIZE]).unwrap();
    }
    (running, client, server)
}

/// The number behind these words; 0 where they are not there.
fn number(line: &str, words: &str) -> usize {
    let Some((_, rest)) = line.split_once(words) else { return 0 };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The last line that begins so.
fn last<'a>(text: &'a str, prefix: &str) -> &'a str {
    let found = text.lines().rev().find(|line| line.starts_with(prefix));
    found.unwrap_or_else(|| panic!("no line {prefix:?}: {text}"))
}

/// Checks that the counts of the client and of the run are those of `COUNT` datagrams, of which some were sent
/// and the others were not; how many were not.
#[track_caller]
fn check_counts(text: &str) -> usize {
    let summary = last(text, "sent ");
    let sent = number(summary, " bytes in ");
    let unsent = number(summary, ", not sent ");
    assert_eq!(sent + unsent + number(summary, "kernel drops "), COUNT, "{text}");
    assert!(sent > 0 && unsent > 0, "{text}");
    assert_eq!(number(summary, "sent "), sent * SIZE, "{text}");
    assert_eq!(number(last(text, "#1 closed, "), "#1 closed, "), sent * SIZE, "{text}");
    unsent
}

/// Waits until the program has taken everything that has come to a UDP socket of its.
#[track_caller]
fn all_taken(port: u16) {
    eventually("all datagrams to be taken", || {
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        // Number, local address, remote address, state, tx_queue:rx_queue (proc_pid_net(5)).
        let mut rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let row = rows.find(|row| row[1].ends_with(&format!(":{port:04X}")))?;
        row[4].ends_with(":00000000").then_some(())
    });
}

fn stopped(running: Running) -> String {
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM).stderr
}

fn a_stream_that_takes_nothing_is_reset_and_what_waits_is_not_sent() {
    let (running, client, server) = stalled("-v --idle-timeout 300ms");
    let told = running.wait_line("pktcat: timed out: ");
    running.wait_line("#1 closed, ");
    let came = read_to_reset(&server);
    let text = stopped(running);
    let unsent = check_counts(&text);
    assert!(came.len() / FRAME <= COUNT - unsent, "{} bytes came: {text}", came.len());
    let own = client.local_addr().unwrap();
    let wanted = format!(
        "pktcat: timed out: {unsent} datagrams could not be sent, nothing has passed after 300ms \
         (for #1 {own}; --idle-timeout)"
    );
    assert_eq!(told, wanted);
}

fn event(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap()
}

/// The port of the event that a listener begins with.
fn port_told(running: &Running) -> u16 {
    let listening = event(&running.wait_line("{\"event\":\"listening\""));
    listening["local_port"].as_u64().unwrap() as u16
}

fn events_tell_what_is_not_sent() {
    let (listener, port) = net::listener();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let line = format!("forward --json --idle-timeout 300ms --sndbuf 8192 udp:0 127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let (client, _) = net::udp();
    client.connect(("127.0.0.1", port_told(&running))).unwrap();
    for number in 0..COUNT {
        client.send(&[number as u8; SIZE]).unwrap();
    }
    let server = net::accept(&listener);
    running.wait_line("{\"event\":\"closed\"");
    read_to_reset(&server);
    let text = stopped(running);
    let the = |name: &str| text.lines().map(event).find(|event| event["event"] == name).unwrap();
    let (closed, summary) = (the("closed"), the("summary"));
    let [sent, unsent, drops] =
        ["sent_messages", "unsent", "kernel_drops"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(sent + unsent + drops, COUNT as u64, "{text}");
    assert_eq!(summary["sent_bytes"], sent * SIZE as u64, "{text}");
    assert_eq!(closed["sent_bytes"], summary["sent_bytes"], "{text}");

    // From a stream to datagrams, whose answers are still on their way.
    let (server, port) = net::udp();
    let line = format!("forward --json --impair-down delay=1m 0 udp:127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let mut client = net::connect(port_told(&running));
    client.write_all(b"\0\0\0\x01x").unwrap();
    let (_, route) = receive_from(&server);
    for _ in 0..3 {
        server.send_to(b"answer", route).unwrap();
    }
    all_taken(route.port());
    let text = stopped(running);
    let summary = event(last(&text, "{\"event\":\"summary\""));
    assert_eq!((&summary["unsent"], &summary["protocol"]), (&3.into(), &"tcp".into()), "{text}");
}

fn what_waits_for_a_stream_does_not_keep_it() {
    each_at_once(["", "--impair-up delay=1ms"], |impairment| {
        let (running, client, server) = stalled(&format!("-v --idle-timeout 300ms {impairment}"));
        eventually("it to be forgotten", || {
            client.send(&[0; SIZE]).unwrap();
            running.stderr_now().contains("#1 closed, ").then_some(())
        });
        read_to_reset(&server);
    });
}

fn a_stream_that_moves_in_time_is_kept() {
    Rhythm::keep(Duration::from_secs(1), |rhythm| {
        let (running, _client, mut server) = stalled("-v --idle-timeout 1s");
        for number in 0..COUNT {
            rhythm.pause(Duration::from_millis(30))?;
            let mut frame = [0; FRAME];
            server.read_exact(&mut frame).unwrap();
            assert!(frame[4..].iter().all(|byte| *byte == number as u8));
        }
        assert_eq!(net::read_to_fin(&server), b"");
        let text = stopped(running);
        assert!(text.contains("#1 closed, 60000 bytes up, "), "{text}");
        assert!(!text.contains("not sent"), "{text}");
        Some(())
    });
}

fn a_client_that_makes_room_leaves_no_half_message() {
    let (running, _client, server) = stalled("-v --max-clients 1");
    all_taken(running.port());
    client_of(&running).send(b"").unwrap();
    running.wait_line("#1 closed, ");
    read_to_reset(&server);
    let text = stopped(running);
    assert!(number(last(&text, "sent "), ", not sent ") > 0, "{text}");
    let up = number(last(&text, "#1 closed, "), "#1 closed, ");
    assert!(up > 0 && up < COUNT * SIZE && up.is_multiple_of(SIZE), "{text}");
}

fn a_stop_counts_what_waits() {
    let (running, _client, server) = stalled("-v");
    all_taken(running.port());
    let text = stopped(running);
    read_to_reset(&server);
    check_counts(&text);

    // A server that has not answered yet, and a way that is long.
    let (_held, silent) = net::unanswering_port();
    let (_hearing, port) = net::udp();
    for line in [
        format!("forward -v udp:0 127.0.0.1:{silent}"),
        format!("forward -v -u --impair delay=1m 0 127.0.0.1:{port}"),
    ] {
        let running = pktcat_line(&line).spawn();
        let client = client_of(&running);
        for _ in 0..3 {
            client.send(b"x").unwrap();
        }
        all_taken(running.port());
        let text = stopped(running);
        let summary = last(&text, "sent ");
        assert!(summary.starts_with("sent 0 bytes in 0 datagrams, "), "{text}");
        assert_eq!(number(summary, ", not sent "), 3, "{text}");
        assert!(text.contains("#1 closed, 0 bytes up, "), "{text}");
    }
}

fn a_server_that_is_not_there_gets_nothing_sent() {
    let (_held, port) = net::refusing_port();
    let running = pktcat_line(&format!("forward -v udp:0 127.0.0.1:{port}")).spawn();
    client_of(&running).send(b"anybody?").unwrap();
    running.wait_line("#1 closed, 0 bytes up, ");
    let text = stopped(running);
    assert!(last(&text, "sent ").starts_with("sent 0 bytes in 0 datagrams, "), "{text}");
    assert_eq!(number(last(&text, "sent "), ", not sent "), 1, "{text}");
}

fn a_server_that_has_ended_gets_what_waits() {
    let (running, _client, server) = stalled("-v");
    all_taken(running.port());
    net::finish(&server);
    let came = net::read_to_fin(&server);
    let frames: Vec<_> = came.chunks(FRAME).collect();
    assert_eq!(frames.len(), COUNT);
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.len(), FRAME);
        assert!(frame[4..].iter().all(|byte| *byte == number as u8));
    }
    running.wait_line("#1 closed, 60000 bytes up, ");
}

/// Stops a program until SIGCONT.
fn stop(running: &Running) {
    running.signal(Signal::SIGSTOP);
    eventually("the program to stand", || (proc::state(running.pid()) == 'T').then_some(()));
}

fn what_a_server_said_before_its_reset_is_passed_on() {
    let (running, client, mut server) = stalled("-v");
    all_taken(running.port());
    stop(&running);
    server.write_all(b"\0\0\0\x04last").unwrap();
    net::wait_acknowledged(&server);
    net::reset(server);
    running.signal(Signal::SIGCONT);
    assert_eq!(receive(&client), b"last");
    running.wait_line("pktcat: send: ");
    running.wait_line("#1 closed, ");
    check_counts(&stopped(running));
}

fn the_end_of_the_only_client_tells_what_is_missing() {
    let (running, _client, _server) = stalled("--once --idle-timeout 300ms");
    let ended = running.wait().expect_code(5);
    let told = last(&ended.stderr, "pktcat: send: ");
    assert!(told.ends_with(" datagrams could not be sent"), "{}", ended.stderr);

    let (running, client, mut server) = stalled("--once");
    server.write_all(b"\0\0\0\x06answer").unwrap();
    assert_eq!(receive(&client), b"answer");
    all_taken(running.port());
    net::reset(server);
    let ended = running.wait().expect_code(8);
    assert!(ended.stderr.contains(" datagrams could not be sent\n"), "{}", ended.stderr);
}

fn a_server_whose_stream_is_no_frames_is_reset() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward udp:0 127.0.0.1:{port}")).spawn();
    let client = client_of(&running);
    client.send(b"x").unwrap();
    let mut server = net::accept(&listener);
    server.write_all(b"\0\0\0\x05these\xff\xff\xff\xff").unwrap();
    assert_eq!(receive(&client), b"these");
    assert_eq!(read_to_reset(&server), b"\0\0\0\x01x");
    running.wait_line("pktcat: receive: ");
}

fn a_local_server_that_takes_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("to");
    let listener = UnixListener::bind(&place).unwrap();
    let line = "forward -v --idle-timeout 300ms --sndbuf 8192 udp:0";
    let running = pktcat_line(line).arg(format!("unix:{}", place.display())).spawn();
    let client = client_of(&running);
    for number in 0..COUNT {
        client.send(&[number as u8; SIZE]).unwrap();
    }
    running.wait_line("pktcat: timed out: ");
    running.wait_line("#1 closed, ");
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut came = Vec::new();
    // A local socket knows no resets.
    server.read_to_end(&mut came).unwrap();
    let unsent = check_counts(&stopped(running));
    assert_eq!(came.len() / FRAME, COUNT - unsent);
}

/// A forwarder with these options from a stream to datagrams, a client that has read none of the answers, and
/// the server.
fn unread(options: &str) -> (Running, TcpStream, UdpSocket) {
    let (server, port) = net::udp();
    let line = format!("forward {options} --sndbuf 4096 0 udp:127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x05begin").unwrap();
    let (begin, route) = receive_from(&server);
    assert_eq!(begin, b"begin");
    // More than finds room on the way to the client.
    for _ in 0..40 {
        for _ in 0..20 {
            server.send_to(&[0; SIZE], route).unwrap();
        }
        all_taken(route.port());
    }
    (running, client, server)
}

fn frames_before_one_that_is_none_are_sent() {
    let (server, port) = net::udp();
    let running = pktcat_line(&format!("forward -v 0 udp:127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x02hi\xff\xff\xff\xff").unwrap();
    assert_eq!(receive(&server), b"hi");
    read_to_reset(&client);
    running.wait_line("#1 closed, 2 bytes up, 0 bytes down, ");
}

fn what_a_client_said_before_its_reset_is_passed_on() {
    let (running, mut client, server) = unread("-v");
    stop(&running);
    client.write_all(b"\0\0\0\x04last").unwrap();
    net::wait_acknowledged(&client);
    net::reset(client);
    running.signal(Signal::SIGCONT);
    assert_eq!(receive(&server), b"last");
    running.wait_line("#1 closed, 9 bytes up, ");
}

fn answers_that_a_client_does_not_take_are_not_sent() {
    each_at_once(["-v", "-v --idle-timeout 300ms"], |options| {
        let (running, client, _server) = unread(options);
        if options != "-v" {
            running.wait_line("#1 closed, ");
        }
        let text = stopped(running);
        read_to_reset(&client);
        let summary = last(&text, "sent ");
        let (came, unsent) = (number(summary, "received ") / SIZE, number(summary, ", not sent "));
        assert!(unsent > 0 && unsent < came, "{text}");
    });
}

fn datagrams_on_their_way_outlive_the_idle_limit() {
    let (server, port) = net::udp();
    let line = format!("forward --idle-timeout 100ms --impair delay=500ms 0 udp:127.0.0.1:{port}");
    let running = pktcat_line(&line).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"\0\0\0\x04late").unwrap();
    assert_eq!(receive(&server), b"late");
}
