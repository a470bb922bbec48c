//! Local sockets: stream and datagram, in both roles, and the paths they leave and spare.

use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::tests;
use crate::util::{Input, eventually, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        streams_go_both_ways_and_the_path_is_removed,
        a_datagram_listener_answers_who_has_a_name,
        a_socket_left_behind_is_replaced_a_served_one_and_a_file_are_not,
        retry_tries_again_where_nobody_listens_yet,
        retry_waits_for_a_path_that_is_not_there_yet,
        a_full_queue_is_waited_for,
        a_stream_may_have_a_name_too,
        datagrams_are_cut_like_those_of_udp,
        a_client_does_not_say_that_it_listens,
        json_tells_of_a_local_socket_that_was_never_reached,
    ]
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    (folder, path)
}

fn streams_go_both_ways_and_the_path_is_removed() {
    let (_folder, path) = place();
    let path = path.to_str().unwrap();
    let listen = pktcat_line(&format!("listen -v -U {path}"));
    let listener = listen.stdin(Input::Bytes(b"from listen".to_vec())).spawn();
    listener.wait_line(&format!("listening on {path} (unix)"));
    let connect = pktcat_line(&format!("connect -U {path}"));
    let client = connect.stdin(Input::Bytes(b"from connect".to_vec())).run();
    assert_eq!((client.status.code(), &client.stdout[..]), (Some(0), &b"from listen"[..]));
    let server = listener.wait();
    assert_eq!((server.status.code(), &server.stdout[..]), (Some(0), &b"from connect"[..]));
    assert!(!fs::exists(path).unwrap());
}

fn a_datagram_listener_answers_who_has_a_name() {
    for options in ways() {
        is_answered(options);
    }
}

fn is_answered(options: &str) {
    let (folder, path) = place();
    let listen = pktcat_line(&format!("listen -u -v {options} --echo -U {}", path.display()));
    let listener = listen.stdin(Input::Null).spawn();
    listener.wait_line("listening on ");
    let peer = UnixDatagram::bind(folder.path().join("peer")).unwrap();
    peer.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
    for message in [&b"one"[..], b"", b"three"] {
        peer.send_to(message, &path).unwrap();
        let mut buffer = [0; 64];
        let n = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], message);
    }
    listener.signal(nix::sys::signal::Signal::SIGTERM);
    listener.wait().expect_signal(nix::sys::signal::Signal::SIGTERM);
    assert!(!path.exists());
}

