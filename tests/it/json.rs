//! `--json`, black box: every line is an object of the schema that `pktcat-json(5)` tells.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use serde_json::{Map, Value};

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::{Input, Running, net, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_connection_is_told_from_both_ends,
        the_bytes_are_in_the_events_with_x,
        datagrams_are_told_by_peer,
        clients_are_closed_when_the_run_ends,
        who_closes_first_and_the_round_trip_are_told,
        errors_are_events_and_the_status_is_the_same,
        a_broken_connection_is_closed_by_reset,
        quiet_leaves_what_json_was_asked_for,
        the_wall_clock_and_the_steady_clock_agree,
        the_page_tells_of_every_field,
        the_page_has_no_errors needs [Need::Program("mandoc")],
    ]
}

/// What every event has, and what each has besides. `?` marks what may be missing.
const COMMON: &str = "event:string time:string elapsed:number";
const ENDS: &str = "client:number? protocol:string local_address:string local_port:number \
    peer_address:string peer_port:number";
const SCHEMA: [(&str, &str); 10] = [
    ("listening", "protocol:string local_address:string local_port:number"),
    ("connected", "ENDS"),
    ("accepted", "ENDS"),
    ("certificate", "sha256:string"),
    (
        "tls",
        "ENDS version:string? cipher_suite:string? alpn:string? trust:string error:string? certificates:array",
    ),
    ("peer", "ENDS"),
    (
        "data",
        "ENDS direction:string bytes:number offset:number number:number cut_from:number? data:string?",
    ),
    (
        "closed",
        "ENDS reset:boolean sent_bytes:number received_bytes:number duration:number \
         closed_first:string? round_trip:number? retransmissions:number?",
    ),
    ("error", "message:string status:number"),
    (
        "summary",
        "protocol:string final:boolean status:number? sent_bytes:number sent_messages:number received_bytes:number \
         received_messages:number kernel_drops:number? cut:number? peers:number? unsent:number? \
         connections:number? peer_closed_first:number? we_closed_first:number? \
         closed_first:string? round_trip:number? retransmissions:number?",
    ),
];

/// The fields of an event: name, type, whether it may be missing.
fn fields(event: &str) -> Vec<(String, String, bool)> {
    let (_, own) = SCHEMA.iter().find(|(name, _)| *name == event).unwrap_or_else(|| {
        panic!("no event of the schema: {event}");
    });
    let all = format!("{COMMON} {}", own.replace("ENDS", ENDS));
    let field = |word: &str| {
        let (name, kind) = word.split_once(':').unwrap();
        (name.to_owned(), kind.trim_end_matches('?').to_owned(), kind.ends_with('?'))
    };
    all.split_whitespace().map(field).collect()
}

pub(crate) type Object = Map<String, Value>;

/// All lines of a standard error, each checked against the schema.
#[track_caller]
pub(crate) fn events(stderr: &str) -> Vec<Object> {
    let check = |line: &str| {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let Value::Object(object) = value else { panic!("no object: {line}") };
        let fields = fields(object["event"].as_str().unwrap());
        for (name, kind, may_miss) in &fields {
            let kind_here = match object.get(name) {
                Some(Value::String(_)) => "string",
                Some(Value::Number(_)) => "number",
                Some(Value::Bool(_)) => "boolean",
                Some(Value::Array(_)) => "array",
                None if *may_miss => kind,
                other => panic!("{name} is {other:?}: {line}"),
            };
            assert_eq!(kind_here, kind, "{name}: {line}");
        }
        for name in object.keys() {
            assert!(fields.iter().any(|(known, ..)| known == name), "{name}: {line}");
        }
        object
    };
    stderr.lines().map(check).collect()
}

