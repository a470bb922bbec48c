//! stdin, stdout, stderr, and what a listener tells about itself.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{PipeReader, PipeWriter, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use libtest_mimic::Trial;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{both, client, empty, open, server};
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::harness::Need;
use crate::util::{Input, Output, eventually, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_closed_stdout_ends_the_run_quietly,
        a_stdout_that_is_closed_in_the_middle_ends_the_run_quietly,
        a_full_disk_is_status_6,
        a_stdout_that_nobody_reads_from_the_start_ends_the_run_quietly,
        a_stderr_that_breaks_changes_nothing,
        a_stderr_that_stalls_stalls_nothing_else,
        a_stderr_that_stalls_does_not_outlast_the_timeout,
        stdout_holds_the_payload_and_nothing_else,
        v_tells_what_happens,
        crlf_is_made_and_never_doubled,
        crlf_cut_between_two_reads_stays_one,
        the_port_file_is_whole,
        the_port_file_replaces_no_link_and_no_pipe,
        quiet_leaves_no_listening_line,
        a_listener_without_host_hears_both_families needs [Need::Ipv6],
    ]
}

fn a_closed_stdout_ends_the_run_quietly() {
    for role in ["connect", "listen"] {
        let (listener, port) = net::listener();
        let line = if role == "listen" {
            "listen 127.0.0.1 0".into()
        } else {
            format!("connect 127.0.0.1 {port}")
        };
        let mut running = pktcat_line(&line).stdin(open()).stdout(Output::Pipe).spawn();
        let mut peer =
            if role == "listen" { net::connect(running.port()) } else { net::accept(&listener) };
        drop(running.take_stdout());
        peer.write_all(b"nobody reads this").unwrap();
        let ended = running.wait().expect_code(0);
        assert!(!ended.stderr.contains("pktcat:"), "{}", ended.stderr);
    }
}

fn a_stdout_that_is_closed_in_the_middle_ends_the_run_quietly() {
    let (listener, port) = net::listener();
    let line = format!("connect 127.0.0.1 {port}");
    let mut running = pktcat_line(&line).stdin(open()).stdout(Output::Pipe).spawn();
    let mut peer = net::accept(&listener);
    // As `| head -c 1000` does, while more flows than the pipe holds.
    let stream = thread::spawn(move || while peer.write_all(&[b'x'; 10_007]).is_ok() {});
    let mut stdout = running.take_stdout();
    std::io::Read::read_exact(&mut stdout, &mut [0; 1000]).unwrap();
    drop(stdout);
    assert_eq!(running.wait().expect_code(0).stderr, "");
    stream.join().unwrap();
}

fn a_full_disk_is_status_6() {
    for role in ["connect", "listen"] {
        let (listener, port) = net::listener();
        let line = if role == "listen" {
            "listen 127.0.0.1 0".into()
        } else {
            format!("connect 127.0.0.1 {port}")
        };
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let running = pktcat_line(&line).stdin(open()).stdout(Output::Fd(full.into())).spawn();
        let mut peer =
            if role == "listen" { net::connect(running.port()) } else { net::accept(&listener) };
        peer.write_all(b"no room for this").unwrap();
        let ended = running.wait().expect_code(6);
        let error = ended.stderr.lines().last().unwrap_or_default();
        assert!(error.starts_with("pktcat: ") && error.contains("stdout"), "{}", ended.stderr);
    }
}

fn a_stderr_that_breaks_changes_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (listener, port) = net::listener();
    let line = format!("connect -v 127.0.0.1 {port}");
    let running = pktcat_line(&line)
        .stdin(Input::Bytes(b"there".into()))
        .stderr(Output::Fd(writer.into()))
        .spawn();
    let mut peer = net::accept(&listener);
    assert_eq!(net::read_to_fin(&peer), b"there");
    peer.write_all(b"and back").unwrap();
    drop(peer);
    assert_eq!(running.wait().expect_code(0).stdout_text(), "and back");
}

fn a_stdout_that_nobody_reads_from_the_start_ends_the_run_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (listener, port) = net::listener();
    let line = format!("connect 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(open()).stdout(Output::Fd(writer.into())).spawn();
    // It may end before or at the first byte.
    if let Ok((mut peer, _)) = listener.accept() {
        drop(peer.write_all(b"nobody reads this"));
    }
    assert_eq!(running.wait().expect_code(0).stderr, "");
}

/// A pager that stands still, a terminal after Ctrl-S: data flows on, and signals end the run.
/// A pipe without room for another byte.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, writer)
}

fn a_stderr_that_stalls_does_not_outlast_the_timeout() {
    for options in ["-x", "-v", "--json"] {
        let (_reader, writer) = full_pipe();
        let (listener, port) = net::listener();
        let cmd = pktcat_line(&format!("connect {options} --timeout 500ms 127.0.0.1 {port}"));
        let running = cmd.stdin(open()).stderr(Output::Fd(writer.into())).spawn();
        let _peer = net::accept(&listener);
        running.wait().expect_code(5);
    }
}

