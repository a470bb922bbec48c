//! `pktcat scan`: what it says about prepared ports, in which form, and with which status.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::tests;
use crate::util::harness::Need;
use crate::util::tty::Pty;
use crate::util::{Ended, Output, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        tcp_answers_are_told_apart,
        a_single_port_is_shown_whatever_it_answers,
        the_status_says_whether_ports_are_open,
        only_open_ports_are_shown_in_ascending_order,
        a_port_is_asked_once,
        known_ports_have_names,
        json_has_one_object_a_line,
        json_shows_what_text_shows,
        wrong_words_are_usage_errors,
        a_name_without_an_address_is_status_3,
        ipv6 needs [Need::Ipv6],
        this_machine_is_asked_at_all_its_addresses needs [Need::Ipv6],
        verbosity_says_more_or_less_and_changes_nothing,
        a_reader_that_left_ends_the_run,
        a_full_disk_is_status_6,
        a_signal_ends_it_and_what_was_found_is_printed,
        a_signal_asks_for_the_counts,
        probes_keep_the_rate,
        shuffled_ports_are_the_same_ports,
        a_long_scan_shows_a_bar_on_a_terminal,
    ]
}

/// The words after `scan`, and the status that must come.
#[track_caller]
fn scan(line: &str, status: i32) -> Ended {
    pktcat_line(&format!("scan {line}")).run().expect_code(status)
}

/// Lines without the time, which nobody can foretell.
fn without_times(text: &str) -> Vec<String> {
    let is_time =
        |word: &&str| word.ends_with("ms") && word.starts_with(|c: char| c.is_ascii_digit());
    let line =
        |line: &str| line.split(' ').filter(|word| !is_time(word)).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect()
}

/// The numbers of the ports on its lines.
fn shown(ended: &Ended) -> Vec<u16> {
    let port = |line: &str| line.split('/').next().unwrap().parse().unwrap();
    ended.stdout_text().lines().map(port).collect()
}

fn tcp_answers_are_told_apart() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    let (_queue, filtered) = net::unanswering_port();
    let ended = scan(&format!("--all -n -w 300ms 127.0.0.1 {open},{closed},{filtered}"), 4);
    let mut wanted = vec![
        (open, format!("{open}/tcp open")),
        (closed, format!("{closed}/tcp closed")),
        (filtered, format!("{filtered}/tcp filtered")),
    ];
    wanted.sort();
    let wanted: Vec<_> = wanted.into_iter().map(|(_, line)| line).collect();
    assert_eq!(without_times(&ended.stdout_text()), wanted);
    let line = ended.stdout_text().lines().find(|line| line.contains("open")).unwrap().to_owned();
    let time = line.split(' ').nth(2).unwrap().strip_suffix("ms").unwrap().to_owned();
    assert_eq!(time.split('.').nth(1).map(str::len), Some(2), "{line}");
    assert!(time.parse::<f64>().unwrap() < 300.0, "{line}");
    assert!(ended.stderr.starts_with("1 open, 1 closed, 1 filtered"), "{}", ended.stderr);
}

fn a_single_port_is_shown_whatever_it_answers() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    let (_queue, filtered) = net::unanswering_port();
    for (port, word, status) in
        [(open, "open", 0), (closed, "closed", 4), (filtered, "filtered", 5)]
    {
        for options in ["", "--any"] {
            let ended = scan(&format!("-n -w 300ms {options} 127.0.0.1:{port}"), status);
            assert_eq!(without_times(&ended.stdout_text()), [format!("{port}/tcp {word}")]);
        }
    }
}

