//! The hex dump, black box: both directions' bytes come back from it alone, whatever reads it.

mod parser;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use libtest_mimic::Trial;
use nix::sys::stat::Mode;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::tty::Pty;
use crate::util::{Input, Output, net, pktcat, pktcat_line, proc, program, udp};
use parser::{Entry, datagrams, marks, parse, streams};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_tcp_dump_holds_both_streams,
        a_udp_dump_holds_every_datagram_of_three_peers,
        stdout_is_the_same_with_and_without_watching,
        marks_tell_what_a_connection_has,
        a_refusal_is_marked,
        a_reader_that_is_slow_loses_nothing,
        a_fifo_is_waited_for,
        a_file_that_cannot_be_written_is_status_6,
        a_file_that_cannot_be_written_is_not_noticed_only_when_somebody_comes,
        on_one_terminal_only_the_dump_is_shown,
        a_terminal_is_the_same_by_every_name needs [Need::Program("setsid")],
        colours_are_for_terminals_and_for_who_asks,
        lines_are_those_of_hexdump needs [Need::Program("hexdump")],
    ]
}

fn a_tcp_dump_holds_both_streams() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    let (up, down) = (random(1, 300_001), random(2, 150_003));
    let server = pktcat(["listen", "--hex-file", file.to_str().unwrap(), "127.0.0.1", "0"])
        .stdin(Input::Bytes(down.clone()))
        .spawn();
    let port = server.port();
    let client = pktcat_line(&format!("connect -x 127.0.0.1 {port}"))
        .stdin(Input::Bytes(up.clone()))
        .run()
        .expect_code(0);
    let ended = server.wait().expect_code(0);
    assert_same(&ended.stdout, &up);
    assert_same(&client.stdout, &down);
    let entries = parse(&client.stderr);
    let whom = format!("tcp 127.0.0.1:{port}");
    assert_same(&streams(&entries)[&(true, whom.clone())], &up);
    assert_same(&streams(&entries)[&(false, whom)], &down);
    let text = fs::read_to_string(&file).unwrap();
    let streams = streams(&parse(&text));
    assert_eq!(streams.len(), 2);
    for ((sent, _), stream) in streams {
        assert_same(&stream, if sent { &down } else { &up });
    }
}

fn a_udp_dump_holds_every_datagram_of_three_peers() {
    let (mut server, first) = udp::listen("-x --to-all -I frames --count 30", Input::Pipe);
    let peers = [first, udp::peer_of(&server), udp::peer_of(&server)];
    let whom = |index: usize| format!("udp {}", peers[index].local_addr().unwrap());
    let mut sent = vec![Vec::new(); 3];
    for round in 0..9_usize {
        for (index, peer) in peers.iter().enumerate() {
            // Empty ones, odd ones, and one that is as long as can be.
            let length = [0, 1, 15, 16, 17, 1000, 0, 65_507, 3][(round + index) % 9];
            let message = random((round * 3 + index) as u64, length);
            peer.send(&message).unwrap();
            sent[index].push(message);
            // In turns, as a person reads it.
            thread::sleep(Duration::from_millis(1));
        }
    }
    server.wait_lines("<", 27);
    server.send(b"\0\0\0\x05hello\0\0\0\0");
    for peer in &peers {
        assert_eq!(udp::receive(peer), b"hello");
        assert_eq!(udp::receive(peer), b"");
    }
    for _ in 0..3 {
        peers[2].send(b"").unwrap();
        sent[2].push(Vec::new());
    }
    let ended = server.wait().expect_code(0);
    let dump: String = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with("listening on "))
        .map(|line| format!("{line}\n"))
        .collect();
    let entries = parse(&dump);
    let datagrams = datagrams(&entries);
    assert_eq!(datagrams.len(), 6);
    for (index, messages) in sent.iter().enumerate() {
        assert_eq!(&datagrams[&(false, whom(index))], messages, "peer {index}");
        assert_eq!(datagrams[&(true, whom(index))], [&b"hello"[..], b""], "peer {index}");
    }
    assert_eq!(marks(&entries), [""; 0]);
    // Interleaved as they came, not sorted by peer.
    let from = |entry: &Entry| match entry {
        Entry::Transfer(transfer) => transfer.whom.clone(),
        Entry::Mark(_) => unreachable!(),
    };
    let order: Vec<_> = entries[..6].iter().map(from).collect();
    assert_eq!(order, [whom(0), whom(1), whom(2), whom(0), whom(1), whom(2)]);
}

