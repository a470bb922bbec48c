//! A message stays one message whoever gets it: TCP clients and UDP peers of one listener, peers with a tag,
//! and whatever ends the run.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::udp::{expect_nothing, listening, peer_of, receive};
use crate::util::{Ended, Input, Running, net, pktcat, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_pace_does_not_cut_messages,
        line_ends_stay_out_of_datagrams,
        send_is_one_message_however_long,
        a_file_is_cut_evenly,
        streams_get_the_same_messages_with_their_ends,
        a_message_too_long_for_a_datagram_is_an_error,
        to_all_is_all_with_a_tag_too,
        a_sender_without_a_name_is_heard,
        a_last_line_is_written_at_every_end,
        a_frame_cut_off_by_silence_is_an_error_unless_nobody_wants_it,
        count_does_not_cut_the_answer_off,
        count_does_not_cut_off_what_the_command_line_gave,
        a_pace_does_not_cut_lines_in_streams,
        a_frame_cut_off_by_a_reader_that_left_is_no_error,
        a_frame_under_way_when_the_run_ends_is_no_error,
        silence_is_none_while_a_client_still_takes_its_answer,
        nobody_there_is_status_4_also_for_who_only_sends_and_tries_again,
        a_dev_null_that_cannot_be_read_has_nothing_to_say,
        a_chat_with_send_only_hears_stdin_only,
        a_chat_without_stdin_is_heard_only,
    ]
}

/// The two ways in which a UDP listener has more to do than to relay.
const LISTENERS: [&str; 2] = ["-t -u -k", "-u --tag -O lines"];

/// What the last peer gets of this standard input: one datagram for each message and no more.
fn datagrams(options: &str, stdin: &[u8], wanted: &[&[u8]]) {
    for listener in LISTENERS {
        let line = format!("listen {listener} {options} 127.0.0.1 0");
        let mut server = listening(pktcat_line(&line).stdin(Input::Pipe));
        let peer = peer_of(&server);
        peer.send(b"x").unwrap();
        server.send(stdin);
        for message in wanted {
            assert_eq!(receive(&peer), *message, "{line}");
        }
        expect_nothing(&peer);
    }
}

fn a_pace_does_not_cut_messages() {
    datagrams("-I lines --rate 100", b"abc\n\ndefghijkl\n", &[b"abc", b"", b"defghijkl"]);
    datagrams("-I frames --rate 1k", b"\0\0\0\x03abc\0\0\0\0\0\0\0\x02de", &[b"abc", b"", b"de"]);
    datagrams("-I hex --rate 100", b"61 62 63\n64\n", &[b"abc", b"d"]);
    datagrams("--datagram-size 3 --rate 100", b"abcdefgh", &[b"abc", b"def", b"gh"]);
    datagrams("--datagram-size 3 --interval 1ms", b"abcdefgh", &[b"abc", b"def", b"gh"]);
}

fn line_ends_stay_out_of_datagrams() {
    datagrams("-I lines -C", b"x\ny\r\n", &[b"x", b"y\r"]);
}

fn send_is_one_message_however_long() {
    let long = "q".repeat(2000);
    for listener in LISTENERS {
        let words = listener.split(' ').chain(["--send", &long, "--send", ""]);
        let words = ["listen"].into_iter().chain(words).chain(["127.0.0.1", "0"]);
        let server = listening(pktcat(words).stdin(Input::Null));
        let peer = peer_of(&server);
        peer.send(b"x").unwrap();
        assert_eq!(receive(&peer), long.as_bytes());
        assert_eq!(receive(&peer), b"");
    }
}

fn file(path: &Path) -> Input {
    Input::Fd(File::open(path).unwrap().into())
}

