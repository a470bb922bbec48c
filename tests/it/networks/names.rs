//! Names whose addresses come late, or are very many; machines that have one family only.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use super::with_namespaces;
use crate::util::harness::{self, Need};
use crate::util::{Ended, binary, program};

pub(super) fn tests(unshare: Option<&Vec<&'static str>>) -> Vec<Trial> {
    let test = |name, run: fn(&[&'static str])| {
        let prefix = unshare.cloned().unwrap_or_default();
        let needs = ["ip", "python3"].map(Need::Program);
        with_namespaces(
            harness::test(module_path!(), name, &needs, move || run(&prefix)),
            unshare.is_some(),
        )
    };
    vec![
        test("one_family_that_comes_late_holds_up_nobody", one_family_that_comes_late),
        test("an_address_that_comes_late_is_tried_too", an_address_that_comes_late_is_tried_too),
        test("look_up_and_connecting_share_one_limit", look_up_and_connecting_share_one_limit),
        test("an_error_names_some_of_sixty_addresses", an_error_names_some_of_sixty_addresses),
        test("compare_needs_no_ipv4", compare_needs_no_ipv4),
        test("retry_goes_on_while_that_may_help", retry_goes_on_while_that_may_help),
    ]
}

/// A name server that answers questions for A and AAAA after so many seconds (never: `-`); every name
/// has the addresses of loopback. Port 9 of every address answers nobody.
const SERVER: &str = r#"
import select, socket, sys, time
delays = {1: sys.argv[1], 28: sys.argv[2]}
addresses = {1: socket.inet_aton('127.0.0.1'), 28: socket.inet_pton(socket.AF_INET6, '::1')}
silent = socket.socket()
silent.bind(('0.0.0.0', 9))
silent.listen(0)
held = []
for _ in range(4):
    held.append(socket.socket())
    held[-1].setblocking(False)
    held[-1].connect_ex(('127.0.0.1', 9))
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
open(sys.argv[3], 'w').write('ready')
waiting = []
while True:
    if select.select([server], [], [], 0.01)[0]:
        question, peer = server.recvfrom(512)
        end = question.index(b'\0', 12) + 5
        kind = int.from_bytes(question[end - 4:end - 2], 'big')
        data = addresses.get(kind, b'')
        answer = question[:2] + b'\x85\x80\0\1' + (b'\0\1' if data else b'\0\0') + b'\0\0\0\0' + question[12:end]
        if data:
            answer += b'\xc0\x0c' + kind.to_bytes(2, 'big') + b'\0\1\0\0\0\0' + len(data).to_bytes(2, 'big') + data
        delay = delays.get(kind, '0')
        if delay != '-':
            waiting.append((time.monotonic() + float(delay), answer, peer))
    for one in [one for one in waiting if one[0] <= time.monotonic()]:
        server.sendto(one[1], one[2])
        waiting.remove(one)
"#;

/// The name server, and a listener of the given words in the background, before the command itself.
const SCRIPT: &str = r#"
ip link set lo up
echo "nameserver 127.0.0.1" > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
if [ -e "$1/hosts" ]; then mount --bind "$1/hosts" /etc/hosts; fi
python3 -c "$SERVER" $DELAYS "$1/ready" &
server=$!
trap 'kill $server $listener 2> /dev/null || :' EXIT
"$2" listen --quiet --timeout 30 --port-file "$1/port" $LISTEN > /dev/null < /dev/null &
listener=$!
while ! [ -s "$1/ready" ] || ! [ -s "$1/port" ]; do kill -0 $server; kill -0 $listener; sleep 0.02; done
"$2" $(echo "$COMMAND" | sed "s/PORT/$(cat "$1/port")/")
"#;

/// Runs a command where names have their addresses after `delays`, beside a listener.
fn run(unshare: &[&str], delays: &str, listen: &str, hosts: &str, command: &str) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    if !hosts.is_empty() {
        std::fs::write(folder.path().join("hosts"), hosts).unwrap();
    }
    let folder = folder.path().to_str().unwrap();
    let own = unshare.iter().copied().chain(["-n", "-m", "sh", "-euc", SCRIPT, "sh"]);
    let words = own.chain([folder, binary()]);
    program("env", words)
        .env("SERVER", SERVER)
        .env("DELAYS", delays)
        .env("LISTEN", listen)
        .env("COMMAND", command)
        .run()
}

