//! Causes that have several reasons, told apart; and hints only where they are true.
use crate::tests;
use libtest_mimic::Trial;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::util::harness::Need;
use crate::util::{Cmd, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    const STRACE: Need = Need::Strace;
    tests![
        a_source_port_in_use_is_named_and_no_unreachable_network,
        no_source_port_left_is_no_unreachable_network
            needs [Need::Root, Need::Program("unshare"), Need::Program("ip"), Need::Program("python3")],
        no_address_to_send_from_is_an_unreachable_network needs [
            Need::Root, Need::Program("unshare"), Need::Program("ip"), Need::Ipv6
        ],
        an_address_of_another_machine_is_called_so,
        a_privileged_port_names_the_privilege
            needs [Need::Root, Need::Program("setpriv"), Need::Program("unshare")],
        no_privilege_is_named_where_none_is_missing needs [STRACE],
        port_0_is_not_recommended_to_who_asked_for_it needs [STRACE],
        a_source_of_the_other_family_is_a_usage_error,
        two_dashes_without_a_command_are_a_usage_error,
        a_link_local_address_without_an_interface_is_told_how needs [Need::Ipv6],
        an_interface_that_does_not_exist_is_shown_as_given needs [Need::Ipv6],
        only_a_group_without_an_interface_is_told_to_name_one needs [Need::Root, Need::Program("unshare")],
        a_port_that_is_given_twice_is_told_so,
        a_mapped_address_is_what_is_written,
        who_wants_a_slow_service_is_told_of_the_forwarder,
        a_limit_of_room_is_told_without_clients_too needs [STRACE],
    ]
}

/// It fails with this status and exactly this one line.
#[track_caller]
fn fails(cmd: Cmd, status: i32, line: &str) {
    let ended = cmd.run().expect_code(status);
    assert_eq!(ended.stderr, format!("pktcat: {line}\n"));
}

/// A command whose calls meet this fault.
fn injected(line: &str, what: &str) -> Cmd {
    let inject = format!("inject={what}");
    pktcat_line(line).through(["strace", "-D", "-qq", "-o", "/dev/null", "-e", &inject])
}

fn a_source_port_in_use_is_named_and_no_unreachable_network() {
    let (listener, port) = net::listener();
    let holder = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    holder.set_reuse_address(true).unwrap();
    holder.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    holder.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    let own = holder.local_addr().unwrap().as_socket().unwrap().port();
    fails(
        pktcat_line(&format!("connect -s 127.0.0.1 -p {own} 127.0.0.1 {port}")),
        1,
        &format!(
            "connect: 127.0.0.1:{port} (tcp): cannot assign requested address \
             (source port {own} has a connection to it already)"
        ),
    );
    let (_udp, own) = net::udp();
    fails(
        pktcat_line(&format!("connect -u -s 127.0.0.1 -p {own} 127.0.0.1 {port}")),
        1,
        &format!(
            "bind: 127.0.0.1:{own} (udp): address already in use (another program has this port)"
        ),
    );
    drop(listener);
}

/// Takes the only port there is to send from, then runs what its words say.
const TAKE: &str = r#"
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", 7000))
streams = socket.create_connection(("127.0.0.1", 7000))
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", 50000))
sys.exit(subprocess.call(sys.argv[1:]))
"#;

fn no_source_port_left_is_no_unreachable_network() {
    let script = "ip link set lo up
        echo '50000 50000' > /proc/sys/net/ipv4/ip_local_port_range; exec python3 \"$@\"";
    let alone = |line: &str| {
        pktcat_line(line).through(["unshare", "-n", "sh", "-c", script, "sh", "-c", TAKE])
    };
    let hint = "(no source port is free: net.ipv4.ip_local_port_range)";
    let place = "connect: 127.0.0.1:7000";
    let why = "cannot assign requested address";
    fails(alone("connect 127.0.0.1 7000"), 1, &format!("{place} (tcp): {why} {hint}"));
    let why = "resource temporarily unavailable";
    let udp = alone("connect -u --send x 127.0.0.1 7000");
    fails(udp, 1, &format!("{place} (udp): {why} {hint}"));
    let ended = alone("listen 127.0.0.1 0").run().expect_code(1);
    assert!(
        ended.stderr.ends_with("address already in use (no port is free)\n"),
        "{}",
        ended.stderr
    );
}

fn no_address_to_send_from_is_an_unreachable_network() {
    let script = "ip link set lo up; ip addr del ::1/128 dev lo; exec \"$@\"";
    let why = "cannot assign requested address (no address of this machine can be sent from)";
    for (line, what) in [
        ("connect 2001:db8::1 9", "connect: [2001:db8::1]:9 (tcp)"),
        ("connect -u --send x 2001:db8::1 9", "connect: [2001:db8::1]:9 (udp)"),
        ("scan 2001:db8::1 9", "scan: [2001:db8::1]"),
    ] {
        let alone = pktcat_line(line).through(["unshare", "-n", "sh", "-c", script, "sh"]);
        fails(alone, 7, &format!("{what}: {why}"));
    }
}

