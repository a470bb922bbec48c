//! `pktcat scan` where the network is what the test says: a host that never answers, no route, few
//! ports to connect from. Each is made from namespaces that end with the test; where those are not
//! allowed, the tests say "ignored".

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::util::harness::{self, Need};
use crate::util::{Ended, binary, program};

pub(crate) fn tests() -> Vec<Trial> {
    let unshare = find_unshare();
    let test = |name, run: fn(&[&'static str])| {
        let prefix = unshare.clone().unwrap_or_default();
        let trial =
            harness::test(module_path!(), name, &[Need::Program("ip")], move || run(&prefix));
        if unshare.is_some() {
            trial
        } else {
            trial.with_ignored_flag(true).with_kind("needs namespaces")
        }
    };
    vec![
        test("no_false_port_among_all_ports", no_false_port_among_all_ports),
        test("no_false_udp_port_among_all_ports", no_false_udp_port_among_all_ports),
        test("a_connection_that_meets_itself_is_no_open_port", a_connection_that_meets_itself),
        test("a_datagram_that_meets_its_sender_is_no_answer", a_datagram_that_meets_its_sender),
        test("ports_of_a_silent_host_are_filtered", ports_of_a_silent_host_are_filtered),
        test("few_descriptors_are_enough", few_descriptors_are_enough),
        test("no_more_probes_than_asked_for", no_more_probes_than_asked_for),
        test("a_host_without_a_route_is_status_7", a_host_without_a_route_is_status_7),
        test("a_rule_for_one_port_is_the_answer_of_that_port", a_rule_for_one_port),
    ] as Vec<Trial>
}

/// How this user makes a network namespace, if at all.
fn find_unshare() -> Option<Vec<&'static str>> {
    [&["unshare"][..], &["unshare", "-r"]].into_iter().map(<[_]>::to_vec).find(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["-n", "true"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    })
}

/// A host that never answers is an address that leads back here, where nobody has it.
const NETWORK: &str = r#"
ip link set lo up
ip address add 198.51.100.1/32 dev lo
ip route add 203.0.113.0/24 dev lo src 198.51.100.1
ip route add unreachable 192.0.2.0/24
"#;

/// Runs a piece of shell in a namespace of its own; `$1` is pktcat.
#[track_caller]
fn inside(unshare: &[&str], script: &str) -> Ended {
    let script = format!("{NETWORK}\n{script}");
    let words = unshare.iter().copied().chain(["-n", "sh", "-uc", &script, "sh"]);
    program("env", words).arg(binary()).run()
}

fn no_false_port_among_all_ports(unshare: &[&'static str]) {
    let script = r#"
        d=$(mktemp -d)
        "$1" listen -d --timeout 60 --port-file "$d/a" 127.0.0.1 0 2> "$d/log" &
        first=$!
        "$1" listen -d --timeout 60 127.0.0.1 45001 2> "$d/log" &
        while ! [ -s "$d/a" ]; do kill -0 $first; sleep 0.02; done
        port=$(cat "$d/a")
        # The scan itself is a client: the two listeners end at its connections.
        "$1" scan -n 127.0.0.1 1-65535 2> /dev/null | cut -d / -f 1
        echo "$port" 45001 | tr ' ' '\n' | sort -n
        wait
        for i in 1 2 3 4 5 6 7 8; do "$1" scan -n 127.0.0.1 1-65535 2> /dev/null; done
        rm -r "$d"
    "#;
    let ended = inside(unshare, script);
    let text = ended.stdout_text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}{}", ended.stderr);
    assert_eq!(lines[..2], lines[2..], "{text}");
}

