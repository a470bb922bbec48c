//! Each exit status of the contract is provoked, and its message read: one line that names the
//! operation, what it was done to, and the cause.

use std::fs::File;
use std::io::Write;
use std::net::Shutdown;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::{Cmd, Ended, Input, Output, binary, net, pktcat, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        status_0_done,
        status_1_port_in_use,
        status_1_an_address_of_another_machine,
        status_1_not_permitted,
        status_2_usage,
        status_2_says_what_is_missing,
        status_2_words_that_contradict_each_other,
        status_3_no_address,
        status_4_refused_where_only_numbers_are_allowed,
        status_4_refused_by_tcp,
        status_4_refused_by_icmp,
        a_status_is_the_same_however_much_is_said,
        status_6_stdout_is_full,
        status_6_stdin_cannot_be_read,
        status_6_the_port_file_cannot_be_written,
        the_port_file_is_a_file_or_what_a_link_points_to,
        a_port_file_that_is_standard_output_or_error_too_holds_both,
        a_listener_whose_reader_is_gone_ends_with_its_client,
        an_error_is_one_line_whatever_its_words_hold,
        errors_are_told_when_descriptors_have_run_out,
        status_8_reset,
        status_8_a_listener_says_who_broke_it,
        status_8_the_peer_left_with_unread_data,
        status_128_plus_n_stopped_by_a_signal,
    ]
}

/// One line, `pktcat: what: where: why`, with these words in it.
#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "an error is one line:\n{}", ended.stderr);
    let line = lines[0];
    assert!(line.starts_with("pktcat: ") && line.split(": ").count() >= 3, "{line}");
    assert!(!line.contains("os error"), "{line}");
    for word in words {
        assert!(line.contains(word), "no {word:?} in: {line}");
    }
}

/// The words of a line, with status and message as told; nothing comes on stdout.
#[track_caller]
fn fails(line: &str, status: i32, words: &[&str]) {
    ends(pktcat_line(line), status, words);
}

#[track_caller]
fn ends(cmd: Cmd, status: i32, words: &[&str]) {
    let ended = cmd.run().expect_code(status);
    assert_eq!(ended.stdout_text(), "");
    says(&ended, words);
}

fn status_0_done() {
    let server = pktcat_line("listen 127.0.0.1 0").stdin(Input::Bytes(b"down".to_vec())).spawn();
    let line = format!("connect 127.0.0.1 {}", server.port());
    let client = pktcat_line(&line).stdin(Input::Bytes(b"up".to_vec())).run().expect_code(0);
    assert_eq!((client.stdout_text().as_str(), client.stderr.as_str()), ("down", ""));
    assert_eq!(server.wait().expect_code(0).stdout_text(), "up");
}

fn status_1_port_in_use() {
    let (_tcp, port) = net::listener();
    fails(
        &format!("listen 127.0.0.1 {port}"),
        1,
        &["127.0.0.1", &port.to_string(), "address already in use"],
    );
    let (_udp, port) = net::udp();
    fails(
        &format!("listen -u 127.0.0.1 {port}"),
        1,
        &["127.0.0.1", &port.to_string(), "address already in use"],
    );
    let (_own, port) = net::udp();
    fails(
        &format!("connect -u -p {port} -s 127.0.0.1 127.0.0.1 9"),
        1,
        &["address already in use"],
    );
}

fn status_1_an_address_of_another_machine() {
    for line in ["listen 192.0.2.1 0", "listen -u 192.0.2.1 0", "connect -s 192.0.2.1 127.0.0.1 9"]
    {
        fails(line, 1, &["192.0.2.1", "cannot assign requested address"]);
    }
}

fn status_1_not_permitted() {
    // The broadcast address of loopback: nobody may send there who has not asked for it.
    fails("connect -u --send x 127.255.255.255 9", 1, &["127.255.255.255", "permission denied"]);
}

