//! What is to be seen of a forwarder: lines, marks, dumps, events, captures.

use std::io::Write;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{joined, read_to_reset};
use crate::tests;
use crate::util::{Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        lines_and_marks_name_the_client_and_the_side,
        events_carry_the_client,
        a_datagram_client_counts_as_a_peer_when_it_comes,
        a_capture_shows_client_and_server,
        an_end_that_the_forwarder_made_is_laid_to_neither_side,
        a_client_is_reset_where_to_is_not_reached,
        a_client_that_is_reset_for_what_it_sent_is_told_of_unasked,
        a_client_is_there_since_it_came,
        events_of_tls_name_the_client_and_the_side,
    ]
}

/// What a forwarder with `--json` has told, once it has ended.
pub(super) fn told(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The port of a forwarder with `--json`.
pub(super) fn json_port(running: &Running) -> u16 {
    let line = running.wait_line("{\"event\":\"listening\"");
    told(&line)[0]["local_port"].as_u64().unwrap() as u16
}

/// The first event of this name.
#[track_caller]
pub(super) fn first<'a>(events: &'a [Value], name: &str) -> &'a Value {
    events.iter().find(|event| event["event"] == name).unwrap()
}

/// A text with its times replaced.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        word.split_once('.').is_some_and(|(seconds, micros)| {
            micros.len() == 6 && [seconds, micros].iter().all(|part| part.parse::<u32>().is_ok())
        })
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if is_time(word) { "T" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn lines_and_marks_name_the_client_and_the_side() {
    let (running, mut client, mut server) = joined("-v -x");
    let own = client.local_addr().unwrap();
    let to = server.local_addr().unwrap();
    client.write_all(b"ping").unwrap();
    assert_eq!(net::read_exactly(&server, 4), b"ping");
    server.write_all(b"pong").unwrap();
    assert_eq!(net::read_exactly(&client, 4), b"pong");
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"");
    net::finish(&server);
    assert_eq!(net::read_to_fin(&client), b"");
    let closed = running.wait_line("#1 closed");
    let seconds = closed.strip_prefix("#1 closed, 4 bytes up, 4 bytes down, ").unwrap();
    assert!(seconds.ends_with(" s") && seconds.len() >= 7, "{closed}");
    let text = timeless(&running.stderr_now());
    let after_listening = text.split_once('\n').unwrap().1;
    let wanted = format!(
        "#1 accepted {own}\n\
         * T tcp #1 {own} accepted\n\
         #1 connected {to}\n\
         * T tcp #1 {own} connected to {to}\n\
         > T tcp #1 {own} 4 bytes at 0\n\
         00000000  70 69 6e 67                                       |ping|\n\
         < T tcp #1 {own} 4 bytes at 0\n\
         00000000  70 6f 6e 67                                       |pong|\n\
         * T tcp #1 {own} client closed\n\
         * T tcp #1 {own} server closed\n"
    );
    assert_eq!(&after_listening[..wanted.len()], wanted);
    for is_client in [true, false] {
        let (running, client, server) = joined("-v -x");
        running.wait_line("#1 connected ");
        let (one, other) = if is_client { (client, server) } else { (server, client) };
        net::reset(one);
        read_to_reset(&other);
        let side = if is_client { "client" } else { "server" };
        let mark = format!(" {side} reset\n");
        eventually(&mark, || running.stderr_now().contains(&mark).then_some(()));
    }
}

fn events_carry_the_client() {
    let (listener, port) = net::listener();
    let running = pktcat_line(&format!("forward --json -x 0 127.0.0.1:{port}")).spawn();
    let mut client = net::connect(json_port(&running));
    let server = net::accept(&listener);
    let (own, to) = (client.local_addr().unwrap(), server.local_addr().unwrap());
    client.write_all(b"hi").unwrap();
    assert_eq!(net::read_exactly(&server, 2), b"hi");
    drop(server);
    assert_eq!(net::read_to_fin(&client), b"");
    drop(client);
    eventually("closed", || running.stderr_now().contains("\"closed\"").then_some(()));
    running.signal(Signal::SIGTERM);
    let ended = running.wait();
    let events = told(&ended.stderr);
    let event = |name: &str| first(&events, name);
    for name in ["accepted", "connected", "data", "closed"] {
        assert_eq!(event(name)["client"], 1, "{name}");
        assert_eq!(event(name)["protocol"], "tcp");
    }
    assert_eq!(event("accepted")["peer_port"], own.port());
    assert_eq!(event("connected")["peer_port"], to.port());
    assert_eq!(event("data")["peer_port"], own.port());
    assert_eq!(
        (&event("data")["direction"], &event("data")["data"]),
        (&"sent".into(), &"6869".into())
    );
    assert_eq!(event("closed")["sent_bytes"], 2);
    assert_eq!(event("summary")["sent_bytes"], 2);
}