fn no_false_udp_port_among_all_ports(unshare: &[&'static str]) {
    let script = r#"
        d=$(mktemp -d)
        "$1" listen -u --quiet --send here --timeout 60 --port-file "$d/port" 127.0.0.1 0 < /dev/null &
        while ! [ -s "$d/port" ]; do kill -0 $!; sleep 0.02; done
        "$1" scan -u -n -w 1s 127.0.0.1 1-65535 | cut -d / -f 1
        cat "$d/port"
        kill $!
        rm -r "$d"
    "#;
    let ended = inside(unshare, script);
    let text = ended.stdout_text();
    let lines: Vec<_> = text.split_whitespace().collect();
    assert!(lines.len() == 2 && lines[0] == lines[1], "{text}{}", ended.stderr);
    assert!(ended.stderr.contains("1 open, 65534 closed, 0 no answer, "), "{}", ended.stderr);
}

/// With few ports to connect from, nearly every scan of them picks the asked one now and then.
fn a_connection_that_meets_itself(unshare: &[&'static str]) {
    let script = r#"
        echo 40000 40015 > /proc/sys/net/ipv4/ip_local_port_range || exit 9
        for i in $(seq 100); do
            "$1" scan 127.0.0.1 40000-40015 2> /dev/null
            "$1" scan 0.0.0.0 40000-40015 2> /dev/null
        done
        "$1" scan --all 127.0.0.1 40000-40015 2> /dev/null | grep -c closed
    "#;
    assert_eq!(inside(unshare, script).expect_code(0).stdout_text(), "16\n");
}

/// A datagram socket that has the asked port itself would hear its own probe, and take it for an answer.
fn a_datagram_that_meets_its_sender(unshare: &[&'static str]) {
    let script = r#"
        echo 40000 40007 > /proc/sys/net/ipv4/ip_local_port_range || exit 9
        for i in $(seq 60); do
            for words in "ping -u --count 1 --send x" "ping -u --count 1 --echo" "connect -u --send x"; do
                "$1" $words 127.0.0.1 40003 > out 2> err < /dev/null
                echo $?
            done
        done | sort | uniq
    "#;
    let folder = tempfile::tempdir().unwrap();
    let script = format!("cd {}\n{script}", folder.path().display());
    assert_eq!(inside(unshare, &script).expect_code(0).stdout_text(), "4\n");
}

fn ports_of_a_silent_host_are_filtered(unshare: &[&'static str]) {
    let begun = Instant::now();
    let ended = inside(unshare, r#""$1" scan --all -w 500ms 203.0.113.1 1-2000"#).expect_code(5);
    let filtered =
        ended.stdout_text().lines().filter(|line| line.ends_with("/tcp filtered")).count();
    assert_eq!(filtered, 2000, "{}", ended.stderr);
    // A thousand at a time.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let ended = inside(unshare, r#""$1" scan -u --all -w 500ms 203.0.113.1 1-2000"#).expect_code(5);
    let silent =
        ended.stdout_text().lines().filter(|line| line.ends_with("/udp no answer")).count();
    assert_eq!(silent, 2000, "{}", ended.stderr);
}

fn few_descriptors_are_enough(unshare: &[&'static str]) {
    let script = r#"
        ulimit -n 32
        "$1" scan -w 200ms 203.0.113.1 1-100; echo $?
        "$1" scan -w 200ms --concurrency 5000 203.0.113.1 1-100; echo $?
        "$1" scan 127.0.0.1 1-65535; echo $?
    "#;
    let ended = inside(unshare, script).expect_code(0);
    assert_eq!(ended.stdout_text(), "5\n5\n4\n", "{}", ended.stderr);
    let counts: Vec<_> = ended.stderr.lines().collect();
    assert!(counts[0].starts_with("0 open, 0 closed, 100 filtered, "), "{counts:?}");
    assert!(counts[1].starts_with("0 open, 0 closed, 100 filtered, "), "{counts:?}");
    assert!(counts[2].starts_with("0 open, 65535 closed, 0 filtered, "), "{counts:?}");
}

fn no_more_probes_than_asked_for(unshare: &[&'static str]) {
    for protocol in ["-t", "-u"] {
        let begun = Instant::now();
        let line = format!("\"$1\" scan {protocol} --concurrency 10 -w 200ms 203.0.113.1 1-50");
        inside(unshare, &line).expect_code(5);
        // Five rounds of ten.
        assert!(begun.elapsed() >= Duration::from_secs(1), "{protocol}: {:?}", begun.elapsed());
    }
}

/// The routes of this machine may differ from port to port (ip-rule(8)).
fn a_rule_for_one_port(unshare: &[&'static str]) {
    const RULES: &str = r#"
        for protocol in tcp udp; do
            ip rule add ipproto $protocol dport 22 blackhole || exit 9
            ip rule add ipproto $protocol dport 23 prohibit
            ip rule add ipproto $protocol dport 24 unreachable
        done
    "#;
    for (option, word) in [("", "tcp filtered"), ("-u", "udp no answer")] {
        let line = format!("{RULES}\n\"$1\" scan -n --all {option} -w 200ms 203.0.113.1 21-25");
        let ended = inside(unshare, &line).expect_code(5);
        let all: String = (21..=25).map(|port| format!("{port}/{word}\n")).collect();
        assert_eq!(ended.stdout_text(), all, "{}", ended.stderr);
    }
    let script = format!(
        r#"{RULES}
        for option in "" -u --echo "--echo -u"; do
            for port in 22 23 24; do
                "$1" ping $option --count 1 -w 200ms 203.0.113.1 $port; echo $?
            done
        done 2> /dev/null"#
    );
    let text = inside(unshare, &script).expect_code(0).stdout_text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2 * 4 * 3, "{text}");
    for probe in lines.chunks(2) {
        assert!(probe[0].ends_with(" seq 1 unreachable") && probe[1] == "7", "{text}");
    }
}

fn a_host_without_a_route_is_status_7(unshare: &[&'static str]) {
    for (address, options) in [("192.0.2.1", ""), ("192.0.2.1", "-u"), ("198.18.0.1", "")] {
        let ended =
            inside(unshare, &format!("\"$1\" scan {options} {address} 1-10")).expect_code(7);
        assert_eq!(ended.stdout_text(), "");
        let error = format!("pktcat: scan: {address}: ");
        assert!(ended.stderr.starts_with(&error), "{}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}
