//! `listen -U` on a path that a program left behind: several may want it at once.
use crate::tests;
use libtest_mimic::Trial;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::util::harness::Need;
use crate::util::{Cmd, Running, eventually, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        one_that_is_held_up_removes_nobody_elses_socket needs [Need::Strace],
        of_many_at_once_one_gets_the_path,
        a_listener_that_ends_leaves_the_socket_of_the_next,
        a_locked_folder_stops_nobody_who_takes_nothing_over needs [Need::Program("flock")],
    ]
}

/// A folder and the path of a socket in it that nobody serves any more.
fn stale() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    drop(UnixListener::bind(&path).unwrap());
    (folder, path)
}

fn listen(options: &str, path: &Path) -> Cmd {
    pktcat_line(&format!("listen -v {options} -U {}", path.display()))
}

/// Which of them go on after all others have ended, as they must, with status 1.
fn left(servers: Vec<Running>) -> Vec<Running> {
    let count = servers.len();
    eventually("all but one to end", || {
        (servers.iter().filter(|server| server.ended().is_some()).count() >= count - 1)
            .then_some(())
    });
    let (ended, left): (Vec<_>, Vec<_>) =
        servers.into_iter().partition(|server| server.ended().is_some());
    for server in ended {
        let ended = server.wait().expect_code(1);
        assert!(ended.stderr.contains("address already in use"), "{}", ended.stderr);
    }
    left
}

/// That one is heard at the path.
fn is_reached(server: Running, path: &Path) {
    let mut client = UnixStream::connect(path).unwrap();
    client.write_all(b"hello").unwrap();
    drop(client);
    assert_eq!(server.wait().expect_code(0).stdout_text(), "hello");
    assert!(!path.exists());
}

fn one_that_is_held_up_removes_nobody_elses_socket() {
    let (folder, path) = stale();
    let log = folder.path().join("calls");
    let inject = ["-e", "trace=connect,unlink", "-e", "inject=unlink:delay_enter=1000000"];
    let words = ["strace", "-D", "-qq", "-o", log.to_str().unwrap()];
    let first = listen("", &path).through(words.into_iter().chain(inject)).spawn();
    // It has asked whether somebody serves it, and is about to remove it.
    eventually("the first to ask", || {
        std::fs::read_to_string(&log).ok()?.contains("ECONNREFUSED").then_some(())
    });
    let second = listen("", &path).spawn();
    let mut left = left(vec![first, second]);
    left[0].wait_line("listening on ");
    is_reached(left.remove(0), &path);
}

fn of_many_at_once_one_gets_the_path() {
    for round in 0..5 {
        let (_folder, path) = stale();
        let servers: Vec<_> = (0..10).map(|_| listen("", &path).spawn()).collect();
        let mut left = left(servers);
        assert_eq!(left.len(), 1, "round {round}");
        left[0].wait_line("listening on ");
        is_reached(left.remove(0), &path);
    }
}

fn a_listener_that_ends_leaves_the_socket_of_the_next() {
    let (_folder, path) = stale();
    for options in ["", "-u"] {
        let first = listen(options, &path).spawn();
        first.wait_line("listening on ");
        // The next one's socket may get the number of the inode that this frees.
        std::fs::remove_file(&path).unwrap();
        let second = listen(options, &path).spawn();
        second.wait_line("listening on ");
        first.signal(nix::sys::signal::Signal::SIGTERM);
        first.wait();
        assert!(path.exists(), "{options}");
        match options {
            "" => is_reached(second, &path),
            _ => {
                UnixDatagram::unbound().unwrap().send_to(b"hello", &path).unwrap();
                assert_eq!(second.wait_stdout(5), b"hello");
            }
        }
    }
}

fn a_locked_folder_stops_nobody_who_takes_nothing_over() {
    let (folder, path) = stale();
    let held = ["-x", folder.path().to_str().unwrap(), "sh", "-c", "echo held; exec sleep 100"];
    let lock = crate::util::program("flock", held).spawn();
    lock.wait_stdout(5);
    let ended = listen("", &path).run().expect_code(1);
    assert!(ended.stderr.contains("address already in use"), "{}", ended.stderr);
    std::fs::remove_file(&path).unwrap();
    let server = listen("", &path).spawn();
    server.wait_line("listening on ");
    drop(UnixStream::connect(&path).unwrap());
    server.wait().expect_code(0);
}
