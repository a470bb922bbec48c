//! A standard descriptor that the system tells nothing about: no guess is made.

use std::io::Read as _;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Input, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_stdin_that_cannot_be_asked_what_it_is needs [Need::Strace],
        a_stdin_that_cannot_be_asked_how_it_was_opened needs [Need::Strace],
        a_stdout_that_cannot_be_asked needs [Need::Strace],
        a_stdout_of_scan_that_cannot_be_asked needs [Need::Strace],
    ]
}

/// Taken for `/dev/null` it would send nothing, and end with 0.
fn a_stdin_that_cannot_be_asked_what_it_is() {
    let (_listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect --until-fin 127.0.0.1 {port}"));
    let cmd = cmd.stdin(Input::Bytes(b"payload".to_vec()));
    let ended = cmd.injecting("statx:error=ESTALE:when=1").run().expect_code(6);
    assert_eq!(ended.stderr, "pktcat: stat: stdin: stale file handle\n");
}

/// Taken for one that was opened for both directions, a pipe would have no end. Which call of fcntl(2) it is
/// depends on the build, so that each of the first fails once.
fn a_stdin_that_cannot_be_asked_how_it_was_opened() {
    for when in 1..=6 {
        let (listener, port) = net::listener();
        let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}"));
        let cmd = cmd.stdin(Input::Bytes(b"payload".to_vec()));
        let running = cmd.injecting(&format!("fcntl:error=EACCES:when={when}")).spawn();
        let mut got = Vec::new();
        // A run that fails ends with a reset.
        let _ = net::accept(&listener).read_to_end(&mut got);
        let ended = running.wait();
        let code = ended.status.code();
        assert!(code != Some(0) || got == b"payload", "{when}: {code:?}, got {got:?}");
        assert!(matches!(code, Some(0 | 1 | 6)), "{when}: {code:?} {}", ended.stderr);
    }
}

fn a_stdout_that_cannot_be_asked() {
    let cmd = pktcat_line("connect --recv-only 127.0.0.1");
    let (_listener, port) = net::listener();
    let cmd = cmd.arg(port.to_string());
    let ended = cmd.injecting("statx:error=ESTALE:when=1").run().expect_code(6);
    assert_eq!(ended.stderr, "pktcat: stat: stdout: stale file handle\n");
}

fn a_stdout_of_scan_that_cannot_be_asked() {
    let (_listener, port) = net::listener();
    let cmd = pktcat_line(&format!("scan 127.0.0.1 {port}"));
    let ended = cmd.injecting("statx:error=ESTALE:when=1").run().expect_code(6);
    assert!(ended.stderr.contains("stat: stdout: stale file handle"), "{}", ended.stderr);
}