fn an_address_of_another_machine_is_called_so() {
    let why = "cannot assign requested address (it is no address of this machine)";
    for (line, what) in [
        ("listen 192.0.2.1 0", "listen: 192.0.2.1:0 (tcp)"),
        ("listen -u 192.0.2.1 0", "listen: 192.0.2.1:0 (udp)"),
        ("connect -s 192.0.2.1 127.0.0.1 9", "bind: 192.0.2.1:0 (tcp)"),
        ("connect -u -s 192.0.2.1 127.0.0.1 9", "bind: 192.0.2.1:0 (udp)"),
    ] {
        fails(pktcat_line(line), 1, &format!("{what}: {why}"));
    }
}

fn a_privileged_port_names_the_privilege() {
    let script = "echo $0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
        exec setpriv --bounding-set=-net_bind_service \"$@\"";
    for (first, port) in [("1024", 80), ("8000", 7000)] {
        for (line, what) in [
            (format!("listen 127.0.0.1 {port}"), format!("listen: 127.0.0.1:{port} (tcp)")),
            (
                format!("connect -u -s 127.0.0.1 -p {port} 127.0.0.1 9"),
                format!("bind: 127.0.0.1:{port} (udp)"),
            ),
        ] {
            let cmd = pktcat_line(&line).through([
                "unshare",
                "-n",
                "sh",
                "-c",
                "ip link set lo up; exec sh -c \"$@\"",
                "sh",
                script,
                first,
            ]);
            let hint = format!(
                "ports below {first} need root or CAP_NET_BIND_SERVICE: \
                 net.ipv4.ip_unprivileged_port_start"
            );
            fails(cmd, 1, &format!("{what}: permission denied ({hint})"));
        }
    }
}

fn no_privilege_is_named_where_none_is_missing() {
    for error in ["EACCES", "EPERM"] {
        for port in [7000, 0] {
            let cmd = injected(&format!("listen 127.0.0.1 {port}"), &format!("bind:error={error}"));
            let why =
                if error == "EACCES" { "permission denied" } else { "operation not permitted" };
            fails(cmd, 1, &format!("listen: 127.0.0.1:{port} (tcp): {why}"));
        }
    }
}

fn port_0_is_not_recommended_to_who_asked_for_it() {
    let cmd = |port: u16| injected(&format!("listen 127.0.0.1 {port}"), "bind:error=EADDRINUSE");
    let why = "address already in use";
    fails(cmd(0), 1, &format!("listen: 127.0.0.1:0 (tcp): {why} (no port is free)"));
    let hint = "another program has this port; port 0 takes a free one";
    fails(cmd(7000), 1, &format!("listen: 127.0.0.1:7000 (tcp): {why} ({hint})"));
    let both = injected("listen -t -u -k 127.0.0.1 0", "bind:error=EADDRINUSE:when=2+2");
    let ended = both.run().expect_code(1);
    assert!(!ended.stderr.contains("port 0 takes"), "{}", ended.stderr);
}

fn a_source_of_the_other_family_is_a_usage_error() {
    for options in ["", "-u"] {
        fails(
            pktcat_line(&format!("connect {options} -s ::1 127.0.0.1 9")),
            2,
            "usage: --source ::1: is an IPv6 address, and HOST has none",
        );
        fails(
            pktcat_line(&format!("connect {options} -s 127.0.0.1 ::1 9")),
            2,
            "usage: --source 127.0.0.1: is an IPv4 address, and HOST has none",
        );
    }
}

fn two_dashes_without_a_command_are_a_usage_error() {
    for line in ["listen 127.0.0.1 0 --", "listen -k 127.0.0.1 0 --", "listen -U nowhere --"] {
        fails(pktcat_line(line), 2, "usage: COMMAND: is missing after --");
    }
    // Here they are a text, or end the options.
    pktcat_line("listen --timeout 100ms 127.0.0.1 0 --reply --").run().expect_code(5);
    let (_held, port) = net::refusing_port();
    pktcat_line(&format!("connect 127.0.0.1 {port} --")).run().expect_code(4);
}

fn a_link_local_address_without_an_interface_is_told_how() {
    let hint = "(a link-local address needs its interface: fe80::1%IF)";
    for (line, what) in [
        ("connect fe80::1 9", "connect: [fe80::1]:9 (tcp)"),
        ("connect -u --send x fe80::1 9", "connect: [fe80::1]:9 (udp)"),
        ("listen fe80::1 0", "listen: [fe80::1]:0 (tcp)"),
        ("scan fe80::1 9", "scan: [fe80::1]"),
    ] {
        fails(pktcat_line(line), 1, &format!("{what}: invalid argument {hint}"));
    }
}