fn a_file_is_cut_evenly() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, vec![b'a'; 300_000]).unwrap();
    let sizes = |options: &str, output: Ended| {
        let sizes: Vec<usize> = output.stdout.split(|b| *b == b'\n').map(<[u8]>::len).collect();
        assert_eq!(sizes.len(), 301, "{options}");
        assert!(sizes[..300].iter().all(|size| *size == 2000), "{options}: {sizes:?}");
    };
    let receive = "connect -u -O hex -q 2 --count 300 --rcvbuf 8M --send x 127.0.0.1";
    for listener in LISTENERS {
        let line = format!("listen {listener} --datagram-size 1000 --rate 5M 127.0.0.1 0");
        let server = listening(pktcat_line(&line).stdin(file(&path)));
        sizes(&line, pktcat_line(&format!("{receive} {}", server.port())).run().expect_code(0));
    }
    // Lines that grow by their CR, too.
    std::fs::write(&path, "a\n".repeat(100_000)).unwrap();
    let server = listening(pktcat_line("listen -u -O hex --count 300 --rcvbuf 8M 127.0.0.1 0"));
    let line = format!("connect -u -C --datagram-size 1000 --rate 5M 127.0.0.1 {}", server.port());
    pktcat_line(&line).stdin(file(&path)).run().expect_code(0);
    sizes(&line, server.wait().expect_code(0));
}

fn streams_get_the_same_messages_with_their_ends() {
    for (options, stdin, wanted) in [
        ("-I lines", &b"one\ntwo\n"[..], &b"one\ntwo\n"[..]),
        ("-I lines -C", b"one\n", b"one\r\n"),
        ("-I frames", b"\0\0\0\x03one", b"\0\0\0\x03one"),
        ("-I hex", b"6f6e65", b"one"),
        ("--datagram-size 2", b"one and two", b"one and two"),
    ] {
        let line = format!("listen -t -u -k {options} 127.0.0.1 0");
        let mut server = pktcat_line(&line).stdin(Input::Pipe).spawn();
        let client = net::connect(server.port());
        server.send(stdin);
        server.close_stdin();
        assert_eq!(net::read_to_fin(&client), wanted, "{line}");
    }
}

fn a_message_too_long_for_a_datagram_is_an_error() {
    for listener in LISTENERS {
        let long = "b".repeat(65_508);
        let words = listener.split(' ').chain(["--send", &long]);
        let words = ["listen"].into_iter().chain(words).chain(["127.0.0.1", "0"]);
        pktcat(words).run().expect_code(2);
        let line = format!("listen {listener} --datagram-size 65508 127.0.0.1 0");
        pktcat_line(&line).run().expect_code(2);
        let line = format!("listen {listener} -I lines 127.0.0.1 0");
        let mut server = listening(pktcat_line(&line).stdin(Input::Pipe));
        let peer = peer_of(&server);
        peer.send(b"x").unwrap();
        let mut stdin = server.take_stdin();
        // The run may be over before it has taken all of it.
        let _ = writeln!(stdin, "ok\n{long}\nz");
        server.wait().expect_code(6);
        assert_eq!(receive(&peer), b"ok");
        expect_nothing(&peer);
    }
}

fn to_all_is_all_with_a_tag_too() {
    for listener in LISTENERS {
        let line = format!("listen {listener} --to-all -I lines 127.0.0.1 0");
        let mut server = listening(pktcat_line(&line).stdin(Input::Pipe));
        let peers = [peer_of(&server), peer_of(&server)];
        let mut heard = 0;
        for peer in &peers {
            peer.send(b"x").unwrap();
            heard = server.wait_stdout(heard + 1).len();
        }
        server.send(b"to all\n");
        for peer in &peers {
            assert_eq!(receive(peer), b"to all", "{line}");
        }
    }
}

fn a_sender_without_a_name_is_heard() {
    for options in ["--tag -O lines", "--reply R -O lines", "-x -O lines"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let line = format!("listen -u --count 1 -v {options} -U {}", path.display());
        let server = listening(pktcat_line(&line));
        UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
        let ended = server.wait().expect_code(0);
        let tag = if options.starts_with("--tag") { "unnamed " } else { "" };
        assert_eq!(ended.stdout_text(), format!("{tag}hello\n"));
        assert_eq!(ended.stderr.contains("|hello|"), options.starts_with("-x"), "{}", ended.stderr);
    }
}

