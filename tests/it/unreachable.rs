//! What the network says when nobody can be reached: neighbours that do not answer, routers that
//! refuse, routes of this machine that lead nowhere. Each network is made from namespaces that end
//! with the test; where those are not allowed, the tests say "ignored".
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;

use crate::util::harness::{self, Need};
use crate::util::{Ended, binary, extra_args, program};

pub(crate) fn tests() -> Vec<Trial> {
    let unshare = find_unshare();
    let test = |name, run: fn(&[&'static str])| {
        let prefix = unshare.clone().unwrap_or_default();
        let needs = ["ip", "nsenter", "sysctl"].map(Need::Program);
        let trial = harness::test(module_path!(), name, &needs, move || run(&prefix));
        match unshare.is_some() {
            true => trial,
            false => trial.with_ignored_flag(true).with_kind("needs namespaces"),
        }
    };
    vec![
        test("a_neighbour_that_does_not_answer_is_status_7", no_neighbour),
        test("what_a_router_refuses_is_status_7", refused_by_a_router),
        test("nobody_at_the_port_is_status_4", nobody_at_the_port),
        test("a_route_of_this_machine_that_leads_nowhere_is_named", local_routes),
        test("a_broadcast_address_is_not_called_unreachable", broadcast_without_leave),
        test("a_link_local_address_needs_its_interface", link_local_without_interface),
        test("the_next_address_is_tried_when_one_is_unreachable", next_address),
        test("a_protocol_without_a_route_leaves_the_others_column_standing", one_protocol_only),
    ] as Vec<Trial>
}

/// How this user makes network namespaces, if at all.
fn find_unshare() -> Option<Vec<&'static str>> {
    [&["unshare"][..], &["unshare", "-r"]].into_iter().map(<[_]>::to_vec).find(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["-n", "-m", "sh", "-c", "mount --bind / /"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    })
}

