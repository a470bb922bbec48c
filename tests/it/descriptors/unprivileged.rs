//! After `sudo -u` or `setpriv`: the pipes belong to another user, and opening them again is refused.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::tests;
use crate::util::data::{assert_same, random, write_random, write_until_stalled};
use crate::util::harness::Need;
use crate::util::tty::{FlagWatch, Pty};
use crate::util::udp::receive_from;
use crate::util::{Cmd, Collected, Input, Output, binary, extra_args, net, proc, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        pipes_of_root_carry_both_directions needs [Need::Root],
        a_stalled_stdout_of_root_stalls_nothing_else needs [Need::Root],
        a_closed_stdout_of_root_ends_the_run_quietly needs [Need::Root],
        an_idle_pipe_of_root_costs_nothing needs [Need::Root],
        the_last_of_a_count_waits_for_a_full_pipe_of_root needs [Need::Root],
        a_stalled_terminal_of_root_stalls_nothing_else needs [Need::Root],
        a_terminal_of_root_carries_both_directions needs [Need::Root],
    ]
}

/// `nobody` on every system the tests run on, and no more than a number.
const NOBODY: u32 = 65_534;

/// `pktcat connect` as nobody. The build directory may be closed to others, so it is a copy.
fn as_nobody(port: u16) -> (Cmd, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("pktcat");
    // By another process: a child that some other test is just making would inherit a descriptor of ours that
    // writes the copy, and the kernel runs no file that somebody can write (ETXTBSY, execve(2)).
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let cmd = extra_args().iter().fold(program(copy, ["connect"]), Cmd::arg);
    (cmd.arg("127.0.0.1").arg(port.to_string()).user(NOBODY), dir)
}

fn pipes_of_root_carry_both_directions() {
    const LENGTH: usize = 700_001;
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let (stdin, mut feed) = std::io::pipe().unwrap();
    let (shown, stdout) = std::io::pipe().unwrap();
    let watch = FlagWatch::start(vec![
        ("stdin", stdin.try_clone().unwrap().into()),
        ("stdout", stdout.try_clone().unwrap().into()),
    ]);
    let shown = Collected::start(shown);
    let cmd = cmd.stdin(Input::Fd(stdin.into())).stdout(Output::Fd(stdout.into()));
    let running = cmd.spawn();
    let mut peer = net::accept(&listener);
    let (sent, back) = (random(41, LENGTH), random(42, LENGTH));
    let (feeding, sending) = (sent.clone(), back.clone());
    let mut sink = peer.try_clone().unwrap();
    let threads = [
        thread::spawn(move || feed.write_all(&feeding).unwrap()),
        thread::spawn(move || {
            sink.write_all(&sending).unwrap();
            net::finish(&sink);
        }),
    ];
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_same(&got, &sent);
    running.wait().expect_code(0);
    watch.expect_never();
    // The watch's descriptors are closed now, so the end of what was shown is there.
    assert_same(&shown.wait_end("the end of stdout"), &back);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_stalled_stdout_of_root_stalls_nothing_else() {
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let mut running = cmd.stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let mut peer = net::accept(&listener);
    peer.set_nonblocking(true).unwrap();
    let filled = write_until_stalled(&mut peer, 43);
    peer.set_nonblocking(false).unwrap();
    let before = proc::cpu_ticks(running.pid());
    running.expect_running();
    let ticks = proc::cpu_ticks(running.pid()) - before;
    assert!(ticks <= 2, "{ticks} clock ticks of processor time while stalled");
    // The other direction, and then this one to its end.
    let stdin = running.take_stdin();
    let writer = thread::spawn(move || write_random(stdin, 44, 500_009));
    assert_eq!(crate::util::data::check_random(&peer, 44), 500_009);
    assert_eq!(writer.join().unwrap(), 500_009);
    net::finish(&peer);
    assert_eq!(crate::util::data::check_random(running.take_stdout(), 43), filled);
    running.wait().expect_code(0);
}

fn an_idle_pipe_of_root_costs_nothing() {
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let mut running = cmd.stdin(Input::Pipe).spawn();
    let peer = net::accept(&listener);
    running.send(b"there it is");
    assert_eq!(net::read_exactly(&peer, 11), b"there it is");
    let before = proc::cpu_ticks(running.pid());
    running.expect_running();
    let ticks = proc::cpu_ticks(running.pid()) - before;
    assert!(ticks <= 2, "{ticks} clock ticks of processor time while idle");
    running.close_stdin();
    assert_eq!(net::read_to_fin(&peer), b"");
    drop(peer);
    running.wait().expect_code(0);
}

fn a_closed_stdout_of_root_ends_the_run_quietly() {
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let mut running = cmd.stdin(Input::Pipe).stdout(Output::Pipe).spawn();
    let mut peer = net::accept(&listener);
    let sender = thread::spawn(move || while peer.write_all(&[b'x'; 10_007]).is_ok() {});
    let mut stdout = running.take_stdout();
    stdout.read_exact(&mut [0; 1000]).unwrap();
    drop(stdout);
    assert_eq!(running.wait().expect_code(0).stderr, "");
    sender.join().unwrap();
}

fn the_last_of_a_count_waits_for_a_full_pipe_of_root() {
    let (server, port) = net::udp();
    let (cmd, _dir) = as_nobody(port);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let filled = 60_000;
    writer.write_all(&vec![b'.'; filled]).unwrap();
    let cmd = ["-u", "--count", "1", "--send", "x"].iter().fold(cmd, Cmd::arg);
    let running = cmd.stdout(Output::Fd(writer.into())).spawn();
    let (_, peer) = receive_from(&server);
    server.send_to(&[b'm'; 20_000], peer).unwrap();
    running.expect_running();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), filled + 20_000);
    running.wait().expect_code(0);
}

fn a_stalled_terminal_of_root_stalls_nothing_else() {
    let pty = Pty::open();
    fs::set_permissions(&pty.name, Permissions::from_mode(0o600)).unwrap();
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let mut running = cmd.stdin(Input::Pipe).stdout(Output::Fd(pty.slave_fd())).spawn();
    let mut peer = net::accept(&listener);
    peer.set_nonblocking(true).unwrap();
    write_until_stalled(&mut peer, 45);
    peer.set_nonblocking(false).unwrap();
    running.send(b"still heard");
    assert_eq!(net::read_exactly(&peer, 11), b"still heard");
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
}

fn a_terminal_of_root_carries_both_directions() {
    let pty = Pty::open();
    fs::set_permissions(&pty.name, Permissions::from_mode(0o600)).unwrap();
    let watch = FlagWatch::start(vec![("terminal", pty.slave_fd())]);
    let (listener, port) = net::listener();
    let (cmd, _dir) = as_nobody(port);
    let running = cmd.stdin(Input::Fd(pty.slave_fd())).stdout(Output::Fd(pty.slave_fd())).spawn();
    let mut peer = net::accept(&listener);
    let mut keyboard = fs::File::from(OwnedFd::from(pty.master));
    let shown = Collected::start(keyboard.try_clone().unwrap());
    keyboard.write_all(b"typed\n").unwrap();
    assert_eq!(net::read_exactly(&peer, 6), b"typed\n");
    peer.write_all(b"shown").unwrap();
    shown.wait("the payload", |bytes| bytes.windows(5).any(|part| part == b"shown").then_some(()));
    net::finish(&peer);
    running.wait().expect_code(0);
    watch.expect_never();
}
