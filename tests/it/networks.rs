//! Machines unlike this one: no route, no IPv6, names with many addresses. Each is made from namespaces
//! that end with the test; where those are not allowed, the tests say "ignored".
mod asking;
mod gone;
mod names;

use std::ffi::OsString;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::util::harness::{self, Need};
use crate::util::{Cmd, Input, PATIENCE, binary, eventually, net, pktcat_line, program, ways};

pub(crate) fn tests() -> Vec<Trial> {
    let unshare = find_unshare();
    let test = |name, needs: &[Need], run: fn(&[&'static str])| {
        let prefix = unshare.clone().unwrap_or_default();
        let trial = harness::test(module_path!(), name, needs, move || run(&prefix));
        with_namespaces(trial, unshare.is_some())
    };
    let ip = [Need::Program("ip")];
    let ss = ["ip", "ss", "nsenter", "sysctl"].map(Need::Program);
    let unpaced = test("bulk_is_paced_only_when_it_leaves_the_machine", &ss, paced_only_outside);
    let mut tests = names::tests(unshare.as_ref());
    tests.extend(asking::tests(unshare.as_ref()));
    tests.extend(gone::tests(unshare.as_ref()));
    tests.extend([
        with_bbr(unpaced),
        test("status_7_no_network_at_all", &[], status_7_no_network_at_all),
        test("status_7_no_route", &ip, status_7_no_route),
        test("listen_without_ipv6", &ip, listen_without_ipv6),
        test("connect_tries_all_of_twenty_addresses", &[], connect_tries_all_of_twenty_addresses),
        test(
            "connect_does_not_wait_for_a_silent_address",
            &[],
            connect_does_not_wait_for_a_silent_address,
        ),
        test(
            "datagrams_find_the_address_where_somebody_is",
            &[],
            datagrams_find_the_address_where_somebody_is,
        ),
        test("a_slow_name_server_makes_nobody_deaf", &ip, a_slow_name_server_makes_nobody_deaf),
        test(
            "twenty_addresses_that_refuse_are_one_error",
            &[],
            twenty_addresses_that_refuse_are_one_error,
        ),
    ]);
    tests
}

/// How this user makes namespaces, if at all.
pub(crate) fn find_unshare() -> Option<Vec<&'static str>> {
    [&["unshare"][..], &["unshare", "-r"]].into_iter().map(<[_]>::to_vec).find(|words| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["-n", "-m", "sh", "-c", "mount --bind / /"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    })
}

pub(crate) fn with_namespaces(trial: Trial, allowed: bool) -> Trial {
    if allowed { trial } else { trial.with_ignored_flag(true).with_kind("needs namespaces") }
}

/// Ignored where the kernel has no congestion control that paces.
fn with_bbr(trial: Trial) -> Trial {
    let available = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
    match available.is_ok_and(|names| names.split_whitespace().any(|name| name == "bbr")) {
        true => trial,
        false => trial.with_ignored_flag(true).with_kind("needs BBR"),
    }
}

/// The command after a piece of shell script in new namespaces; the script's `$1` is the given word.
fn inside(cmd: Cmd, unshare: &[&str], options: &str, script: &str, word: &str) -> Cmd {
    let script = format!("{script}\nshift; exec \"$@\"");
    let words = unshare.iter().copied().chain([options, "sh", "-euc", &script, "sh", word]);
    cmd.through(words.map(OsString::from).collect::<Vec<_>>())
}

#[track_caller]
fn is_unreachable(cmd: Cmd, place: &str) {
    let ended = cmd.run().expect_code(7);
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    assert!(lines[0].starts_with("pktcat: ") && lines[0].contains(place), "{}", lines[0]);
    // The kernel's words for IPv6 where no interface has an address are the last.
    let words = ["unreachable", "no route", "cannot assign requested address"];
    assert!(words.iter().any(|word| lines[0].contains(word)), "{}", lines[0]);
}

