//! Messages, black box: how standard input is cut into them, and how they are written down.

use std::io::Write as _;
use std::net::UdpSocket;
use std::thread;

use libtest_mimic::Trial;
use socket2::SockRef;

use crate::tests;
use crate::util::data::{Random, assert_same};
use crate::util::udp::{self, connect, expect_nothing, listen, receive};
use crate::util::{Input, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        stdin_is_cut_by_its_format,
        stdout_is_written_in_its_format,
        lines_are_the_same_however_they_come,
        send_and_send_hex_are_a_message_each,
        what_one_writes_the_other_sends,
        a_message_too_long_is_not_begun,
        bad_input_names_its_position,
        tcp_is_cut_by_lines_and_frames,
        messages_before_what_is_none_are_written_once,
        nothing_of_a_line_that_is_too_long_is_written,
        a_datagram_that_ends_in_a_newline_gets_no_second_one,
        crlf_is_made_once,
        a_crlf_between_two_texts_of_a_stream_stays_one,
    ]
}

/// All datagrams that a client sends for this standard input.
#[track_caller]
fn sent(options: &str, stdin: &[u8], count: usize) -> Vec<Vec<u8>> {
    let (client, server) = connect(&format!("-q 0 {options}"), Input::Bytes(stdin.to_vec()));
    let got = (0..count).map(|_| receive(&server)).collect();
    client.wait().expect_code(0);
    expect_nothing(&server);
    got
}

/// Options, standard input, and the messages it is cut into.
type Case = (&'static str, &'static [u8], &'static [&'static [u8]]);

fn stdin_is_cut_by_its_format() {
    let cases: [Case; 4] = [
        ("-I lines", b"one\n\nthree\nfour", &[b"one", b"", b"three", b"four"]),
        (
            "-I hex",
            b"00 ff # a comment\n\n# no message\n0a:0B0c\n7f",
            &[b"\x00\xff", b"\x0a\x0b\x0c", b"\x7f"],
        ),
        ("-I frames", b"\0\0\0\x03abc\0\0\0\0\0\0\0\x01\n", &[b"abc", b"", b"\n"]),
        ("", b"raw\nis\none", &[b"raw\nis\none"]),
    ];
    for (options, stdin, messages) in cases {
        assert_eq!(sent(options, stdin, messages.len()), messages, "{options}");
    }
}

fn stdout_is_written_in_its_format() {
    let messages: [&[u8]; 3] = [b"\x00one\xff", b"", b"three"];
    for (format, text) in [
        ("raw", &b"\x00one\xffthree"[..]),
        ("lines", b"\x00one\xff\n\nthree\n"),
        ("hex", b"006f6e65ff\n\n7468726565\n"),
        ("frames", b"\0\0\0\x05\x00one\xff\0\0\0\0\0\0\0\x05three"),
    ] {
        let (server, peer) = listen(&format!("--count 3 -O {format}"), Input::Null);
        for message in &messages {
            peer.send(message).unwrap();
        }
        let stdout = server.wait().expect_code(0).stdout;
        assert_eq!(stdout.escape_ascii().to_string(), text.escape_ascii().to_string(), "{format}");
    }
}

fn lines_are_the_same_however_they_come() {
    let text = b"first\nsecond line\nlast, without an end";
    let wanted: Vec<_> = text.split(|&byte| byte == b'\n').collect();
    assert_eq!(sent("-I lines", text, 3), wanted);
    let (mut client, server) = connect("-q 0 -I lines", Input::Pipe);
    for byte in text {
        client.send(&[*byte]);
        thread::yield_now();
    }
    client.close_stdin();
    assert_eq!([receive(&server), receive(&server), receive(&server)], wanted[..]);
    client.wait().expect_code(0);
}

fn send_and_send_hex_are_a_message_each() {
    let (server, port) = net::udp();
    let port = port.to_string();
    let words = [
        "connect",
        "-u",
        "-q",
        "0",
        "--send",
        "one",
        "--send",
        "",
        "--send",
        "-x\n",
        "127.0.0.1",
        &port,
    ];
    // Standard input is not looked at: its idle pipe would keep the run alive.
    pktcat(words).stdin(Input::Pipe).run().expect_code(0);
    assert_eq!([receive(&server), receive(&server), receive(&server)], [&b"one"[..], b"", b"-x\n"]);
    let words = [
        "connect",
        "-u",
        "-q",
        "0",
        "--send-hex",
        "00 ff:0A",
        "--send-hex",
        "",
        "127.0.0.1",
        &port,
    ];
    pktcat(words).run().expect_code(0);
    assert_eq!([receive(&server), receive(&server)], [&b"\x00\xff\x0a"[..], b""]);
}