fn one_family_that_comes_late(unshare: &[&'static str]) {
    for (delays, host) in [("0 -", "127.0.0.1"), ("- 0", "::1")] {
        let tcp = "connect --timeout 4 --send x late.test PORT";
        let udp = "connect --timeout 4 -u --send x --count 1 -q 4 late.test PORT";
        let compare = "compare --count 10 -w 4 late.test PORT";
        for (listen, command) in [
            ("--echo", tcp),
            ("--echo", &tcp.replace("--timeout", "-w")),
            ("--echo -u", udp),
            ("-t -u -k --echo", compare),
        ] {
            let listen = format!("{listen} {host} 0");
            let ended = run(unshare, delays, &listen, "", command);
            assert_eq!(ended.status.code(), Some(0), "{delays}, {command}: {}", ended.stderr);
        }
    }
}

fn an_address_that_comes_late_is_tried_too(unshare: &[&'static str]) {
    // Nobody is at the first one, or nobody answers there.
    for (delays, host, port) in
        [("0 1", "::1", "PORT"), ("1 0", "127.0.0.1", "PORT"), ("0 1", "::1 9", "9")]
    {
        let listen =
            if port == "9" { format!("--echo {host}") } else { format!("--echo {host} 0") };
        let command = format!("connect -v --timeout 20 --send x late.test {port}");
        let ended = run(unshare, delays, &listen, "", &command);
        assert_eq!(ended.status.code(), Some(0), "{delays}: {}", ended.stderr);
        let peer = if host.starts_with("::1") { "[::1]:" } else { "127.0.0.1:" };
        assert!(ended.stderr.contains(&format!("connected to {peer}")), "{}", ended.stderr);
        assert_eq!(ended.stdout_text(), "x");
    }
}

fn look_up_and_connecting_share_one_limit(unshare: &[&'static str]) {
    // The name server takes 4 s of the 5, and then nobody answers.
    let begun = Instant::now();
    let ended = run(unshare, "4 4", "127.0.0.1 0", "", "connect -4 -w 5 late.test 9");
    let took = begun.elapsed();
    assert!(ended.expect_code(5).stderr.contains("no answer within 5s"));
    assert!(took < Duration::from_secs(8), "{took:?}");
}

fn an_error_names_some_of_sixty_addresses(unshare: &[&'static str]) {
    let hosts: String = (1..=60).map(|n| format!("127.0.0.{n} many.test\n")).collect();
    let ended = run(unshare, "0 0", "127.0.0.1 0", &hosts, "connect -w 2 many.test 9");
    let line = ended.expect_code(5).stderr;
    assert_eq!(line.matches("(tcp)").count(), 3, "{line}");
    let words: Vec<_> = line.split_whitespace().collect();
    let more = words.iter().position(|word| *word == "more").expect(&line);
    let number: usize = words[more - 1].parse().unwrap();
    assert!((20..=57).contains(&number), "{line}");
}

fn compare_needs_no_ipv4(unshare: &[&'static str]) {
    let script =
        r#"ip link set lo up; ip addr del 127.0.0.1/8 dev lo; exec "$1" compare --count 10"#;
    let own = unshare.iter().copied().chain(["-n", "sh", "-euc", script, "sh"]);
    let ended = program("env", own.chain([binary()])).run().expect_code(0);
    assert!(ended.stdout_text().contains("its own echo at [::1]:"), "{}", ended.stdout_text());
}

fn retry_goes_on_while_that_may_help(unshare: &[&'static str]) {
    for (words, status, tries) in [
        ("192.0.2.1 9", 7, 3),
        ("-u --send x 192.0.2.1 9", 7, 3),
        ("no-such-host.invalid 9", 3, 3),
        // Without look-ups a name stays one.
        ("-n no-such-host.invalid 9", 3, 1),
    ] {
        let line = format!("connect -v --retry 2 --retry-delay 1ms {words}");
        // No network at all, and nothing that looks for a name server.
        let script = r#"mount --bind /dev/null /etc/resolv.conf; exec "$@""#;
        let own = unshare.iter().copied().chain(["-n", "-m", "sh", "-euc", script, "sh"]);
        let cmd = program("env", own.chain([binary()]).chain(line.split(' ')));
        let ended = cmd.run().expect_code(status);
        let told = ended.stderr.lines().filter(|line| line.starts_with("pktcat: ")).count();
        assert_eq!(told, tries, "{line}: {}", ended.stderr);
    }
}
