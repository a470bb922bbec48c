//! `pktcat ping`: what each probe finds, and what is said of all of them.

mod awaited;
mod echo;
mod outages;
mod timing;

use std::net::{TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, Output, Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = tests![
        tcp_is_open_refused_or_silent,
        udp_is_answered_refused_or_silent,
        the_status_is_that_of_the_best_answer,
        both_protocols_take_turns,
        a_server_reads_the_end_and_no_error,
        nothing_is_left_in_time_wait,
        every_address_of_a_name_is_asked_until_one_is_there needs [Need::Ipv6],
        json_has_an_object_a_probe_and_one_summary,
        a_signal_asks_for_the_counts,
        sigint_ends_it_with_the_status_of_what_was_found,
        sigterm_ends_it_by_the_signal,
        a_reader_that_left_ends_the_run,
        a_full_disk_is_status_6,
        lines_begin_with_the_time,
        the_round_trips_are_drawn,
        quiet_says_nothing,
        until_open_waits_for_a_service,
        a_late_answer_is_not_the_next_probes,
        silent_probes_hold_nobody_up,
        wrong_words_are_usage_errors,
        a_name_without_an_address_is_status_3,
    ];
    tests.extend(awaited::tests());
    tests.extend(echo::tests());
    tests.extend(outages::tests());
    tests.extend(timing::tests());
    tests
}

#[track_caller]
fn ping(line: &str, status: i32) -> Ended {
    pktcat_line(&format!("ping {line}")).run().expect_code(status)
}

/// A port that sends back every datagram.
fn echo_port() -> u16 {
    echo_from(net::udp().0)
}

/// The same with a socket of the caller's.
fn echo_from(socket: UdpSocket) -> u16 {
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut room = vec![0; 70_000];
        while let Ok((length, peer)) = socket.recv_from(&mut room) {
            drop(socket.send_to(&room[..length], peer));
        }
    });
    port
}

/// Whether a line is the pattern, in which `#` is a time such as `0.21ms`.
fn matches(line: &str, pattern: &str) -> bool {
    let (mut words, mut wanted) = (line.split(' '), pattern.split(' '));
    let is_time = |word: &str| {
        word.strip_suffix("ms").is_some_and(|number| {
            number.split_once('.').is_some_and(|(_, cents)| cents.len() == 2)
                && number.parse::<f64>().is_ok()
        })
    };
    loop {
        match (words.next(), wanted.next()) {
            (None, None) => return true,
            (Some(word), Some("#")) if is_time(word) => {}
            (Some(word), Some(wanted)) if word == wanted => {}
            _ => return false,
        }
    }
}

#[track_caller]
fn expect_lines(ended: &Ended, patterns: &[String]) {
    let text = ended.stdout_text();
    let lines: Vec<_> = text.lines().collect();
    let is_same = lines.len() == patterns.len()
        && lines.iter().zip(patterns).all(|(line, pattern)| matches(line, pattern));
    assert!(is_same, "{patterns:#?}, not\n{text}");
}