/// A last line that has no newline yet is written whatever ends the run.
fn a_last_line_is_written_at_every_end() {
    let listen = |options: &str| -> (Running, std::net::TcpStream) {
        let line = format!("listen -O lines {options} 127.0.0.1 0");
        let server = pktcat_line(&line).stdin(Input::Null).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"one\nlast").unwrap();
        server.wait_stdout(4);
        (server, client)
    };
    for mode in ["", "-k", "--tag", "-k --tag"] {
        let written = |server: Running, code: Option<i32>| {
            let ended = server.wait();
            assert_eq!(ended.status.code(), code, "{mode}: {}", ended.stderr);
            let text = ended.stdout_text();
            let lines: Vec<_> = text.lines().map(|line| line.rsplit(' ').next()).collect();
            assert_eq!(lines, [Some("one"), Some("last")], "{mode}");
        };
        let (server, _client) = listen(&format!("{mode} -q 200ms"));
        written(server, Some(0));
        let (server, _client) = listen(&format!("{mode} --timeout 300ms"));
        written(server, Some(5));
        let (server, _client) = listen(mode);
        server.signal(Signal::SIGTERM);
        written(server, None);
        if !mode.contains("-k") {
            let (server, client) = listen(mode);
            net::reset(client);
            written(server, Some(8));
        }
    }
    let (server, client) = listen("-k -v");
    net::reset(client);
    assert_eq!(server.wait_stdout(9), b"one\nlast\n");
}

fn a_frame_cut_off_by_silence_is_an_error_unless_nobody_wants_it() {
    for (options, code) in [
        ("-q 200ms", 8),
        ("-q 200ms --reply x", 8),
        ("-q 200ms --count 1", 0),
        ("-q 200ms --send-only", 0),
    ] {
        let line = format!("listen -O frames {options} 127.0.0.1 0");
        let server = pktcat_line(&line).stdin(Input::Null).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"\0\0\0\x01a\0\0\0\x09cut").unwrap();
        server.wait().expect_code(code);
    }
}

fn count_does_not_cut_the_answer_off() {
    for options in ["", "-k", "-k -t -u"] {
        let line = format!("listen {options} -O lines --count 1 --reply answer 127.0.0.1 0");
        let server = pktcat_line(&line).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"question\n").unwrap();
        assert_eq!(net::read_to_fin(&client), b"answer", "{options}");
        assert_eq!(server.wait().expect_code(0).stdout_text(), "question\n");
    }
}

fn count_does_not_cut_off_what_the_command_line_gave() {
    let words = "--count 1 --send one --send two --send three";
    for way in ways() {
        for options in ["-u", "-u --to-all", "-u -k", "-t -u -k -O lines"] {
            let server =
                listening(pktcat_line(&format!("listen {options} {way} {words} 127.0.0.1 0")));
            let peer = peer_of(&server);
            peer.send(b"x").unwrap();
            for word in ["one", "two", "three"] {
                assert_eq!(receive(&peer), word.as_bytes(), "{options} {way}");
            }
            server.wait().expect_code(0);
        }
        for options in ["-k", "-t -u -k"] {
            let line = format!("listen {options} {way} -O lines {words} 127.0.0.1 0");
            let server = pktcat_line(&line).spawn();
            let mut client = net::connect(server.port());
            client.write_all(b"x\n").unwrap();
            assert_eq!(net::read_to_fin(&client), b"onetwothree", "{options} {way}");
            server.wait().expect_code(0);
        }
        // The peer speaks first.
        let (listener, port) = net::listener();
        let line = format!("connect {way} -O lines --count 1 127.0.0.1 {port}");
        let words = (0..200).flat_map(|_| ["--send", "word"]);
        let client = pktcat_line(&line).args(words).spawn();
        let mut peer = net::accept(&listener);
        peer.write_all(b"hello\n").unwrap();
        assert_eq!(net::read_to_fin(&peer).len(), 800, "{way}");
        client.wait().expect_code(0);
    }
}

fn a_pace_does_not_cut_lines_in_streams() {
    for options in ["", "-k", "-k -t -u"] {
        let line = format!("listen {options} -I lines --rate 10 127.0.0.1 0");
        let mut server = pktcat_line(&line).stdin(Input::Pipe).spawn();
        let mut client = net::connect(server.port());
        server.send(b"whole line\n");
        let mut room = [0; 64];
        assert_eq!(client.read(&mut room).unwrap(), 11, "{line}");
    }
}

