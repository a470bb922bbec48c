//! How much goes in one packet: what the table and JSON say of it, on paths that allow less than the device.

use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use serde_json::Value;

use super::{compare, numbers};
use crate::networks::{find_unshare, with_namespaces};
use crate::tests;
use crate::util::harness::{self, Need};
use crate::util::{Ended, binary, pktcat_line, program};

pub(super) fn tests() -> Vec<Trial> {
    let mut tests = tests![
        on_loopback_the_protocol_is_the_limit,
        over_ipv6_loopback_its_mtu_is_the_limit needs [Need::Ipv6],
        in_the_lab_it_is_the_mtu_that_was_asked_for needs [Need::PrivateNetwork],
        lost_probes_are_sent_again_and_nowhere_counted needs [Need::PrivateNetwork],
    ];
    let unshare = find_unshare();
    let test = |name, more: &[Need], run: fn(&[&'static str])| {
        let prefix = unshare.clone().unwrap_or_default();
        let mut needs = ["ip", "nsenter", "sysctl"].map(Need::Program).to_vec();
        needs.extend(more);
        let trial = harness::test(module_path!(), name, &needs, move || run(&prefix));
        with_namespaces(trial, unshare.is_some())
    };
    tests.extend([
        test("a_narrow_hop_is_found", &[], a_narrow_hop_is_found),
        test(
            "a_narrow_way_back_is_not_taken_for_wide",
            &[],
            a_narrow_way_back_is_not_taken_for_wide,
        ),
        test("a_silent_hop_is_not_known_and_not_long", &[], a_silent_hop_is_not_known_and_not_long),
        test(
            "a_peer_that_shortens_tells_one_way",
            &[Need::Program("python3")],
            a_peer_that_shortens_tells_one_way,
        ),
    ]);
    tests
}

const KEYS: [&str; 2] = ["largest_unfragmented_bytes_sent", "largest_unfragmented_bytes_received"];

/// The numbers of the row; none where it has a dash.
fn both_ways(side: &Value) -> [Option<u64>; 2] {
    KEYS.map(|key| {
        let value = &side[key];
        assert!(value.is_null() && side.get(key).is_some() || value.is_u64(), "{key}: {side}");
        value.as_u64()
    })
}

/// The cells of the row, and its sentence.
fn shown(text: &str) -> (String, String) {
    let name = "max unfragmented";
    let row = text.lines().find_map(|line| line.trim_start().strip_prefix(name));
    let cells: Vec<_> =
        row.unwrap_or_else(|| panic!("no row in\n{text}")).split_whitespace().collect();
    let start = text.find(&format!("- {name}: ")).unwrap_or(text.len());
    let end = text[start..].find("\n  - ").map_or(text.len(), |end| start + end);
    (cells.join(" "), text[start..end].split_whitespace().collect::<Vec<_>>().join(" "))
}

fn on_loopback_the_protocol_is_the_limit() {
    let result = compare("--count 50");
    assert_eq!(both_ways(&result["udp"]), [Some(65_507); 2], "{result}");
    for way in both_ways(&result["tcp"]) {
        assert!((536..=65_495).contains(&way.unwrap()), "{}", result["tcp"]);
    }
    // A datagram of that length goes, and no longer one.
    let ended = pktcat_line("compare --count 5 --size 65507 --explain").run().expect_code(0);
    let (cells, sentence) = shown(&ended.stdout_text());
    assert!(cells.ends_with("65,507 / 65,507 bytes"), "{cells}");
    assert!(sentence.contains("the most that UDP carries at all; TCP cuts"), "{sentence}");
}

fn over_ipv6_loopback_its_mtu_is_the_limit() {
    let result = compare("-6 --count 50");
    assert_eq!(both_ways(&result["udp"]), [Some(65_536 - 48); 2], "{result}");
}

fn in_the_lab_it_is_the_mtu_that_was_asked_for() {
    // Less IP and UDP, and less IP, TCP and its timestamps.
    for (words, mtu, udp, tcp) in [
        ("", 1500, 28, 52),
        ("-6", 1500, 48, 72),
        ("", 576, 28, 52),
        ("-6", 1280, 48, 72),
        ("", 9000, 28, 52),
        ("", 65_535, 28, 0),
    ] {
        let result = compare(&format!("--impair mtu={mtu},delay=1ms --count 20 -w 5s {words}"));
        assert_eq!(result["impaired"], "packets", "{result}");
        assert_eq!(both_ways(&result["udp"]), [Some(mtu - udp); 2], "{mtu} {words}: {result}");
        if tcp > 0 {
            assert_eq!(both_ways(&result["tcp"]), [Some(mtu - tcp); 2], "{mtu} {words}: {result}");
        }
    }
    let words = "compare --impair mtu=1400,delay=1ms -w 5s --count 20 --size 3000 --explain";
    let (cells, sentence) = shown(&pktcat_line(words).run().expect_code(0).stdout_text());
    assert_eq!(cells, "1,348 / 1,348 bytes 1,372 / 1,372 bytes");
    for part in [
        "IP cuts a datagram of more than 1,372 bytes into fragments, and one lost fragment loses them all",
        "as with the run's messages of 3,000 bytes; TCP cuts its stream into segments of 1,348 bytes",
    ] {
        assert!(sentence.contains(part), "no {part:?} in {sentence}");
    }
}

fn lost_probes_are_sent_again_and_nowhere_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lab.pcap");
    let mut found = 0;
    for seed in 0..6 {
        // Eight of them, each lost with a probability of a half.
        let spec = format!("loss=30%,delay=2ms,seed={seed}");
        let words = format!("--impair {spec} --count 40 -w 1s --pcap {}", file.display());
        let result = compare(&words);
        let udp = &result["udp"];
        let offered = |way: &str| udp["packets_impaired"][way]["offered"].as_u64().unwrap();
        let [sent, out, back] = numbers(udp, ["sent", "packets_sent", "packets_received"]);
        assert_eq!((sent, out, offered("out")), (40, 40, 40), "{udp}");
        let [received, duplicated] = numbers(udp, ["datagrams", "duplicated"]);
        assert_eq!((back, duplicated), (received, 0), "{udp}");
        // A probe would be as long as a packet may be.
        let longest = longest_datagram(&std::fs::read(&file).unwrap());
        assert_eq!(longest, 64 + 28, "a probe in the capture");
        found += u32::from(both_ways(udp) == [Some(1472); 2]);
    }
    // All of eight fail in one of 200 runs.
    assert!(found >= 5, "{found} of 6");
}

