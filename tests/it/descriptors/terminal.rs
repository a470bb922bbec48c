//! Terminals: left as they were found, never taken over, never a reason to be stopped.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::sys::termios::{self, LocalFlags, SetArg, Termios};

use super::client;
use crate::tests;
use crate::util::harness::Need;
use crate::util::tty::Pty;
use crate::util::{A_WHILE, Collected, Input, Output, Running, net, proc};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        what_is_typed_is_sent,
        settings_are_left_alone,
        it_does_not_become_the_controlling_terminal needs [Need::Program("setsid")],
        the_side_of_the_emulator_stays_that_side,
        what_was_typed_before_it_came_to_the_front_is_sent
            needs [Need::Program("setsid"), Need::Program("bash")],
        a_job_that_comes_to_the_front_while_it_is_refused_goes_on needs [Need::Strace],
        a_background_job_is_not_stopped needs [Need::Program("setsid"), Need::Program("bash")],
    ]
}

/// A terminal without echo (so that what is shown is what was written), and its settings.
fn terminal() -> (Pty, Termios) {
    let pty = Pty::open();
    let mut settings = termios::tcgetattr(&pty.slave).unwrap();
    settings.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let settings = termios::tcgetattr(&pty.slave).unwrap();
    (pty, settings)
}

fn on(pty: &Pty, pktcat: crate::util::Cmd) -> crate::util::Cmd {
    pktcat
        .stdin(Input::Fd(pty.slave_fd()))
        .stdout(Output::Fd(pty.slave_fd()))
        .stderr(Output::Fd(pty.slave_fd()))
}

fn master(pty: &Pty) -> File {
    File::from(pty.master.as_fd().try_clone_to_owned().unwrap())
}

fn what_is_typed_is_sent() {
    let (pty, _) = terminal();
    let (running, mut peer) = client("", |pktcat| on(&pty, pktcat));
    let shown = Collected::start(master(&pty));
    let mut keyboard = master(&pty);
    keyboard.write_all(b"typed\n").unwrap();
    assert_eq!(net::read_exactly(&peer, 6), b"typed\n");
    peer.write_all(b"shown\n").unwrap();
    shown.wait("what the peer sent", |bytes| (bytes == b"shown\r\n").then_some(()));
    // Ctrl-D ends the input, not the run.
    keyboard.write_all(b"\x04").unwrap();
    assert_eq!(net::read_to_fin(&peer), b"");
    running.expect_running();
    drop(peer);
    running.wait().expect_code(0);
}

fn settings_are_left_alone() {
    for end in [None, Some(Signal::SIGINT), Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
        let (pty, before) = terminal();
        let (running, mut peer) = client("-v", |pktcat| on(&pty, pktcat));
        let shown = Collected::start(master(&pty));
        peer.write_all(b"hello").unwrap();
        shown.wait("the payload", |bytes| {
            bytes.windows(5).any(|part| part == b"hello").then_some(())
        });
        assert_eq!(termios::tcgetattr(&pty.slave).unwrap(), before, "while it runs");
        if let Some(signal) = end {
            running.signal(signal);
            running.wait().expect_signal(signal);
        } else {
            drop(peer);
            running.wait().expect_code(0);
        }
        assert_eq!(termios::tcgetattr(&pty.slave).unwrap(), before, "after {end:?}");
    }
}

/// A session leader without a terminal gets one by opening it without O_NOCTTY. As a service manager's
/// child it would then die of a hang-up that is none of its business.
fn it_does_not_become_the_controlling_terminal() {
    let (pty, _) = terminal();
    let (running, mut peer) = client("", |pktcat| on(&pty, pktcat).through(["setsid"]));
    peer.write_all(b"x").unwrap();
    let shown = Collected::start(master(&pty));
    shown.wait("the payload", |bytes| bytes.contains(&b'x').then_some(()));
    assert_eq!(proc::controlling_terminal(running.pid()), 0);
}