fn stdout_is_the_same_with_and_without_watching() {
    let folder = tempfile::tempdir().unwrap();
    let name = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let payload = random(5, 70_000);
    // A file: a pipe may pause, and a datagram would end there.
    fs::write(name("payload"), &payload).unwrap();
    for protocol in ["-t", "-u"] {
        for options in [
            vec![],
            vec!["-x".to_owned()],
            vec!["--hex-file".to_owned(), name("dump")],
            vec!["--json".to_owned()],
            vec!["--json".to_owned(), "-x".to_owned()],
            vec!["--pcap".to_owned(), name("pcap")],
            vec!["-v".to_owned()],
            vec!["--progress".to_owned()],
        ] {
            let port_file = name("port");
            let _ = fs::remove_file(&port_file);
            let mut server = pktcat(["listen", protocol, "--port-file", &port_file]);
            for word in &options {
                server = server.arg(word);
            }
            if protocol == "-u" {
                server = server.arg("--count").arg("49");
            }
            let server = server.arg("127.0.0.1").arg("0").spawn();
            let port = crate::util::eventually("the port", || {
                fs::read_to_string(&port_file).ok()?.trim().parse::<u16>().ok()
            });
            pktcat_line(&format!("connect {protocol} -q 0 127.0.0.1 {port}"))
                .stdin(Input::Fd(File::open(name("payload")).unwrap().into()))
                .run()
                .expect_code(0);
            let ended = server.wait().expect_code(0);
            assert_same(&ended.stdout, &payload);
        }
    }
}

fn marks_tell_what_a_connection_has() {
    let server = pktcat_line("listen -x 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let stream = net::connect(server.port());
    let whom = format!("tcp {}", stream.local_addr().unwrap());
    (&stream).write_all(b"hi").unwrap();
    net::finish(&stream);
    server.wait_line("< ");
    let mut server = server;
    server.close_stdin();
    let ended = server.wait().expect_code(0);
    let dump = ended.stderr.split_once('\n').unwrap().1;
    let entries = parse(dump);
    assert_eq!(marks(&entries)[0], format!("{whom} accepted"));
    let ends = &marks(&entries)[1..];
    assert!(ends.contains(&format!("{whom} peer closed").as_str()), "{ends:?}");
    assert!(ends.contains(&format!("{whom} we closed").as_str()), "{ends:?}");

    let (listener, port) = net::listener();
    let client = pktcat_line(&format!("connect -x 127.0.0.1 {port}")).stdin(Input::Pipe).spawn();
    let stream = net::accept(&listener);
    client.wait_line("* ");
    net::reset(stream);
    let ended = client.wait().expect_code(8);
    let dump: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("pktcat")).collect();
    let entries = parse(&dump.join("\n"));
    let whom = format!("tcp 127.0.0.1:{port}");
    assert_eq!(marks(&entries), [format!("{whom} connected"), format!("{whom} reset")]);
}

fn a_refusal_is_marked() {
    let port = net::free_port();
    let ended = pktcat_line(&format!("connect -u -x 127.0.0.1 {port}"))
        .stdin(Input::Bytes(b"anybody?".to_vec()))
        .run()
        .expect_code(4);
    let dump: Vec<&str> = ended.stderr.lines().filter(|line| !line.starts_with("pktcat")).collect();
    let entries = parse(&dump.join("\n"));
    assert_eq!(marks(&entries), [format!("udp 127.0.0.1:{port} refused (ICMP)")]);
    assert_eq!(datagrams(&entries).len(), 1);
}

fn a_reader_that_is_slow_loses_nothing() {
    const LENGTH: usize = 8 << 20;
    let payload = random(3, LENGTH);
    let (listener, port) = net::listener();
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let client = pktcat_line(&format!("connect -x -d 127.0.0.1 {port}"))
        .stdout(Output::Collect)
        .stderr(Output::Fd(writer))
        .spawn();
    let stream = net::accept(&listener);
    let written = payload.clone();
    let feeder = thread::spawn(move || {
        (&stream).write_all(&written).unwrap();
        drop(stream);
    });
    // Nobody reads: the traffic stops, and what waits has a bound.
    let taken =
        crate::util::data::settled("the traffic to stop", || client.stdout_now().len() as u64);
    assert!(taken < LENGTH as u64 / 2, "{taken} bytes went on");
    let memory = proc::memory_kib(client.pid(), "VmHWM");
    assert!(memory < 40_000, "{memory} KiB");
    let mut dump = String::new();
    File::from(reader).read_to_string(&mut dump).unwrap();
    feeder.join().unwrap();
    assert_same(&client.wait().expect_code(0).stdout, &payload);
    let streams = streams(&parse(&dump));
    assert_same(streams.values().next().unwrap(), &payload);
}

fn a_fifo_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let (listener, port) = net::listener();
    let client = pktcat(["connect", "--hex-file", fifo.to_str().unwrap(), "127.0.0.1"])
        .arg(port.to_string())
        .stdin(Input::Bytes(b"through a fifo".to_vec()))
        .spawn();
    let mut dump = String::new();
    let reading = thread::spawn(move || {
        File::open(fifo).unwrap().read_to_string(&mut dump).unwrap();
        dump
    });
    let stream = net::accept(&listener);
    assert_eq!(net::read_to_fin(&stream), b"through a fifo");
    drop(stream);
    client.wait().expect_code(0);
    let dump = reading.join().unwrap();
    assert_eq!(streams(&parse(&dump)).into_values().next().unwrap(), b"through a fifo");
}

