//! UDP, black box: who is heard, where standard input goes, and how runs end.

use std::io::{PipeReader, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use socket2::SockRef;

use crate::tests;
use crate::util::harness::Need;
use crate::util::udp::{
    connect, expect_nothing, listen, listening, peer_of, receive, receive_from,
};
use crate::util::{Input, Output, Rhythm, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        every_peer_is_heard_and_named,
        one_socket_hears_both_families needs [Need::Ipv6],
        stdin_goes_to_the_peer_heard_last,
        to_all_sends_to_every_peer,
        stdin_waits_for_the_first_peer,
        listen_q_counts_from_the_first_datagram,
        whoever_may_not_come_in_is_silent,
        every_message_is_tried_again,
        connect_q_restarts_with_each_reply,
        connect_without_replies_is_done_after_a_second,
        count_ends_listen,
        count_ends_connect_at_once,
        count_takes_nothing_beyond_its_number,
        fewer_replies_than_count_is_a_timeout,
        icmp_ends_connect_at_once,
        retry_sends_again_while_nobody_is_there,
        retry_closes_the_socket_of_the_try_before,
        a_peer_that_is_gone_does_not_end_listen,
        a_stranger_is_not_heard_by_connect,
        a_peer_is_one_however_its_address_is_spelt,
        a_burst_is_received_or_counted_as_dropped,
    ]
}

fn every_peer_is_heard_and_named() {
    let (server, first) = listen("-v --count 6", Input::Null);
    let line = server.wait_line("listening on ");
    assert_eq!(line, format!("listening on 127.0.0.1:{} (udp)", server.port()));
    let peers = [first, peer_of(&server), peer_of(&server)];
    for text in ["a", "b"] {
        for (peer, name) in peers.iter().zip(["1", "2", "3"]) {
            peer.send(format!("{text}{name} ").as_bytes()).unwrap();
        }
    }
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stdout_text(), "a1 a2 a3 b1 b2 b3 ");
    let named: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("peer ")).collect();
    let wanted = peers.map(|peer| format!("peer {} (udp)", peer.local_addr().unwrap()));
    assert_eq!(named, wanted, "each once, at its first datagram:\n{}", ended.stderr);
}

fn one_socket_hears_both_families() {
    let server = listening(pktcat_line("listen -u -v --count 2 0"));
    let (four, _) = net::udp();
    four.send_to(b"four", ("127.0.0.1", server.port())).unwrap();
    server.wait_stdout(4);
    let six = UdpSocket::bind("[::1]:0").unwrap();
    six.send_to(b"six", ("::1", server.port())).unwrap();
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stdout_text(), "foursix");
    for peer in [four, six] {
        let line = format!("peer {} (udp)\n", peer.local_addr().unwrap());
        assert!(ended.stderr.contains(&line), "no {line:?} in\n{}", ended.stderr);
    }
}

fn stdin_goes_to_the_peer_heard_last() {
    let (mut server, first) = listen("-I lines", Input::Pipe);
    let peers = [first, peer_of(&server)];
    for (round, turn) in [0, 1, 0, 1, 1].into_iter().enumerate() {
        peers[turn].send(b"x").unwrap();
        server.wait_stdout(round + 1);
        server.send(format!("answer {round}\n").as_bytes());
        // Whatever went to the wrong peer would be the first that it reads in its own round.
        assert_eq!(receive(&peers[turn]), format!("answer {round}").as_bytes());
    }
    peers.iter().for_each(expect_nothing);
    server.expect_running();
}

fn to_all_sends_to_every_peer() {
    let (mut server, first) = listen("-I lines --to-all", Input::Pipe);
    let peers = [first, peer_of(&server), peer_of(&server)];
    for (known, peer) in peers.iter().enumerate() {
        peer.send(b"x").unwrap();
        server.wait_stdout(known + 1);
        server.send(format!("for {known}\n").as_bytes());
        for peer in &peers[..=known] {
            assert_eq!(receive(peer), format!("for {known}").as_bytes());
        }
    }
    peers.iter().for_each(expect_nothing);
}

fn stdin_waits_for_the_first_peer() {
    // A second reader of the same pipe sees whether the first one took anything.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (server, peer) = listen("-I lines", Input::Fd(reader.try_clone().unwrap().into()));
    writer.write_all(b"still mine\n").unwrap();
    server.expect_running();
    assert!(is_readable(&reader), "stdin was read before anybody was heard");
    reader.read_exact(&mut [0; b"still mine\n".len()]).unwrap();
    peer.send(b"x").unwrap();
    writer.write_all(b"yours\n").unwrap();
    assert_eq!(receive(&peer), b"yours");
}

