//! Datagrams that find no place in the queue of the device (ENOBUFS, ip(7)), of whose end no event tells.

use std::fs::File;
use std::io::Write as _;
use std::net::UdpSocket;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::random;
use crate::util::harness::Need;
use crate::util::{Cmd, Input, Running, binary, net, pktcat_line, program, udp, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        what_stdin_gives_waits_for_a_full_queue needs [Need::Strace],
        what_a_listener_says_waits_for_a_full_queue needs [Need::Strace],
        answers_of_a_service_wait_for_a_full_queue needs [Need::Strace],
        what_is_forwarded_waits_for_a_full_queue needs [Need::Strace],
        what_would_wait_for_ever_is_lost_and_told_where_there_are_many_peers needs [Need::Strace],
        a_queue_that_stays_full_is_given_up needs [Need::Strace],
        a_datagram_that_no_send_buffer_takes_is_not_waited_for
            needs [Need::Root, Need::Program("unshare"), Need::Program("ip")],
    ]
}

/// Every other call that sends.
const NOW_AND_THEN: &str = "sendto,sendmsg,sendmmsg:error=ENOBUFS:when=1+2";

/// All calls that send.
const ALWAYS: &str = "sendto,sendmsg,sendmmsg:error=ENOBUFS";

/// A file with lines, of which each is its number.
fn numbers(count: usize) -> Input {
    let mut file = tempfile::tempfile().unwrap();
    for number in 0..count {
        writeln!(file, "{number}").unwrap();
    }
    std::io::Seek::rewind(&mut file).unwrap();
    Input::Fd(file.into())
}

#[track_caller]
fn expect_numbers(socket: &UdpSocket, count: usize) {
    for number in 0..count {
        assert_eq!(udp::receive(socket), number.to_string().as_bytes());
    }
    udp::expect_nothing(socket);
}

/// A listener with this fault, and a socket that it has heard.
fn heard(cmd: Cmd, faults: &str) -> (Running, UdpSocket) {
    let server = udp::listening(cmd.injecting(faults));
    let peer = udp::peer_of(&server);
    peer.send(b"here").unwrap();
    (server, peer)
}