fn a_datagram_client_counts_as_a_peer_when_it_comes() {
    // Whether TO answers or not, and whatever it is.
    let (server, to) = net::udp();
    let running = pktcat_line(&format!("forward --json -u 0 127.0.0.1:{to}")).spawn();
    let port = json_port(&running);
    let (silent, _) = net::udp();
    let (answered, own) = net::udp();
    for client in [&silent, &answered] {
        client.send_to(b"hi", ("127.0.0.1", port)).unwrap();
        let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
        if std::ptr::eq(client, &answered) {
            server.send_to(b"yes", from).unwrap();
            client.recv(&mut [0; 9]).unwrap();
        }
    }
    running.signal(Signal::SIGTERM);
    let text = running.wait().stderr;
    let events = told(&text);
    let of = |client: u64| {
        let names = events.iter().filter(|event| event["client"] == client);
        names.map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of(1), ["accepted", "peer", "connected", "data", "closed"], "{text}");
    assert_eq!(of(2), ["accepted", "peer", "connected", "data", "data", "closed"], "{text}");
    let peers: Vec<_> = events.iter().filter(|event| event["event"] == "peer").collect();
    assert_eq!(peers[1]["peer_port"], own, "{text}");
    assert_eq!(events.last().unwrap()["peers"], 2, "{text}");
}

fn a_capture_shows_client_and_server() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seen.pcap");
    let (running, mut client, mut server) = joined(&format!("--once --pcap {}", file.display()));
    let (own, to) = (client.local_addr().unwrap().port(), server.local_addr().unwrap().port());
    client.write_all(b"question").unwrap();
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"question");
    server.write_all(b"answer").unwrap();
    net::finish(&server);
    assert_eq!(net::read_to_fin(&client), b"answer");
    running.wait().expect_code(0);
    let bytes = std::fs::read(file).unwrap();
    // IPv4 headers have 20 bytes here, behind 24 of the file and 16 of a record (pcap-savefile(5)).
    let ports = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!((ports(24 + 16 + 20), ports(24 + 16 + 22)), (own, to));
    for payload in [&b"question"[..], b"answer"] {
        assert!(bytes.windows(payload.len()).any(|window| window == payload));
    }
}

fn an_end_that_the_forwarder_made_is_laid_to_neither_side() {
    for options in ["--idle-timeout 50ms", "--impair-up reset=4", ""] {
        let (running, mut client, server) = joined(&format!("-v -x {options}"));
        running.wait_line("#1 connected ");
        if options.starts_with("--impair") {
            client.write_all(b"enough").unwrap();
        }
        if !options.is_empty() {
            read_to_reset(&client);
            running.wait_line("#1 closed");
        }
        running.signal(Signal::SIGTERM);
        read_to_reset(&server);
        let text = running.wait().stderr;
        assert!(text.contains(" we reset\n"), "{options}: {text}");
        assert!(text.contains(", we closed first"), "{options}: {text}");
        assert!(!text.contains("client reset") && !text.contains("server reset"), "{text}");
    }
    // It is the client that has ended here, however the rest was cut off.
    let (running, client, server) = joined("-v -x --idle-timeout 50ms");
    running.wait_line("#1 connected ");
    net::finish(&client);
    assert_eq!(net::read_to_fin(&server), b"");
    read_to_reset(&client);
    running.wait_line("#1 closed");
    running.signal(Signal::SIGTERM);
    let text = running.wait().stderr;
    assert!(text.contains(" we reset\n") && text.contains(", client closed first"), "{text}");
}