fn is_readable(reader: &PipeReader) -> bool {
    poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

fn listen_q_counts_from_the_first_datagram() {
    let (server, peer) = listen("-q 100ms", Input::Null);
    server.expect_running();
    peer.send(b"at last").unwrap();
    assert_eq!(server.wait().expect_code(0).stdout_text(), "at last");
}

fn connect_q_restarts_with_each_reply() {
    // Together longer than the limit, each pause far below it.
    Rhythm::keep(Duration::from_secs(2), |rhythm| {
        let (client, server) = connect("-q 2 --send x", Input::Null);
        let (_, peer) = receive_from(&server);
        for _ in 0..5 {
            rhythm.pause(Duration::from_millis(500))?;
            server.send_to(b"more ", peer).unwrap();
        }
        assert_eq!(client.wait().expect_code(0).stdout_text(), "more ".repeat(5));
        Some(())
    });
}

fn connect_without_replies_is_done_after_a_second() {
    let (client, server) = connect("", Input::Bytes(b"anybody?".to_vec()));
    assert_eq!(receive(&server), b"anybody?");
    client.expect_running();
    client.wait().expect_code(0);
}

fn count_ends_listen() {
    let (server, peer) = listen("--count 2", Input::Pipe);
    peer.send(b"one").unwrap();
    server.wait_stdout(3);
    server.expect_running();
    peer.send(b"two").unwrap();
    assert_eq!(server.wait().expect_code(0).stdout_text(), "onetwo");
}

fn count_ends_connect_at_once() {
    // Neither an open stdin nor a long wait for more keeps it.
    let (mut client, server) = connect("--count 2 -q 1h", Input::Pipe);
    client.send(b"x");
    let (_, peer) = receive_from(&server);
    for text in ["one", "two", "three"] {
        server.send_to(text.as_bytes(), peer).unwrap();
    }
    assert_eq!(client.wait().expect_code(0).stdout_text(), "onetwo");
}

fn fewer_replies_than_count_is_a_timeout() {
    let (client, server) = connect("--count 2 -q 500ms --send x", Input::Null);
    let (_, peer) = receive_from(&server);
    server.send_to(b"only one", peer).unwrap();
    let ended = client.wait().expect_code(5);
    assert_eq!(ended.stdout_text(), "only one");
    assert!(ended.stderr.starts_with("pktcat: "), "{}", ended.stderr);
}

/// The program is stopped while the datagrams come, so that all of them wait for it at once.
fn count_takes_nothing_beyond_its_number() {
    for options in ["", "--reply hello", "--echo"] {
        let (server, peer) = listen(&format!("-v {options} --count 2"), Input::Null);
        server.signal(Signal::SIGSTOP);
        for n in 0..5 {
            peer.send(format!("{n}").as_bytes()).unwrap();
        }
        server.signal(Signal::SIGCONT);
        let ended = server.wait().expect_code(0);
        assert!(ended.stderr.contains("received 2 bytes in 2 datagrams"), "{}", ended.stderr);
        if !options.is_empty() {
            for _ in 0..2 {
                receive(&peer);
            }
        }
        expect_nothing(&peer);
    }
}

fn retry_sends_again_while_nobody_is_there() {
    let (_deaf, port) = net::refusing_udp_port();
    let line = format!("connect -u --retry 2 --retry-delay 20ms --send x 127.0.0.1 {port}");
    let ended = pktcat_line(&line).run().expect_code(4);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);

    let line =
        format!("connect -u --retry 500 --retry-delay 20ms --count 1 -q 20 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Bytes(b"again and again".to_vec())).spawn();
    client.expect_running();
    let server = net::open_udp(port);
    let (message, peer) = receive_from(&server);
    assert_eq!(message, b"again and again");
    server.send_to(b"at last", peer).unwrap();
    assert_eq!(client.wait().expect_code(0).stdout, b"at last");
}

fn icmp_ends_connect_at_once() {
    let (_deaf, port) = net::refusing_udp_port();
    for stdin in [Input::Pipe, Input::Null] {
        let send = if matches!(stdin, Input::Pipe) { "" } else { "--send x" };
        let line = format!("connect -u -q 1h {send} 127.0.0.1 {port}");
        let mut client = pktcat_line(&line).stdin(stdin).spawn();
        if send.is_empty() {
            client.send(b"x");
        }
        let ended = client.wait().expect_code(4);
        assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "{}", ended.stderr);
    }
}

fn a_peer_that_is_gone_does_not_end_listen() {
    let (mut server, gone) = listen("-I lines", Input::Pipe);
    gone.send(b"x").unwrap();
    server.wait_stdout(1);
    drop(gone);
    server.send(b"to nobody\n");
    server.send(b"to nobody\n");
    let peer = peer_of(&server);
    peer.send(b"y").unwrap();
    assert_eq!(server.wait_stdout(2), b"xy");
    server.send(b"to somebody\n");
    // The lines for nobody may have been read late enough to come here.
    while receive(&peer) != b"to somebody" {}
    server.expect_running();
}