/// Receives so many datagrams in the background, so that none is dropped.
fn receiver(server: UdpSocket, count: usize) -> thread::JoinHandle<Vec<Vec<u8>>> {
    SockRef::from(&server).set_recv_buffer_size(4 << 20).unwrap();
    thread::spawn(move || (0..count).map(|_| receive(&server)).collect())
}

fn what_one_writes_the_other_sends() {
    const COUNT: usize = 200;
    let mut random = Random::new(11);
    for format in ["frames", "hex"] {
        let messages: Vec<_> = (0..COUNT)
            .map(|_| {
                let mut length = [0; 1];
                random.fill(&mut length);
                // Every eighth is empty; a blank line of hex is no message, so there none is.
                let least = usize::from(format == "hex");
                let mut message =
                    vec![0; usize::from(length[0] >> 1).saturating_sub(16).max(least)];
                random.fill(&mut message);
                message
            })
            .collect();
        let (server, peer) = listen(&format!("-O {format} --count {COUNT}"), Input::Null);
        SockRef::from(&peer).set_send_buffer_size(1 << 20).unwrap();
        for message in &messages {
            peer.send(message).unwrap();
        }
        let written = server.wait().expect_code(0).stdout;

        let (other, port) = net::udp();
        let received = receiver(other, COUNT);
        let line = format!("connect -u -q 0 -I {format} --interval 1ms 127.0.0.1 {port}");
        pktcat_line(&line).stdin(Input::Bytes(written)).run().expect_code(0);
        assert_eq!(received.join().unwrap(), messages, "{format}");
    }
}

fn a_message_too_long_is_not_begun() {
    let (server, port) = net::udp();
    let line = [vec![b'x'; 65_508], b"\n".to_vec()].concat();
    let hex = [vec![b'a'; 2 * 65_508], b"\n".to_vec()].concat();
    let frame = [&65_508u32.to_be_bytes()[..], &[0; 65_508]].concat();
    for (format, stdin) in [("lines", line), ("hex", hex), ("frames", frame)] {
        let line = format!("connect -u -I {format} 127.0.0.1 {port}");
        let ended = pktcat_line(&line).stdin(Input::Bytes(stdin)).run().expect_code(6);
        assert!(ended.stderr.starts_with("pktcat: "), "{format}: {}", ended.stderr);
    }
    let port = port.to_string();
    let text = "x".repeat(65_508);
    for words in [["--send", &text], ["--datagram-size", "65508"]] {
        pktcat(["connect", "-u", "127.0.0.1", &port])
            .arg(words[0])
            .arg(words[1])
            .run()
            .expect_code(2);
    }
    expect_nothing(&server);
}

fn bad_input_names_its_position() {
    let (server, port) = net::udp();
    let cases: [(&str, &[u8], &str); 3] = [
        ("hex", b"00\n\n11 22 3\n", "line 3, column 7"),
        ("hex", b"00\nxy\n", "line 2, column 1"),
        ("frames", b"\0\0\0\x01a\0\0\0\x09short", "byte 5"),
    ];
    for (format, stdin, position) in cases {
        let line = format!("connect -u -I {format} 127.0.0.1 {port}");
        let ended = pktcat_line(&line).stdin(Input::Bytes(stdin.to_vec())).run().expect_code(6);
        assert!(ended.stderr.contains(position), "{position:?} in {}", ended.stderr);
        assert_eq!(receive(&server).len(), 1, "the message before the bad one is sent");
    }
    expect_nothing(&server);
    let ended = pktcat(["connect", "-u", "--send-hex", "0", "127.0.0.1", "9"]).run().expect_code(2);
    assert!(ended.stderr.contains("odd number of hex digits"), "{}", ended.stderr);
}

fn a_datagram_that_ends_in_a_newline_gets_no_second_one() {
    for options in ["-u", "-u --reply x", "-t -u -k", "-u --count 6"] {
        let line = format!("listen {options} -O lines 127.0.0.1 0");
        let server = udp::listening(pktcat_line(&line));
        let peer = udp::peer_of(&server);
        for text in ["one\n", "two", "", "\n", "three\n\n", "last"] {
            peer.send(text.as_bytes()).unwrap();
        }
        let lines = "one\ntwo\n\n\nthree\n\nlast\n";
        let got = String::from_utf8(server.wait_stdout(lines.len())).unwrap();
        assert_eq!(got, lines, "{options}");
    }
    for options in ["-u", "-t -u -k"] {
        let server =
            udp::listening(pktcat_line(&format!("listen {options} --tag -O lines 127.0.0.1 0")));
        let peer = udp::peer_of(&server);
        peer.send(b"one\n").unwrap();
        peer.send(b"two").unwrap();
        let name = peer.local_addr().unwrap();
        let lines = format!("{name} one\n{name} two\n");
        let got = String::from_utf8(server.wait_stdout(lines.len())).unwrap();
        assert_eq!(got, lines, "{options}");
    }
}

