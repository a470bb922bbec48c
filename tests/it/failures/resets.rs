//! What is cut off ends with a reset, never with the FIN that a whole stream ends with.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::{Cmd, Input, Output, PATIENCE, Running, eventually, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        malformed_stdin_ends_with_a_reset,
        malformed_stdin_ends_all_clients_with_a_reset,
        a_read_error_of_stdin_ends_with_a_reset needs [Need::Strace],
        a_read_error_of_a_reply_file_ends_with_a_reset needs [Need::Strace],
        what_fails_before_it_sends_anything_ends_with_a_reset needs [Need::Strace],
        a_full_disk_ends_with_a_reset,
        a_run_that_is_told_to_end_while_it_sends_ends_with_a_reset,
        a_run_that_is_told_to_end_with_nothing_to_send_ends_with_a_fin,
    ]
}

/// What comes before the reset that must come.
#[track_caller]
fn read_to_reset(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
        other => panic!("no reset but {other:?} after {} bytes", bytes.len()),
    }
}

/// `connect` and `listen` with these options, each with its peer.
fn both(options: &str, set: impl Fn(Cmd) -> Cmd) -> [(Running, TcpStream); 2] {
    let (listener, port) = net::listener();
    let client = set(pktcat_line(&format!("connect {options} 127.0.0.1 {port}"))).spawn();
    let accepted = net::accept(&listener);
    let server = set(pktcat_line(&format!("listen {options} 127.0.0.1 0"))).spawn();
    let connected = net::connect(server.port());
    [(client, accepted), (server, connected)]
}

/// The same command with this fault when it uses this file, put in by strace.
fn faulty(cmd: Cmd, file: &Path, fault: &str) -> Cmd {
    let fault = format!("inject={fault}");
    let path = file.to_str().unwrap();
    cmd.through(["strace", "-D", "-qq", "-o", "/dev/null", "-P", path, "-e", &fault])
}

fn a_file(length: usize) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let bytes = random(7, length);
    std::fs::write(&path, &bytes).unwrap();
    (folder, path, bytes)
}

fn malformed_stdin_ends_with_a_reset() {
    for (options, bytes) in [
        ("-I hex", &b"61\nzz\n"[..]),
        ("-I hex", b"6"),
        ("-I frames", b"\0\0\0\x01a\xff\xff\xff\xff"),
        ("-I frames", b"\0\0\0\x05ab"),
    ] {
        // It comes when the test is connected, or the reset might be quicker.
        for (mut running, peer) in both(options, |cmd| cmd.stdin(Input::Pipe)) {
            running.send(bytes);
            running.close_stdin();
            read_to_reset(&peer);
            running.wait().expect_code(6);
        }
    }
}

fn malformed_stdin_ends_all_clients_with_a_reset() {
    let mut server = pktcat_line("listen -v -k -I hex 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let clients = [net::connect(server.port()), net::connect(server.port())];
    server.wait_lines("accepted ", 2);
    server.send(b"61 62\n");
    for client in &clients {
        assert_eq!(net::read_exactly(client, 2), b"ab");
    }
    server.send(b"zz\n");
    for client in &clients {
        assert_eq!(read_to_reset(client), b"");
    }
    server.wait().expect_code(6);
}

fn a_read_error_of_stdin_ends_with_a_reset() {
    let (_folder, path, _) = a_file(10_000_000);
    let set = |cmd: Cmd| {
        let cmd = cmd.stdin(Input::Fd(File::open(&path).unwrap().into()));
        faulty(cmd, &path, "read,splice:error=EIO:when=6+")
    };
    let many = set(pktcat_line("listen -k 127.0.0.1 0")).spawn();
    let client = net::connect(many.port());
    let runs = both("", set).into_iter().chain([(many, client)]);
    for (running, peer) in runs {
        assert!(read_to_reset(&peer).len() < 10_000_000);
        let ended = running.wait().expect_code(6);
        assert!(ended.stderr.contains("stdin"), "{}", ended.stderr);
    }
}

fn a_read_error_of_a_reply_file_ends_with_a_reset() {
    let (_folder, path, bytes) = a_file(10_000_000);
    for options in ["", "-k"] {
        let line = format!("listen {options} --reply-file {} 127.0.0.1 0", path.display());
        let server = faulty(pktcat_line(&line), &path, "pread64:error=EIO:when=20").spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"?").unwrap();
        assert!(read_to_reset(&client).len() < bytes.len());
        server.wait_line("pktcat: read: ");
        if options.is_empty() {
            server.wait().expect_code(6);
        } else {
            // It is that client's failure alone.
            let mut other = net::connect(server.port());
            other.write_all(b"?").unwrap();
            assert_same(&net::read_to_fin(&other), &bytes);
        }
    }
}