/// Bytes of the longest IPv4 packet of UDP in a capture of raw packets (pcap-savefile(5)).
fn longest_datagram(capture: &[u8]) -> usize {
    let (mut rest, mut longest) = (&capture[24..], 0);
    while let Some((record, after)) = rest.split_at_checked(16) {
        let length = u32::from_le_bytes(record[8..12].try_into().unwrap()) as usize;
        let (packet, after) = after.split_at(length);
        if packet[9] == 17 {
            longest = longest.max(length);
        }
        rest = after;
    }
    longest
}

/// Client, router and server, each in a namespace, which sleeping processes keep alive. `$2` is done in the
/// router's and in the server's, `$3` starts an echo in the server's; the words after it are those of compare.
const PATH: &str = r#"
pktcat=$1 narrow=$2 echo=$3; shift 3
ip link set lo up
unshare -n sleep 100 & router=$!
unshare -n sleep 100 & server=$!
peer= folder=$(mktemp -d)
trap 'kill $router $server $peer; rm -r "$folder"' EXIT
for other in $router $server; do
    while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
    nsenter -t $other -n sysctl -qw net.ipv6.conf.default.accept_dad=0
done
sysctl -qw net.ipv6.conf.default.accept_dad=0
at_router="nsenter -t $router -n" at_server="nsenter -t $server -n"
ip link add near type veth peer name left netns $router
$at_router ip link add right type veth peer name far netns $server
ip addr add 192.0.2.1/24 dev near; ip addr add 2001:db8:1::1/64 dev near; ip link set near up
$at_router sh -euc 'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip addr add 192.0.2.2/24 dev left; ip addr add 2001:db8:1::2/64 dev left; ip link set left up
    ip addr add 198.51.100.2/24 dev right; ip addr add 2001:db8:2::2/64 dev right; ip link set right up'
$at_server sh -euc 'ip link set lo up
    ip addr add 198.51.100.1/24 dev far; ip addr add 2001:db8:2::1/64 dev far; ip link set far up
    ip route add default via 198.51.100.2; ip route add default via 2001:db8:2::2'
ip route add default via 192.0.2.2; ip route add default via 2001:db8:1::2
$at_router sh -euc "at=router; $narrow"; $at_server sh -euc "at=server; $narrow"
cd "$folder"
$at_server sh -euc "$echo" sh "$pktcat" & peer=$!
while ! [ -s port ]; do kill -0 $peer; sleep 0.02; done
"$pktcat" compare "$@"
"#;

/// An echo of our own; it sends longer replies in fragments, as it does not forbid them.
const ECHO: &str = r#"exec "$1" listen -t -u -k --echo --quiet --port-file port :: 7000"#;

/// A run from the client's namespace.
#[track_caller]
fn along(unshare: &[&str], narrow: &str, echo: &str, words: &str) -> Ended {
    let fixed = ["-n", "sh", "-euc", PATH, "sh", binary(), narrow, echo];
    let words = unshare.iter().copied().chain(fixed).chain(words.split(' '));
    program("env", words).run().expect_code(0)
}