fn tcp_is_cut_by_lines_and_frames() {
    // The newline and the length travel: what comes out is what went in, and --count counts.
    for (format, stdin, out) in [
        ("lines", &b"one\n\nthree\nfour\n"[..], &b"one\n\nthree\n"[..]),
        (
            "frames",
            b"\0\0\0\x03one\0\0\0\0\0\0\0\x01x\0\0\0\x01y",
            b"\0\0\0\x03one\0\0\0\0\0\0\0\x01x",
        ),
    ] {
        let server = pktcat_line(&format!("listen -O {format} --count 3 127.0.0.1 0")).spawn();
        let line = format!("connect -I {format} 127.0.0.1 {}", server.port());
        let client = pktcat_line(&line).stdin(Input::Bytes(stdin.to_vec())).spawn();
        assert_same(&server.wait().expect_code(0).stdout, out);
        drop(client);
    }
    // Where there are no messages, there is nothing to count.
    pktcat_line("connect --count 3 127.0.0.1 9").run().expect_code(2);
}

fn messages_before_what_is_none_are_written_once() {
    let good = b"\0\0\0\x01A\0\0\0\x01B";
    for options in ["", "--expect C", "-k", "-k --reply x"] {
        let server = pktcat_line(&format!("listen -O frames {options} 127.0.0.1 0")).spawn();
        let mut client = net::connect(server.port());
        client.write_all(&[&good[..], b"\xff\xff\xff\xff\0\0\0\x01C"].concat()).unwrap();
        // Nobody can tell where a message begins behind that. It may have been reset by now.
        let _ = client.write_all(b"\0\0\0\x01D");
        if options.contains("-k") {
            server.wait_line("pktcat: receive: ");
            assert_same(&server.wait_stdout(good.len()), good);
            server.expect_running();
            assert_same(&server.stdout_now(), good);
        } else {
            let ended = server.wait().expect_code(1);
            assert_eq!(ended.stderr.matches("pktcat: receive: ").count(), 1, "{}", ended.stderr);
            assert_same(&ended.stdout, good);
        }
    }
}

fn nothing_of_a_line_that_is_too_long_is_written() {
    for options in ["", "-k --queue 32MiB"] {
        let server = pktcat_line(&format!("listen -O lines {options} 127.0.0.1 0")).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"one\n").unwrap();
        // It may be reset on the way.
        let _ = client.write_all(&vec![b'x'; (16 << 20) + 1]);
        let line = server.wait_line("pktcat: receive: ");
        assert!(line.contains("longer than"), "{options}: {line}");
        drop(client);
        let stdout = match options {
            "" => server.wait().expect_code(1).stdout,
            _ => {
                server.expect_running();
                server.stdout_now()
            }
        };
        assert_same(&stdout, b"one\n");
    }
}

fn crlf_is_made_once() {
    let (listener, port) = net::listener();
    let mut client =
        pktcat_line(&format!("connect -C 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    client.send(b"unix\ndos\r\ncut\r");
    assert_eq!(net::read_exactly(&stream, 15), b"unix\r\ndos\r\ncut\r");
    client.send(b"\n\n");
    client.close_stdin();
    assert_eq!(net::read_to_fin(&stream), b"\n\r\n");
    drop(stream);
    client.wait().expect_code(0);
}

fn a_crlf_between_two_texts_of_a_stream_stays_one() {
    let words = [r"--send a\r", r"--send \nb", "--send-hex 0d", r"--send \nc\n"].join(" ");
    for (options, wanted) in [
        ("", &b"a\r\nb\r\nc\r\n"[..]),
        // Each is a line of its own, with an end of its own.
        ("-I lines", b"a\r\n\r\nb\r\n\r\n\r\nc\r\n\r\n"),
    ] {
        let (listener, port) = net::listener();
        let line = format!("connect -C --escapes {options} {words} 127.0.0.1 {port}");
        let client = pktcat_line(&line).spawn();
        let stream = net::accept(&listener);
        let received = net::read_to_fin(&stream);
        assert_eq!(received.escape_ascii().to_string(), wanted.escape_ascii().to_string());
        drop(stream);
        client.wait().expect_code(0);
    }
    // Datagrams are messages, which nothing joins.
    let line = format!("-C --escapes --count 1 {words}");
    let (client, server) = connect(&line, Input::Null);
    for wanted in [&b"a\r"[..], b"\r\nb", b"\r", b"\r\nc\r\n"] {
        assert_eq!(receive(&server), wanted);
    }
    drop(client);
}
