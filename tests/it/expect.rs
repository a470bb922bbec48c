//! `--expect` and its kin: what is waited for, what is said in answer, and how the run ends.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::Random;
use crate::util::udp::receive;
use crate::util::{Cmd, Ended, Input, Running, each_at_once, net, pktcat, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_message_leaves_once_what_stands_before_it_has_come,
        right_wrong_silent_and_closed_have_their_statuses,
        with_a_message_as_the_last_word_the_run_goes_on,
        what_stdin_holds_is_sent_while_something_is_waited_for,
        who_has_nothing_to_say_holds_the_fin_back,
        all_that_was_read_is_written_in_every_format,
        a_match_may_be_cut_anywhere_and_lie_deep_in_a_stream,
        a_message_before_the_last_word_arrives_whole,
        a_listener_waits_too,
        each_looks_at_one_datagram,
        silence_is_an_end_between_datagrams,
        what_sets_a_run_up_keeps_its_status,
        other_ends_keep_their_status,
        texts_are_bytes_with_escapes,
        words_that_make_no_sense_are_usage_errors,
        what_came_instead_stays_on_its_line,
    ]
}

/// `pktcat connect` to this port with these words.
fn connect(port: u16, words: &[&str]) -> Cmd {
    let port = port.to_string();
    pktcat(["connect", "127.0.0.1", &port].into_iter().chain(words.iter().copied()))
}

/// A client with these words, and the peer's end of its connection.
#[track_caller]
fn client(words: &[&str]) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let client = connect(port, words).spawn();
    (client, net::accept(&listener))
}

/// A UDP client with these words, and the socket that it is connected to.
fn udp_client(words: &[&str]) -> (Running, UdpSocket) {
    let (server, port) = net::udp();
    let client = connect(port, &[&["-u"], words].concat()).spawn();
    (client, server)
}

/// It fails with status 10 and one line with this end.
#[track_caller]
fn expect_unmet(ended: Ended, end: &str) {
    let ended = ended.expect_code(10);
    let line = ended.stderr.trim_end();
    assert!(line.starts_with("pktcat: expect: 127.0.0.1:"), "{line}");
    assert!(line.ends_with(end) && !line.contains('\n'), "{line}\nand not: {end}");
}

fn a_message_leaves_once_what_stands_before_it_has_come() {
    for way in ways() {
        let words = [
            "--escapes",
            "--expect",
            "220 ",
            "--send",
            r"EHLO x\r\n",
            "--expect-re",
            "(?m)^250 ",
            "--send-hex",
            "51554954",
            "--expect-hex",
            "32 32 31",
        ];
        let words: Vec<&str> = words.into_iter().chain(way.split_whitespace()).collect();
        let (client, mut peer) = client(&words);
        net::expect_silence(&peer);
        for piece in [&b"22"[..], b"0", b" hello\r\n"] {
            peer.write_all(piece).unwrap();
        }
        assert_eq!(net::read_exactly(&peer, 8), b"EHLO x\r\n");
        peer.write_all(b"250-a\r\n250-b\r\n25").unwrap();
        net::expect_silence(&peer);
        peer.write_all(b"0 c\r\n").unwrap();
        assert_eq!(net::read_exactly(&peer, 4), b"QUIT");
        peer.write_all(b"221 bye\r\n").unwrap();
        let ended = client.wait().expect_code(0);
        assert_eq!(ended.stderr, "");
        assert_eq!(ended.stdout_text(), "220 hello\r\n250-a\r\n250-b\r\n250 c\r\n221 bye\r\n");
        assert_eq!(net::read_to_fin(&peer), b"");
    }
}