fn what_stdin_gives_waits_for_a_full_queue() {
    let stdin = random(1, 29_500);
    for way in ways() {
        let (server, port) = net::udp();
        let line = format!("connect -u -q 0.1 --datagram-size 1000 {way} 127.0.0.1 {port}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&stdin).unwrap();
        let cmd = pktcat_line(&line).stdin(Input::Fd(File::open(&file).unwrap().into()));
        let ended = cmd.injecting(NOW_AND_THEN).run().expect_code(0);
        assert_eq!(ended.stderr, "", "{way}");
        for message in stdin.chunks(1000) {
            assert_eq!(udp::receive(&server), message, "{way}");
        }
        udp::expect_nothing(&server);
    }
}

fn what_a_listener_says_waits_for_a_full_queue() {
    for options in ["-u", "-u --to-all", "-t -u -k", "-t -u -k --to-all"] {
        let line = format!("listen {options} -I lines 127.0.0.1 0");
        let mut cmd = pktcat_line(&line).stdin(numbers(20));
        if options.contains("--to-all") {
            cmd = cmd.arg("-v");
        }
        let (server, peer) = heard(cmd, NOW_AND_THEN);
        expect_numbers(&peer, 20);
        assert!(!server.stderr_now().contains("pktcat: "), "{options}: {}", server.stderr_now());
    }
}

fn answers_of_a_service_wait_for_a_full_queue() {
    for way in ways() {
        let line = format!("listen -u --echo {way} 127.0.0.1 0");
        let server = udp::listening(pktcat_line(&line).injecting(NOW_AND_THEN));
        let peer = udp::peer_of(&server);
        for number in 0..20 {
            peer.send(number.to_string().as_bytes()).unwrap();
        }
        expect_numbers(&peer, 20);
        assert!(!server.stderr_now().contains("pktcat: "), "{way}: {}", server.stderr_now());
    }
}

fn what_is_forwarded_waits_for_a_full_queue() {
    for way in ways() {
        let (server, port) = net::udp();
        let line = format!("forward -u {way} 0 127.0.0.1:{port}");
        let running = udp::listening(pktcat_line(&line).injecting(NOW_AND_THEN));
        let client = udp::peer_of(&running);
        for number in 0..20 {
            client.send(number.to_string().as_bytes()).unwrap();
        }
        let (first, route) = udp::receive_from(&server);
        assert_eq!(first, b"0");
        for number in 1..20 {
            assert_eq!(udp::receive(&server), number.to_string().as_bytes());
        }
        for number in 0..20 {
            server.send_to(number.to_string().as_bytes(), route).unwrap();
        }
        expect_numbers(&client, 20);
        assert!(!running.stderr_now().contains("pktcat: "), "{way}: {}", running.stderr_now());
    }
    let (server, port) = net::udp();
    let line = format!("forward --lines 0 udp:127.0.0.1:{port}");
    let running = pktcat_line(&line).injecting(NOW_AND_THEN).spawn();
    let mut client = net::connect(running.port());
    for number in 0..20 {
        writeln!(client, "{number}").unwrap();
    }
    expect_numbers(&server, 20);
}

fn what_would_wait_for_ever_is_lost_and_told_where_there_are_many_peers() {
    for options in ["-u", "-t -u -k"] {
        let line = format!("listen {options} -I lines 127.0.0.1 0");
        let (server, peer) = heard(pktcat_line(&line).stdin(numbers(5)), ALWAYS);
        let line = server.wait_line("pktcat: send: ");
        assert!(line.contains("no buffer space available"), "{options}: {line}");
        // It still hears.
        peer.send(b", and still here").unwrap();
        assert_eq!(server.wait_stdout(20), b"here, and still here");
    }
    // It ends before it has given up.
    let line = "listen -u -q 0.2 -I lines 127.0.0.1 0";
    let (server, _peer) = heard(pktcat_line(line).stdin(numbers(5)), ALWAYS);
    let ended = server.wait().expect_code(0);
    assert!(ended.stderr.contains("no buffer space available"), "{}", ended.stderr);
}

fn a_queue_that_stays_full_is_given_up() {
    let (server, port) = net::udp();
    let cmd = pktcat_line(&format!("connect -u -I lines 127.0.0.1 {port}")).stdin(numbers(5));
    let ended = cmd.injecting(ALWAYS).run().expect_code(1);
    assert!(ended.stderr.contains("no buffer space available"), "{}", ended.stderr);
    udp::expect_nothing(&server);
}

/// Its fragments are more than the buffer takes at once, which Linux calls ENOBUFS too.
fn a_datagram_that_no_send_buffer_takes_is_not_waited_for() {
    let script = r#"
        ip link set lo mtu 1500 up
        d=$(mktemp -d)
        head -c 20000 /dev/zero > "$d/long"
        "$1" connect -u --sndbuf 2304 --datagram-size 20000 127.0.0.1 9 < "$d/long" 2>&1; echo "status $?"
        "$1" listen -u -O lines --count 1 --timeout 20 --port-file "$d/to" 127.0.0.1 0 2> "$d/log" &
        to=$!
        while ! [ -s "$d/to" ]; do kill -0 $to; sleep 0.02; done
        "$1" forward -u --sndbuf 2304 --timeout 20 --port-file "$d/from" 127.0.0.1:0 "127.0.0.1:$(cat "$d/to")" 2> "$d/told" &
        from=$!
        while ! [ -s "$d/from" ]; do kill -0 $from; sleep 0.02; done
        "$1" connect -u -q 0.3 --datagram-size 20000 127.0.0.1 "$(cat "$d/from")" < "$d/long"
        "$1" connect -u -q 0.3 --send others 127.0.0.1 "$(cat "$d/from")"
        wait $to
        kill $from
        grep -c "no buffer space available" "$d/told"
    "#;
    let cmd = program("unshare", ["-n", "sh", "-uc", script, "sh"]).arg(binary());
    let shown = cmd.run().expect_code(0).stdout_text().to_owned();
    let lines: Vec<_> = shown.lines().collect();
    assert!(
        lines[0].starts_with("pktcat: send: ") && lines[0].contains("no buffer space"),
        "{shown}"
    );
    assert_eq!(lines[1..], ["status 1", "others", "1"], "{shown}");
}