fn status_7_no_network_at_all(unshare: &[&'static str]) {
    for (options, place) in
        [("", "192.0.2.1:9"), ("-u --send x", "192.0.2.1:9"), ("", "[2001:db8::1]:9")]
    {
        let cmd = pktcat_line(&format!("connect {options} {place}"));
        is_unreachable(inside(cmd, unshare, "-n", "", ""), place);
    }
}

fn status_7_no_route(unshare: &[&'static str]) {
    let script = "ip link set lo up; ip route add unreachable 192.0.2.0/24";
    for options in ["", "-u --send x", "-w 5", "--quiet"] {
        let cmd = pktcat_line(&format!("connect {options} 192.0.2.1:9"));
        is_unreachable(inside(cmd, unshare, "-n", script, ""), "192.0.2.1:9");
    }
}

/// Both ends in one namespace, so both in one script; the limit ends whatever hangs.
const BOTH_ENDS: &str = r#"
ip link set lo up
for file in /proc/sys/net/ipv6/conf/*/disable_ipv6; do echo 1 > "$file"; done
d=$(mktemp -d)
trap 'rm -r "$d"' EXIT
for udp in "" "-u --count 1"; do
    rm -f "$d/port"
    "$1" listen $udp --quiet --timeout 20 --port-file "$d/port" 0 < /dev/null &
    while ! [ -s "$d/port" ]; do kill -0 $!; sleep 0.02; done
    echo "heard $udp" | "$1" connect ${udp:+-u -q 0} --timeout 20 localhost "$(cat "$d/port")"
    wait $!
done
"#;

fn listen_without_ipv6(unshare: &[&'static str]) {
    let words = unshare.iter().copied().chain(["-n", "sh", "-euc", BOTH_ENDS, "sh", binary()]);
    let ended = program("env", words).run().expect_code(0);
    assert_eq!(ended.stdout_text(), "heard \nheard -u --count 1\n", "{}", ended.stderr);
}

/// For each address, three of this machine and one of another, which congestion control a connection there has
/// after a few bytes, and which after many; then the same from a listener on all addresses to a client of this
/// machine and one of another. The first process keeps the far namespace alive.
const CONGESTION: &str = r#"
ip link set lo up
sysctl -q net.ipv4.tcp_congestion_control=bbr
unshare -n sleep 100 & far=$!
d=$(mktemp -d)
trap 'kill $far; rm -r "$d"' EXIT
while [ "$(readlink /proc/$far/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link add near type veth peer name far netns $far
ip addr add 192.0.2.1/24 dev near
ip link set near up
nsenter -t $far -n ip addr add 192.0.2.2/24 dev far
nsenter -t $far -n ip link set far up
mkfifo "$d/stdin"
congestion() {
    until ss -tinH "$1" | grep -q "bytes_acked:$2 "; do kill -0 $client; sleep 0.02; done
    ss -tinH "$1" | grep -owE 'bbr|reno' | head -n 1
}
for host in 127.0.0.1 ::1 192.0.2.1 192.0.2.2; do
    inside=; if [ $host = 192.0.2.2 ]; then inside="nsenter -t $far -n"; fi
    rm -f "$d/port"
    $inside "$1" listen -d --quiet --timeout 20 --port-file "$d/port" $host 0 < /dev/null > /dev/null &
    listener=$!
    while ! [ -s "$d/port" ]; do kill -0 $listener; sleep 0.02; done
    port=$(cat "$d/port")
    "$1" connect --timeout 20 $host "$port" < "$d/stdin" &
    client=$!
    exec 9> "$d/stdin"
    echo few >&9
    echo "$host" $(congestion "dst $host:$port" 5) \
        $(head -c 4000000 /dev/zero >&9; congestion "dst $host:$port" 4000005)
    exec 9>&-
    wait $client $listener
done
for inside in "" "nsenter -t $far -n"; do
    rm -f "$d/port"
    "$1" listen -k --quiet --timeout 20 --port-file "$d/port" 0 < "$d/stdin" > /dev/null &
    listener=$!
    exec 9> "$d/stdin"
    while ! [ -s "$d/port" ]; do kill -0 $listener; sleep 0.02; done
    port=$(cat "$d/port")
    $inside "$1" connect -d --timeout 20 192.0.2.1 "$port" > /dev/null 9>&- &
    client=$!
    head -c 4000000 /dev/zero >&9
    echo "${inside%% *} to a client" $(congestion "sport = :$port" 4000000)
    exec 9>&-
    wait $client
    kill $listener
    wait $listener || true
done
"#;

/// BBR's pacing is for paths whose rate has to be found; elsewhere it is in the way of bulk data.
fn paced_only_outside(unshare: &[&'static str]) {
    let words = unshare.iter().copied().chain(["-n", "sh", "-euc", CONGESTION, "sh", binary()]);
    let ended = program("env", words).run().expect_code(0);
    let lines = [
        "127.0.0.1 reno reno",
        "::1 reno reno",
        "192.0.2.1 bbr reno",
        "192.0.2.2 bbr bbr",
        " to a client reno",
        "nsenter to a client bbr",
    ];
    assert_eq!(ended.stdout_text().lines().collect::<Vec<_>>(), lines, "{}", ended.stderr);
}

/// A command that knows the name `many.test` with the addresses 127.0.0.1 to 127.0.0.20.
fn with_many_addresses(cmd: Cmd, unshare: &[&str], folder: &tempfile::TempDir) -> Cmd {
    let hosts: String = (1..=20).map(|n| format!("127.0.0.{n} many.test\n")).collect();
    let file = folder.path().join("hosts");
    std::fs::write(&file, hosts).unwrap();
    std::fs::write(folder.path().join("host.conf"), "multi on\n").unwrap();
    let script = r#"for name in hosts host.conf; do
        if [ -e "/etc/$name" ]; then mount --bind "$1/$name" "/etc/$name"; fi
    done"#;
    inside(cmd, unshare, "-m", script, folder.path().to_str().unwrap())
}

/// Connects to `many.test` and tells which address answered.
#[track_caller]
fn answered_by(unshare: &[&str], options: &str, listener: &TcpListener) -> String {
    // On a busy machine a limit may pass before it is the turn of the one that answers.
    let mut tries = (0..10).map(|_| connected(unshare, options, listener));
    tries.find_map(|line| line).expect("a connection within the limit")
}

/// The line that says which one answered; nothing when the limit on time passed before.
fn connected(unshare: &[&str], options: &str, listener: &TcpListener) -> Option<String> {
    let port = listener.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let cmd = pktcat_line(&format!("connect -v {options} many.test {port}"))
        .stdin(Input::Bytes(b"found".to_vec()));
    let client = with_many_addresses(cmd, unshare, &folder).spawn();
    listener.set_nonblocking(true).unwrap();
    let came = eventually("a connection, or the end", || match listener.accept() {
        Ok((stream, _)) => Some(Some(stream)),
        Err(_) => client.ended().map(|_| None),
    });
    let Some(stream) = came else {
        client.wait().expect_code(5);
        return None;
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(net::read_to_fin(&stream), b"found");
    drop(stream);
    let ended = client.wait().expect_code(0);
    let line = ended.stderr.lines().find(|line| line.starts_with("connected to "));
    Some(line.unwrap_or_else(|| panic!("no line says who answered:\n{}", ended.stderr)).to_owned())
}

fn connect_tries_all_of_twenty_addresses(unshare: &[&'static str]) {
    let (listener, port) = net::listener_at(&net::only_at("127.0.0.17"));
    assert_eq!(
        answered_by(unshare, "", &listener),
        format!("connected to 127.0.0.17:{port} (tcp)")
    );
}

fn connect_does_not_wait_for_a_silent_address(unshare: &[&'static str]) {
    let (_queue, port) = net::unanswering_port();
    let (listener, _) = net::listener_at(&format!("127.0.0.17:{port}"));
    // Within a limit that is shorter than the usual wait for one address, each has its turn.
    for options in ["", "-w 1s"] {
        let line = answered_by(unshare, options, &listener);
        assert_eq!(line, format!("connected to 127.0.0.17:{port} (tcp)"));
    }
}

fn datagrams_find_the_address_where_somebody_is(unshare: &[&'static str]) {
    let (server, port) = net::udp_at(&net::only_at("127.0.0.17"));
    for ways in ways() {
        let folder = tempfile::tempdir().unwrap();
        let line = format!("connect -v -u --count 2 -q 20 {ways} many.test {port}");
        let mut client =
            with_many_addresses(pktcat_line(&line).stdin(Input::Pipe), unshare, &folder).spawn();
        // What the ones before got, this one gets: all of it, and in its order.
        client.send(b"first");
        let mut room = [0; 9];
        let (length, peer) = server.recv_from(&mut room).unwrap();
        assert_eq!(&room[..length], b"first");
        server.send_to(b"reply", peer).unwrap();
        client.send(b"second");
        assert_eq!(server.recv_from(&mut room).unwrap(), (6, peer));
        server.send_to(b" again", peer).unwrap();
        let ended = client.wait().expect_code(0);
        assert_eq!(ended.stdout_text(), "reply again");
        let mut connected = ended.stderr.lines().filter(|line| line.starts_with("connected to "));
        assert_eq!(connected.next_back(), Some(&*format!("connected to 127.0.0.17:{port} (udp)")));
    }
}

fn twenty_addresses_that_refuse_are_one_error(unshare: &[&'static str]) {
    let (_held, port) = net::refusing_port();
    for (options, says) in [("", "20 addresses"), ("-u --send x", "ICMP")] {
        let folder = tempfile::tempdir().unwrap();
        let cmd = pktcat_line(&format!("connect {options} many.test {port}"));
        let ended = with_many_addresses(cmd, unshare, &folder).run().expect_code(4);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("refused") && ended.stderr.contains(says),
            "{}",
            ended.stderr
        );
    }
}

/// A name server that never answers, from the same program, in the namespaces of the command.
const SLOW_SERVER: &str = r#"
ip link set lo up
echo "nameserver 127.0.0.1" > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
"$2" listen -u --quiet --discard --timeout 30 --port-file "$1/port" 127.0.0.1 53 > /dev/null < /dev/null &
while ! [ -s "$1/port" ]; do kill -0 $!; sleep 0.02; done
server=$!
trap 'kill $server' EXIT
"#;

fn a_slow_name_server_makes_nobody_deaf(unshare: &[&'static str]) {
    let limits = ["connect -w 200ms slow.test 9", "connect --timeout 200ms slow.test 9"];
    let more = [
        "connect --timeout 200ms -s slow.test 127.0.0.1 9",
        "connect -u -w 200ms slow.test 9",
        "listen --timeout 200ms slow.test 0",
        "listen --timeout 200ms --allow slow.test 127.0.0.1 0",
        "compare -w 200ms slow.test 9",
        "scan -w 200ms slow.test 9",
    ];
    let signals = [
        "connect -v slow.test 9",
        "listen -v slow.test 0",
        "compare slow.test 9",
        "scan slow.test 9",
    ];
    let lines = limits.iter().chain(&more).map(|line| (5, *line));
    for (status, line) in lines.chain(signals.iter().map(|line| (143, *line))) {
        let folder = tempfile::tempdir().unwrap();
        // The command's own status, and before the name server would be given up.
        let run = match status {
            143 => r#""$@" & run=$!; sleep 0.3; kill -TERM $run; wait $run || exit $?"#,
            _ => r#""$@" || exit $?"#,
        };
        let script = format!("{SLOW_SERVER}\nshift 2\n{run}");
        let pktcat = binary();
        let own = unshare.iter().copied().chain(["-n", "-m", "sh", "-euc", &script, "sh"]);
        let words = own.chain([folder.path().to_str().unwrap(), pktcat, "timeout", "4", pktcat]);
        let ended = program("env", words.chain(line.split(' '))).stdin(Input::Null).run();
        // timeout(1) hands the signal on, and its status is that of the signal.
        let got = ended.status.code();
        assert_eq!(got, Some(status), "{line}: {}", ended.stderr);
    }
}
