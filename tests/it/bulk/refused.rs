//! splice(2) fails: copying goes on where splicing has stopped, in every direction and at every end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use super::ends::{self, End};
use crate::util::data::{assert_same, check_random, random, write_random};
use crate::util::harness::{Need, test};
use crate::util::{Cmd, Input, Output, binary, extra_args, net, pktcat_line, program};

const LENGTH: u64 = 3_000_017;

/// What a filter of system calls answers with, and what splice(2) itself may say.
const REFUSALS: [&str; 6] = ["EPERM", "ENOSYS", "EINVAL", "EACCES", "ENOMEM", "EOPNOTSUPP"];

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for refusal in REFUSALS {
        for end in [End::Pipe, End::File, End::Null] {
            let name = format!("what_splice_refuses_is_received_{end:?}_{refusal}").to_lowercase();
            tests.push(test(module_path!(), name, &[Need::Strace], move || receives(end, refusal)));
        }
        for end in [End::Pipe, End::File] {
            let name = format!("what_splice_refuses_is_sent_{end:?}_{refusal}").to_lowercase();
            tests.push(test(module_path!(), name, &[Need::Strace], move || sends(end, refusal)));
        }
    }
    // Of the two calls through a pipe of our own, the one that writes; and one in the middle.
    for when in ["2", "2+", "3", "10", "10+"] {
        for end in [End::Pipe, End::File] {
            let fault = format!("EPERM:when={when}");
            let name =
                format!("what_splice_refuses_late_is_received_{end:?}_{when}").to_lowercase();
            let late = fault.clone();
            tests.push(test(module_path!(), name, &[Need::Strace], move || receives(end, &late)));
            let name = format!("what_splice_refuses_late_is_sent_{end:?}_{when}").to_lowercase();
            tests.push(test(module_path!(), name, &[Need::Strace], move || sends(end, &fault)));
        }
    }
    for when in ["1", "1+", "3", "4", "20"] {
        let name = format!("a_pipe_of_root_where_splice_is_refused_{when}");
        let fault = format!("EPERM:when={when}");
        tests
            .push(test(module_path!(), name, &[Need::Root, Need::Strace], move || of_root(&fault)));
    }
    tests.push(test(
        module_path!(),
        "a_stalled_pipe_of_root_where_splice_is_refused",
        &[Need::Root, Need::Strace],
        stalled,
    ));
    tests.push(test(
        module_path!(),
        "bytes_that_cannot_be_taken_back_are_an_error",
        &[Need::Strace],
        lost,
    ));
    tests
}

fn injecting(cmd: Cmd, fault: &str) -> Cmd {
    cmd.injecting(&format!("splice:error={fault}"))
}

fn receives(end: End, fault: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdout, check) = ends::drain(end, 80, LENGTH, &dir);
    let cmd = pktcat_line("listen -v 127.0.0.1 0").stdout(stdout);
    let running = injecting(cmd, fault).spawn();
    let peer = net::connect(running.port());
    assert_eq!(write_random(&peer, 80, LENGTH), LENGTH);
    drop(peer);
    assert_eq!(check.written(&running.wait().expect_code(0)), LENGTH);
}

fn sends(end: End, fault: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, feeder) = ends::feed(end, 81, LENGTH, &dir);
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect 127.0.0.1 {port}")).stdin(stdin);
    let running = injecting(cmd, fault).spawn();
    let peer = net::accept(&listener);
    assert_eq!(check_random(&peer, 81), LENGTH);
    drop(peer);
    running.wait().expect_code(0);
    feeder.map(thread::JoinHandle::join);
}

/// pktcat with other users' pipes, which it cannot open again.
fn as_nobody(fault: &str, options: &str, dir: &tempfile::TempDir) -> Cmd {
    const NOBODY: u32 = 65_534;
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("pktcat");
    // By another process, as in the tests of descriptors.
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let cmd = extra_args().iter().fold(program(copy, ["connect"]), Cmd::arg);
    let cmd = options.split_whitespace().fold(cmd, Cmd::arg);
    injecting(cmd, fault).user(NOBODY)
}

fn of_root(fault: &str) {
    const LENGTH: u64 = 300_007;
    let dir = tempfile::tempdir().unwrap();
    let (stdin, feeder) = ends::feed(End::Pipe, 82, LENGTH, &dir);
    let (listener, port) = net::listener();
    let cmd = as_nobody(fault, &format!("127.0.0.1 {port}"), &dir);
    let running = cmd.stdin(stdin).spawn();
    let peer = net::accept(&listener);
    assert_eq!(check_random(&peer, 82), LENGTH);
    assert_eq!(write_random(&peer, 83, LENGTH), LENGTH);
    drop(peer);
    let ended = running.wait().expect_code(0);
    assert_same(&ended.stdout, &random(83, usize::try_from(LENGTH).unwrap()));
    feeder.map(thread::JoinHandle::join);
}

fn stalled() {
    let dir = tempfile::tempdir().unwrap();
    let (listener, port) = net::listener();
    let cmd = as_nobody("EPERM", &format!("127.0.0.1 {port}"), &dir);
    let mut running = cmd.stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let mut peer = net::accept(&listener);
    peer.set_nonblocking(true).unwrap();
    crate::util::data::write_until_stalled(&mut peer, 84);
    peer.set_nonblocking(false).unwrap();
    running.send(b"still heard");
    assert_eq!(net::read_exactly(&peer, 11), b"still heard");
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
}

/// Bytes are in our own pipe when the file refuses them, and the pipe does not give them back.
fn lost() {
    use std::fs::OpenOptions;
    if crate::util::ways().len() == 1 {
        // Without splicing there is no such pipe.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let stdout = OpenOptions::new().append(true).create(true).open(dir.path().join("log")).unwrap();
    // The socket is read by recvfrom(2): the only read(2) that fails is that of the pipe. The loader and the
    // runtime have read before.
    let cmd = pktcat_line("listen -d 127.0.0.1 0").stdout(Output::Fd(stdout.into()));
    let running = cmd.injecting("read:error=EIO:when=6+").spawn();
    let port = running.port();
    let peer = net::connect(port);
    write_random(&peer, 85, LENGTH);
    drop(peer);
    let ended = running.wait();
    assert_eq!(
        ended.expect_code(1).stderr.lines().last(),
        Some("pktcat: splice: input/output error")
    );
}