/// This machine, 192.0.2.1 and 2001:db8:1::1, and a router to the rest of the world, which has no
/// way to most of it. The first process keeps the router's namespace alive.
const NETWORK: &str = r#"
ip link set lo up
unshare -n sleep 100 & router=$!
trap 'kill $router' EXIT
while [ "$(readlink /proc/$router/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
there() { nsenter -t $router -n "$@"; }
ip link add near type veth peer name far netns $router
there ip link set lo up
there sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
there ip address add 192.0.2.2/24 dev far
there ip address add 2001:db8:1::2/64 dev far nodad
there ip link set far up
ip address add 192.0.2.1/24 dev near
ip address add 2001:db8:1::1/64 dev near nodad
ip link set near up
while ip link show near | grep -q 'state DOWN'; do sleep 0.02; done
ip route add default via 192.0.2.2
ip -6 route add default via 2001:db8:1::2
there ip route add unreachable 198.51.100.0/24
there ip route add prohibit 198.18.0.0/24
there ip -6 route add unreachable 2001:db8:a::/48
there ip -6 route add prohibit 2001:db8:b::/48
there ip -6 route add blackhole 2001:db8:c::/48
"#;

/// Runs `pktcat connect` with these words in that network, after more set-up.
#[track_caller]
fn connect(unshare: &[&str], setup: &str, words: &str) -> Ended {
    let words = extra_args().into_iter().chain(words.split_whitespace().map(OsString::from));
    run(unshare, setup, "connect", words)
}

/// The same with `pktcat scan`.
#[track_caller]
fn scan(unshare: &[&str], setup: &str, words: &str) -> Ended {
    run(unshare, setup, "scan", words.split_whitespace().map(OsString::from))
}

#[track_caller]
fn run(
    unshare: &[&str],
    setup: &str,
    command: &str,
    words: impl Iterator<Item = OsString>,
) -> Ended {
    let script = format!("{NETWORK}\n{setup}\n\"$@\" || exit $?");
    let prefix = unshare.iter().copied().chain(["-n", "-m", "sh", "-euc", &script, "sh"]);
    let cmd = program("env", prefix).arg(binary()).arg(command);
    words.fold(cmd, |cmd, word| cmd.arg(word)).run()
}

/// Datagrams have no way to the port, connections have.
fn one_protocol_only(unshare: &[&'static str]) {
    let setup = r#"
d=$(mktemp -d)
nsenter -t $router -n "$1" listen --quiet -k --echo --timeout 60 --port-file "$d/port" 192.0.2.2 7 &
echo=$!
trap 'kill $router $echo; rm -r "$d"' EXIT
while ! [ -s "$d/port" ]; do kill -0 $echo; sleep 0.02; done
ip rule add ipproto udp dport 7 prohibit
"#;
    let words = "192.0.2.2 7 --count 20".split_whitespace().map(OsString::from);
    let ended = run(unshare, setup, "compare", words).expect_code(7);
    let text = ended.stdout_text();
    let row = |name: &str| text.lines().find(|line| line.contains(name)).expect("a row");
    assert!(row("outcome").contains("done"), "{text}");
    assert!(row("outcome").contains("unreachable (status 7)"), "{text}");
    assert_eq!(row("sent").split_whitespace().collect::<Vec<_>>(), ["sent", "20", "-"]);
    assert!(ended.stderr.contains("a prohibit route"), "{}", ended.stderr);
}

/// One line that names the place and says this.
#[track_caller]
fn ends_with(ended: Ended, status: i32, place: &str, says: &str) {
    let ended = ended.expect_code(status);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    let is_ours = lines[0].starts_with("pktcat: ") && lines[0].contains(place);
    assert!(is_ours && lines[0].contains(says), "{place}, {says:?}: {}", lines[0]);
}

fn no_neighbour(unshare: &[&'static str]) {
    for place in ["192.0.2.77:9", "[2001:db8:1::77]:9"] {
        let begun = Instant::now();
        // The system asks three times, a second apart.
        let ended = connect(unshare, "", &format!("-u -q 20 --send hi {place}"));
        ends_with(ended, 7, place, "ICMP host unreachable");
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

fn refused_by_a_router(unshare: &[&'static str]) {
    for (place, says) in [
        ("198.51.100.1:9", "host unreachable, from 192.0.2.2"),
        ("203.0.113.1:9", "network unreachable, from 192.0.2.2"),
        ("198.18.0.1:9", "administratively prohibited, from 192.0.2.2"),
        ("[2001:db8:a::1]:9", "network unreachable, from 2001:db8:1::2"),
        ("[2001:db8:d::1]:9", "network unreachable, from 2001:db8:1::2"),
        ("[2001:db8:b::1]:9", "administratively prohibited, from 2001:db8:1::2"),
    ] {
        let begun = Instant::now();
        // Also when a second datagram is what meets the news.
        for options in ["--send hi", "-I lines --send hi --send again"] {
            let ended = connect(unshare, "", &format!("-u -q 20 {options} {place}"));
            ends_with(ended, 7, place, says);
        }
        let ended = connect(unshare, "", &format!("-w 20 {place}"));
        let same =
            if place.contains("::") && says.starts_with("admin") { "prohibited" } else { "" };
        ends_with(ended, 7, place, same);
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    }
}

fn nobody_at_the_port(unshare: &[&'static str]) {
    for place in ["192.0.2.2:9", "[2001:db8:1::2]:9"] {
        let ended = connect(unshare, "", &format!("-u -q 20 --send hi {place}"));
        ends_with(ended, 4, place, "ICMP port unreachable");
    }
}

fn local_routes(unshare: &[&'static str]) {
    for kind in ["blackhole", "prohibit", "unreachable"] {
        for (family, net, place) in [
            ("", "198.51.100.0/24", "198.51.100.1:9"),
            ("-6", "2001:db8:f::/48", "[2001:db8:f::1]:9"),
        ] {
            let setup = format!("ip {family} route add {kind} {net}");
            for options in ["", "-u --send x"] {
                let ended = connect(unshare, &setup, &format!("{options} {place}"));
                ends_with(ended, 7, place, &format!("{kind} route"));
            }
            let host = place.trim_end_matches(":9");
            for options in ["", "-u"] {
                let ended = scan(unshare, &setup, &format!("{options} {host} 9"));
                ends_with(ended, 7, host, &format!("{kind} route"));
            }
        }
    }
}

fn broadcast_without_leave(unshare: &[&'static str]) {
    let place = "192.0.2.255:9";
    let ended = connect(unshare, "", &format!("-u --send x {place}"));
    ends_with(ended, 1, place, "--broadcast");
    connect(unshare, "", &format!("-u --broadcast -q 0 --send x {place}")).expect_code(0);
}

fn link_local_without_interface(unshare: &[&'static str]) {
    for options in ["", "-u --send x"] {
        let ended = connect(unshare, "", &format!("{options} [fe80::1]:9"));
        ends_with(ended, 1, "[fe80::1]:9", "%IF");
    }
}

fn next_address(unshare: &[&'static str]) {
    let setup = r#"
        mount -t tmpfs none /run
        printf '192.0.2.3 two.test\n192.0.2.2 two.test\n' > /run/hosts
        echo multi on > /run/host.conf
        for name in hosts host.conf; do
            if [ -e "/etc/$name" ]; then mount --bind "/run/$name" "/etc/$name"; fi
        done
        nsenter -t $router -n "$1" listen -u --quiet --reply found --timeout 60 192.0.2.2 999 < /dev/null > /dev/null &
        trap 'kill $router $!' EXIT
        while ! there grep -q ':03E7 ' /proc/$router/net/udp; do kill -0 $!; sleep 0.02; done
    "#;
    let ended = connect(unshare, setup, "-u -4 -v -q 20 --count 1 --send x two.test:999");
    let ended = ended.expect_code(0);
    assert_eq!(ended.stdout_text(), "found");
    let tried = ["192.0.2.3:999", "192.0.2.2:999"].map(|at| format!("connected to {at} (udp)"));
    let lines: Vec<_> =
        ended.stderr.lines().filter(|line| line.starts_with("connected to ")).collect();
    assert_eq!(lines, tried);
}
