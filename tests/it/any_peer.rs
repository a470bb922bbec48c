//! `connect -u` where others answer than those who were asked: `--any-peer`, `--follow`, groups of peers.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::{connect, expect_nothing, receive, receive_from};
use crate::util::{Input, Running, binary, net, pktcat, pktcat_line, program, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        only_whom_one_asked_is_heard_unless_anybody_is,
        what_follows_goes_to_whom_one_asked,
        what_follows_goes_to_whoever_answered_first,
        a_file_is_read_by_tftp_by_hand,
        who_answered_is_told,
        a_refusal_is_one_all_the_same,
        a_broadcast_is_answered_by_anybody,
        a_group_is_answered_by_anybody needs [Need::Root, Need::Program("unshare"), Need::Program("ip")],
        it_goes_with_udp_alone,
    ]
}

/// A client whose first datagram has come, with a socket beside the one that it asked.
fn asked(options: &str, stdin: Input) -> (Running, UdpSocket, UdpSocket, SocketAddr) {
    let (client, server) = connect(options, stdin);
    let (datagram, peer) = receive_from(&server);
    assert_eq!(datagram, b"x");
    let (other, _) = net::udp();
    (client, server, other, peer)
}

fn only_whom_one_asked_is_heard_unless_anybody_is() {
    for way in ways() {
        for (option, heard) in
            [("", &b"own"[..]), ("--any-peer", b"otherown"), ("--follow", b"otherown")]
        {
            let count = if option.is_empty() { 1 } else { 2 };
            let options = format!("{way} {option} --send x --count {count} -q 20s");
            let (client, server, other, peer) = asked(&options, Input::Null);
            // A connected socket refuses it, and so says the system.
            drop(other.send_to(b"other", peer));
            server.send_to(b"own", peer).unwrap();
            assert_eq!(client.wait().expect_code(0).stdout, heard, "{option}");
        }
    }
}

fn what_follows_goes_to_whom_one_asked() {
    let (client, server, other, peer) =
        asked("--any-peer --send x --expect y --send z", Input::Null);
    other.send_to(b"y", peer).unwrap();
    assert_eq!(receive(&server), b"z");
    expect_nothing(&other);
    client.wait().expect_code(0);
}

fn what_follows_goes_to_whoever_answered_first() {
    let words = "--follow --send x --expect y --send z --expect w --send v";
    let (client, server, first, peer) = asked(words, Input::Null);
    first.send_to(b"y", peer).unwrap();
    assert_eq!(receive(&first), b"z");
    // Whoever answers then is heard, too, and not followed.
    server.send_to(b"w", peer).unwrap();
    assert_eq!(receive(&first), b"v");
    expect_nothing(&server);
    assert_eq!(client.wait().expect_code(0).stdout, b"yw");
}

fn a_file_is_read_by_tftp_by_hand() {
    let (server, port) = net::udp();
    // RRQ "motd" in octet mode, the first block, its acknowledgement (RFC 1350).
    let client = pktcat([
        "connect",
        "-u",
        "--follow",
        "127.0.0.1",
        &port.to_string(),
        "--send-hex",
        "0001 6d6f7464 00 6f63746574 00",
        "--expect-hex",
        "0003 0001",
        "--send-hex",
        "0004 0001",
        "--expect-hex",
        "0003 0002",
        "--send-hex",
        "0004 0002",
    ])
    .spawn();
    let (request, peer) = receive_from(&server);
    assert_eq!(request, b"\0\x01motd\0octet\0");
    let (transfer, _) = net::udp();
    transfer.connect(peer).unwrap();
    let first = [&b"\0\x03\0\x01"[..], &[b'a'; 512]].concat();
    transfer.send(&first).unwrap();
    assert_eq!(receive(&transfer), b"\0\x04\0\x01");
    transfer.send(b"\0\x03\0\x02end").unwrap();
    assert_eq!(receive(&transfer), b"\0\x04\0\x02");
    let ended = client.wait().expect_code(0);
    assert_eq!(ended.stdout, [&first[..], b"\0\x03\0\x02end"].concat());
    expect_nothing(&server);
}