fn retry_closes_the_socket_of_the_try_before() {
    let port = net::free_port();
    let line = format!("connect -u -v --retry 1000 --retry-delay 5ms --count 1 127.0.0.1 {port}");
    let few = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let client = pktcat_line(&line).stdin(Input::Bytes(b"at last".to_vec())).through(few).spawn();
    client.wait_lines("connected to ", 100);
    let (server, _) = net::udp_at(&format!("127.0.0.1:{port}"));
    let (text, peer) = receive_from(&server);
    assert_eq!(text, b"at last");
    server.send_to(b"heard", peer).unwrap();
    assert_eq!(client.wait().expect_code(0).stdout_text(), "heard");
}

fn a_stranger_is_not_heard_by_connect() {
    let (client, server) = connect("--count 1 -q 30s --send x", Input::Null);
    let (_, peer) = receive_from(&server);
    let (stranger, _) = net::udp();
    stranger.send_to(b"not for you", peer).unwrap();
    client.expect_running();
    server.send_to(b"the answer", peer).unwrap();
    assert_eq!(client.wait().expect_code(0).stdout_text(), "the answer");
}

/// Datagrams the kernel threw away before they came to any socket.
fn backlog_drops() -> u64 {
    let text = std::fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
    let second = text.lines().filter_map(|line| line.split_whitespace().nth(1));
    second.filter_map(|word| u64::from_str_radix(word, 16).ok()).sum()
}

/// The number after `before` in a text.
#[track_caller]
fn number_after(text: &str, before: &str) -> u64 {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in\n{text}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {before:?} in\n{text}"))
}

fn a_peer_is_one_however_its_address_is_spelt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo").display().to_string();
    let spelt = path.replace("/echo", "/./echo");
    let any = pktcat_line("listen -u --echo 0.0.0.0 0").spawn();
    let local = pktcat_line(&format!("listen -u -v --echo -U {path}")).spawn();
    local.wait_line("listening on ");
    let own = format!("{path}.client");
    for to in [format!("0.0.0.0 {}", any.port()), format!("-s {own} -U {spelt}")] {
        let line = format!("connect -u -v --count 1 -q 20s --send hello {to}");
        let ended = pktcat_line(&line).run().expect_code(0);
        let told = &ended.stderr;
        assert_eq!(told.matches("peer ").count(), 1, "{told}");
        assert!(
            told.contains("received 5 bytes in 1 datagram") && told.contains("peers 1"),
            "{told}"
        );
    }
}

fn a_burst_is_received_or_counted_as_dropped() {
    const SENT: u64 = 100_000;
    const SIZE: usize = 64;
    let lost_before = backlog_drops();
    let line = "listen -u -v -q 3 127.0.0.1 0";
    let server = listening(pktcat_line(line).stdout(Output::Null));
    let peer = peer_of(&server);
    SockRef::from(&peer).set_send_buffer_size(1 << 20).unwrap();
    for _ in 0..SENT {
        peer.send(&[b'x'; SIZE]).unwrap();
    }
    let stderr = server.wait().expect_code(0).stderr;
    let summary = stderr.lines().last().unwrap();
    let received = number_after(summary, "received ") / SIZE as u64;
    let drops = number_after(summary, "kernel drops ");
    assert!(summary.contains(&format!("in {received} datagrams")), "{summary}");
    let elsewhere = backlog_drops() - lost_before;
    let accounted = received + drops;
    assert!(accounted <= SENT && accounted + elsewhere >= SENT, "{summary}; {elsewhere} elsewhere");
}

fn whoever_may_not_come_in_is_silent() {
    let (server, peer) = listen("-q 500ms --deny 127.0.0.2", Input::Null);
    let denied = UdpSocket::bind("127.0.0.2:0").unwrap();
    denied.connect(("127.0.0.1", server.port())).unwrap();
    peer.send(b"heard").unwrap();
    let sender = thread::spawn(move || {
        // Until the listener is gone: the system says so.
        while denied.send(b"not heard").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(server.wait().expect_code(0).stdout_text(), "heard");
    sender.join().unwrap();
}

fn every_message_is_tried_again() {
    let port = net::free_port();
    let line = format!("connect -u -v -I lines --retry 1000 --retry-delay 50ms 127.0.0.1 {port}");
    let client = pktcat_line(&line).stdin(Input::Bytes(b"one\ntwo\nthree\n".to_vec())).spawn();
    client.wait_lines("connected to ", 3);
    let (server, _) = net::udp_at(&format!("127.0.0.1:{port}"));
    for message in ["one", "two", "three"] {
        assert_eq!(receive(&server), message.as_bytes());
    }
    client.wait().expect_code(0);
}
