//! `listen --keep-open`: many clients on one port, their data on standard output, standard input to all.

use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, Output, Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        clients_are_heard_at_once_and_stdin_goes_to_all,
        stdin_is_not_read_before_somebody_is_connected,
        lines_of_twenty_clients_stay_whole,
        a_tag_names_the_peer_before_each_line,
        hex_is_a_line_a_read_with_a_tag_if_asked,
        frames_are_never_mixed,
        a_last_line_without_newline_is_a_line,
        a_frame_too_long_ends_that_client_alone,
        a_frame_cut_off_is_told,
        quiet_still_tells_of_failures,
        a_tag_names_the_one_client_too,
        silence_after_the_end_of_stdin_ends_the_run_if_asked,
        silence_begins_though_the_only_client_left_at_once,
        a_client_that_comes_late_is_not_idle_yet,
        the_end_of_stdin_is_a_fin_for_everybody,
        dev_null_holds_the_fin_back_for_each,
        an_open_pipe_goes_on_after_a_clients_fin,
        until_fin_is_for_each_client,
        no_shutdown_keeps_the_sending_halves_open,
        count_counts_across_clients,
        a_closed_stdout_ends_the_run,
        clients_that_reset_in_any_state_end_alone,
        sigterm_ends_the_run_with_clients_connected,
    ]
}

fn listen(options: &str, stdin: Input) -> (Running, u16) {
    let server = pktcat_line(&format!("listen -k {options} 127.0.0.1 0")).stdin(stdin).spawn();
    let port = server.port();
    (server, port)
}

/// `-v` is among the options: waits until so many clients have been let in.
fn connected(server: &Running, port: u16, before: usize) -> TcpStream {
    let client = net::connect(port);
    server.wait_lines("accepted ", before + 1);
    client
}

fn name(client: &TcpStream) -> String {
    client.local_addr().unwrap().to_string()
}

fn clients_are_heard_at_once_and_stdin_goes_to_all() {
    let (mut server, port) = listen("-v", Input::Pipe);
    let clients: Vec<_> = (0..3).map(|before| connected(&server, port, before)).collect();
    for (at, client) in clients.iter().enumerate().rev() {
        let mut client = client;
        client.write_all(at.to_string().as_bytes()).unwrap();
        server.wait_stdout(3 - at);
    }
    for round in 0..3 {
        server.send(format!("round {round}\n").as_bytes());
        for client in &clients {
            assert_eq!(net::read_exactly(client, 8), format!("round {round}\n").as_bytes());
        }
    }
    assert_eq!(server.stdout_now(), b"210");
    // Each is named as it came.
    let named = server.wait_lines("accepted ", 3);
    let wanted: Vec<_> = clients.iter().map(|c| format!("accepted {} (tcp)", name(c))).collect();
    assert_eq!(named, wanted);
}

fn stdin_is_not_read_before_somebody_is_connected() {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let (server, port) = listen("-v", Input::Fd(reader.try_clone().unwrap().into()));
    writer.write_all(b"still mine\n").unwrap();
    server.expect_running();
    assert!(is_readable(&reader), "stdin was read before anybody came");
    reader.read_exact(&mut [0; b"still mine\n".len()]).unwrap();
    let client = net::connect(port);
    writer.write_all(b"yours\n").unwrap();
    assert_eq!(net::read_exactly(&client, 6), b"yours\n");
    // The same again once nobody is left.
    drop(client);
    let next = connected(&server, port, 1);
    writer.write_all(b"again\n").unwrap();
    assert_eq!(net::read_exactly(&next, 6), b"again\n");
}