fn status_2_usage() {
    let cases: [(&str, &[&str]); 22] = [
        ("", &["--help"]),
        ("frobnicate", &["frobnicate"]),
        ("connect host", &["port"]),
        ("connect localhost 99999", &["99999", "65535"]),
        ("connect localhost -1", &["-1"]),
        ("connect localhost:65536", &["65536"]),
        ("listen 99999", &["99999"]),
        ("connect localhost no-such-service", &["no-such-service"]),
        ("connect -4 ::1 80", &["::1", "-4"]),
        ("connect -6 127.0.0.1 80", &["127.0.0.1", "-6"]),
        ("listen -4 ::1 0", &["::1", "-4"]),
        ("connect -4 -6 localhost 80", &["ipv4", "ipv6"]),
        ("connect --no-such-option localhost 80", &["--no-such-option"]),
        ("connect -Z localhost 80", &["-Z"]),
        ("connect [::1 80", &["[::1", "bracket"]),
        ("connect []:80", &["host"]),
        ("listen -U nowhere --allow 10.0.0.0/8", &["--allow"]),
        ("connect -w soon localhost 80", &["soon"]),
        ("connect --datagram-size 0 -u 127.0.0.1 9", &["--datagram-size"]),
        ("connect --count 3 127.0.0.1 9", &["--count"]),
        ("connect -I words 127.0.0.1 9", &["words"]),
        ("connect --send-hex 0g 127.0.0.1 9", &["g"]),
    ];
    for (line, words) in cases {
        fails(line, 2, words);
    }
}

fn status_2_says_what_is_missing() {
    for (line, word) in [
        ("listen", "PORT"),
        ("connect", "PORT"),
        ("connect [::1:80", "not closed"),
        ("connect one two three", "three"),
    ] {
        fails(line, 2, &[word]);
    }
    // The words that the user sees are HOST and PORT.
    let ended = pktcat_line("connect one two three").run();
    assert!(!ended.stderr.contains("<ADDRESS>"), "{}", ended.stderr);
}

fn status_2_words_that_contradict_each_other() {
    for line in [
        "connect -t -u 127.0.0.1 9",
        "connect -d --send x 127.0.0.1 9",
        "connect -d --send-only 127.0.0.1 9",
        "listen --count 0 -u 0",
        "connect -U path -p 9",
        "listen -U path --port-file file",
        "listen -x 127.0.0.1 0 -- true",
        "listen --idle-timeout 1 127.0.0.1 0 -- true",
        "listen --send x 127.0.0.1 0 -- true",
        "connect 127.0.0.1:9 9",
        "listen --timeout 10000000000000000000 0",
        "compare -w 10000000000000000000",
    ] {
        fails(line, 2, &[]);
    }
}

fn status_3_no_address() {
    fails("connect -n localhost 9", 3, &["localhost", "-n"]);
    fails("connect -n -u localhost 9", 3, &["localhost"]);
    fails("listen -n localhost 0", 3, &["localhost"]);
    // The name server may say no, or there may be none.
    fails("connect no-such-host.invalid 9", 3, &["no-such-host.invalid"]);
}

fn status_4_refused_where_only_numbers_are_allowed() {
    let (_held, port) = net::refusing_port();
    fails(&format!("connect -n 127.1 {port}"), 4, &["127.0.0.1"]);
    fails(&format!("connect -n localhost {port}"), 3, &["localhost", "-n"]);
}

fn status_4_refused_by_tcp() {
    let (_held, port) = net::refusing_port();
    let place = format!("127.0.0.1:{port}");
    fails(&format!("connect {place}"), 4, &["connect", &place, "connection refused"]);
    fails(
        &format!("connect --retry 2 --retry-delay 20ms {place}"),
        4,
        &[&place, "connection refused"],
    );
    fails(&format!("connect -4 localhost {port}"), 4, &["connection refused", &port.to_string()]);
}