fn tcp_is_open_refused_or_silent() {
    let (_listener, open) = net::listener();
    let ended = ping(&format!("--count 3 --interval 20ms 127.0.0.1 {open}"), 0);
    let lines = (1..=3).map(|seq| format!("tcp 127.0.0.1:{open} seq {seq} open #"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    let summary = ended.stderr;
    assert!(summary.contains(&format!("tcp 127.0.0.1:{open}: sent 3, answered 3, lost 0 (0%)")));
    for word in ["min ", "median ", "p99 ", "max ", "jitter "] {
        assert!(summary.contains(word), "{word}: {summary}");
    }
    assert!(!summary.contains("outage"), "{summary}");

    let (_held, closed) = net::refusing_port();
    let ended = ping(&format!("--count 1 127.0.0.1:{closed}"), 4);
    expect_lines(&ended, &[format!("tcp 127.0.0.1:{closed} seq 1 refused #")]);
    assert!(
        ended.stderr.contains("sent 1, answered 0, refused 1, lost 0 (0%)"),
        "{}",
        ended.stderr
    );

    let (_queue, silent) = net::unanswering_port();
    let ended = ping(&format!("--count 2 --interval 20ms -w 200ms 127.0.0.1 {silent}"), 5);
    let lines = (1..=2).map(|seq| format!("tcp 127.0.0.1:{silent} seq {seq} no answer"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    assert!(ended.stderr.contains("sent 2, answered 0, lost 2 (100%)"), "{}", ended.stderr);
}

fn udp_is_answered_refused_or_silent() {
    let port = echo_port();
    let ended = ping(&format!("-u --send hello --count 2 --interval 20ms 127.0.0.1 {port}"), 0);
    let lines = (1..=2).map(|seq| format!("udp 127.0.0.1:{port} seq {seq} answered # 5 bytes"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    // A port without a known service gets an empty datagram, and an empty answer is one.
    let ended = ping(&format!("-u --count 1 127.0.0.1 {port}"), 0);
    expect_lines(&ended, &[format!("udp 127.0.0.1:{port} seq 1 answered # 0 bytes")]);
    let ended = ping(&format!("-u --send-hex 00:01:02 --count 1 127.0.0.1 {port}"), 0);
    expect_lines(&ended, &[format!("udp 127.0.0.1:{port} seq 1 answered # 3 bytes")]);

    let (_deaf, refusing) = net::refusing_udp_port();
    let ended = ping(&format!("-u --count 2 --interval 20ms 127.0.0.1 {refusing}"), 4);
    let lines = (1..=2).map(|seq| format!("udp 127.0.0.1:{refusing} seq {seq} refused #"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());

    let (_mute, silent) = net::udp();
    let ended = ping(&format!("-u --count 1 -w 100ms 127.0.0.1 {silent}"), 5);
    expect_lines(&ended, &[format!("udp 127.0.0.1:{silent} seq 1 no answer")]);
}

fn the_status_is_that_of_the_best_answer() {
    // Nobody listens there over TCP.
    let silent = net::free_port();
    let _mute = UdpSocket::bind(("127.0.0.1", silent)).unwrap();
    ping(&format!("-t -u --count 1 -w 100ms 127.0.0.1 {silent}"), 4);
    let port = echo_port();
    ping(&format!("-t -u --count 1 -w 100ms 127.0.0.1 {port}"), 0);
}

fn both_protocols_take_turns() {
    let (listener, port) = net::listener();
    let socket = UdpSocket::bind(listener.local_addr().unwrap()).unwrap();
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 100]) {
            drop(socket.send_to(b"x", peer));
        }
    });
    let ended = ping(&format!("-t -u --count 2 --interval 200ms 127.0.0.1 {port}"), 0);
    let lines = (1..=2).flat_map(|seq| {
        let place = format!("127.0.0.1:{port} seq {seq}");
        [format!("tcp {place} open #"), format!("udp {place} answered # 1 bytes")]
    });
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    for protocol in ["tcp", "udp"] {
        let wanted = format!("{protocol} 127.0.0.1:{port}: sent 2, answered 2, lost 0 (0%)");
        assert!(ended.stderr.contains(&wanted), "{}", ended.stderr);
    }
}

fn a_server_reads_the_end_and_no_error() {
    let (listener, port) = net::listener();
    let ended = ping(&format!("--count 20 --interval 1ms 127.0.0.1 {port}"), 0);
    drop(ended);
    for _ in 0..20 {
        assert_eq!(net::read_to_fin(&net::accept(&listener)), b"");
    }
}

fn nothing_is_left_in_time_wait() {
    // At an address that nobody else connects to: the machine has connections to any port in TIME_WAIT.
    let listener = TcpListener::bind("127.77.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        for _ in 0..100 {
            net::read_to_fin(&net::accept(&listener));
        }
    });
    ping(&format!("--count 100 --interval 1ms 127.77.0.1 {port}"), 0);
    server.join().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_waiting = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // TIME_WAIT of the kernel's tcp_states.h.
        fields[3] == "06" && fields[2] == format!("01004D7F:{port:04X}")
    };
    assert_eq!(table.lines().skip(1).filter(is_waiting).count(), 0);
}