fn a_file_that_cannot_be_written_is_status_6() {
    for option in ["--hex-file", "--pcap"] {
        for (file, why) in [("/nonexistent/dump", "no such file"), ("/dev/full", "no space left")] {
            let (listener, port) = net::listener();
            let client = pktcat(["connect", option, file, "127.0.0.1", &port.to_string()])
                .stdin(Input::Bytes(b"hello".to_vec()))
                .spawn();
            let held = (file == "/dev/full").then(|| net::accept(&listener));
            let stderr = client.wait().expect_code(6).stderr;
            assert!(stderr.contains(file) && stderr.contains(why), "{option}: {stderr}");
            drop(held);
        }
    }
}

fn a_file_that_cannot_be_written_is_not_noticed_only_when_somebody_comes() {
    for words in ["listen", "listen -k", "listen -u", "forward --once -v"] {
        let to = if words.starts_with("forward") { "127.0.0.1:9" } else { "" };
        let stderr = tempfile::tempfile().unwrap();
        let line = format!("{words} --pcap /dev/full 127.0.0.1:0 {to}");
        pktcat_line(&line).stderr(Output::Fd(stderr.into())).spawn().wait().expect_code(6);
    }
}

/// What appears on a terminal that is the client's stdout and stderr, after `hello` came.
fn on_terminal(options: &str, environment: Option<&str>) -> String {
    let pty = Pty::open();
    let (listener, port) = net::listener();
    let mut cmd = pktcat_line(&format!("connect {options} 127.0.0.1 {port}"))
        .stdout(Output::Fd(pty.slave_fd()))
        .stderr(Output::Fd(pty.slave_fd()));
    if let Some(name) = environment {
        cmd = cmd.env(name, "1");
    }
    let client = cmd.env("TERM", "xterm").spawn();
    let stream = net::accept(&listener);
    (&stream).write_all(b"hello\n").unwrap();
    drop(stream);
    client.wait().expect_code(0);
    pty.shown()
}

fn on_one_terminal_only_the_dump_is_shown() {
    let shown = on_terminal("-x -d --color never", None);
    let entries = parse(&shown);
    assert_eq!(streams(&entries).into_values().next().unwrap(), b"hello\n", "{shown}");
    // Without a dump there, the payload is.
    assert_eq!(on_terminal("-d", None), "hello\n");
    assert_eq!(on_terminal("-d --hex-file /dev/null", None), "hello\n");
}

fn a_terminal_is_the_same_by_every_name() {
    let pty = Pty::open();
    let (listener, port) = net::listener();
    let script = r#"exec "$@" 2>/dev/tty"#;
    let client = pktcat_line(&format!("connect -x -d --color never 127.0.0.1 {port}"))
        .through(["setsid", "--ctty", "sh", "-c", script, "sh"])
        .stdin(Input::Fd(pty.slave_fd()))
        .stdout(Output::Fd(pty.slave_fd()))
        .spawn();
    let mut stream = net::accept(&listener);
    stream.write_all(b"hello\n").unwrap();
    drop(stream);
    client.wait().expect_code(0);
    let shown = pty.shown();
    assert!(shown.contains("|hello.|"), "{shown}");
    assert!(!shown.lines().any(|line| line == "hello"), "{shown}");
}

fn colours_are_for_terminals_and_for_who_asks() {
    assert!(on_terminal("-x -d", None).contains("\x1b["));
    assert!(!on_terminal("-x -d", Some("NO_COLOR")).contains("\x1b["));
    assert!(on_terminal("-x -d --color always", Some("NO_COLOR")).contains("\x1b["));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    for (options, coloured) in [("", false), ("--color always", true), ("--color never", false)] {
        let name = file.to_str().unwrap();
        on_terminal(&format!("-d {options} --hex-file {name}"), None);
        assert_eq!(fs::read_to_string(&file).unwrap().contains("\x1b["), coloured, "{options:?}");
    }
}

fn lines_are_those_of_hexdump() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    for length in [0, 1, 7, 8, 9, 15, 16, 17, 255, 4099] {
        let bytes = random(length as u64 + 100, length);
        fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).custom_flags(libc::O_CLOEXEC).open(&path).unwrap();
        let wanted = program("hexdump", ["-Cv"]).stdin(Input::Fd(OwnedFd::from(file))).run();
        let wanted = wanted.expect_code(0).stdout_text();
        // Its last line is the length alone.
        let wanted = wanted.trim_end().rsplit_once('\n').map_or("", |(lines, _)| lines);
        let mut ours = Vec::new();
        pktcat::observe::hexdump::write(
            &mut ours,
            &bytes,
            0,
            pktcat::observe::hexdump::Paint::Plain,
        )
        .unwrap();
        assert_eq!(String::from_utf8(ours).unwrap().trim_end(), wanted, "{length} bytes");
    }
}