fn an_interface_that_does_not_exist_is_shown_as_given() {
    for line in
        ["connect fe80::1%9999 9", "connect -u --send x fe80::1%9999 9", "listen fe80::1%9999 9"]
    {
        let ended = pktcat_line(line).run();
        assert!(ended.stderr.contains("[fe80::1%9999]:9 "), "{}", ended.stderr);
    }
}

fn only_a_group_without_an_interface_is_told_to_name_one() {
    // One that has an interface, and fails for another reason.
    let other = pktcat_line("listen --quiet -u --join ff02::1%lo 127.0.0.1 0");
    fails(other, 1, "join: ff02::1: protocol not available");
    // No route says which interface it could be.
    let alone = pktcat_line("listen --quiet -u --join 239.1.2.3 0.0.0.0 0");
    let hint = "(GROUP%IF names the interface)";
    fails(alone.through(["unshare", "-n"]), 1, &format!("join: 239.1.2.3: no such device {hint}"));
}

fn a_limit_of_room_is_told_without_clients_too() {
    let server = injected("listen 127.0.0.1 0", "accept4:error=EMFILE").spawn();
    let _client = net::connect(server.port());
    let line = server.wait_line("pktcat: accept: ");
    assert!(
        line.ends_with("too many open files (whoever comes waits until there is room)"),
        "{line}"
    );
}

fn a_port_that_is_given_twice_is_told_so() {
    let hint = "(write HOST PORT or HOST:PORT)";
    for command in ["connect", "listen", "scan", "ping", "compare"] {
        for host in ["[::1]:1", "127.0.0.1:1", "localhost:1", ":1"] {
            let why = "the port is given twice, here and as 2";
            let line = format!("{command} {host} 2");
            fails(pktcat_line(&line), 2, &format!("usage: {host}: {why} {hint}"));
        }
    }
    fails(pktcat_line("connect [::1 2"), 2, "usage: [::1: the bracket is not closed");
    fails(
        pktcat_line("connect [::1]x 2"),
        2,
        "usage: [::1]x: nothing can follow the bracket but :PORT",
    );
    let why = "is no IPv6 address, and no name has a colon";
    fails(pktcat_line("connect a:b:c 2"), 2, &format!("usage: a:b:c: {why} {hint}"));
}

fn a_mapped_address_is_what_is_written() {
    let mapped = "::ffff:127.0.0.1";
    let why = "is an IPv6 address, and -4 was asked for (in IPv4 it is 127.0.0.1)";
    for line in [
        format!("connect -4 {mapped} 9"),
        format!("connect -u -4 {mapped} 9"),
        format!("connect -4 -s {mapped} 127.0.0.1 9"),
        format!("listen -4 {mapped} 0"),
        format!("listen -u -4 {mapped} 0"),
        format!("forward -4 0 [{mapped}]:9"),
        format!("forward -4 [{mapped}]:0 127.0.0.1:9"),
        format!("scan -4 {mapped} 9"),
        format!("ping -4 --count 1 {mapped} 9"),
        format!("compare -4 {mapped} 9"),
    ] {
        fails(pktcat_line(&line), 2, &format!("usage: {mapped}: {why}"));
    }
    // Its packets are those of IPv4.
    let (listener, port) = net::listener();
    for (line, status) in [
        (format!("scan -6 {mapped} {port}"), 0),
        (format!("ping -6 --count 1 {mapped} {port}"), 0),
        (format!("connect -6 -s {mapped} --send-only {mapped} {port}"), 0),
        (format!("listen -6 --timeout 100ms {mapped} 0"), 5),
        (format!("listen -6 -u --timeout 100ms {mapped} 0"), 5),
    ] {
        pktcat_line(&line).run().expect_code(status);
    }
    drop(listener);
    let why = "is an IPv4 address, and -6 was asked for";
    fails(pktcat_line("connect -6 127.0.0.1 9"), 2, &format!("usage: 127.0.0.1: {why}"));
}

fn who_wants_a_slow_service_is_told_of_the_forwarder() {
    let why = "is the pace of what is sent from stdin, and a listener that answers by itself sends none of it";
    let hint = " (pktcat forward --impair-down rate=8M in front of it makes it slow)";
    for service in ["--chargen", "--echo", "--reply x"] {
        for (option, hint) in [("--rate", hint), ("--interval", "")] {
            let line = format!("listen {service} {option} 1 127.0.0.1 0");
            fails(pktcat_line(&line), 2, &format!("usage: {option}: {why}{hint}"));
        }
    }
    // What the hint names can be run, and slows down.
    let service = pktcat_line("listen -k --chargen 127.0.0.1 0").spawn();
    let line = format!("forward --once --impair-down rate=8M 0 127.0.0.1:{}", service.port());
    let slow = pktcat_line(&line).spawn();
    assert_eq!(net::read_exactly(&net::connect(slow.port()), 74).len(), 74);
}