fn a_frame_cut_off_by_a_reader_that_left_is_no_error() {
    for options in ways().iter().chain(&["-k"]) {
        let (reader, writer) = std::io::pipe().unwrap();
        let line = format!("listen -O frames {options} 127.0.0.1 0");
        let server = pktcat_line(&line).stdout(crate::util::Output::Fd(writer.into())).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"\0\0\0\x09cut").unwrap();
        server.expect_running();
        drop(reader);
        server.wait().expect_code(0);
    }
}

fn a_frame_under_way_when_the_run_ends_is_no_error() {
    let line = "listen -k -O frames --count 1 127.0.0.1 0";
    let server = pktcat_line(line).spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"\0\0\0\x03abc\0\0\0\x09cut").unwrap();
    let ended = server.wait().expect_code(0);
    assert!(!ended.stderr.contains("pktcat: "), "{}", ended.stderr);
}

fn silence_is_none_while_a_client_still_takes_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reply");
    std::fs::write(&path, vec![b'r'; 20 << 20]).unwrap();
    for options in ["", "-k"] {
        let line = format!("listen {options} -q 300ms 127.0.0.1 0 --reply-file");
        let server = pktcat_line(&line).arg(&path).spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"x").unwrap();
        let (mut room, mut got) = (vec![0; 1 << 20], 0);
        loop {
            // Slower than the silence that would end it, and never silent that long.
            std::thread::sleep(std::time::Duration::from_millis(40));
            match client.read(&mut room).unwrap() {
                0 => break,
                n => got += n,
            }
        }
        assert_eq!(got, 20 << 20, "{options}");
        net::finish(&client);
        server.wait().expect_code(0);
    }
}

fn nobody_there_is_status_4_also_for_who_only_sends_and_tries_again() {
    let (_held, port) = net::refusing_port();
    let line = format!("connect -u --send-only --retry 1 --retry-delay 0 127.0.0.1 {port}");
    pktcat_line(&line).stdin(Input::Bytes(b"x".to_vec())).run().expect_code(4);
}

fn a_dev_null_that_cannot_be_read_has_nothing_to_say() {
    let null = File::options().write(true).open("/dev/null").unwrap();
    let server = pktcat_line("listen 127.0.0.1 0").stdin(Input::Fd(null.into())).spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"heard").unwrap();
    net::finish(&client);
    assert_eq!(server.wait().expect_code(0).stdout_text(), "heard");
}

/// Two clients of a chat, and its listener.
fn chat(options: &str) -> (Running, [std::net::TcpStream; 2]) {
    let line = format!("listen -v --chat {options} 127.0.0.1 0");
    let server = pktcat_line(&line).stdin(Input::Pipe).spawn();
    let port = server.port();
    let clients = [(); 2].map(|()| net::connect(port));
    server.wait_lines("accepted ", 2);
    (server, clients)
}

fn a_chat_with_send_only_hears_stdin_only() {
    let (mut server, mut clients) = chat("--send-only");
    clients[0].write_all(b"from a client\n").unwrap();
    net::wait_acknowledged(&clients[0]);
    net::expect_silence(&clients[1]);
    server.send(b"from stdin\n");
    for client in &clients {
        assert_eq!(net::read_exactly(client, 11), b"from stdin\n");
    }
    server.close_stdin();
    for client in &clients {
        assert_eq!(net::read_to_fin(client), b"");
    }
    assert_eq!(server.stdout_now(), b"");
}

fn a_chat_without_stdin_is_heard_only() {
    let (mut server, mut clients) = chat("-d");
    server.send(b"from stdin\n");
    clients[0].write_all(b"from a client\n").unwrap();
    assert_eq!(server.wait_stdout(14), b"from a client\n");
    for client in &clients {
        net::expect_silence(client);
    }
    net::finish(&clients[0]);
    assert_eq!(net::read_to_fin(&clients[0]), b"");
    clients[1].write_all(b"goes on\n").unwrap();
    assert_eq!(server.wait_stdout(22), b"from a client\ngoes on\n");
}