fn is_readable(reader: &PipeReader) -> bool {
    poll(&mut [PollFd::new(reader.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

/// Line `number` of `client`, of a length of its own.
fn line_of(client: usize, number: usize) -> String {
    let length = 200 + (client * 31 + number * 17) % 600;
    format!("{client} {number} {}\n", "x".repeat(length))
}

fn lines_of_twenty_clients_stay_whole() {
    const CLIENTS: usize = 20;
    const LINES: usize = 5_000;
    let total = CLIENTS * LINES;
    let line = format!("listen -k -O lines --count {total} 127.0.0.1 0");
    let mut server = pktcat_line(&line).stdout(Output::Pipe).spawn();
    let port = server.port();
    for client in 0..CLIENTS {
        thread::spawn(move || {
            let mut stream = net::connect(port);
            let text: String = (0..LINES).map(|number| line_of(client, number)).collect();
            // Pieces that begin and end anywhere, from one byte to many lines.
            let sizes = [1, 997, 4093, 13, 211, 16_381, 2, 65_521, 509];
            let (mut rest, mut turn) = (text.as_bytes(), client);
            while !rest.is_empty() {
                let (now, later) = rest.split_at(sizes[turn % sizes.len()].min(rest.len()));
                stream.write_all(now).unwrap();
                (rest, turn) = (later, turn + 1);
            }
        });
    }
    let mut next = [0; CLIENTS];
    let mut seen = 0;
    for line in BufReader::new(server.take_stdout()).lines() {
        let line = line.unwrap();
        let client: usize = line.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(line + "\n", line_of(client, next[client]), "of client {client}");
        next[client] += 1;
        seen += 1;
    }
    assert_eq!((seen, next), (total, [LINES; CLIENTS]));
    server.wait().expect_code(0);
}

fn a_tag_names_the_peer_before_each_line() {
    let (server, port) = listen("--tag -O lines", Input::Null);
    let (mut one, mut two) = (net::connect(port), net::connect(port));
    one.write_all(b"begun, ").unwrap();
    two.write_all(b"alpha\nbeta\n").unwrap();
    let first = format!("{0} alpha\n{0} beta\n", name(&two));
    server.wait_stdout(first.len());
    one.write_all(b"ended\n").unwrap();
    let second = format!("{} begun, ended\n", name(&one));
    let all = server.wait_stdout(first.len() + second.len());
    assert_eq!(String::from_utf8(all).unwrap(), first + &second);
}

fn hex_is_a_line_a_read_with_a_tag_if_asked() {
    for tag in ["", "--tag"] {
        let (server, port) = listen(&format!("{tag} -O hex"), Input::Null);
        let mut wanted = String::new();
        let clients = [net::connect(port), net::connect(port)];
        for mut client in clients.iter().chain(&clients) {
            client.write_all(b"\x00\xffA").unwrap();
            if !tag.is_empty() {
                wanted += &format!("{} ", name(client));
            }
            wanted += "00ff41\n";
            assert_eq!(server.wait_stdout(wanted.len()), wanted.as_bytes());
        }
    }
}

fn frames_are_never_mixed() {
    let (server, port) = listen("-O frames", Input::Null);
    let (mut one, mut two) = (net::connect(port), net::connect(port));
    let frame = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
    let big = frame(&random(1, 300_000));
    one.write_all(&big[..2]).unwrap();
    two.write_all(&[frame(b"small"), frame(b"")].concat()).unwrap();
    let before = [frame(b"small"), frame(b"")].concat();
    assert_same(&server.wait_stdout(before.len()), &before);
    one.write_all(&big[2..150_000]).unwrap();
    two.write_all(&frame(b"between")).unwrap();
    let before = [before, frame(b"between")].concat();
    assert_same(&server.wait_stdout(before.len()), &before);
    one.write_all(&big[150_000..]).unwrap();
    let all = [before, big].concat();
    assert_same(&server.wait_stdout(all.len()), &all);
}

fn a_last_line_without_newline_is_a_line() {
    let (server, port) = listen("-O lines", Input::Null);
    let (mut one, mut two) = (net::connect(port), net::connect(port));
    one.write_all(b"cut off").unwrap();
    net::finish(&one);
    assert_eq!(server.wait_stdout(8), b"cut off\n");
    two.write_all(b"the other\n").unwrap();
    assert_eq!(server.wait_stdout(18), b"cut off\nthe other\n");
}

fn a_frame_too_long_ends_that_client_alone() {
    let (server, port) = listen("-O frames", Input::Null);
    let (mut bad, mut good) = (net::connect(port), net::connect(port));
    bad.write_all(&[0xff; 8]).unwrap();
    let line = server.wait_line("pktcat: ");
    assert!(line.contains(&name(&bad)), "{line}");
    good.write_all(&[0, 0, 0, 1, b'x']).unwrap();
    assert_eq!(server.wait_stdout(5), [0, 0, 0, 1, b'x']);
}

fn a_frame_cut_off_is_told() {
    let (server, port) = listen("-O frames", Input::Null);
    let mut client = net::connect(port);
    client.write_all(b"\0\0\0\x03one\0\0\0\x05tw").unwrap();
    let wanted = format!("pktcat: receive: {} (tcp): ", name(&client));
    drop(client);
    let line = server.wait_line(&wanted);
    assert!(line.contains("inside a frame"), "{line}");
    server.expect_running();
    assert_eq!(server.stdout_now(), b"\0\0\0\x03one");
}

fn quiet_still_tells_of_failures() {
    let (quiet, port) = {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let line =
            format!("listen -k --quiet -O frames --port-file {} 127.0.0.1 0", file.display());
        let server = pktcat_line(&line).spawn();
        let port = eventually("the port", || std::fs::read_to_string(&file).ok());
        (server, port.trim().parse().unwrap())
    };
    let mut bad = net::connect(port);
    bad.write_all(&[0xff; 8]).unwrap();
    quiet.wait_line(&format!("pktcat: receive: {} (tcp): ", name(&bad)));
    quiet.expect_running();
}

fn a_tag_names_the_one_client_too() {
    let server = pktcat_line("listen --tag -O lines 127.0.0.1 0").spawn();
    let mut client = net::connect(server.port());
    client.write_all(b"one\ntwo\n").unwrap();
    let name = name(&client);
    drop(client);
    let wanted = format!("{name} one\n{name} two\n");
    assert_eq!(server.wait().expect_code(0).stdout_text(), wanted);
}

fn silence_after_the_end_of_stdin_ends_the_run_if_asked() {
    // Without anybody there is no silence, and stdin is not read.
    let (server, port) = listen("-q 0.3", Input::Bytes(b"to all".to_vec()));
    server.expect_running();
    let client = net::connect(port);
    assert_eq!(net::read_to_fin(&client), b"to all");
    server.wait().expect_code(0);
    // What still flows is no silence.
    let (mut server, port) = listen("-q 0.3", Input::Pipe);
    let client = net::connect(port);
    server.send(b"first");
    assert_eq!(net::read_exactly(&client, 5), b"first");
    server.expect_running();
    server.close_stdin();
    server.wait().expect_code(0);
}

fn silence_begins_though_the_only_client_left_at_once() {
    for options in ["-q 0.3", "-d -q 0.3"] {
        let (server, port) = listen(options, Input::Null);
        // It has come and gone before the listener looks.
        server.signal(Signal::SIGSTOP);
        drop(net::connect(port));
        server.signal(Signal::SIGCONT);
        server.wait().expect_code(0);
    }
}

fn a_client_that_comes_late_is_not_idle_yet() {
    let (server, port) = listen("--idle-timeout 1", Input::Null);
    thread::sleep(Duration::from_millis(1200));
    let mut client = net::connect(port);
    server.expect_running();
    client.write_all(b"in time").unwrap();
    drop(client);
    assert_eq!(server.wait().expect_code(5).stdout, b"in time");
}

fn the_end_of_stdin_is_a_fin_for_everybody() {
    let (mut server, port) = listen("-v", Input::Pipe);
    let clients = [connected(&server, port, 0), connected(&server, port, 1)];
    server.send(b"that was all");
    server.close_stdin();
    for client in &clients {
        assert_eq!(net::read_to_fin(client), b"that was all");
    }
    // They are heard after it, and so is whoever comes later.
    let late = net::connect(port);
    assert_eq!(net::read_to_fin(&late), b"");
    for mut client in clients.iter().chain([&late]) {
        client.write_all(b"heard.").unwrap();
        net::finish(client);
    }
    assert_eq!(server.wait_stdout(18), b"heard.".repeat(3));
    server.expect_running();
}

fn dev_null_holds_the_fin_back_for_each() {
    let (server, port) = listen("", Input::Null);
    let (mut one, two) = (net::connect(port), net::connect(port));
    net::expect_silence(&one);
    one.write_all(b"one").unwrap();
    net::finish(&one);
    assert_eq!(net::read_to_fin(&one), b"");
    net::expect_silence(&two);
    drop(two);
    assert_eq!(server.wait_stdout(3), b"one");
    server.expect_running();
}

fn an_open_pipe_goes_on_after_a_clients_fin() {
    let (mut server, port) = listen("-v", Input::Pipe);
    let mut clients = [connected(&server, port, 0), connected(&server, port, 1)];
    clients[0].write_all(b"done").unwrap();
    net::finish(&clients[0]);
    server.wait_stdout(4);
    server.send(b"for both");
    for client in &clients {
        assert_eq!(net::read_exactly(client, 8), b"for both");
        net::expect_silence(client);
    }
    server.close_stdin();
    clients.iter().for_each(|client| assert_eq!(net::read_to_fin(client), b""));
}

fn until_fin_is_for_each_client() {
    let (mut server, port) = listen("-v --until-fin", Input::Pipe);
    let clients = [connected(&server, port, 0), connected(&server, port, 1)];
    net::finish(&clients[0]);
    assert_eq!(net::read_to_fin(&clients[0]), b"");
    server.send(b"for the other");
    assert_eq!(net::read_exactly(&clients[1], 13), b"for the other");
    server.expect_running();
}

fn no_shutdown_keeps_the_sending_halves_open() {
    let (server, port) = listen("-v --no-shutdown", Input::Bytes(b"all".to_vec()));
    let client = net::connect(port);
    assert_eq!(net::read_exactly(&client, 3), b"all");
    net::expect_silence(&client);
    net::finish(&client);
    assert_eq!(net::read_to_fin(&client), b"");
    server.expect_running();
}

fn count_counts_across_clients() {
    let (server, port) = listen("-O lines --count 4", Input::Pipe);
    let mut clients = [net::connect(port), net::connect(port)];
    let mut written = 0;
    for (turn, text) in [(0, "a\n"), (1, "b\n"), (1, "c\n")] {
        clients[turn].write_all(text.as_bytes()).unwrap();
        written += text.len();
        server.wait_stdout(written);
    }
    server.expect_running();
    clients[0].write_all(b"d\ne\nf\n").unwrap();
    assert_eq!(server.wait().expect_code(0).stdout_text(), "a\nb\nc\nd\n");
}

fn a_closed_stdout_ends_the_run() {
    let line = "listen -k 127.0.0.1 0";
    let mut server = pktcat_line(line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let mut clients = [net::connect(server.port()), net::connect(server.port())];
    clients[0].write_all(b"seen").unwrap();
    let mut stdout = server.take_stdout();
    stdout.read_exact(&mut [0; 4]).unwrap();
    drop(stdout);
    clients[1].write_all(b"unseen").unwrap();
    let ended = server.wait().expect_code(0);
    assert_eq!(ended.stderr.lines().count(), 1, "only that it listens:\n{}", ended.stderr);
}

fn clients_that_reset_in_any_state_end_alone() {
    let (mut server, port) = listen("-v -O lines", Input::Pipe);
    let mut steady = connected(&server, port, 0);
    let states: [fn(&mut Running, &mut TcpStream); 5] = [
        |_, _| {},
        |server, client| {
            let before = server.stdout_now().len();
            client.write_all(b"a line\nand half").unwrap();
            server.wait_stdout(before + 7);
        },
        |_, client| net::finish(client),
        |server, client| {
            server.send(b"unread\n");
            client.peek(&mut [0]).unwrap();
        },
        |server, client| {
            net::finish(client);
            server.send(b"unread\n");
            client.peek(&mut [0]).unwrap();
        },
    ];
    for (come, state) in (1..).zip(states) {
        let mut client = connected(&server, port, come);
        state(&mut server, &mut client);
        let gone = name(&client);
        net::reset(client);
        eventually("the reset to be told", || {
            let stderr = server.stderr_now();
            stderr.lines().any(|l| l.starts_with("pktcat: ") && l.contains(&gone)).then_some(())
        });
        let before = server.stdout_now().len();
        steady.write_all(b"still here\n").unwrap();
        server.wait_stdout(before + 11);
    }
    // Whatever was sent while it lasted, the one that stays got it all.
    server.send(b"the end");
    server.close_stdin();
    assert_eq!(net::read_to_fin(&steady), b"unread\nunread\nthe end");
    server.expect_running();
    let told = server.wait_lines("pktcat: ", states.len());
    assert!(told.iter().all(|line| !line.contains(&name(&steady))), "{told:?}");
}

fn sigterm_ends_the_run_with_clients_connected() {
    let (server, port) = listen("-v", Input::Pipe);
    let mut client = connected(&server, port, 0);
    client.write_all(b"written").unwrap();
    server.wait_stdout(7);
    server.signal(Signal::SIGTERM);
    let ended = server.wait().expect_signal(Signal::SIGTERM);
    assert_eq!(ended.stdout_text(), "written");
    assert!(ended.stderr.contains("received 7 bytes"), "{}", ended.stderr);
}