fn names(events: &[Object]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Bytes as an event has them.
fn bytes(event: &Object) -> Vec<u8> {
    hex::decode(event["data"].as_str().unwrap()).unwrap()
}

fn port(server: &Running) -> u64 {
    let line = server.wait_line("{\"event\":\"listening\"");
    events(&line)[0]["local_port"].as_u64().unwrap()
}

fn a_connection_is_told_from_both_ends() {
    let server =
        pktcat_line("listen --json 127.0.0.1 0").stdin(Input::Bytes(b"reply".to_vec())).spawn();
    let port = port(&server);
    let client = pktcat_line(&format!("connect --json 127.0.0.1 {port}"))
        .stdin(Input::Bytes(b"hello".to_vec()))
        .run()
        .expect_code(0);
    let (client, server) = (events(&client.stderr), events(&server.wait().expect_code(0).stderr));
    for (events, first) in [(&client, "connected"), (&server, "accepted")] {
        let names = names(events);
        let own = usize::from(first == "accepted");
        assert_eq!(names[own], first);
        assert_eq!(names[names.len() - 2..], ["closed", "summary"]);
        assert_eq!(names.iter().filter(|name| **name == "data").count(), 2);
        let closed = &events[names.len() - 2];
        assert_eq!((&closed["sent_bytes"], &closed["received_bytes"]), (&5.into(), &5.into()));
        assert_eq!(closed["reset"], false);
        let summary = events.last().unwrap();
        assert_eq!((&summary["final"], &summary["sent_bytes"]), (&true.into(), &5.into()));
    }
    // The two ends tell the same connection.
    assert_eq!(client[0]["local_port"], server[1]["peer_port"]);
    assert_eq!(client[0]["peer_port"], server[1]["local_port"]);
    assert_eq!(client[0]["peer_address"], "127.0.0.1");
}

fn the_bytes_are_in_the_events_with_x() {
    let (listener, port) = net::listener();
    let payload = random(9, 100_000);
    let client = pktcat_line(&format!("connect --json -x 127.0.0.1 {port}"))
        .stdin(Input::Bytes(payload.clone()))
        .spawn();
    let stream = net::accept(&listener);
    assert_same(&net::read_to_fin(&stream), &payload);
    drop(stream);
    let mut all = Vec::new();
    for event in events(&client.wait().expect_code(0).stderr) {
        if event["event"] == "data" {
            assert_eq!(event["direction"], "sent");
            assert_eq!(event["offset"], all.len());
            all.extend(bytes(&event));
            assert_eq!(event["bytes"], bytes(&event).len());
        }
    }
    assert_same(&all, &payload);
}

fn datagrams_are_told_by_peer() {
    let server = pktcat_line("listen -u -x --json --count 6 ::1 0").spawn();
    let port = port(&server);
    let peers: Vec<UdpSocket> = (0..2).map(|_| UdpSocket::bind("[::1]:0").unwrap()).collect();
    for message in [&b"one"[..], b"", b"three"] {
        for peer in &peers {
            peer.send_to(message, ("::1", u16::try_from(port).unwrap())).unwrap();
        }
    }
    let events = events(&server.wait().expect_code(0).stderr);
    assert_eq!(names(&events).iter().filter(|name| **name == "peer").count(), 2);
    for peer in &peers {
        let port = peer.local_addr().unwrap().port();
        let data = |event: &&Object| event["event"] == "data" && event["peer_port"] == port;
        let of_peer: Vec<_> = events.iter().filter(data).collect();
        let numbers: Vec<_> = of_peer.iter().map(|e| e["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let texts: Vec<_> = of_peer.iter().map(|event| bytes(event)).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"three"]);
        assert_eq!(of_peer[0]["peer_address"], "::1");
    }
    let summary = events.last().unwrap();
    assert_eq!((&summary["peers"], &summary["kernel_drops"]), (&2.into(), &0.into()));
}

fn errors_are_events_and_the_status_is_the_same() {
    let (held, port) = net::refusing_port();
    for (line, code) in [
        (format!("connect --json 127.0.0.1 {port}"), 4),
        ("listen --json --accept-timeout 50ms 127.0.0.1 0".to_owned(), 5),
        ("connect --json --hex-file /nonexistent/x 127.0.0.1 9".to_owned(), 6),
        ("listen --json 192.0.2.1 0".to_owned(), 1),
    ] {
        let ended = pktcat_line(&line).run().expect_code(code);
        let events = events(&ended.stderr);
        let error = events.iter().find(|event| event["event"] == "error").unwrap();
        assert_eq!(error["status"], code, "{line}");
        assert!(!error["message"].as_str().unwrap().starts_with("pktcat"), "{line}");
        assert_eq!(names(&events).last(), Some(&"summary"), "{line}");
    }
    drop(held);
    // The command line is read before anybody knows of --json.
    let ended = pktcat_line("connect --json --count 1 127.0.0.1 9").run().expect_code(2);
    assert!(ended.stderr.starts_with("pktcat: usage: "), "{}", ended.stderr);
}

fn a_broken_connection_is_closed_by_reset() {
    let (listener, port) = net::listener();
    let client =
        pktcat_line(&format!("connect --json 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    client.wait_line("{");
    net::reset(stream);
    let events = events(&client.wait().expect_code(8).stderr);
    assert_eq!(names(&events), ["connected", "closed", "error", "summary"]);
    assert_eq!((&events[1]["reset"], &events[2]["status"]), (&true.into(), &8.into()));
}

fn quiet_leaves_what_json_was_asked_for() {
    let (held, port) = net::refusing_port();
    let line = format!("connect --json --quiet 127.0.0.1 {port}");
    let ended = pktcat_line(&line).run().expect_code(4);
    assert_eq!(names(&events(&ended.stderr)), ["error", "summary"]);
    drop(held);
    let (listener, port) = net::listener();
    let line = format!("connect --json --quiet --until-fin --send hello 127.0.0.1 {port}");
    let client = pktcat_line(&line).spawn();
    let stream = net::accept(&listener);
    assert_eq!(net::read_exactly(&stream, 5), b"hello");
    drop(stream);
    let ended = client.wait().expect_code(0);
    let loud = ["connected", "data", "closed", "summary"];
    assert_eq!(names(&events(&ended.stderr)), loud, "{}", ended.stderr);
    let line = "listen --json --quiet --accept-timeout 100ms 127.0.0.1 0";
    let ended = pktcat_line(line).run().expect_code(5);
    assert_eq!(names(&events(&ended.stderr)), ["listening", "error", "summary"]);
}

fn the_wall_clock_and_the_steady_clock_agree() {
    let before = SystemTime::now();
    let server =
        pktcat_line("listen --json --accept-timeout 300ms 127.0.0.1 0").run().expect_code(5);
    let after = SystemTime::now();
    let events = events(&server.stderr);
    let started: Vec<SystemTime> = events
        .iter()
        .map(|event| {
            let time = humantime::parse_rfc3339(event["time"].as_str().unwrap()).unwrap();
            assert!(before - Duration::from_millis(1) < time && time < after);
            time - Duration::from_secs_f64(event["elapsed"].as_f64().unwrap())
        })
        .collect();
    for start in &started {
        let apart = start.duration_since(started[0]).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_micros(10), "{apart:?}");
    }
    assert!(events.last().unwrap()["elapsed"].as_f64().unwrap() >= 0.3);
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man/pktcat-json.5");

fn the_page_tells_of_every_field() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    // What follows is of other commands.
    let page = page.split(".Sh RESULTS").next().unwrap();
    let told: BTreeSet<_> =
        page.lines().filter_map(|line| line.strip_prefix(".It Li ")?.split(' ').next()).collect();
    for (event, _) in SCHEMA {
        assert!(page.contains(&format!(".Ss {event}\n")), "no section for {event}");
        for (name, ..) in fields(event) {
            assert!(told.contains(name.as_str()), "{name} of {event}");
        }
    }
    let known: BTreeSet<_> = SCHEMA.iter().flat_map(|(event, _)| fields(event)).collect();
    for name in told {
        assert!(known.iter().any(|(known, ..)| known == name), "there is no {name}");
    }
}

fn the_page_has_no_errors() {
    let lint = program("mandoc", ["-T", "lint", "-W", "warning", PAGE]).run();
    assert_eq!((lint.stdout_text().as_str(), lint.stderr.as_str()), ("", ""));
}

fn clients_are_closed_when_the_run_ends() {
    let server = pktcat_line("listen -k --json -O lines --count 1 127.0.0.1 0").spawn();
    let mut client = net::connect(u16::try_from(port(&server)).unwrap());
    client.write_all(b"enough\n").unwrap();
    let ended = server.wait().expect_code(0);
    let closed = events(&ended.stderr).iter().filter(|event| event["event"] == "closed").count();
    assert_eq!(closed, 1, "{}", ended.stderr);
}

fn who_closes_first_and_the_round_trip_are_told() {
    for (peer_first, expected) in [(true, "peer"), (false, "us")] {
        let mut server = pktcat_line("listen --json 127.0.0.1 0").stdin(Input::Pipe).spawn();
        let client = net::connect(u16::try_from(port(&server)).unwrap());
        server.wait_line("{\"event\":\"accepted\"");
        if peer_first {
            net::finish(&client);
            server.wait_stdout_end();
            server.close_stdin();
        } else {
            server.close_stdin();
            assert_eq!(net::read_to_fin(&client), b"");
            net::finish(&client);
        }
        let events = events(&server.wait().expect_code(0).stderr);
        let [closed, summary] = &events[events.len() - 2..] else { panic!("{events:?}") };
        for event in [closed, summary] {
            assert_eq!(event["closed_first"], expected);
            assert_eq!(event["retransmissions"], 0);
            let round_trip = event["round_trip"].as_f64().unwrap();
            assert!(round_trip > 0.0 && round_trip < 1.0, "{round_trip} s");
        }
        assert!(closed["duration"].as_f64() <= closed["elapsed"].as_f64());
        let counts = ["connections", "peer_closed_first", "we_closed_first"];
        let counts = counts.map(|name| summary[name].as_u64().unwrap());
        assert_eq!(counts, [1, u64::from(peer_first), u64::from(!peer_first)]);
    }
}
