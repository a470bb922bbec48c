//! Files that the program was given open, and that its words name as `/dev/stderr` or `/dev/fd/3`. Others write to
//! them, too, each where the one before has ended, and what they hold stays.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use libtest_mimic::Trial;

use crate::tests;
use crate::util::{Cmd, Input, Output, Running, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_dump_goes_between_the_lines_of_standard_error,
        a_dump_goes_on_after_what_standard_error_holds,
        a_dump_goes_between_the_payload_where_that_was_asked_for,
        a_drawing_follows_its_table,
        another_descriptor_is_shared_with_whoever_has_it,
        a_socket_is_standard_error,
        secrets_go_between_the_lines_of_standard_error,
    ]
}

/// A file in a folder of its own.
struct Shared(tempfile::TempDir);

impl Shared {
    fn new() -> Self {
        let shared = Self(tempfile::tempdir().unwrap());
        fs::write(shared.path(), "before\n").unwrap();
        shared
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("file")
    }

    fn opened(&self) -> Output {
        let file = File::options().write(true).truncate(true).open(self.path());
        Output::Fd(file.unwrap().into())
    }

    fn appending(&self) -> Output {
        Output::Fd(File::options().append(true).open(self.path()).unwrap().into())
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

fn service() -> Running {
    pktcat_line("listen -k --echo 127.0.0.1 0").spawn()
}

/// A client that says hello to the service.
fn hello(service: &Running, options: &str) -> Cmd {
    let line = format!("connect {options} 127.0.0.1 {}", service.port());
    pktcat_line(&line).stdin(Input::Bytes(b"hello\n".to_vec()))
}

/// Six bytes, sent and received.
const ROW: &str = "00000000  68 65 6c 6c 6f 0a                                 |hello.|";

/// Lines of a dump and of `-v`, all of them whole.
#[track_caller]
fn expect_whole(text: &str, connected: bool) {
    let count = |is: fn(&str) -> bool| text.lines().filter(|line| is(line)).count();
    let rows = count(|line| line == ROW);
    let headers = count(|line| {
        (line.starts_with("> 0.") || line.starts_with("< 0.")) && line.ends_with(" 6 bytes at 0")
    });
    let marks = count(|line| line.starts_with("* 0.") && line.contains(" tcp 127.0.0.1:"));
    let said = count(|line| line.starts_with("connected to ") || line.starts_with("sent 6 bytes "));
    assert_eq!((rows, headers, marks), (2, 2, 3), "{text}");
    assert_eq!(said, if connected { 2 } else { 0 }, "{text}");
}

fn a_dump_goes_between_the_lines_of_standard_error() {
    let service = service();
    for name in ["/dev/stderr", "/dev/fd/2", "/proc/self/fd/2"] {
        let shared = Shared::new();
        let options = format!("-v --hex-file {name}");
        let ended = hello(&service, &options).stderr(shared.opened()).run().expect_code(0);
        assert_eq!(ended.stdout_text(), "hello\n");
        expect_whole(&shared.text(), true);
        assert_eq!(shared.text().lines().count(), 9, "{}", shared.text());
    }
}

fn a_dump_goes_on_after_what_standard_error_holds() {
    let (service, shared) = (service(), Shared::new());
    let cmd = hello(&service, "-v --hex-file /dev/stderr");
    cmd.stderr(shared.appending()).run().expect_code(0);
    let text = shared.text();
    expect_whole(text.strip_prefix("before\n").expect("what it held"), true);
}

fn a_dump_goes_between_the_payload_where_that_was_asked_for() {
    let (service, shared) = (service(), Shared::new());
    hello(&service, "--hex-file /dev/stdout").stdout(shared.opened()).run().expect_code(0);
    expect_whole(&shared.text(), false);
    assert_eq!(shared.text().lines().filter(|line| *line == "hello").count(), 1);
}

fn a_drawing_follows_its_table() {
    let shared = Shared::new();
    let cmd = pktcat_line("compare --count 3 --svg /dev/stdout").stdout(shared.opened());
    cmd.run().expect_code(0);
    let text = shared.text();
    let (table, drawing) = text.split_once("<svg").expect("a drawing");
    assert!(table.contains("boundaries") && drawing.trim_end().ends_with("</svg>"), "{text}");
}

fn another_descriptor_is_shared_with_whoever_has_it() {
    let service = service();
    for redirection in ["3>", "3>>"] {
        let shared = Shared::new();
        let script = format!(
            "exec {redirection} \"$1\"; echo one >&3; shift; \"$@\"; status=$?; echo two >&3; exit $status"
        );
        let path = shared.path();
        let cmd = hello(&service, "--hex-file /dev/fd/3");
        cmd.through(["sh", "-c", &script, "sh", path.to_str().unwrap()]).run().expect_code(0);
        let text = shared.text();
        let text =
            if redirection == "3>>" { text.strip_prefix("before\n").unwrap() } else { &text };
        let dump = text.strip_prefix("one\n").and_then(|text| text.strip_suffix("two\n"));
        expect_whole(dump.unwrap_or_else(|| panic!("{text}")), false);
    }
}

/// As that of a service under systemd.
fn a_socket_is_standard_error() {
    let service = service();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let cmd = hello(&service, "-v --hex-file /dev/stderr");
    cmd.stderr(Output::Fd(OwnedFd::from(theirs))).run().expect_code(0);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    expect_whole(&text, true);
}

fn secrets_go_between_the_lines_of_standard_error() {
    let service = pktcat_line("listen -k --tls --echo 127.0.0.1 0").spawn();
    for open in [Shared::opened, Shared::appending] {
        let shared = Shared::new();
        let cmd = hello(&service, "--tls --insecure -v --keylog /dev/stderr");
        cmd.stderr(open(&shared)).run().expect_code(0);
        let text = shared.text();
        let begin_with = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
        assert_eq!(begin_with("connected to 127.0.0.1:"), 1, "{text}");
        assert_eq!(begin_with("sent 6 bytes "), 1, "{text}");
        assert_eq!(begin_with("CLIENT_TRAFFIC_SECRET_0 "), 1, "{text}");
        let secret = text.lines().find(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 "));
        let words: Vec<_> = secret.unwrap().split(' ').collect();
        assert!(words.len() == 3 && words[1].len() == 64, "{text}");
    }
}