fn a_client_is_reset_where_to_is_not_reached() {
    let (_held, refusing) = net::refusing_port();
    let (_queue, silent) = net::unanswering_port();
    let (listener, mute) = net::listener();
    // Refused; no answer to a SYN; no answer to TLS; and a client that does not begin TLS itself.
    for line in [
        format!("0 127.0.0.1:{refusing}"),
        format!("0 127.0.0.1:{silent}"),
        format!("--insecure 0 tls:127.0.0.1:{mute}"),
        format!("tls:127.0.0.1:0 127.0.0.1:{mute}"),
    ] {
        let is_refused = line.ends_with(&format!(":{refusing}"));
        let running = pktcat_line(&format!("forward -v -x {line}")).spawn();
        let client = net::connect(running.port());
        running.wait_line("#1 accepted ");
        if is_refused {
            running.wait_line("#1 closed, ");
        }
        // The connection to TO is there, and more is needed.
        let _server = line.contains("--insecure").then(|| net::accept(&listener));
        running.signal(Signal::SIGTERM);
        read_to_reset(&client);
        let text = running.wait().stderr;
        let own = client.local_addr().unwrap();
        assert!(text.contains(&format!(" tcp #1 {own} we reset\n")), "{line}: {text}");
        assert!(text.contains(", we closed first"), "{line}: {text}");

        let running = pktcat_line(&format!("forward --json {line}")).spawn();
        let client = net::connect(json_port(&running));
        running.wait_line("{\"event\":\"accepted\"");
        if is_refused {
            running.wait_line("{\"event\":\"closed\"");
        }
        let _server = line.contains("--insecure").then(|| net::accept(&listener));
        running.signal(Signal::SIGTERM);
        read_to_reset(&client);
        let events = told(&running.wait().stderr);
        assert_eq!(first(&events, "closed")["reset"], true, "{line}: {events:?}");
    }
}

fn a_client_that_is_reset_for_what_it_sent_is_told_of_unasked() {
    let (_server, port) = net::udp();
    let running = pktcat_line(&format!("forward tcp:0 udp:127.0.0.1:{port}")).spawn();
    let mut client = net::connect(running.port());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    read_to_reset(&client);
    let line = running.wait_line("pktcat: receive: ");
    assert!(line.contains("byte 0: a frame of ") && line.contains("for #1 "), "{line}");
}

fn a_client_is_there_since_it_came() {
    let (server, udp) = net::udp();
    let (listener, tcp) = net::listener();
    for line in [
        format!("udp:0 udp:127.0.0.1:{udp}"),
        format!("udp:0 127.0.0.1:{tcp}"),
        format!("0 udp:127.0.0.1:{udp}"),
        format!("0 127.0.0.1:{tcp}"),
    ] {
        let words = format!("forward --json --once --idle-timeout 50ms {line}");
        let running = pktcat_line(&words).spawn();
        let at = ("127.0.0.1", json_port(&running));
        let message = b"\0\0\0\x02hi";
        let client = if line.starts_with("udp:") {
            let (client, _) = net::udp();
            client.send_to(message, at).unwrap();
            None
        } else {
            let mut client = net::connect(at.1);
            client.write_all(message).unwrap();
            Some(client)
        };
        let text = if line.contains("udp:127") {
            assert!(server.recv(&mut [0; 16]).unwrap() > 0);
            running.wait().stderr
        } else {
            let _server = net::accept(&listener);
            running.wait().stderr
        };
        drop(client);
        let events = told(&text);
        let closed = first(&events, "closed");
        let seconds = |value: &Value| value.as_f64().unwrap();
        let came = seconds(&closed["elapsed"]) - seconds(&closed["duration"]);
        // It came after the forwarder had begun to listen, and was accepted then.
        let listening = seconds(&first(&events, "listening")["elapsed"]);
        let accepted = seconds(&first(&events, "accepted")["elapsed"]);
        let rounded = 2e-6;
        let is_right = listening - rounded < came && came < accepted + rounded;
        assert!(is_right, "{line}: came at {came}\n{text}");
    }
}

fn events_of_tls_name_the_client_and_the_side() {
    let server = pktcat_line("listen --tls --echo 127.0.0.1 0").spawn();
    let to = server.port();
    let line = format!("forward --once --insecure --json tls:127.0.0.1:0 tls:127.0.0.1:{to}");
    let running = pktcat_line(&line).spawn();
    let port = json_port(&running);
    let line = format!("connect --tls --insecure --json --send hello 127.0.0.1 {port}");
    let client = pktcat_line(&line).run().expect_code(0);
    let client = told(&client.stderr);
    let own = &first(&client, "connected")["local_port"];
    let events = told(&running.wait().expect_code(0).stderr);
    let all: Vec<_> = events.iter().filter(|event| event["event"] == "tls").collect();
    assert_eq!(all.len(), 2, "{events:?}");
    let [with_client, with_server] = [all[0], all[1]];
    assert_eq!((&with_client["client"], &with_server["client"]), (&1.into(), &1.into()));
    assert_eq!((&with_client["peer_port"], &with_client["local_port"]), (own, &port.into()));
    let connected = first(&events, "connected");
    for field in ["local_port", "peer_port", "local_address", "peer_address", "protocol"] {
        assert_eq!(with_server[field], connected[field], "{field}");
    }
    assert_eq!(with_server["peer_port"], to);
}
