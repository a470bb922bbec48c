//! Datagrams in trains: every boundary where it was, and nothing lost when the route refuses to cut trains.

use std::io::{Seek, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::socket::{setsockopt, sockopt};

use crate::util::data::{assert_same, random};
use crate::util::harness::{self, Need};
use crate::util::udp::{listening, receive};
use crate::util::{Input, binary, find_program, net, pktcat_line, program, ways};

/// From one byte to the longest of IPv4, with what decides on trains between: around the payload that fits a
/// packet of 1500 bytes, and around a half and a whole train.
const SIZES: [usize; 15] =
    [1, 2, 63, 100, 512, 1400, 1452, 1472, 1473, 4000, 9000, 32_753, 32_754, 65_506, 65_507];

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = crate::tests![
        boundaries_between_two_instances,
        boundaries_at_a_receiver_that_knows_no_trains,
    ];
    for portable in ["", "--portable"] {
        let name = format!("a_route_that_refuses_trains {portable}");
        let needs = [Need::Program("ip"), Need::Program("nsenter"), Need::Program("unshare")];
        let trial = harness::test(module_path!(), name.trim_end(), &needs, move || {
            refused_trains(portable)
        });
        tests.push(match namespaces() {
            true => trial,
            false => trial.with_ignored_flag(true).with_kind("needs namespaces"),
        });
    }
    tests
}

/// What is sent as datagrams of `size` bytes, the last one shorter: few enough that the smallest usual receive
/// buffer holds all of them one by one, even if nobody takes any.
fn stream(size: usize) -> Vec<u8> {
    let count = (100_000 / size).clamp(2, 100);
    random(60 + size as u64, size * count + size / 2)
}

/// A file with these bytes: unlike a pipe it never has a pause in it, and a pause sends a part of a datagram.
fn file(bytes: &[u8]) -> Input {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    Input::Fd(file.into())
}

/// As `-O frames` writes it.
fn frames(bytes: &[u8], size: usize) -> Vec<u8> {
    let length = |message: &[u8]| u32::try_from(message.len()).unwrap().to_be_bytes();
    bytes.chunks(size).flat_map(|message| [&length(message), message].concat()).collect()
}

fn boundaries_between_two_instances() {
    let ways = ways().iter();
    for (sender, receiver) in ways.clone().flat_map(|a| ways.clone().map(move |b| (a, b))) {
        for size in SIZES {
            let bytes = stream(size);
            let line = format!("listen -u {receiver} -O frames 127.0.0.1 0");
            let server = listening(pktcat_line(&line));
            let port = server.port();
            let line = format!("connect -u {sender} -q 0 --datagram-size {size} 127.0.0.1 {port}");
            let client = pktcat_line(&line).stdin(file(&bytes));
            client.run().expect_code(0);
            let wanted = frames(&bytes, size);
            assert_same(&server.wait_stdout(wanted.len()), &wanted);
        }
    }
}

/// A test that gets no core for a while must not lose what it counts: small datagrams cost the kernel many
/// times their size.
fn hold_much(socket: &UdpSocket) {
    const BYTES: usize = 64 << 20;
    // Without the privilege it is as much as everybody may have.
    let forced = setsockopt(socket, sockopt::RcvBufForce, &BYTES);
    forced.or_else(|_| setsockopt(socket, sockopt::RcvBuf, &BYTES)).unwrap();
}

fn boundaries_at_a_receiver_that_knows_no_trains() {
    for size in SIZES {
        let bytes = stream(size);
        let (socket, port) = net::udp();
        hold_much(&socket);
        let line = format!("connect -u -q 0 --datagram-size {size} 127.0.0.1 {port}");
        let client = pktcat_line(&line).stdin(file(&bytes)).spawn();
        for datagram in bytes.chunks(size) {
            assert_same(&receive(&socket), datagram);
        }
        client.wait().expect_code(0);
    }
}

/// Two namespaces with a pair of virtual Ethernet devices between them. Datagrams that do not fit a packet of
/// 1500 bytes cannot leave as a train there (the kernel says EINVAL or EMSGSIZE, by its age), only one by one in
/// fragments. The first process keeps the far namespace alive.
const TWO_HOSTS: &str = r#"
ip link set lo up
unshare -n sleep 100 & far=$!
d=$(mktemp -d)
trap 'kill $far; rm -r "$d"' EXIT
while [ "$(readlink /proc/$far/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link add near mtu 1500 type veth peer name far mtu 1500 netns $far
ip addr add 192.0.2.1/24 dev near
ip link set near up
nsenter -t $far -n ip addr add 192.0.2.2/24 dev far
nsenter -t $far -n ip link set far up
cat > "$d/in"
nsenter -t $far -n "$1" listen -u --quiet $2 -O frames --timeout 20 --port-file "$d/port" \
    192.0.2.2 0 < /dev/null > "$d/out" &
receiver=$!
while ! [ -s "$d/port" ]; do kill -0 $receiver; sleep 0.02; done
"$1" connect -u -q 0 --datagram-size $3 192.0.2.2 "$(cat "$d/port")" < "$d/in"
while [ "$(stat -c %s "$d/out")" -lt $4 ]; do kill -0 $receiver; sleep 0.02; done
kill $receiver
wait $receiver || true
cat "$d/out"
"#;

/// How this user makes namespaces.
fn unshare() -> Vec<&'static str> {
    match Need::Root.is_met() {
        true => vec!["unshare", "-n"],
        false => vec!["unshare", "-r", "-n"],
    }
}

fn namespaces() -> bool {
    let words = unshare();
    let Some(file) = find_program(words[0]) else { return false };
    let mut command = Command::new(file);
    command.args(&words[1..]).args(["ip", "link", "add", "near", "type", "veth"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn refused_trains(receiver: &str) {
    for size in [100, 1452, 1472, 1473, 4000] {
        let bytes = random(80 + size as u64, size * (60_000 / size) + 77);
        let wanted = frames(&bytes, size);
        let prefix = unshare();
        let script =
            program(prefix[0], &prefix[1..]).arg("sh").arg("-euc").arg(TWO_HOSTS).arg("sh");
        let script = script.arg(binary()).arg(receiver).arg(size.to_string());
        let script = script.arg(wanted.len().to_string());
        let ended = script.stdin(Input::Bytes(bytes)).run();
        assert_same(&ended.expect_code(0).stdout, &wanted);
    }
}
