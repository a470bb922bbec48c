//! Socket options: what is asked for is granted and seen from the other side, or refused.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use libtest_mimic::Trial;
use socket2::{Domain, SockRef, Socket, Type};

use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::{expect_nothing, listening, peer_of, receive};
use crate::util::{Input, eventually, find_program, net, pktcat, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        buffers_that_were_granted_are_told,
        ttl_and_tos_are_those_of_the_packets needs [Need::Program("python3")],
        ttl_and_tos_reach_both_families needs [Need::Program("python3"), Need::Ipv6],
        broadcast_must_be_allowed,
        an_ipv4_group_is_joined_on_an_interface,
        a_groups_port_is_shared_by_all_that_hear_it,
        a_port_without_a_group_is_nobody_elses,
        a_listener_for_both_protocols_joins_a_group,
        a_socket_for_both_families_joins_an_ipv4_group needs [Need::Ipv6],
        an_ipv6_group_is_joined_on_an_interface needs [Need::Ipv6],
        a_device_is_bound_to needs [Need::Root],
        keepalive_sets_a_timer,
        delay_and_the_rest_change_no_byte,
        words_that_make_no_sense_are_usage_errors,
        a_word_that_is_empty_is_a_usage_error_and_says_so,
        what_is_too_much_is_called_that,
    ]
}

fn buffers_that_were_granted_are_told() {
    for options in ["-u", "", "-k --echo"] {
        let line = format!("listen {options} -v --rcvbuf 64KiB --sndbuf 32KiB 127.0.0.1 0");
        let server = pktcat_line(&line).spawn();
        let told = server.wait_line("receive buffer ");
        let numbers: Vec<u64> =
            told.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        // The kernel doubles what it is asked for (socket(7)).
        assert!(numbers[0] >= 65_536 && numbers[1] >= 32_768, "{told}");
    }
    let (_listener, port) = net::listener();
    let line = format!("connect -v --sndbuf 32KiB --send x --until-fin 127.0.0.1 {port}");
    pktcat_line(&line).spawn().wait_line("send buffer ");
    let quiet = pktcat_line("listen --rcvbuf 64KiB 127.0.0.1 0").spawn();
    quiet.port();
    assert_eq!(quiet.stderr_now().lines().count(), 1);
}

/// Sends a datagram to the port and prints TTL and TOS of the answer's packet.
const SEEN: &str = r#"
import socket, sys

v6 = sys.argv[1] == "::1"
peer = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
peer.settimeout(30)
level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
for option in (socket.IPV6_RECVHOPLIMIT, socket.IPV6_RECVTCLASS) if v6 else (12, 13):
    peer.setsockopt(level, option, 1)
peer.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
_, control, _, _ = peer.recvmsg(100, 1000)
kinds = (socket.IPV6_HOPLIMIT, socket.IPV6_TCLASS) if v6 else (2, 1)
values = {kind: data[0] for _, kind, data in control}
print(*(values[kind] for kind in kinds))
"#;

#[track_caller]
fn expect_seen(host: &str, server: &crate::util::Running) {
    let python = find_program("python3").unwrap();
    let port = server.port().to_string();
    let seen = program(python, ["-c", SEEN, host, &port]).run().expect_code(0);
    assert_eq!(seen.stdout_text(), "33 72\n", "towards {host}");
}

fn ttl_and_tos_are_those_of_the_packets() {
    let line = "listen -u --echo --ttl 33 --tos 72 127.0.0.1 0";
    expect_seen("127.0.0.1", &pktcat_line(line).spawn());
}

fn ttl_and_tos_reach_both_families() {
    let server = pktcat_line("listen -u --echo --ttl 33 --tos 72 0").spawn();
    expect_seen("::1", &server);
    expect_seen("127.0.0.1", &server);
}

fn broadcast_must_be_allowed() {
    // Bound to every address, because that is where broadcasts are heard.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let line = |option| format!("connect -u {option} -q 0 --send hello 127.255.255.255 {port}");
    let ended = pktcat_line(&line("")).run();
    assert_ne!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("pktcat: "), "{}", ended.stderr);
    expect_nothing(&socket);
    pktcat_line(&line("--broadcast")).run().expect_code(0);
    assert_eq!(receive(&socket), b"hello");
}

/// Sends to an IPv4 group, on loopback only.
fn send_to_v4_group(group: [u8; 4], port: u16) {
    let sender = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    sender.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    sender.set_multicast_ttl_v4(0).unwrap();
    sender.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    sender.send_to(b"to the group", &SocketAddr::from((group, port)).into()).unwrap();
}