/// With job control, `pktcat ... &` on a terminal: a read would stop it by SIGTTIN. It sends nothing.
fn a_background_job_is_not_stopped() {
    let (pty, _) = terminal();
    let shown = Collected::start(master(&pty));
    let script = r#"set -m; "$@" & pid=$!; echo "pid=$pid."; wait $pid; echo "status=$?.""#;
    let (shell, mut peer) = client("", |pktcat| {
        on(&pty, pktcat.through(["setsid", "--ctty", "bash", "-c", script, "bash"]))
    });
    let number = |name: &'static str| {
        move |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.split_once(name)?.1.split_once('.')?.0.parse::<u32>().ok()
        }
    };
    let pid = shown.wait("the job's process id", number("pid="));

    master(&pty).write_all(b"typed for the shell\n").unwrap();
    expect_not_stopped(&shell, pid);
    net::expect_silence(&peer);
    peer.write_all(b"payload").unwrap();
    shown
        .wait("the payload", |bytes| bytes.windows(7).any(|part| part == b"payload").then_some(()));
    expect_not_stopped(&shell, pid);
    // stdin is a terminal, so the run ends at the peer's FIN.
    net::finish(&peer);
    assert_eq!(shown.wait("the job's status", number("status=")), 0);
    shell.wait().expect_code(0);
}

#[track_caller]
fn expect_not_stopped(shell: &Running, pid: u32) {
    let end = std::time::Instant::now() + A_WHILE;
    while std::time::Instant::now() < end {
        assert!(shell.ended().is_none());
        assert_ne!(proc::state(pid), 'T', "stopped");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn the_side_of_the_emulator_stays_that_side() {
    let pty = Pty::open();
    let mut settings = termios::tcgetattr(&pty.slave).unwrap();
    termios::cfmakeraw(&mut settings);
    termios::tcsetattr(&pty.slave, SetArg::TCSANOW, &settings).unwrap();
    let (running, mut peer) = client("", |pktcat| {
        pktcat.stdin(Input::Fd(master(&pty).into())).stdout(Output::Fd(master(&pty).into()))
    });
    let mut program = &pty.slave;
    program.write_all(b"from the program").unwrap();
    assert_eq!(net::read_exactly(&peer, 16), b"from the program");
    peer.write_all(b"to the program").unwrap();
    let mut room = [0; 14];
    program.read_exact(&mut room).unwrap();
    assert_eq!(&room, b"to the program");
    net::finish(&peer);
    running.wait().expect_code(0);
}

/// It is refused as a job in the background, and is none when it looks.
fn a_job_that_comes_to_the_front_while_it_is_refused_goes_on() {
    let (pty, _) = terminal();
    let path = nix::unistd::ttyname(&pty.slave).unwrap();
    let strace = ["strace", "-D", "-qq", "-o", "/dev/null", "-P", path.to_str().unwrap()];
    let inject = ["-e", "trace=read", "-e", "inject=read:error=EIO:when=1"];
    let (running, peer) =
        client("", |pktcat| on(&pty, pktcat.through(strace.into_iter().chain(inject))));
    master(&pty).write_all(b"typed\n").unwrap();
    assert_eq!(net::read_exactly(&peer, 6), b"typed\n");
    net::finish(&peer);
    master(&pty).write_all(b"\x04").unwrap();
    running.wait().expect_code(0);
}

fn what_was_typed_before_it_came_to_the_front_is_sent() {
    let (pty, _) = terminal();
    let shown = Collected::start(master(&pty));
    let script = r#"set -m; "$@" & echo "ready."; sleep 0.5; echo "front."; fg"#;
    let (shell, peer) = client("", |pktcat| {
        on(&pty, pktcat.through(["setsid", "--ctty", "bash", "-c", script, "bash"]))
    });
    shown.wait("the job", |bytes| bytes.windows(6).any(|part| part == b"ready.").then_some(()));
    master(&pty).write_all(b"typed ahead\n").unwrap();
    assert_eq!(net::read_exactly(&peer, 12), b"typed ahead\n");
    net::finish(&peer);
    shell.wait().expect_code(0);
}