/// What JSON says of both, and that the messages are accounted for as if nothing else had been sent.
#[track_caller]
fn told(ended: &Ended) -> [[Option<u64>; 2]; 2] {
    let result: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let udp = &result["udp"];
    let keys = ["sent", "received", "datagrams", "packets_sent", "packets_received"];
    assert_eq!(numbers(udp, keys), [30; 5], "{udp}");
    [both_ways(&result["tcp"]), both_ways(udp)]
}

const HOSTS: [(&str, u64); 2] = [("198.51.100.1", 28), ("2001:db8:2::1", 48)];

/// So few messages that a search of a minute would be noticed.
const THIRTY: &str = "7000 --count 30 -w 60s";

fn a_narrow_hop_is_found(unshare: &[&'static str]) {
    let narrow =
        "case $at in router) ip link set right mtu 1400;; server) ip link set far mtu 1400;; esac";
    let hidden = "case $at in router) ip link set right mtu 1400;; esac";
    for (host, headers) in HOSTS {
        let [tcp, udp] = told(&along(unshare, narrow, ECHO, &format!("{host} {THIRTY} --json")));
        assert_eq!(udp, [Some(1400 - headers); 2], "{host}");
        // The peer's handshake has told TCP.
        assert_eq!(tcp, [Some(1400 - headers - 24); 2], "{host}");
        let [tcp, udp] = told(&along(unshare, hidden, ECHO, &format!("{host} {THIRTY} --json")));
        assert_eq!(udp, [Some(1400 - headers); 2], "{host}");
        assert_eq!(tcp, [Some(1500 - headers - 24); 2], "{host}");
        let words = format!("{host} {THIRTY} --explain");
        let (_, sentence) = shown(&along(unshare, hidden, ECHO, &words).stdout_text());
        let wanted = "No segment was long enough to find out that the path takes less than that.";
        assert!(sentence.ends_with(wanted), "{sentence}");
    }
}

fn a_narrow_way_back_is_not_taken_for_wide(unshare: &[&'static str]) {
    let narrow = "case $at in server) ip route change default via 198.51.100.2 mtu 1300
        ip route change default via 2001:db8:2::2 mtu 1300;; esac";
    for ((host, headers), longest) in HOSTS.into_iter().zip(["1,300", "1,296"]) {
        let [_, udp] = told(&along(unshare, narrow, ECHO, &format!("{host} {THIRTY} --json")));
        assert_eq!(udp, [Some(1500 - headers), None], "{host}");
        let words = format!("{host} {THIRTY} --explain");
        let (cells, sentence) = shown(&along(unshare, narrow, ECHO, &words).stdout_text());
        assert!(cells.ends_with(&format!(" 1,4{} / - bytes", 100 - headers)), "{cells}");
        let wanted = format!("came back in fragments, the longest a packet of {longest} bytes.");
        assert!(sentence.ends_with(&wanted), "{sentence}");
    }
}

fn a_silent_hop_is_not_known_and_not_long(unshare: &[&'static str]) {
    // The server's end drops what is longer, and nobody says so.
    let narrow = "case $at in server) ip link set far mtu 1400;; esac";
    for (host, headers) in HOSTS {
        let begun = Instant::now();
        let ended = along(unshare, narrow, ECHO, &format!("{host} {THIRTY} --explain"));
        // Not the 60 seconds that a reply may take.
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
        let (cells, sentence) = shown(&ended.stdout_text());
        assert!(cells.ends_with("bytes not known"), "{cells}");
        let wanted =
            format!("UDP: not known, as no datagram of 1,4{} bytes came back.", 100 - headers);
        assert!(sentence.ends_with(&wanted), "{sentence}");
        let [_, udp] = told(&along(unshare, narrow, ECHO, &format!("{host} {THIRTY} --json")));
        assert_eq!(udp, [None; 2], "{host}");
    }
}

fn a_peer_that_shortens_tells_one_way(unshare: &[&'static str]) {
    let echo = r#"exec python3 -c '
import socket, threading
place = ("198.51.100.1", 7000)
stream, datagrams = socket.create_server(place), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(place)
def echo():
    connection = stream.accept()[0]
    while True:
        data = connection.recv(65536)
        if not data: break
        connection.sendall(data)
    connection.close()
threading.Thread(target=echo, daemon=True).start()
open("port", "w").write("7000")
while True:
    data, client = datagrams.recvfrom(65536)
    datagrams.sendto(data[:1000], client)
'"#;
    let [_, udp] = told(&along(unshare, ":", echo, &format!("198.51.100.1 {THIRTY} --json")));
    assert_eq!(udp, [Some(1472), None]);
}