fn a_stderr_that_stalls_stalls_nothing_else() {
    for signal in [None, Some(Signal::SIGINT), Some(Signal::SIGTERM)] {
        let (reader, writer) = full_pipe();
        let (listener, port) = net::listener();
        let line = format!("connect -v 127.0.0.1 {port}");
        let mut running =
            pktcat_line(&line).stdin(open()).stderr(Output::Fd(writer.into())).spawn();
        let mut peer = net::accept(&listener);
        let sent = random(22, 300_007);
        peer.write_all(&sent).unwrap();
        assert_same(&running.wait_stdout(sent.len()), &sent);
        running.send(b"and back");
        assert_eq!(net::read_exactly(&peer, 8), b"and back");
        if let Some(signal) = signal {
            running.signal(signal);
            running.wait().expect_signal(signal);
            drop(reader);
        } else {
            // The last lines may wait for their reader.
            drop((peer, reader));
            running.close_stdin();
            running.wait().expect_code(0);
        }
    }
}

fn stdout_holds_the_payload_and_nothing_else() {
    for options in ["", "-v", "--quiet"] {
        let (running, mut peer) = client(options, empty());
        let sent = random(21, 70_001);
        peer.write_all(&sent).unwrap();
        drop(peer);
        assert_same(&running.wait().expect_code(0).stdout, &sent);
    }
}

fn v_tells_what_happens() {
    let (client, listener) = client("-v", empty());
    let (server, peer) = server("-v", empty());
    assert_eq!(
        client.wait_line("connected to "),
        format!("connected to {} (tcp)", listener.local_addr().unwrap())
    );
    assert_eq!(
        server.wait_line("accepted "),
        format!("accepted {} (tcp)", peer.local_addr().unwrap())
    );
    let listening = format!("listening on {} (tcp)", peer.peer_addr().unwrap());
    assert_eq!(server.wait_line("listening on "), listening);
    drop((listener, peer));
    for running in [client, server] {
        // The summary is the last thing said.
        let ended = running.wait().expect_code(0);
        assert!(ended.stderr.lines().last().unwrap().contains("bytes"), "{}", ended.stderr);
    }
}

fn crlf_is_made_and_never_doubled() {
    for (running, peer) in both("-C", || Input::Bytes(b"a\nb\r\nc\n\n\r\r\nd\re".into())) {
        assert_eq!(
            net::read_to_fin(&peer).escape_ascii().to_string(),
            r"a\r\nb\r\nc\r\n\r\n\r\r\nd\re"
        );
        drop(peer);
        running.wait().expect_code(0);
    }
}

fn crlf_cut_between_two_reads_stays_one() {
    let (mut running, peer) = client("-C", open());
    running.send(b"a\r");
    // Once the `a` is here the first piece has been read, whether the CR came along or not.
    let mut got = net::read_exactly(&peer, 1);
    running.send(b"\nb");
    running.send(b"\r");
    running.close_stdin();
    got.extend(net::read_to_fin(&peer));
    assert_eq!(got.escape_ascii().to_string(), r"a\r\nb\r");
    drop(peer);
    running.wait().expect_code(0);
}

fn the_port_file_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    for protocol in ["-t", "-u"] {
        let file = dir.path().join(protocol);
        let running = pktcat(["listen", protocol, "--port-file"])
            .arg(&file)
            .arg("127.0.0.1")
            .arg("0")
            .spawn();
        let text = eventually("the port file", || fs::read_to_string(&file).ok());
        assert_eq!(text.trim_end().parse::<u16>().unwrap(), running.port());
        // Nothing else is left beside it.
        let names: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "-t" || name == "-u"), "{names:?}");
    }
    // A file that cannot be written is an error, and no listener.
    let nowhere = dir.path().join("no such directory/port");
    let ended = pktcat(["listen", "--port-file"]).arg(&nowhere).arg("127.0.0.1").arg("0").run();
    assert!(!ended.status.success(), "{}", ended.status);
    assert!(ended.stderr.contains("no such directory"), "{}", ended.stderr);
}

fn the_port_file_replaces_no_link_and_no_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let port_file =
        |file: &Path| pktcat(["listen", "--port-file"]).arg(file).arg("127.0.0.1").arg("0").spawn();
    // A link: the file behind it, which keeps its permissions.
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    fs::write(&target, "").unwrap();
    fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
    symlink(&target, &link).unwrap();
    let running = port_file(&link);
    let wanted = format!("{}\n", running.port());
    eventually("the port", || (fs::read_to_string(&target).unwrap() == wanted).then_some(()));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
    // A pipe: its reader.
    let pipe = dir.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let reader = {
        let pipe = pipe.clone();
        thread::spawn(move || fs::read_to_string(pipe).unwrap())
    };
    let running = port_file(&pipe);
    assert_eq!(reader.join().unwrap(), format!("{}\n", running.port()));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

fn quiet_leaves_no_listening_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("port");
    let running = pktcat(["listen", "--quiet", "--port-file"])
        .arg(&file)
        .arg("127.0.0.1")
        .arg("0")
        .stdin(empty())
        .spawn();
    let text = eventually("the port file", || fs::read_to_string(&file).ok());
    let peer = net::connect(text.trim_end().parse().unwrap());
    drop(peer);
    assert_eq!(running.wait().expect_code(0).stderr, "");
}

fn a_listener_without_host_hears_both_families() {
    for host in ["127.0.0.1", "[::1]"] {
        let running = pktcat_line("listen 0").stdin(Input::Bytes(b"hello".into())).spawn();
        let address: SocketAddr = format!("{host}:{}", running.port()).parse().unwrap();
        let peer = net::connect_to(address);
        assert_eq!(net::read_to_fin(&peer), b"hello");
        drop(peer);
        running.wait().expect_code(0);
    }
}