fn what_fails_before_it_sends_anything_ends_with_a_reset() {
    let fault = |fault: &str| {
        let fault = format!("inject={fault}");
        ["strace", "-D", "-qq", "-o", "/dev/null", "-e", &fault].map(str::to_owned)
    };
    // There is no descriptor left for standard input.
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}"));
    let client = cmd.through(fault("fcntl:error=EMFILE:when=1")).spawn();
    assert_eq!(read_to_reset(&net::accept(&listener)), b"");
    client.wait().expect_code(1);
    // There is no room to watch a client: signals, the listening socket and the three standard
    // descriptors come before.
    let cmd = pktcat_line("listen -k 127.0.0.1 0");
    let server = cmd.through(fault("epoll_ctl:error=ENOMEM:when=6+")).spawn();
    let port = server.port();
    let told = || server.stderr_now().contains("pktcat: accept: ");
    eventually("a client that cannot be watched", || {
        // Connecting may find the reset already.
        let came = TcpStream::connect(("127.0.0.1", port)).and_then(|mut client| {
            client.set_read_timeout(Some(PATIENCE))?;
            client.read(&mut [0])
        });
        assert_eq!(came.unwrap_err().kind(), ErrorKind::ConnectionReset);
        told().then_some(())
    });
}

fn a_full_disk_ends_with_a_reset() {
    for options in ["", "-k"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let server = pktcat_line(&format!("listen {options} 127.0.0.1 0"))
            .stdout(Output::Fd(full.into()))
            .spawn();
        let mut client = net::connect(server.port());
        client.write_all(b"kept by nobody").unwrap();
        // The reset may be there already.
        let _ = client.shutdown(Shutdown::Write);
        read_to_reset(&client);
        server.wait().expect_code(6);
    }
}

fn a_run_that_is_told_to_end_while_it_sends_ends_with_a_reset() {
    let endless = |cmd: Cmd| cmd.stdin(Input::Fd(File::open("/dev/zero").unwrap().into()));
    let sends = |options: &str| {
        let many = endless(pktcat_line(&format!("listen -k {options} 127.0.0.1 0"))).spawn();
        let client = net::connect(many.port());
        both(options, endless).into_iter().chain([(many, client)])
    };
    for (running, peer) in sends("") {
        net::read_exactly(&peer, 100_000);
        running.signal(Signal::SIGTERM);
        running.wait().expect_signal(Signal::SIGTERM);
        read_to_reset(&peer);
    }
    for (running, peer) in sends("--timeout 500ms") {
        running.wait().expect_code(5);
        read_to_reset(&peer);
    }
}

fn a_run_that_is_told_to_end_with_nothing_to_send_ends_with_a_fin() {
    let many = pktcat_line("listen -k 127.0.0.1 0").stdin(Input::Pipe).spawn();
    let client = net::connect(many.port());
    let piped = |cmd: Cmd| cmd.stdin(Input::Pipe);
    for (mut running, peer) in both("", piped).into_iter().chain([(many, client)]) {
        running.send(b"all there is");
        assert_eq!(net::read_exactly(&peer, 12), b"all there is");
        running.signal(Signal::SIGTERM);
        running.wait().expect_signal(Signal::SIGTERM);
        assert_eq!(net::read_to_fin(&peer), b"");
    }
}