fn status_4_refused_by_icmp() {
    let (_deaf, port) = net::refusing_udp_port();
    let place = format!("127.0.0.1:{port}");
    fails(&format!("connect -u --send x {place}"), 4, &[&place, "udp", "refused"]);
}

fn a_status_is_the_same_however_much_is_said() {
    let (_held, port) = net::refusing_port();
    for options in
        ["", "-v", "--quiet", "-O hex", "-O frames", "-I lines -O lines -v", "--send-only", "-d"]
    {
        let ended =
            pktcat_line(&format!("connect {options} 127.0.0.1 {port}")).run().expect_code(4);
        assert_eq!(ended.stdout_text(), "", "{options}");
        let errors = ended.stderr.lines().filter(|line| line.starts_with("pktcat: "));
        assert_eq!(errors.count(), 1, "{options}: {}", ended.stderr);
    }
}

fn status_6_stdout_is_full() {
    for (options, peer_ends) in [("", true), ("-O hex", true), ("--until-fin", true), ("", false)] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let cmd =
            pktcat_line(&format!("listen {options} 127.0.0.1 0")).stdout(Output::Fd(full.into()));
        let server = cmd.spawn();
        let stream = net::connect(server.port());
        (&stream).write_all(b"some bytes\n").unwrap();
        if peer_ends {
            // The listener may have reset the connection by now.
            let _ = stream.shutdown(Shutdown::Write);
        }
        let ended = server.wait().expect_code(6);
        let error = ended.stderr.lines().find(|line| line.starts_with("pktcat: ")).unwrap();
        assert!(error.contains("stdout") && error.contains("no space left on device"), "{error}");
    }
}

fn status_6_stdin_cannot_be_read() {
    let (listener, port) = net::listener();
    let folder = File::open("/").unwrap();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}")).stdin(Input::Fd(folder.into()));
    ends(cmd, 6, &["stdin", "is a directory"]);
    drop(listener);
}

fn status_6_the_port_file_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none").join("port");
    let name = file.to_str().unwrap();
    ends(
        pktcat(["listen", "--quiet", "--port-file", name, "127.0.0.1", "0"]),
        6,
        &[name, "no such file"],
    );
}

fn the_port_file_is_a_file_or_what_a_link_points_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("end", at("link")).unwrap();
    let long = "n".repeat(255);
    for (name, end) in [("plain", "plain"), ("link", "end"), (&long, &long)] {
        let line = "listen --quiet --timeout 100ms --port-file";
        pktcat_line(line).arg(at(name)).arg("127.0.0.1").arg("0").run().expect_code(5);
        let text = std::fs::read_to_string(at(end)).unwrap();
        assert_ne!(text.trim_end().parse::<u16>().unwrap(), 0, "{name}");
    }
    assert!(at("link").is_symlink());
    std::os::unix::fs::symlink("circle", at("circle")).unwrap();
    let line = "listen --quiet --timeout 100ms --port-file";
    pktcat_line(line).arg(at("circle")).arg("127.0.0.1").arg("0").run().expect_code(6);
}

fn a_port_file_that_is_standard_output_or_error_too_holds_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    let given = || Output::Fd(File::create(&path).unwrap().into());
    let cmd = || pktcat(["listen", "--count", "1", "-O", "lines", "--port-file"]).arg(&path);
    let server = cmd().arg("127.0.0.1").arg("0").stdout(given()).spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"payload\n").unwrap();
    server.wait().expect_code(0);
    let text = std::fs::read_to_string(&path).unwrap();
    let (port, rest) = text.split_once('\n').unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), 0);
    assert_eq!(rest, "payload\n");
    cmd()
        .arg("--timeout")
        .arg("100ms")
        .arg("127.0.0.1")
        .arg("0")
        .stderr(given())
        .run()
        .expect_code(5);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("listening on ") && lines[2].contains("timed out"), "{text}");
    assert!(lines[0].ends_with(&format!(":{} (tcp)", lines[1])), "{text}");
}

