//! Accepting that fails: once, for ever, and at a limit (accept(2)). strace stands for the sandbox
//! or the system that does it.
use crate::tests;
use libtest_mimic::Trial;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::util::harness::{self, Need};
use crate::util::{Cmd, eventually, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    const STRACE: [Need; 1] = [Need::Strace];
    let mut tests = Vec::new();
    let all = [
        "listen 127.0.0.1 0",
        "listen -k 127.0.0.1 0",
        "listen -k --echo 127.0.0.1 0",
        "listen 127.0.0.1 0 -- cat",
        "listen -k 127.0.0.1 0 -- cat",
    ];
    for error in ["EPERM", "EPROTO", "ECONNABORTED", "EMFILE", "ENOBUFS"] {
        let words = if error == "EPERM" { &all[..] } else { &all[1..2] };
        for &words in words {
            let name = format!("that_always_fails_is_told_once_and_paused {error} {words}");
            tests.push(harness::test(module_path!(), name, &STRACE, move || stays(error, words)));
        }
        let name = format!("that_fails_once_lets_the_next_client_in {error}");
        tests.push(harness::test(module_path!(), name, &STRACE, move || passes(error)));
    }
    tests.extend(tests![
        that_fails_once_leaves_the_built_in_peer_of_compare needs [Need::Strace],
        that_always_fails_ends_compare needs [Need::Strace],
        many_that_are_turned_away_leave_time_for_signals needs [Need::Strace],
    ]);
    tests
}

/// The command with this done to its calls of accept4(2); what it calls is written to the file. The
/// process started is the command itself.
fn injected(cmd: Cmd, what: &str, log: &Path) -> Cmd {
    let inject = format!("inject=accept4:{what}");
    let log = log.to_str().unwrap();
    cmd.through(["strace", "-D", "-qq", "-e", "trace=accept4", "-e", &inject, "-o", log])
}

fn stays(error: &str, words: &str) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let server = injected(pktcat_line(words), &format!("error={error}"), &log).spawn();
    let _client = net::connect(server.port());
    server.wait_line("pktcat: accept: ");
    // Nothing but waiting shows that it is tried again and again, though not without a pause.
    thread::sleep(Duration::from_millis(2500));
    let calls = std::fs::read_to_string(&log).unwrap().lines().count();
    assert!((2..=400).contains(&calls), "{calls} calls");
    let told = server.stderr_now();
    assert_eq!(told.matches("pktcat: accept: ").count(), 1, "{told}");
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}

fn passes(error: &str) {
    let folder = tempfile::tempdir().unwrap();
    let cmd = pktcat_line("listen -k --echo 127.0.0.1 0");
    let what = format!("error={error}:when=1");
    let server = injected(cmd, &what, &folder.path().join("calls")).spawn();
    let client = net::connect(server.port());
    std::io::Write::write_all(&mut &client, b"hello").unwrap();
    assert_eq!(net::read_exactly(&client, 5), b"hello");
    server.expect_running();
}

fn that_fails_once_leaves_the_built_in_peer_of_compare() {
    let folder = tempfile::tempdir().unwrap();
    let cmd = pktcat(["compare", "--count", "2"]);
    let what = "error=ECONNABORTED:when=1";
    injected(cmd, what, &folder.path().join("calls")).run().expect_code(0);
}

fn that_always_fails_ends_compare() {
    let folder = tempfile::tempdir().unwrap();
    let cmd = pktcat(["compare", "--count", "2"]);
    let ended = injected(cmd, "error=EPERM", &folder.path().join("calls")).run().expect_code(1);
    assert!(ended.stderr.contains("accept: operation not permitted"), "{}", ended.stderr);
}

fn many_that_are_turned_away_leave_time_for_signals() {
    const MANY: usize = 200;
    for words in [
        "listen --deny 127.0.0.1 127.0.0.1 0",
        "listen -k --deny 127.0.0.1 127.0.0.1 0",
        "listen -k --deny 127.0.0.1 127.0.0.1 0 -- cat",
        "forward --deny 127.0.0.1 127.0.0.1:0 127.0.0.1:9",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("calls");
        let calls = "trace=accept4,epoll_wait,epoll_pwait";
        let strace = ["strace", "-D", "-qq", "-e", calls, "-o", log.to_str().unwrap()];
        let server = pktcat_line(words).through(strace).spawn();
        let port = server.port();
        // All of them wait when it looks.
        server.signal(Signal::SIGSTOP);
        let _clients: Vec<_> = (0..MANY).map(|_| net::connect(port)).collect();
        server.signal(Signal::SIGCONT);
        eventually("all to be turned away", || {
            (server.stderr_now().matches("turned away").count() == MANY).then_some(())
        });
        server.signal(Signal::SIGTERM);
        server.wait().expect_signal(Signal::SIGTERM);
        let calls = std::fs::read_to_string(&log).unwrap();
        let in_a_row = calls.lines().map(|call| call.starts_with("accept4"));
        let (_, most) = in_a_row.fold((0, 0), |(row, most), accepts| {
            let row = if accepts { row + 1 } else { 0 };
            (row, row.max(most))
        });
        assert!((2..=65).contains(&most), "{words}: {most} calls in a row");
    }
}