fn an_ipv4_group_is_joined_on_an_interface() {
    let line = "listen -u --count 1 --join 239.255.7.1%lo --join 239.255.7.2%lo 0.0.0.0 0";
    let server = listening(pktcat_line(line));
    send_to_v4_group([239, 255, 7, 2], server.port());
    assert_eq!(server.wait().expect_code(0).stdout_text(), "to the group");
}

fn a_groups_port_is_shared_by_all_that_hear_it() {
    // As mDNS daemons do it: with one of the two options, or both.
    for both in [false, true] {
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_address(true).unwrap();
        other.set_reuse_port(both).unwrap();
        other.bind(&SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
        let group = Ipv4Addr::new(239, 255, 7, 5);
        other.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let other = UdpSocket::from(other);
        other.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
        let port = other.local_addr().unwrap().port();
        let servers: Vec<_> = ["0.0.0.0", "0.0.0.0", "239.255.7.5"]
            .into_iter()
            .map(|host| {
                let line = "listen -v -u --count 1 --join 239.255.7.5%lo";
                listening(pktcat_line(&format!("{line} {host} {port}")))
            })
            .collect();
        send_to_v4_group(group.octets(), port);
        for server in servers {
            assert_eq!(server.wait().expect_code(0).stdout_text(), "to the group");
        }
        assert_eq!(receive(&other), b"to the group");
    }
    // A port that the system chose is shared too, once it is known; so is that of a group's address
    // that somebody else has joined, and that of a client.
    let first = listening(pktcat_line("listen -u --count 1 --join 239.255.7.6%lo 0.0.0.0 0"));
    let port = first.port();
    let second = listening(pktcat_line(&format!("listen -v -u --count 1 239.255.7.6 {port}")));
    let line = format!("connect -v -u -d --join 239.255.7.6%lo -p {port} 127.0.0.1 9");
    let third = pktcat_line(&line).spawn();
    third.wait_line("connected to ");
    send_to_v4_group([239, 255, 7, 6], port);
    for server in [first, second] {
        assert_eq!(server.wait().expect_code(0).stdout_text(), "to the group");
    }
}

fn a_port_without_a_group_is_nobody_elses() {
    let shared = |address: &str| {
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_address(true).unwrap();
        other.set_reuse_port(true).unwrap();
        other.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
        UdpSocket::from(other)
    };
    for host in ["127.0.0.1", "0.0.0.0"] {
        let other = shared(&format!("{host}:0"));
        let port = other.local_addr().unwrap().port();
        let ended = pktcat_line(&format!("listen -u {host} {port}")).run().expect_code(1);
        assert!(ended.stderr.contains("address already in use"), "{}", ended.stderr);
    }
}

fn a_socket_for_both_families_joins_an_ipv4_group() {
    let server = listening(pktcat_line("listen -u --count 1 --join 239.255.7.3%lo 0"));
    send_to_v4_group([239, 255, 7, 3], server.port());
    assert_eq!(server.wait().expect_code(0).stdout_text(), "to the group");
}

fn an_ipv6_group_is_joined_on_an_interface() {
    // Loopback usually has no route for IPv6 multicast: the kernel's list of members tells.
    let server = listening(pktcat_line("listen -u -6 --join ff02::7:1%lo 0"));
    let members = || std::fs::read_to_string("/proc/net/igmp6").unwrap();
    let is_member = || {
        let group = format!("ff02{}00070001", "0".repeat(20));
        members().lines().any(|line| line.contains(" lo ") && line.contains(&group))
    };
    assert!(is_member(), "{}", members());
    drop(server);
    eventually("the group to be left", || (!is_member()).then_some(()));
}

fn a_device_is_bound_to() {
    let server = pktcat_line("listen -k --echo --device lo 127.0.0.1 0").spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"x").unwrap();
    assert_eq!(net::read_exactly(&client, 1), b"x");
    let ended = pktcat_line("listen --device nosuch0 127.0.0.1 0").run().expect_code(1);
    assert!(ended.stderr.contains("--device nosuch0: "), "{}", ended.stderr);
}

/// The timer field of a connection in `/proc/net/tcp`, seen from this local port: `02` for keepalive.
fn timer(local: u16, remote: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let port = |field: &str| u16::from_str_radix(&field[field.len() - 4..], 16).unwrap();
        ([port(fields[1]), port(fields[2])] == [local, remote]).then(|| fields[5][..2].to_owned())
    })
}