fn right_wrong_silent_and_closed_have_their_statuses() {
    let words = ["--send", "PING", "--expect", "PONG"];
    let with = |more: &[&'static str]| -> Vec<&str> { words.iter().chain(more).copied().collect() };
    each_at_once(
        [
            // Right, wrong, wrong and silent, silent, and closed without a word.
            (with(&[]), &b"+PONG\r\n"[..], false, None),
            (with(&[]), b"-ERR\r\n", true, Some("the peer ended (what came: \"-ERR\\r\\n\")")),
            (
                with(&["--timeout", "300ms"]),
                b"-ERR\r\n",
                false,
                Some("the run is not done after 300ms (--timeout; what came: \"-ERR\\r\\n\")"),
            ),
            (
                with(&["--idle-timeout", "300ms"]),
                b"",
                false,
                Some("nothing has passed after 300ms (--idle-timeout; nothing came)"),
            ),
            (
                with(&["-q", "300ms"]),
                b"PON",
                false,
                Some("it has been silent (--linger waits longer; what came: \"PON\")"),
            ),
            (with(&[]), b"", true, Some("the peer ended (nothing came)")),
        ],
        |(words, answer, closes, why)| {
            let (client, mut peer) = client(&words);
            assert_eq!(net::read_exactly(&peer, 4), b"PING");
            peer.write_all(answer).unwrap();
            if closes {
                net::finish(&peer);
            }
            let ended = client.wait();
            assert_eq!(ended.stdout, answer);
            match why {
                None => drop(ended.expect_code(0)),
                Some(why) => expect_unmet(ended, &format!("\"PONG\" did not come: {why}")),
            }
            // Nothing of what was said is missing: that is no reset.
            assert_eq!(net::read_to_fin(&peer), b"");
        },
    );
}

fn with_a_message_as_the_last_word_the_run_goes_on() {
    let (client, mut peer) = client(&["--expect", "login: ", "--send", "guest"]);
    peer.write_all(b"login: ").unwrap();
    // All is said: our half ends, and what the peer has to say is heard to its end.
    assert_eq!(net::read_to_fin(&peer), b"guest");
    peer.write_all(b"welcome").unwrap();
    drop(peer);
    assert_eq!(client.wait().expect_code(0).stdout, b"login: welcome");
}

fn what_stdin_holds_is_sent_while_something_is_waited_for() {
    let (listener, port) = net::listener();
    let mut client = connect(port, &["--expect", "b"]).stdin(Input::Pipe).spawn();
    let mut peer = net::accept(&listener);
    client.send(b"first");
    assert_eq!(net::read_exactly(&peer, 5), b"first");
    peer.write_all(b"a").unwrap();
    client.send(b"second");
    assert_eq!(net::read_exactly(&peer, 6), b"second");
    peer.write_all(b"b").unwrap();
    // Whatever stdin still holds.
    assert_eq!(client.wait().expect_code(0).stdout, b"ab");

    // The peer's end is one where nothing can come any more.
    let client = connect(port, &["--expect", "b"]).stdin(Input::Pipe).spawn();
    drop(net::accept(&listener));
    expect_unmet(client.wait(), "the peer ended (nothing came)");
}

fn who_has_nothing_to_say_holds_the_fin_back() {
    for words in [&["--expect", "hello"][..], &["-d", "--expect", "hello"]] {
        let (client, mut peer) = client(words);
        net::expect_silence(&peer);
        peer.write_all(b"hello").unwrap();
        client.wait().expect_code(0);
    }
    // Neither does who waits for an answer to what was said.
    let (client, mut peer) = client(&["--send", "x", "--expect", "hello"]);
    assert_eq!(net::read_exactly(&peer, 1), b"x");
    net::expect_silence(&peer);
    peer.write_all(b"hello").unwrap();
    client.wait().expect_code(0);
}

fn all_that_was_read_is_written_in_every_format() {
    for (format, text) in [
        ("raw", &b"one\ntwo\nthree"[..]),
        ("lines", b"one\ntwo\nthree\n"),
        ("hex", b"6f6e650a74776f0a7468726565\n"),
    ] {
        for way in ways() {
            let words = ["-O", format, "--expect", "two"];
            let words: Vec<&str> = words.into_iter().chain(way.split_whitespace()).collect();
            let (client, mut peer) = client(&words);
            peer.write_all(b"one\ntwo\nthree").unwrap();
            let stdout = client.wait().expect_code(0).stdout;
            assert_eq!(stdout.escape_ascii().to_string(), text.escape_ascii().to_string());
        }
    }
}

fn a_match_may_be_cut_anywhere_and_lie_deep_in_a_stream() {
    let mut bytes = vec![b'.'; 24 << 20];
    Random::new(7).fill(&mut bytes);
    // The needle is nowhere else: no other byte is one of its letters.
    bytes.iter_mut().for_each(|byte| *byte &= 0x1f);
    bytes.extend_from_slice(b"NEEDLE");
    for way in ways() {
        for pattern in [["--expect", "NEEDLE"], ["--expect-re", "N[A-Z]+LE"]] {
            let words: Vec<&str> = pattern.into_iter().chain(way.split_whitespace()).collect();
            let (client, peer) = client(&words);
            let mut writer = peer.try_clone().unwrap();
            let sent = bytes.clone();
            let writes = thread::spawn(move || {
                let (last, all) = sent.split_last().unwrap();
                let (first, second) = all.split_at(all.len() - 3);
                for piece in [first, second, &[*last]] {
                    writer.write_all(piece).unwrap();
                }
            });
            let ended = client.wait().expect_code(0);
            writes.join().unwrap();
            assert!(ended.stdout == bytes, "{} bytes of {}", ended.stdout.len(), bytes.len());
        }
    }
}

fn a_message_before_the_last_word_arrives_whole() {
    let long = "x".repeat(100_000);
    let mut words = Vec::new();
    for _ in 0..15 {
        words.extend(["--send", &long]);
    }
    let words: Vec<&str> = words.into_iter().chain(["--expect", "ok"]).collect();
    let (client, mut peer) = client(&words);
    // The answer comes long before all is said, and more that is never read.
    peer.write_all(b"ok and more").unwrap();
    thread::sleep(Duration::from_millis(50));
    peer.write_all(b"and more").unwrap();
    assert_eq!(net::read_exactly(&peer, 1_500_000).len(), 1_500_000);
    client.wait().expect_code(0);
}

fn a_listener_waits_too() {
    for way in ways() {
        let words =
            ["listen", "127.0.0.1", "0", "--expect", "hello", "--send", "hi", "--expect", "bye"];
        let words = words.into_iter().chain(way.split_whitespace());
        let server = pktcat(words.clone()).spawn();
        let mut peer = net::connect(server.port());
        net::expect_silence(&peer);
        peer.write_all(b"hello").unwrap();
        assert_eq!(net::read_exactly(&peer, 2), b"hi");
        peer.write_all(b"bye").unwrap();
        assert_eq!(server.wait().expect_code(0).stdout, b"hellobye");

        let server = pktcat(words.chain(["-u"])).spawn();
        let (peer, _) = net::udp();
        peer.connect(("127.0.0.1", server.port())).unwrap();
        peer.send(b"hello").unwrap();
        assert_eq!(receive(&peer), b"hi");
        peer.send(b"good").unwrap();
        peer.send(b"bye").unwrap();
        assert_eq!(server.wait().expect_code(0).stdout, b"hellogoodbye");
    }
}

fn each_looks_at_one_datagram() {
    for way in ways() {
        let words =
            ["--send", "x", "--expect-re", "^ab$", "--send", "y", "--expect-re", "^$", "-q", "20s"];
        let words: Vec<&str> = words.into_iter().chain(way.split_whitespace()).collect();
        let (client, server) = udp_client(&words);
        let mut first = [0; 9];
        let (_, peer) = server.recv_from(&mut first).unwrap();
        for datagram in [&b"a"[..], b"b", b"xab", b"ab"] {
            server.send_to(datagram, peer).unwrap();
        }
        assert_eq!(receive(&server), b"y");
        server.send_to(b"c", peer).unwrap();
        server.send_to(b"", peer).unwrap();
        assert_eq!(client.wait().expect_code(0).stdout, b"abxababc");
    }
}

fn silence_is_an_end_between_datagrams() {
    // The default of a second counts from what was said last.
    let (client, server) = udp_client(&["--send", "x", "--expect", "y"]);
    let (_, peer) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"no", peer).unwrap();
    let end = "\"y\" did not come: it has been silent (--linger waits longer; what came: \"no\")";
    expect_unmet(client.wait(), end);
    // With a count as well.
    let words = ["--send", "x", "--expect", "y", "--count", "2", "-q", "200ms"];
    let (client, server) = udp_client(&words);
    let (_, peer) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"no", peer).unwrap();
    expect_unmet(
        client.wait(),
        "1 of 2 messages came, then none for 200ms (--linger waits longer; what came: \"no\")",
    );
    let (client, server) = udp_client(&words);
    let (_, peer) = server.recv_from(&mut [0; 9]).unwrap();
    server.send_to(b"no", peer).unwrap();
    server.send_to(b"never", peer).unwrap();
    expect_unmet(client.wait(), "--count messages did (what came: \"no\", \"never\")");
}

