//! `--progress`, black box: a bar on a terminal, and nothing anywhere else.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::thread;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::tty::Pty;
use crate::util::{Input, Output, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_file_has_a_bar_with_a_size_that_goes_away,
        a_pipe_has_no_size,
        without_a_terminal_there_is_none,
        among_other_text_there_is_none,
    ]
}

/// What appears on the terminal that is stderr while this is sent, and what arrived.
fn on_terminal(options: &str, stdin: Input) -> (String, Vec<u8>) {
    let pty = Pty::open();
    let (listener, port) = net::listener();
    let client = pktcat_line(&format!("connect {options} 127.0.0.1 {port}"))
        .stdin(stdin)
        .stderr(Output::Fd(pty.slave_fd()))
        .spawn();
    let stream = net::accept(&listener);
    let receiving = thread::spawn(move || net::read_to_fin(&stream));
    let mut shown = Vec::new();
    let mut room = [0; 4096];
    // Someone reads the terminal all the time.
    let reading = thread::spawn(move || {
        drop(pty.slave);
        while let Ok(count @ 1..) = nix::unistd::read(&pty.master, &mut room) {
            shown.extend_from_slice(&room[..count]);
        }
        shown
    });
    client.wait().expect_code(0);
    let shown = String::from_utf8(reading.join().unwrap()).unwrap();
    (shown, receiving.join().unwrap())
}

/// A file with this content, from its first byte.
fn file(content: &[u8]) -> OwnedFd {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    File::open(file.path()).unwrap().into()
}

fn a_file_has_a_bar_with_a_size_that_goes_away() {
    let payload = random(1, 1_000_000);
    let (shown, arrived) = on_terminal("--progress --rate 1M -v", Input::Fd(file(&payload)));
    assert_same(&arrived, &payload);
    assert!(shown.contains("% [") && shown.contains("976.56 KiB") && shown.contains("ETA"));
    let redraws = shown.matches("% [").count();
    assert!((3..=13).contains(&redraws), "{redraws} in about a second: {shown:?}");
    // Only the lines of -v stand in the end, each on a line of its own.
    let lines: Vec<&str> = shown
        .split("\r\n")
        .map(|line| line.rsplit_once("\x1b[2K").map_or(line, |(_, last)| last))
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("connected to "), "{lines:?}");
    assert!(lines[1].starts_with("sent 1000000 bytes "), "{lines:?}");
    assert_eq!(lines[2], "");
}

fn a_pipe_has_no_size() {
    let payload = random(2, 300_000);
    let (shown, arrived) = on_terminal("--progress --rate 1M", Input::Bytes(payload.clone()));
    assert_same(&arrived, &payload);
    assert!(shown.contains("sent ") && !shown.contains('%'), "{shown:?}");
    assert!(shown.ends_with("\r\x1b[2K"), "{shown:?}");
}

fn without_a_terminal_there_is_none() {
    let (listener, port) = net::listener();
    let client = pktcat_line(&format!("connect --progress --rate 1M 127.0.0.1 {port}"))
        .stdin(Input::Fd(file(&random(3, 300_000))))
        .spawn();
    let stream = net::accept(&listener);
    net::read_to_fin(&stream);
    drop(stream);
    assert_eq!(client.wait().expect_code(0).stderr, "");
}

fn among_other_text_there_is_none() {
    for options in ["--progress --json", "--progress -x --color never"] {
        let (shown, _) = on_terminal(options, Input::Bytes(b"hello".to_vec()));
        assert!(!shown.contains('\x1b'), "{shown:?}");
    }
}