fn keepalive_sets_a_timer() {
    for (options, wanted) in [("-k --echo", "00"), ("-k --echo --keepalive", "02")] {
        let server = pktcat_line(&format!("listen {options} 127.0.0.1 0")).spawn();
        let client = net::connect(server.port());
        let own = client.local_addr().unwrap().port();
        eventually(&format!("timer {wanted} with {options}"), || {
            (timer(server.port(), own)? == wanted).then_some(())
        });
    }
    let (listener, port) = net::listener();
    let line = format!("connect --keepalive 127.0.0.1 {port}");
    let _client = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    let theirs = stream.peer_addr().unwrap().port();
    eventually("a timer of the client", || (timer(theirs, port)? == "02").then_some(()));
}

fn delay_and_the_rest_change_no_byte() {
    let all = "--delay --keepalive --ttl 7 --tos 16 --rcvbuf 8k --sndbuf 8k";
    let server = pktcat_line(&format!("listen -k --echo {all} 127.0.0.1 0")).spawn();
    let payload = crate::util::data::random(1, 300_000);
    let mut words: Vec<_> = vec!["connect"];
    words.extend(all.split(' '));
    let port = server.port().to_string();
    words.extend(["127.0.0.1", &port]);
    let ended = pktcat(words).stdin(Input::Bytes(payload.clone())).run().expect_code(0);
    crate::util::data::assert_same(&ended.stdout, &payload);
    // And over UDP, where some of them mean nothing.
    let server = listening(pktcat_line(&format!("listen -u --echo {all} 127.0.0.1 0")));
    let peer = peer_of(&server);
    SockRef::from(&peer).set_recv_buffer_size(1 << 20).unwrap();
    peer.send(b"x").unwrap();
    assert_eq!(receive(&peer), b"x");
}

fn words_that_make_no_sense_are_usage_errors() {
    for options in [
        "--ttl 0",
        "--ttl 256",
        "--tos 256",
        "-u --join 127.0.0.1",
        "-u --join 239.1.2.3%nosuch0",
        "--join 239.1.2.3",
        "-k --join 239.1.2.3",
        "--rcvbuf much",
    ] {
        let ended = pktcat_line(&format!("listen {options} 127.0.0.1 0")).run().expect_code(2);
        assert!(ended.stderr.starts_with("pktcat: "), "{options}: {}", ended.stderr);
    }
}

fn a_listener_for_both_protocols_joins_a_group() {
    let server = listening(pktcat_line("listen -t -u -k --join 239.255.7.4%lo 0.0.0.0 0"));
    send_to_v4_group([239, 255, 7, 4], server.port());
    assert_eq!(server.wait_stdout(12), b"to the group");
}

/// Each of these has the status 2, and one line with this in it.
fn complaints(cases: &[(&[&str], &str)]) {
    for (words, told) in cases {
        let ended = pktcat(*words).run().expect_code(2);
        assert!(ended.stderr.contains(told), "{words:?}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{words:?}: {}", ended.stderr);
    }
}

fn a_word_that_is_empty_is_a_usage_error_and_says_so() {
    complaints(&[
        // An empty name would mean any interface, which is what the option is there to prevent.
        (&["listen", "--device", "", "--timeout", "0", "127.0.0.1", "0"], "--device: is empty"),
        (&["forward", "--device", "", "--timeout", "0", "0", "127.0.0.1:9"], "--device: is empty"),
        (&["connect", "-s", "", "127.0.0.1", "9"], "--source: is empty"),
        (&["connect", "-U", "path", "-s", ""], "--source : the path is missing"),
        (&["listen", "--allow", "", "--timeout", "0", "127.0.0.1", "0"], "--allow: is empty"),
        (&["forward", "--deny", "", "--timeout", "0", "0", "127.0.0.1:9"], "--deny: is empty"),
        (&["listen", "--queue", "", "0"], "write it as 1400"),
        (&["listen", "--timeout", "", "0"], "write it as 250ms"),
        (&["forward", "--impair", "rate=", "0", "9"], "write it as 10M"),
        (&["forward", "--impair", "slice=", "0", "9"], "write it as 1400"),
        (&["forward", "--impair", "delay=", "0", "9"], "write it as 250ms"),
    ]);
}

fn what_is_too_much_is_called_that() {
    let large = "99999999999999999999";
    complaints(&[
        (&["listen", "--queue", &format!("{large}k"), "0"], "the number is too large"),
        (&["connect", "--rate", large, "127.0.0.1", "9"], "the number is too large"),
        (&["forward", "--impair", &format!("rate={large}M"), "0", "9"], "the number is too large"),
        (&["forward", "--impair", &format!("seed={large}"), "0", "9"], "18446744073709551615"),
        (&["listen", "--timeout", large, "0"], "longer than a thousand years"),
        (&["ping", "-w", &format!("{large}h"), "127.0.0.1", "9"], "longer than a thousand years"),
    ]);
}