fn who_answered_is_told() {
    let (client, server, other, peer) =
        asked("--any-peer --send x --count 3 -q 20s -v -O lines --tag", Input::Null);
    other.send_to(b"one", peer).unwrap();
    server.send_to(b"two", peer).unwrap();
    other.send_to(b"three", peer).unwrap();
    let ended = client.wait().expect_code(0);
    let [other, server] = [other, server].map(|one| one.local_addr().unwrap());
    assert_eq!(ended.stdout_text(), format!("{other} one\n{server} two\n{other} three\n"));
    let peers: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("peer ")).collect();
    assert_eq!(peers, [format!("peer {other} (udp)"), format!("peer {server} (udp)")]);
    assert!(ended.stderr.contains("peers 2"), "{}", ended.stderr);
    // Where one alone is heard, and over TCP, it is the same.
    let (client, server, _, peer) = asked("--send x --count 1 -q 20s -O hex --tag", Input::Null);
    server.send_to(b"a", peer).unwrap();
    assert_eq!(
        client.wait().expect_code(0).stdout_text(),
        format!("{} 61\n", server.local_addr().unwrap())
    );
    let (listener, port) = net::listener();
    let client = pktcat_line(&format!("connect 127.0.0.1 {port} -O lines --tag")).spawn();
    net::accept(&listener).write_all(b"b\nc").unwrap();
    let tagged = format!("127.0.0.1:{port} b\n127.0.0.1:{port} c\n");
    assert_eq!(client.wait().expect_code(0).stdout_text(), tagged);
}

fn a_refusal_is_one_all_the_same() {
    let port = net::free_port();
    for option in ["--any-peer", "--follow"] {
        let line = format!("connect -u {option} 127.0.0.1 {port} --send x -q 20s");
        let ended = pktcat_line(&line).run().expect_code(4);
        assert!(ended.stderr.contains("ICMP port unreachable"), "{}", ended.stderr);
    }
}

fn a_broadcast_is_answered_by_anybody() {
    // Broadcasts are heard by sockets that are bound to every address.
    let server = pktcat_line("listen -u --echo -4 0").spawn();
    let port = server.port();
    let line = |options: &str| {
        format!("connect -u {options} --send x --count 1 -q 20s 127.255.255.255 {port}")
    };
    let ended = pktcat_line(&line("--broadcast -v")).run().expect_code(0);
    assert_eq!(ended.stdout, b"x");
    assert!(ended.stderr.contains(&format!("\npeer 127.0.0.1:{port} (udp)\n")), "{}", ended.stderr);
    for option in ["", "--any-peer"] {
        let ended = pktcat_line(&line(option)).run().expect_code(1);
        assert!(
            ended.stderr.ends_with("(a broadcast address: --broadcast allows it)\n"),
            "{}",
            ended.stderr
        );
    }
}

fn a_group_is_answered_by_anybody() {
    // In a network of its own, where the group is on loopback. The client begins when the listener is there.
    let script = "ip link set lo up multicast on && ip route add 239.0.0.0/8 dev lo || exit 99
        \"$0\" listen -u --echo --join 239.1.2.3%lo --port-file \"$1\" 0.0.0.0 7000 --timeout 20s --count 1 &
        until [ -s \"$1\" ]; do sleep 0.05; done
        exec \"$0\" connect -u --send x --expect x --timeout 20s -v 239.1.2.3 7000";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("port");
    let words = ["-n", "sh", "-c", script, binary(), file.to_str().unwrap()];
    let ended = program("unshare", words).run().expect_code(0);
    assert_eq!(ended.stdout, b"x");
    assert!(ended.stderr.contains("\npeer "), "{}", ended.stderr);
    assert!(!ended.stderr.contains("peer 239."), "{}", ended.stderr);
}

fn it_goes_with_udp_alone() {
    for line in [
        "connect --any-peer 127.0.0.1 9",
        "connect --follow 127.0.0.1 9",
        "connect -u --any-peer -U nowhere",
        "connect -u --tag 127.0.0.1 9",
        "listen -u --any-peer 0",
    ] {
        let ended = pktcat_line(line).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}
