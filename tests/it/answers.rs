//! What the network says of a peer by the error of a call (icmp(7)) is an answer: of one port, of one probe, or of the
//! whole host, and never a failure of the program.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::Forger;
use crate::util::{net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        an_icmp_message_is_the_answer_of_one_port needs [Need::Strace],
        an_icmp_message_is_the_answer_to_one_probe needs [Need::Strace],
        an_icmp_message_to_a_syn_is_status_7 needs [Need::Strace],
        a_parameter_problem_of_a_datagram_is_status_7 needs [Need::Root],
    ]
}

/// What ICMP makes of connect(2).
const ICMP: [&str; 6] =
    ["EPROTO", "EOPNOTSUPP", "ENOPROTOOPT", "EHOSTUNREACH", "ENETUNREACH", "EACCES"];

/// The first call looks the route up, the next two are those of the first port.
fn an_icmp_message_is_the_answer_of_one_port() {
    let (_one, a) = net::listener();
    let (_other, b) = net::listener();
    let (first, second) = (a.min(b), a.max(b));
    for error in ICMP {
        let cmd = pktcat_line(&format!("scan -n --all 127.0.0.1 {first},{second}"));
        let ended = cmd.injecting(&format!("connect:error={error}:when=3")).run().expect_code(5);
        let text = ended.stdout_text();
        assert!(text.starts_with(&format!("{first}/tcp filtered\n{second}/tcp open ")), "{text}");
        assert!(ended.stderr.starts_with("1 open, 0 closed, 1 filtered, "), "{}", ended.stderr);
    }
}

fn an_icmp_message_is_the_answer_to_one_probe() {
    let (_kept, port) = net::listener();
    for error in ICMP {
        let cmd = pktcat_line(&format!("ping --count 2 --interval 1ms 127.0.0.1 {port}"));
        let ended = cmd.injecting(&format!("connect:error={error}:when=2")).run().expect_code(0);
        let text = ended.stdout_text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("seq 1 unreachable"), "{error}: {text}");
        assert!(lines[1].contains("seq 2 open"), "{error}: {text}");
    }
}

/// The call that asks what has become of the connection is the first one that receives.
fn an_icmp_message_to_a_syn_is_status_7() {
    let (_kept, port) = net::listener();
    for (error, says) in [
        ("EPROTO", "protocol error (ICMP parameter problem)"),
        ("EOPNOTSUPP", "operation not supported (ICMP source route failed)"),
        ("ENOPROTOOPT", "protocol not available (ICMP protocol unreachable)"),
    ] {
        let cmd = pktcat_line(&format!("connect -d 127.0.0.1 {port}"));
        let ended = cmd.injecting(&format!("recvfrom:error={error}:when=1")).run().expect_code(7);
        let line = format!("pktcat: connect: 127.0.0.1:{port} (tcp): {says}\n");
        assert_eq!(ended.stderr, line);
    }
}

/// Whoever cannot make anything of a header drops the packet (RFC 792; RFC 4443, 3.4).
fn a_parameter_problem_of_a_datagram_is_status_7() {
    const PARAMETER_PROBLEM: u8 = 12;
    let (socket, port) = net::udp();
    let running = pktcat_line(&format!("connect -u -q 20s --send hello 127.0.0.1 {port}")).spawn();
    let (_, from) = socket.recv_from(&mut [0; 16]).unwrap();
    let SocketAddr::V4(from) = from else { panic!("{from} has sent to 127.0.0.1") };
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    Forger::new().complain(PARAMETER_PROBLEM, from, to);
    let ended = running.wait().expect_code(7);
    assert!(ended.stderr.contains("ICMP parameter problem, from 127.0.0.1"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}