fn a_listener_whose_reader_is_gone_ends_with_its_client() {
    let (reader, writer) = std::io::pipe().unwrap();
    let server = pktcat_line("listen 127.0.0.1 0").stdout(Output::Fd(writer.into())).spawn();
    let port = server.port();
    drop(reader);
    server.expect_running();
    let client = net::connect(port);
    server.wait().expect_code(0);
    drop(client);
}

fn an_error_is_one_line_whatever_its_words_hold() {
    let place = "a\nb\u{1b}[31m";
    for (words, status) in [
        (&["connect", place, "9"][..], 3),
        (&["connect", "127.0.0.1", place], 2),
        (&["connect", "-U", place], 1),
        (&["listen", "--reply-file", place, "127.0.0.1", "0"], 6),
        (&["listen", "--allow", place, "127.0.0.1", "0"], 3),
    ] {
        ends(pktcat(words), status, &["a\\nb\\u{1b}[31m"]);
    }
}

fn errors_are_told_when_descriptors_have_run_out() {
    for limit in [4, 5, 6, 7] {
        let words = ["-c", "ulimit -n $1; exec \"$2\" connect 127.0.0.1 9", "sh"];
        let limit = limit.to_string();
        let cmd = program("sh", words.into_iter().chain([&limit[..], binary()]));
        let ended = cmd.run();
        assert!(matches!(ended.status.code(), Some(1 | 4)), "{limit}: {:?}", ended.status);
        says(&ended, &[]);
    }
}

fn status_8_reset() {
    for options in ["", "-d", "--until-fin", "-O hex"] {
        let (listener, port) = net::listener();
        let client =
            pktcat_line(&format!("connect {options} 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
        let stream = net::accept(&listener);
        (&stream).write_all(b"before it broke").unwrap();
        client.wait_stdout("before it broke".len());
        net::reset(stream);
        let ended = client.wait().expect_code(8);
        says(&ended, &[&format!("127.0.0.1:{port}"), "connection reset"]);
    }
}

fn status_8_a_listener_says_who_broke_it() {
    let server = pktcat_line("listen 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let stream = net::connect(server.port());
    let peer = stream.local_addr().unwrap().to_string();
    (&stream).write_all(b"x").unwrap();
    server.wait_stdout(1);
    net::reset(stream);
    let ended = server.wait().expect_code(8);
    let error = ended.stderr.lines().last().unwrap();
    assert!(error.starts_with("pktcat: ") && error.contains(&peer), "{}", ended.stderr);
    assert!(error.contains("connection reset"), "{error}");
}

fn status_8_the_peer_left_with_unread_data() {
    let (listener, port) = net::listener();
    let mut client = pktcat_line(&format!("connect 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    client.send(b"you will not read this");
    stream.peek(&mut [0; 1]).expect("bytes to arrive");
    // Closing with unread bytes is a reset on the wire.
    drop(stream);
    says(&client.wait().expect_code(8), &[&format!("127.0.0.1:{port}")]);
}

fn status_128_plus_n_stopped_by_a_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (_queue, port) = net::unanswering_port();
        let (listener, open) = net::listener();
        for line in [
            "listen 127.0.0.1 0".to_owned(),
            "listen -u 127.0.0.1 0".to_owned(),
            format!("connect -v 127.0.0.1 {open}"),
            format!("connect -v 127.0.0.1 {port}"),
        ] {
            let running = pktcat_line(&line).stdin(Input::Pipe).spawn();
            match line.split(' ').next() {
                Some("listen") => drop(running.listening_on()),
                _ if line.ends_with(&open.to_string()) => {
                    running.wait_line("connected to ");
                }
                // Nothing is said while connecting: let it begin.
                _ => running.expect_running(),
            }
            running.signal(signal);
            let ended = running.wait().expect_signal(signal);
            assert!(!ended.stderr.contains("pktcat: "), "no error: {}", ended.stderr);
        }
        drop(listener);
    }
}