fn a_socket_left_behind_is_replaced_a_served_one_and_a_file_are_not() {
    let (_folder, path) = place();
    let line = format!("listen -U {}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    let served = pktcat_line(&line).stdin(Input::Null).spawn();
    eventually("somebody serves it", || is_served(&path).then_some(()));
    let second = pktcat_line(&line).stdin(Input::Null).run();
    assert_eq!(second.status.code(), Some(1), "{}", second.stderr);
    drop(UnixStream::connect(&path).unwrap());
    assert_eq!(served.wait().status.code(), Some(0));

    fs::write(&path, "precious").unwrap();
    let refused = pktcat_line(&line).stdin(Input::Null).run();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("no socket"), "{}", refused.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

/// Whether a program serves the socket: one of another kind is told so without being let in.
fn is_served(path: &Path) -> bool {
    UnixDatagram::unbound()
        .and_then(|asking| asking.connect(path))
        .is_err_and(|cause| cause.raw_os_error() == Some(libc::EPROTOTYPE))
}

fn retry_tries_again_where_nobody_listens_yet() {
    for options in ["", "-u"] {
        let (_folder, path) = place();
        // A socket left behind by somebody who will be back.
        match options {
            "" => drop(UnixListener::bind(&path).unwrap()),
            _ => drop(UnixDatagram::bind(&path).unwrap()),
        }
        let line = format!("connect -v {options} --send x --retry 1000 --retry-delay 10ms -U");
        let client = pktcat_line(&format!("{line} {}", path.display())).spawn();
        client.wait_lines("pktcat: connect: ", 2);
        let line = format!("listen {options} --count 1 -O lines -U {}", path.display());
        let server = pktcat_line(&line).spawn();
        assert_eq!(server.wait().expect_code(0).stdout_text(), "x\n");
        drop(client);
    }
}

fn retry_waits_for_a_path_that_is_not_there_yet() {
    for options in ["", "-u"] {
        let (_folder, path) = place();
        let line = format!("connect -v {options} --send x --retry 1000 --retry-delay 10ms -U");
        let client = pktcat_line(&format!("{line} {}", path.display())).spawn();
        client.wait_lines("pktcat: connect: ", 2);
        let line = format!("listen {options} --count 1 -O lines -U {}", path.display());
        let server = pktcat_line(&line).spawn();
        assert_eq!(server.wait().expect_code(0).stdout_text(), "x\n");
        drop(client);
        // What is not there after the last try is still no success.
        let line = format!("connect {options} --retry 2 --retry-delay 1ms -U {}", path.display());
        pktcat_line(&line).run().expect_code(1);
    }
}

fn a_full_queue_is_waited_for() {
    let (_folder, path) = place();
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let first = UnixStream::connect(&path).unwrap();
    let ended = pktcat_line(&format!("connect -w 200ms -U {}", path.display())).run();
    assert!(ended.expect_code(5).stderr.contains("no room"));
    let client = pktcat_line(&format!("connect --send x -U {}", path.display())).spawn();
    client.expect_running();
    drop(first);
    drop(listener.accept().unwrap());
    let (mut second, _) = listener.accept().unwrap();
    let mut got = Vec::new();
    second.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"x");
    drop(second);
    client.wait().expect_code(0);
}

fn a_stream_may_have_a_name_too() {
    let (folder, path) = place();
    let own = folder.path().join("own");
    let listener = UnixListener::bind(&path).unwrap();
    let line = format!("connect --send x -s {} -U {}", own.display(), path.display());
    let client = pktcat_line(&line).spawn();
    let (peer, name) = listener.accept().unwrap();
    assert_eq!(name.as_pathname(), Some(&*own));
    drop(peer);
    client.wait();
    assert!(!own.exists());
}

fn datagrams_are_cut_like_those_of_udp() {
    for options in ways() {
        let (_folder, path) = place();
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_read_timeout(Some(crate::util::PATIENCE)).unwrap();
        let line = format!("connect -u -q 0 --datagram-size 1000 {options} -U {}", path.display());
        let client = pktcat_line(&line).stdin(Input::Bytes(vec![b'x'; 2500])).spawn();
        let mut room = [0; 4096];
        for length in [1000, 1000, 500] {
            assert_eq!(server.recv(&mut room).unwrap(), length, "{options}");
        }
        client.wait().expect_code(0);
    }
}

fn a_client_does_not_say_that_it_listens() {
    let (folder, path) = place();
    let taken = folder.path().join("taken");
    let _taken = UnixDatagram::bind(&taken).unwrap();
    for options in ["", "-u"] {
        let line = format!("connect {options} -s {} -U {}", taken.display(), path.display());
        let ended = pktcat_line(&line).run().expect_code(1);
        let place = format!("pktcat: bind: {} (unix): address already in use", taken.display());
        assert!(ended.stderr.starts_with(&place), "{}", ended.stderr);
    }
}

fn json_tells_of_a_local_socket_that_was_never_reached() {
    for options in ["", "-u"] {
        for line in [format!("connect {options} -U @none"), format!("listen {options} -U /none/s")]
        {
            let ended = pktcat_line(&format!("{line} --json")).run();
            let last = ended.stderr.lines().last().unwrap();
            let summary: serde_json::Value = serde_json::from_str(last).unwrap();
            assert_eq!(
                (&summary["event"], &summary["protocol"]),
                (&"summary".into(), &"unix".into())
            );
        }
    }
}
