//! Standard descriptors that are no file, pipe, socket or terminal: reading one may wait for somebody, and the
//! rest of the run must not wait with it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use libtest_mimic::Trial;
use nix::sys::eventfd::EventFd;
use nix::sys::signal::Signal;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use super::client;
use crate::tests;
use crate::util::harness::test;
use crate::util::tty::Pty;
use crate::util::{Input, Output, eventually, net, proc};

/// A stdin on which nothing comes, and what has to stay open for that.
type Silent = fn() -> (OwnedFd, Vec<OwnedFd>);

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = tests![
        what_an_eventfd_counts_is_sent,
        an_idle_eventfd_costs_nothing,
        a_device_without_poll_is_read_like_a_file,
        a_full_device_keeps_nobody_waiting,
    ];
    let stdins: [(&str, Silent); 4] = [
        ("eventfd", || (eventfd().into(), Vec::new())),
        ("timerfd", || (timerfd(), Vec::new())),
        ("terminal", || raw(true)),
        ("terminal_master", || raw(false)),
    ];
    for (name, stdin) in stdins {
        tests.push(test(
            module_path!(),
            format!("a_silent_stdin_keeps_nobody_waiting_{name}"),
            &[],
            move || {
                let (stdin, _kept) = stdin();
                keeps_nobody_waiting(stdin);
            },
        ));
    }
    if let Ok(kmsg) = kmsg() {
        tests.push(test(
            module_path!(),
            "a_silent_stdin_keeps_nobody_waiting_kmsg",
            &[],
            move || {
                keeps_nobody_waiting(kmsg);
            },
        ));
    }
    tests
}

fn eventfd() -> EventFd {
    EventFd::new().unwrap()
}

fn timerfd() -> OwnedFd {
    use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
    TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty()).unwrap().into()
}

/// One side of a terminal, and both to be kept open.
fn raw(is_slave: bool) -> (OwnedFd, Vec<OwnedFd>) {
    let pty = Pty::open();
    let mut settings = tcgetattr(&pty.slave).unwrap();
    cfmakeraw(&mut settings);
    tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let master = OwnedFd::from(pty.master);
    let (slave, copy) = (OwnedFd::from(pty.slave), master.try_clone().unwrap());
    match is_slave {
        true => (slave.try_clone().unwrap(), vec![master, slave]),
        false => (copy, vec![master, slave]),
    }
}

/// The kernel's log, where it may be read; from its end on.
fn kmsg() -> std::io::Result<OwnedFd> {
    let file = File::open("/dev/kmsg")?;
    nix::unistd::lseek(&file, 0, nix::unistd::Whence::SeekEnd)?;
    Ok(file.into())
}

fn keeps_nobody_waiting(stdin: OwnedFd) {
    let (running, mut peer) = client("", |cmd| cmd.stdin(Input::Fd(stdin)));
    peer.write_all(b"heard meanwhile").unwrap();
    running.wait_stdout(15);
    let signalled = std::time::Instant::now();
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
    assert!(signalled.elapsed().as_secs() < 2);
}

fn what_an_eventfd_counts_is_sent() {
    let event = eventfd();
    let copy = event.as_fd().try_clone_to_owned().unwrap();
    let (running, mut peer) = client("", |cmd| cmd.stdin(Input::Fd(copy)));
    for count in [1_u64, 70_000] {
        event.write(count).unwrap();
        assert_eq!(net::read_exactly(&peer, 8), count.to_ne_bytes());
        peer.write_all(b"x").unwrap();
    }
    running.wait_stdout(2);
    running.signal(Signal::SIGINT);
    running.wait().expect_signal(Signal::SIGINT);
}

fn an_idle_eventfd_costs_nothing() {
    let (running, peer) = client("", |cmd| cmd.stdin(Input::Fd(eventfd().into())));
    net::expect_silence(&peer);
    let before = proc::cpu_ticks(running.pid());
    running.expect_running();
    let ticks = proc::cpu_ticks(running.pid()) - before;
    assert!(ticks <= 2, "{ticks} clock ticks of processor time while idle");
}

fn a_device_without_poll_is_read_like_a_file() {
    let zero = File::open("/dev/zero").unwrap();
    let (running, mut peer) = client("", |cmd| cmd.stdin(Input::Fd(zero.into())));
    assert_eq!(net::read_exactly(&peer, 1 << 20), vec![0; 1 << 20]);
    peer.write_all(b"heard meanwhile").unwrap();
    running.wait_stdout(15);
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
}

/// An eventfd that has counted as far as it can waits for a reader.
fn a_full_device_keeps_nobody_waiting() {
    let event = eventfd();
    let copy = event.as_fd().try_clone_to_owned().unwrap();
    let (mut running, mut peer) = client("", |cmd| cmd.stdin(Input::Pipe).stdout(Output::Fd(copy)));
    let full = u64::MAX - 1;
    for (count, sum) in [(5, 5), (full - 5, full)] {
        peer.write_all(&u64::to_ne_bytes(count)).unwrap();
        eventually("the count", || (counted(running.pid()) == Some(sum)).then_some(()));
    }
    peer.write_all(&1_u64.to_ne_bytes()).unwrap();
    running.send(b"still heard");
    assert_eq!(net::read_exactly(&peer, 11), b"still heard");
    assert_eq!(event.read().unwrap(), full);
    eventually("the rest", || (counted(running.pid()) == Some(1)).then_some(()));
    running.signal(Signal::SIGTERM);
    running.wait().expect_signal(Signal::SIGTERM);
}

/// What an eventfd among the process's descriptors has counted (proc(5)).
fn counted(pid: u32) -> Option<u64> {
    proc::descriptors(pid).into_iter().find_map(|(fd, _)| {
        let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
        let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"))?;
        u64::from_str_radix(count.trim(), 16).ok().filter(|count| *count > 0)
    })
}