fn the_status_says_whether_ports_are_open() {
    let (_listener, open) = net::listener();
    let (_other, open_too) = net::listener();
    let (_held, closed) = net::refusing_port();
    let (_queue, filtered) = net::unanswering_port();
    for (ports, all, any) in [
        (vec![open, open_too], 0, 0),
        (vec![open, closed], 4, 0),
        (vec![open, filtered], 5, 0),
        (vec![open, closed, filtered], 4, 0),
        (vec![closed, filtered], 4, 4),
        (vec![filtered, filtered], 5, 5),
    ] {
        let list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        scan(&format!("-w 200ms 127.0.0.1 {list}"), all);
        scan(&format!("-w 200ms --any 127.0.0.1 {list}"), any);
        scan(&format!("-w 200ms --any --json 127.0.0.1 {list}"), any);
    }
}

fn only_open_ports_are_shown_in_ascending_order() {
    let listeners: Vec<_> = (0..5).map(|_| net::listener()).collect();
    let (_held, closed) = net::refusing_port();
    // A port that keeps the others waiting must not change their order.
    let (_queue, filtered) = net::unanswering_port();
    let mut open: Vec<u16> = listeners.iter().map(|(_, port)| *port).collect();
    open.sort_unstable();
    let mut asked: Vec<_> = open.iter().rev().map(ToString::to_string).collect();
    asked.extend([closed.to_string(), filtered.to_string()]);
    let ended = scan(&format!("-w 200ms 127.0.0.1 {}", asked.join(",")), 4);
    assert_eq!(shown(&ended), open);
}

fn a_port_is_asked_once() {
    let (listener, port) = net::listener();
    let ended = scan(&format!("127.0.0.1 {port},{port},{port}-{port}"), 0);
    assert_eq!(shown(&ended), [port]);
    drop(net::accept(&listener));
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "a second connection came");
}

fn known_ports_have_names() {
    // Any privileged port of the system's list that is free here will do.
    let free = ["domain", "http", "https", "telnet", "gopher", "finger"].iter().find_map(|name| {
        let hints = dns_lookup::AddrInfoHints { socktype: libc::SOCK_STREAM, ..Default::default() };
        let mut found = dns_lookup::getaddrinfo(None, Some(name), Some(hints)).ok()?;
        let port = found.next()?.ok()?.sockaddr.port();
        let listener = TcpListener::bind(("127.0.0.1", port)).ok()?;
        Some((*name, port, listener))
    });
    let Some((name, port, _listener)) = free else {
        return;
    };
    for list in [name.to_owned(), port.to_string()] {
        let ended = scan(&format!("127.0.0.1 {list}"), 0);
        assert_eq!(without_times(&ended.stdout_text()), [format!("{port}/tcp open {name}")]);
    }
    let ended = scan(&format!("-n 127.0.0.1 {port}"), 0);
    assert_eq!(without_times(&ended.stdout_text()), [format!("{port}/tcp open")]);
}

fn json_has_one_object_a_line() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    let (_queue, filtered) = net::unanswering_port();
    let ended = scan(&format!("--json --all -w 200ms 127.0.0.1 {open},{closed},{filtered}"), 4);
    let text = ended.stdout_text();
    let objects: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 3, "{text}");
    for (port, state) in [(open, "open"), (closed, "closed"), (filtered, "filtered")] {
        let object = objects.iter().find(|object| object["port"] == port).unwrap();
        let keys: BTreeSet<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted =
            ["event", "host", "port", "protocol", "round_trip_us", "service", "state", "time"];
        assert_eq!(keys, wanted.into());
        assert_eq!((&object["event"], &object["host"]), (&"port".into(), &"127.0.0.1".into()));
        humantime::parse_rfc3339(object["time"].as_str().unwrap()).unwrap();
        assert_eq!((&object["state"], &object["protocol"]), (&state.into(), &"tcp".into()));
        match object["round_trip_us"].as_f64() {
            Some(micros) => assert!((0.0..2e5).contains(&micros), "{object}"),
            None => assert_eq!(state, "filtered", "{object}"),
        }
    }
}

fn json_shows_what_text_shows() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    for options in ["", "--all", "--any"] {
        let status = if options == "--any" { 0 } else { 4 };
        let text = scan(&format!("{options} 127.0.0.1 {open},{closed}"), status);
        let json = scan(&format!("{options} --json 127.0.0.1 {open},{closed}"), status);
        let json = json.stdout_text();
        let ports =
            json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["port"].clone());
        assert_eq!(ports.collect::<Vec<_>>(), shown(&text), "{options}");
    }
}