fn every_address_of_a_name_is_asked_until_one_is_there() {
    // No host is this machine, at both of its addresses; the first is that of IPv6.
    let (_listener, port) = net::listener();
    let ended = ping(&format!("--count 2 --interval 20ms :{port}"), 0);
    let lines = (1..=2).map(|seq| format!("tcp 127.0.0.1:{port} seq {seq} open #"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
    let port = echo_port();
    let ended = ping(&format!("-u --send x --count 2 --interval 20ms :{port}"), 0);
    let lines = (1..=2).map(|seq| format!("udp 127.0.0.1:{port} seq {seq} answered # 1 bytes"));
    expect_lines(&ended, &lines.collect::<Vec<_>>());
}

/// The objects of a run.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn json_has_an_object_a_probe_and_one_summary() {
    let (_listener, port) = net::listener();
    let ended = ping(&format!("-t -u --json --count 2 --interval 20ms 127.0.0.1 {port}"), 0);
    assert_eq!(ended.stderr, "");
    let objects = objects(&ended.stdout_text());
    let (summary, probes) = objects.split_last().unwrap();
    assert_eq!(probes.len(), 4, "{objects:#?}");
    for probe in probes {
        assert_eq!((&probe["event"], &probe["host"]), (&"probe".into(), &"127.0.0.1".into()));
        assert_eq!((&probe["address"], &probe["port"]), (&"127.0.0.1".into(), &port.into()));
        humantime::parse_rfc3339(probe["time"].as_str().unwrap()).unwrap();
        let (left, known) = (probe["left"].as_f64().unwrap(), probe["elapsed"].as_f64().unwrap());
        assert!(left <= known && probe["round_trip_us"].as_f64().unwrap() > 0.0, "{probe}");
        let state = if probe["protocol"] == "tcp" { "open" } else { "refused" };
        assert_eq!(probe["state"], state, "{probe}");
    }
    assert_eq!((&summary["event"], &summary["final"]), (&"summary".into(), &true.into()));
    assert_eq!((&summary["status"], &summary["tcp"]["sent"]), (&0.into(), &2.into()));
    assert_eq!((&summary["tcp"]["answered"], &summary["tcp"]["lost"]), (&2.into(), &0.into()));
    assert!(summary["tcp"]["round_trip_us"]["median"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!((&summary["udp"]["refused"], &summary["udp"]["outages"]), (&2.into(), &1.into()));
    assert_eq!(summary["udp"]["longest_outage"]["over"], false, "{summary}");

    // Whoever is not there has no time.
    let (_mute, silent) = net::udp();
    let ended = ping(&format!("-u --json --timestamps --count 1 -w 50ms 127.0.0.1 {silent}"), 5);
    let objects = self::objects(&ended.stdout_text());
    assert_eq!(objects[0]["state"], "no answer");
    assert!(objects[0]["round_trip_us"].is_null() && objects[0]["bytes"].is_null());
    assert_eq!((&objects[1]["status"], &objects[1]["udp"]["lost"]), (&5.into(), &1.into()));
}

/// A run against this port that has said something.
fn running(options: &str, port: u16) -> Running {
    let running = pktcat_line(&format!("ping --interval 10ms {options} 127.0.0.1 {port}")).spawn();
    running.wait_stdout(1);
    running
}

fn a_signal_asks_for_the_counts() {
    let (_listener, port) = net::listener();
    let run = running("", port);
    run.signal(Signal::SIGUSR1);
    run.wait_line(&format!("tcp 127.0.0.1:{port}: sent "));
    run.signal(Signal::SIGINT);
    let ended = run.wait().expect_code(0);
    assert_eq!(ended.stderr.matches(": sent ").count(), 2, "{}", ended.stderr);

    let run = running("--json", port);
    run.signal(Signal::SIGUSR1);
    eventually("a summary", || {
        let text = String::from_utf8(run.stdout_now()).unwrap();
        text.contains("\"final\":false").then_some(())
    });
    run.signal(Signal::SIGINT);
    let ended = run.wait().expect_code(0);
    let all = objects(&ended.stdout_text());
    let summaries: Vec<_> = all.iter().filter(|one| one["event"] == "summary").collect();
    assert!(summaries.len() == 2 && summaries[0]["status"].is_null(), "{summaries:#?}");
    assert_eq!(summaries[1]["status"], 0);
}

fn sigint_ends_it_with_the_status_of_what_was_found() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    for (port, status) in [(open, 0), (closed, 4)] {
        let run = running("", port);
        run.signal(Signal::SIGINT);
        let ended = run.wait().expect_code(status);
        assert!(ended.stderr.contains(": sent "), "{}", ended.stderr);
    }
}

fn sigterm_ends_it_by_the_signal() {
    let (_listener, port) = net::listener();
    let run = running("", port);
    run.signal(Signal::SIGTERM);
    let ended = run.wait().expect_signal(Signal::SIGTERM);
    assert!(ended.stderr.contains(": sent "), "{}", ended.stderr);
}

fn a_reader_that_left_ends_the_run() {
    let (_listener, port) = net::listener();
    let line = format!("ping --interval 5ms 127.0.0.1 {port}");
    let mut run = pktcat_line(&line).stdout(Output::Pipe).spawn();
    drop(run.take_stdout());
    assert_eq!(run.wait().expect_code(0).stderr, "");
}

fn a_full_disk_is_status_6() {
    let (_listener, port) = net::listener();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let line = format!("ping --interval 5ms 127.0.0.1 {port}");
    let ended = pktcat_line(&line).stdout(Output::Fd(full.into())).run().expect_code(6);
    assert!(ended.stderr.contains("stdout: no space left on device"), "{}", ended.stderr);
}

fn lines_begin_with_the_time() {
    let (_listener, port) = net::listener();
    let ended = ping(&format!("--timestamps --count 2 --interval 10ms 127.0.0.1 {port}"), 0);
    for line in ended.stdout_text().lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        humantime::parse_rfc3339(time).unwrap();
        assert_eq!(time.len(), "2026-11-26T17:00:00.000Z".len(), "{line}");
        assert!(rest.starts_with("tcp 127.0.0.1:"), "{line}");
    }
}

fn the_round_trips_are_drawn() {
    let (_listener, port) = net::listener();
    let ended = ping(&format!("--plot --count 20 --interval 5ms 127.0.0.1 {port}"), 0);
    let text = ended.stdout_text();
    assert_eq!(text.lines().filter(|line| line.starts_with("tcp ")).count(), 20, "{text}");
    for words in ["20 replies", "█", "round trip", "probe"] {
        assert!(text.contains(words), "{words:?}: {text}");
    }
}

fn quiet_says_nothing() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    for (port, status) in [(open, 0), (closed, 4)] {
        let ended = ping(&format!("--quiet --count 2 --interval 10ms 127.0.0.1 {port}"), status);
        assert_eq!((ended.stdout_text().as_str(), ended.stderr.as_str()), ("", ""));
    }
}

