//! What is printed reaches a reader that is late, and a reader that never comes makes nobody deaf.

use std::io::{PipeReader, PipeWriter, Read, Write};

use libtest_mimic::Trial;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::tests;
use crate::util::{Cmd, Input, Output, Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        signals_are_heard_while_nobody_reads_stdout,
        a_late_reader_of_a_nonblocking_stdout_gets_everything,
        a_signal_while_the_last_words_wait_ends_the_run_by_it,
        the_runs_limit_while_the_last_words_wait_is_status_5,
        a_file_that_is_not_written_whole_by_the_runs_limit_is_status_5,
    ]
}

/// A pipe without room, whose writing end waits for nobody.
fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let mut filled = 0;
    while let Ok(count) = writer.write(&[b'.'; 4096]) {
        filled += count;
    }
    (reader, writer, filled)
}

const LINES: [&str; 6] = [
    "--help",
    "listen --help",
    "completions bash",
    "compare --count 10",
    "compare --count 10 --json",
    "scan --all 127.0.0.1 1-50",
];

fn signals_are_heard_while_nobody_reads_stdout() {
    for line in LINES {
        for is_nonblocking in [true, false] {
            for signal in [Signal::SIGTERM, Signal::SIGINT] {
                let (reader, writer, _) = full_pipe();
                if !is_nonblocking {
                    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
                }
                let running = pktcat_line(line).stdout(Output::Fd(writer.into())).spawn();
                running.expect_running();
                running.signal(signal);
                running.wait().expect_signal(signal);
                drop(reader);
            }
        }
    }
}

fn a_late_reader_of_a_nonblocking_stdout_gets_everything() {
    for line in LINES {
        let (mut reader, writer, filled) = full_pipe();
        let watched = writer.try_clone().unwrap();
        let running = pktcat_line(line).stdout(Output::Fd(writer.into())).spawn();
        running.expect_running();
        let flags = OFlag::from_bits_retain(fcntl(&watched, FcntlArg::F_GETFL).unwrap());
        assert!(flags.contains(OFlag::O_NONBLOCK), "{line}: as it was given");
        drop(watched);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let ended = running.wait();
        let whole = pktcat_line(line).run();
        assert_eq!(ended.status, whole.status, "{line}: {}", ended.stderr);
        let (text, whole) = (&text[filled..], whole.stdout_text());
        match line.split(' ').next() {
            // Its numbers are others each time.
            Some("compare") => assert_eq!(text.lines().count(), whole.lines().count(), "{line}"),
            _ => assert_eq!(text, whole, "{line}"),
        }
    }
}

/// A run that has nothing left to do but to write its last words to this stderr or FIFO.
fn all_but_done(options: &str, set: impl FnOnce(Cmd) -> Cmd) -> Running {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect {options} 127.0.0.1 {port}"));
    let running = set(cmd.stdin(Input::Bytes(b"bytes".to_vec()))).spawn();
    let stream = net::accept(&listener);
    assert_eq!(net::read_to_fin(&stream), b"bytes");
    running
}

fn a_signal_while_the_last_words_wait_ends_the_run_by_it() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (reader, writer, _) = full_pipe();
        let running = all_but_done("-v", |cmd| cmd.stderr(Output::Fd(writer.into())));
        running.wait_stdout_end();
        running.expect_running();
        running.signal(signal);
        running.wait().expect_signal(signal);
        drop(reader);
    }
}

fn the_runs_limit_while_the_last_words_wait_is_status_5() {
    let (reader, writer, _) = full_pipe();
    let running = all_but_done("-v --timeout 1s", |cmd| cmd.stderr(Output::Fd(writer.into())));
    running.wait().expect_code(5);
    drop(reader);
}

fn a_file_that_is_not_written_whole_by_the_runs_limit_is_status_5() {
    let (reader, writer, _) = full_pipe();
    let running = all_but_done("--timeout 1s --hex-file /dev/stderr", |cmd| {
        cmd.stderr(Output::Fd(writer.into()))
    });
    running.wait().expect_code(5);
    drop(reader);
}