fn wrong_words_are_usage_errors() {
    for (line, words) in [
        ("127.0.0.1", &["ports are missing"][..]),
        ("22", &["ports are missing"]),
        ("", &["PORTS"]),
        ("127.0.0.1 22,0", &["character 4", "port 0"]),
        ("127.0.0.1 22,8o,443", &["character 4", "8o"]),
        ("127.0.0.1:22,65536", &["character 4", "65536"]),
        ("127.0.0.1 90-80", &["backwards"]),
        ("127.0.0.1 22 80", &["80"]),
        ("--concurrency 0 127.0.0.1 22", &["--concurrency"]),
        ("--rate 0 127.0.0.1 22", &["--rate"]),
        ("-w 0 127.0.0.1 22", &["--probe-timeout"]),
        ("-w soon 127.0.0.1 22", &["soon"]),
        ("-t -u 127.0.0.1 22", &["--udp"]),
        ("-4 -6 localhost 22", &["ipv4"]),
        ("-4 ::1 22", &["::1", "-4"]),
        ("--send x 127.0.0.1 22", &["--udp"]),
        ("-u --send x --send-hex 78 127.0.0.1 22", &["--send"]),
        ("-u --send-hex 7 127.0.0.1 22", &["--send-hex"]),
    ] {
        let ended = scan(line, 2);
        assert_eq!(ended.stdout_text(), "", "{line}");
        assert!(ended.stderr.starts_with("pktcat: usage: "), "{line}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{line}: {}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{line}: no {word:?} in {}", ended.stderr);
        }
    }
}

fn a_name_without_an_address_is_status_3() {
    for line in ["-n localhost 22", "no-such-host.invalid 22"] {
        let ended = scan(line, 3);
        assert!(ended.stderr.starts_with("pktcat: resolve: "), "{}", ended.stderr);
    }
}

fn ipv6() {
    let (_listener, open) = net::listener_at("[::1]:0");
    for address in [format!("[::1]:{open}"), format!("::1 {open}"), format!("-6 ::1 {open}")] {
        let ended = scan(&format!("-n {address}"), 0);
        assert_eq!(without_times(&ended.stdout_text()), [format!("{open}/tcp open")]);
    }
    let (_held, closed) = net::refusing_port();
    scan(&format!("::1 {closed}"), 4);
    let unused = net::free_port();
    let ended = scan(&format!("-u ::1 {unused}"), 4);
    assert_eq!(ended.stdout_text(), format!("{unused}/udp closed\n"));
}

fn this_machine_is_asked_at_all_its_addresses() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (_listener, port) = net::listener_at(address);
        let ended = scan(&format!("-v -n :{port}"), 0);
        assert_eq!(without_times(&ended.stdout_text()), [format!("{port}/tcp open")]);
        assert!(
            ended.stderr.starts_with("scanning ::1 and 127.0.0.1 (tcp), 1 port, "),
            "{}",
            ended.stderr
        );
    }
    let (_held, closed) = net::refusing_port();
    let ended = scan(&format!(":{closed}"), 4);
    assert_eq!(ended.stdout_text(), format!("{closed}/tcp closed\n"));
}

fn verbosity_says_more_or_less_and_changes_nothing() {
    let (_listener, open) = net::listener();
    let (_held, closed) = net::refusing_port();
    let mut outputs = BTreeSet::new();
    for (options, lines) in [("", 1), ("-v", 2)] {
        let ended = scan(&format!("{options} --all 127.0.0.1 {open},{closed}"), 4);
        assert_eq!(ended.stderr.lines().count(), lines, "{options}: {}", ended.stderr);
        outputs.insert(without_times(&ended.stdout_text()));
    }
    assert_eq!(outputs.len(), 1, "{outputs:?}");
    let ended = scan(&format!("--quiet --all 127.0.0.1 {open},{closed}"), 4);
    assert_eq!((ended.stdout_text().as_str(), ended.stderr.as_str()), ("", ""));
}