fn what_sets_a_run_up_keeps_its_status() {
    let listen = |words: &[&str]| {
        let words = ["listen", "127.0.0.1", "0", "--quiet", "--expect", "x"].iter().chain(words);
        pktcat(words).run()
    };
    each_at_once(
        [
            (vec!["--accept-timeout", "200ms"], 5),
            (vec!["-u", "--accept-timeout", "200ms"], 5),
            (vec!["--timeout", "200ms"], 10),
            (vec!["-u", "--timeout", "200ms"], 10),
        ],
        |(words, status)| {
            let ended = listen(&words).expect_code(status);
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        },
    );
    let (_held, port) = net::refusing_port();
    connect(port, &["--expect", "x"]).run().expect_code(4);
    connect(port, &["-u", "--send", "y", "--expect", "x"]).run().expect_code(4);
    let (_held, port) = net::unanswering_port();
    connect(port, &["-w", "300ms", "--expect", "x"]).run().expect_code(5);
}

fn other_ends_keep_their_status() {
    let (client, mut peer) = client(&["--send", "x", "--expect", "hello"]);
    assert_eq!(net::read_exactly(&peer, 1), b"x");
    peer.write_all(b"hel").unwrap();
    client.wait_stdout(3);
    net::reset(peer);
    client.wait().expect_code(8);

    let (listener, port) = net::listener();
    let client = connect(port, &["--expect", "hello"]).spawn();
    let _peer = net::accept(&listener);
    client.signal(Signal::SIGTERM);
    client.wait().expect_signal(Signal::SIGTERM);
}