fn until_open_waits_for_a_service() {
    let (held, port) = net::refusing_port();
    let run = running("--until-open", port);
    let _listener = net::open(held);
    let ended = run.wait().expect_code(0);
    let text = ended.stdout_text();
    let (last, before) =
        text.lines().collect::<Vec<_>>().split_last().map(|(a, b)| (*a, b.to_vec())).unwrap();
    assert!(
        last.contains(" open ") && before.iter().all(|line| line.contains(" refused ")),
        "{text}"
    );

    let (_deaf, port) = net::refusing_udp_port();
    let run = running("-u --until-open", port);
    let socket = net::open_udp(port);
    thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 100]) {
            drop(socket.send_to(b"x", peer));
        }
    });
    run.wait().expect_code(0);

    // It ends by its count, too.
    let (_held, port) = net::refusing_port();
    let ended = ping(&format!("--until-open --count 3 --interval 5ms 127.0.0.1 {port}"), 4);
    assert_eq!(ended.stdout_text().lines().count(), 3);
}

/// The first probe is answered when it was given up, while the second waits for its own answer.
fn a_late_answer_is_not_the_next_probes() {
    let (socket, port) = net::udp();
    let server = thread::spawn(move || {
        let (_, first) = socket.recv_from(&mut [0; 100]).unwrap();
        let (_, second) = socket.recv_from(&mut [0; 100]).unwrap();
        socket.send_to(b"late", first).unwrap();
        thread::sleep(Duration::from_millis(50));
        socket.send_to(b"in time!", second).unwrap();
    });
    let ended = ping(&format!("-u --count 2 --interval 500ms -w 400ms 127.0.0.1 {port}"), 0);
    server.join().unwrap();
    let place = format!("udp 127.0.0.1:{port}");
    let lines = [format!("{place} seq 1 no answer"), format!("{place} seq 2 answered # 8 bytes")];
    expect_lines(&ended, &lines);
}

fn silent_probes_hold_nobody_up() {
    let (mute, port) = net::udp();
    let run = pktcat_line(&format!("ping -u --interval 10ms -w 1m 127.0.0.1 {port}")).spawn();
    // Many leave while the first is still waited for.
    for _ in 0..20 {
        mute.recv_from(&mut [0; 100]).unwrap();
    }
    run.signal(Signal::SIGINT);
    let ended = run.wait().expect_code(5);
    assert!(ended.stdout.is_empty() && !ended.stderr.contains("sent 0, "), "{}", ended.stderr);
}

fn wrong_words_are_usage_errors() {
    for (line, words) in [
        ("127.0.0.1", "the port is missing"),
        ("127.0.0.1 0", "port 0"),
        ("--interval 0 127.0.0.1 9", "--interval"),
        ("-w 0 127.0.0.1 9", "--reply-timeout"),
        ("--send x 127.0.0.1 9", "--udp"),
        ("--size 64 127.0.0.1 9", "--echo"),
        ("--echo --size 15 127.0.0.1 9", "16 to 65507"),
        ("--echo --size 66000 127.0.0.1 9", "16 to 65507"),
        ("-u --echo --send x 127.0.0.1 9", "--send"),
        ("--json --plot 127.0.0.1 9", "--plot"),
        ("--count 0 127.0.0.1 9", "--count"),
        ("-4 ::1 9", "IPv6"),
    ] {
        let ended = ping(line, 2);
        assert!(
            ended.stderr.contains(words) && ended.stderr.lines().count() == 1,
            "{}",
            ended.stderr
        );
    }
}

fn a_name_without_an_address_is_status_3() {
    let ended = ping("-n no.such.name.invalid 9", 3);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    // Where no look-ups are allowed, waiting helps nobody.
    ping("-n --until-open no.such.name.invalid 9", 3);
}