fn a_reader_that_left_ends_the_run() {
    // Gone from the start, and while there is nothing to write.
    let (_queue, filtered) = net::unanswering_port();
    for line in ["--all 127.0.0.1 1-20000".to_owned(), format!("-w 1m 127.0.0.1 {filtered}")] {
        let begun = Instant::now();
        let mut running = pktcat_line(&format!("scan {line}")).stdout(Output::Pipe).spawn();
        drop(running.take_stdout());
        let ended = running.wait().expect_code(0);
        assert_eq!(ended.stderr, "", "{line}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{line}");
    }
}

fn a_full_disk_is_status_6() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let cmd = pktcat_line("scan --all 127.0.0.1 1-10").stdout(Output::Fd(full.into()));
    let ended = cmd.run().expect_code(6);
    assert!(ended.stderr.contains("stdout: no space left on device"), "{}", ended.stderr);
}

fn a_signal_ends_it_and_what_was_found_is_printed() {
    let (_listener, open) = net::listener();
    let (_queue, filtered) = net::unanswering_port();
    // The lower of the two holds the other back when it is the one without an answer.
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let line = format!("scan -n -w 1m 127.0.0.1 {open},{filtered}");
        let running = pktcat_line(&line).spawn();
        running.expect_running();
        running.signal(signal);
        let ended = running.wait().expect_signal(signal);
        assert_eq!(without_times(&ended.stdout_text()), [format!("{open}/tcp open")]);
        assert!(
            ended.stderr.starts_with("1 open, 0 closed, 0 filtered, 1 not known, "),
            "{}",
            ended.stderr
        );
    }
}

fn a_signal_asks_for_the_counts() {
    let (_queue, filtered) = net::unanswering_port();
    let running = pktcat_line(&format!("scan --quiet -w 1m 127.0.0.1 {filtered}")).spawn();
    running.expect_running();
    running.signal(Signal::SIGUSR1);
    running.wait_line("0 open, 0 closed, 0 filtered, 1 not known, ");
    running.expect_running();
}

fn probes_keep_the_rate() {
    for (options, ports, sends) in [("", "1-21", 21), ("-u", "1-21", 21)] {
        let begun = Instant::now();
        scan(&format!("{options} --rate 50 --all 127.0.0.1 {ports}"), 4);
        let least = Duration::from_millis(20) * (sends - 1);
        let took = begun.elapsed();
        assert!(took >= least - Duration::from_millis(25), "{options}: {took:?}");
        assert!(took < least * 5, "{options}: {took:?}");
    }
}

fn shuffled_ports_are_the_same_ports() {
    let mut orders = BTreeSet::new();
    for _ in 0..5 {
        let ended = scan("--shuffle --all 127.0.0.1 1-50", 4);
        let ports = shown(&ended);
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 50);
        orders.insert(ports);
    }
    assert!(orders.len() > 1, "five times the same order");
}

fn a_long_scan_shows_a_bar_on_a_terminal() {
    let (_queue, filtered) = net::unanswering_port();
    let mut pty = Pty::open();
    let line = format!("scan -w 2s 127.0.0.1 {filtered}");
    let cmd = pktcat_line(&line).env("TERM", "xterm").stderr(Output::Fd(pty.slave_fd()));
    let ended = cmd.run().expect_code(5);
    assert_eq!(ended.stdout_text(), format!("{filtered}/tcp filtered\n"));
    let mut seen = Vec::new();
    eventually("a bar, and the counts after it", || {
        let mut piece = [0; 4096];
        let count = pty.master.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&seen);
        let bar = text.find("0/1 ports, 0 open")?;
        text[bar..].contains("\x1b[2K0 open, 0 closed, 1 filtered").then_some(())
    });
}