fn texts_are_bytes_with_escapes() {
    let (client, peer) =
        client(&["--escapes", "--send", r"a\r\n\t\0\\\x41\xfF", "-C", "--send", r"\n"]);
    assert_eq!(net::read_to_fin(&peer), b"a\r\n\t\0\\A\xff\r\n");
    drop(peer);
    client.wait().expect_code(0);
    // Without the option a backslash is one.
    let (client, mut peer) = self::client(&["--send", r"\n", "--expect", r"\x41"]);
    assert_eq!(net::read_exactly(&peer, 2), br"\n");
    peer.write_all(br"A\x41").unwrap();
    client.wait().expect_code(0);
    let server = pktcat(["listen", "127.0.0.1", "0", "--escapes", "--reply", r"hi\r\n"]).spawn();
    let mut peer = net::connect(server.port());
    peer.write_all(b"x").unwrap();
    assert_eq!(net::read_to_fin(&peer), b"hi\r\n");
    drop(peer);
    server.wait().expect_code(0);
}

fn words_that_make_no_sense_are_usage_errors() {
    let escapes = r"(\r \n \t \0 \\ and \xHH are escapes)";
    for (words, line) in [
        (&["--escapes", "--send", r"a\q"][..], format!(r"--send: \q is no escape {escapes}")),
        (&["--escapes", "--expect", "\\"], format!(r"--expect: \ is no escape {escapes}")),
        (&["--escapes", "--expect", r"\x4"], format!(r"--expect: \x4 is no escape {escapes}")),
        (&["--expect", ""], "--expect: is empty, and would always be there".to_owned()),
        (&["--expect-hex", ""], "--expect-hex: is empty, and would always be there".to_owned()),
        (&["--expect-re", "("], "--expect-re: unclosed group".to_owned()),
        (
            &["--expect-re", "[b-a]"],
            "--expect-re: invalid character class range, the start must be <= the end".to_owned(),
        ),
    ] {
        let ended = connect(9, words).run().expect_code(2);
        assert_eq!(ended.stderr, format!("pktcat: usage: {line}\n"));
    }
    for words in [
        &["connect", "127.0.0.1", "9", "--send-only", "--expect", "x"][..],
        &["listen", "0", "-k", "--expect", "x"],
        &["listen", "0", "--echo", "--expect", "x"],
        &["listen", "0", "-u", "--reply", "y", "--expect", "x"],
        &["listen", "127.0.0.1", "0", "--expect", "x", "--", "cat"],
        &["listen", "0", "--escapes", "--reply", r"\q"],
        &["connect", "127.0.0.1", "9", "--expect-hex", "0g"],
    ] {
        let ended = pktcat(words).run().expect_code(2);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

fn what_came_instead_stays_on_its_line() {
    let (client, mut peer) = client(&["--expect-re", "O[K]"]);
    let answer = [&b"\x1b[31m\r\n\xffNO\0"[..], &[b'.'; 100]].concat();
    peer.write_all(&answer).unwrap();
    drop(peer);
    let dots = ".".repeat(49);
    let ended = client.wait();
    assert_eq!(ended.stdout, answer);
    let shown = format!("\"\\x1b[31m\\r\\n\\xffNO\\0{dots}\" and 51 bytes more");
    expect_unmet(ended, &format!("/O[K]/ did not come: the peer ended (what came: {shown})"));
}
