//! A listener with a ready-made answer, over TCP: `--reply`, `--reply-hex`, `--reply-file`.

use std::io::{Read, Write};

use libtest_mimic::Trial;

use crate::services::listen;
use crate::tests;
use crate::util::data::{Random, assert_same, check_random, random};
use crate::util::{Input, net, pktcat, pktcat_line, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        reply_answers_the_first_data_once,
        reply_without_keep_open_is_done_with_its_client,
        a_reply_is_no_half_close_where_that_was_asked_for,
        reply_hex_is_bytes,
        a_reply_file_is_sent_at_each_clients_pace,
        a_reply_file_may_be_a_pipe,
        a_reply_file_that_cannot_be_read_is_an_error_at_once,
        a_reply_has_the_line_ends_that_were_asked_for,
    ]
}

fn reply_answers_the_first_data_once() {
    let (server, port) = listen("-k --reply there");
    let mut client = net::connect(port);
    net::expect_silence(&client);
    client.write_all(b"who is ").unwrap();
    assert_eq!(net::read_to_fin(&client), b"there");
    // It has the other half still.
    client.write_all(b"it?").unwrap();
    net::finish(&client);
    assert_eq!(server.wait_stdout(10), b"who is it?");
    // Whoever says nothing is told nothing.
    let silent = net::connect(port);
    net::finish(&silent);
    assert_eq!(net::read_to_fin(&silent), b"");
    server.expect_running();
}

fn reply_without_keep_open_is_done_with_its_client() {
    let (server, port) = listen("--reply there");
    let mut client = net::connect(port);
    client.write_all(b"who?").unwrap();
    assert_eq!(net::read_to_fin(&client), b"there");
    drop(client);
    assert_eq!(server.wait().expect_code(0).stdout_text(), "who?");
}

fn a_reply_is_no_half_close_where_that_was_asked_for() {
    for options in ["", "-k"] {
        let (server, port) = listen(&format!("--no-shutdown --reply there {options}"));
        let mut client = net::connect(port);
        client.write_all(b"hello").unwrap();
        assert_eq!(net::read_exactly(&client, 5), b"there");
        net::expect_silence(&client);
        // It is answered once, as ever.
        client.write_all(b", and bye").unwrap();
        net::finish(&client);
        assert_eq!(net::read_to_fin(&client), b"");
        server.wait_stdout(14);
        if options.is_empty() {
            server.wait().expect_code(0);
        }
        // One that sends its FIN at once gets the answer before ours.
        if options == "-k" {
            let mut client = net::connect(port);
            client.write_all(b"hello").unwrap();
            net::finish(&client);
            assert_eq!(net::read_to_fin(&client), b"there");
        }
    }
    let (server, port) = listen("-k --no-shutdown --reply there --count 1 -O lines");
    let mut client = net::connect(port);
    client.write_all(b"hello\n").unwrap();
    assert_eq!(net::read_exactly(&client, 5), b"there");
    server.wait().expect_code(0);
}

fn reply_hex_is_bytes() {
    let (_server, port) = listen("-k --reply-hex 00:ff0d0a");
    let mut client = net::connect(port);
    client.write_all(b"?").unwrap();
    assert_eq!(net::read_to_fin(&client), b"\x00\xff\r\n");
}

fn a_reply_file_is_sent_at_each_clients_pace() {
    const SIZE: usize = 12 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("reply");
    std::fs::write(&path, random(9, SIZE)).unwrap();
    let (server, port) = listen(&format!("-k --reply-file {}", path.display()));
    // It was opened once.
    std::fs::remove_file(&path).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| net::connect(port)).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"?").unwrap());
    // The first reads nothing until the others, one of them in small pieces, have everything.
    let mut checked = Random::new(9);
    let (mut got, mut wanted, mut left) = (vec![0; 1009], vec![0; 1009], SIZE);
    while left > 0 {
        let count = clients[1].read(&mut got).unwrap();
        assert_ne!(count, 0, "{left} bytes are missing");
        checked.fill(&mut wanted[..count]);
        assert_same(&got[..count], &wanted[..count]);
        left -= count;
    }
    for (at, client) in clients.into_iter().enumerate().rev().filter(|(at, _)| *at != 1) {
        assert_eq!(check_random(client, 9), SIZE as u64, "client {at}");
    }
    let peak = proc::memory_kib(server.pid(), "VmHWM");
    assert!(peak < 16 << 10, "{peak} KiB");
}

fn a_reply_file_may_be_a_pipe() {
    // As the shell makes one of `<(date)`.
    let server = pktcat_line("listen -k --reply-file /dev/stdin 127.0.0.1 0")
        .stdin(Input::Bytes(b"from a pipe".to_vec()))
        .spawn();
    for _ in 0..2 {
        let mut client = net::connect(server.port());
        client.write_all(b"?").unwrap();
        assert_eq!(net::read_to_fin(&client), b"from a pipe");
    }
}

fn a_reply_file_that_cannot_be_read_is_an_error_at_once() {
    for (options, path) in
        [("-k", "/nonexistent/file"), ("-u", "/nonexistent/file"), ("-k", "/tmp")]
    {
        let line = format!("listen {options} --reply-file {path} 127.0.0.1 0");
        let ended = pktcat_line(&line).run().expect_code(6);
        assert!(ended.stderr.contains(path), "{}", ended.stderr);
    }
}

fn a_reply_has_the_line_ends_that_were_asked_for() {
    let server = pktcat(["listen", "-C", "--reply", "a\nb\r\n", "127.0.0.1", "0"]).spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"x").unwrap();
    assert_eq!(net::read_to_fin(&client), b"a\r\nb\r\n");
}
