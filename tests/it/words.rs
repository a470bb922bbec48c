//! What is said to people: words that fit the case, and names from outside that leave a terminal alone.
use crate::tests;
use libtest_mimic::Trial;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixDatagram;

use crate::util::{eventually, net, pktcat, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        too_few_replies_are_told_by_their_number,
        what_is_missing_is_named,
        a_word_that_is_no_text_is_named,
        names_from_outside_leave_a_terminal_alone,
        json_escapes_names_and_means_the_same,
        errors_leave_a_terminal_alone,
    ]
}

/// The one line on stderr of a run that ends with this status.
#[track_caller]
fn line_of<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, status: i32) -> String {
    let ended = pktcat(words).run().expect_code(status);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    ended.stderr.trim_end().to_owned()
}

fn too_few_replies_are_told_by_their_number() {
    for ways in ways() {
        for (wanted, replies, says) in [
            (1, 0, "no reply within 200ms"),
            (3, 0, "no reply within 200ms"),
            (3, 1, "1 of 3 messages came, then none for 200ms"),
            (3, 2, "2 of 3 messages came, then none for 200ms"),
        ] {
            let (server, port) = net::udp();
            let line = format!("connect -u {ways} --send x --count {wanted} -q 200ms 127.0.0.1");
            let client = pktcat_line(&format!("{line} {port}")).spawn();
            let (_, peer) = server.recv_from(&mut [0; 9]).unwrap();
            for _ in 0..replies {
                server.send_to(b"reply", peer).unwrap();
            }
            let ended = client.wait().expect_code(5);
            let all = format!("pktcat: timed out: {says} (--linger waits longer)\n");
            assert_eq!(ended.stderr, all, "{ways}");
        }
    }
}

fn what_is_missing_is_named() {
    let all = "a command is missing: listen, connect, ping, forward, scan, compare or completions";
    for (line, says, help) in [
        ("", all, "pktcat --help"),
        ("listen", "PORT is missing", "pktcat listen --help"),
        ("listen -k --echo", "PORT is missing", "pktcat listen --help"),
        ("connect", "HOST and PORT are missing", "pktcat connect --help"),
        ("scan -u", "HOST and PORTS are missing", "pktcat scan --help"),
        ("forward", "FROM and TO are missing", "pktcat forward --help"),
        ("forward 8080", "TO is missing", "pktcat forward --help"),
        ("scan --send x host 9", "--udp is missing", "pktcat scan --help"),
        ("completions", "SHELL is missing: bash, zsh or fish", "pktcat completions --help"),
    ] {
        let said = line_of(line.split_whitespace(), 2);
        assert_eq!(said, format!("pktcat: usage: {says} (see '{help}')"), "{line}");
    }
    for line in ["connect localhost:", "listen :", "forward 0 localhost:"] {
        assert_eq!(line_of(line.split_whitespace(), 2), "pktcat: usage: port: is empty", "{line}");
    }
}

fn a_word_that_is_no_text_is_named() {
    let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let odd = || word(b"o\xffd");
    let cases: [(&[&str], OsString, &[&str], &str); 7] = [
        (&["connect"], odd(), &["9"], "HOST o\u{fffd}d: is not valid UTF-8"),
        (&["scan", "127.0.0.1"], odd(), &[], "PORTS o\u{fffd}d: is not valid UTF-8"),
        (&["connect", "--send"], odd(), &["::1", "9"], "--send o\u{fffd}d: is not valid UTF-8"),
        (&["connect"], word(b"--send=\xff"), &["::1", "9"], "--send \u{fffd}: is not valid UTF-8"),
        (&["listen", "--reply"], odd(), &["0"], "--reply o\u{fffd}d: is not valid UTF-8"),
        (&["connect", "-w"], odd(), &["::1", "9"], "--connect-timeout <D>: is not valid UTF-8"),
        (&["connect", "-s"], odd(), &["::1", "9"], "--source o\u{fffd}d: is not valid UTF-8"),
    ];
    for (before, odd, after, says) in cases {
        let words = before.iter().map(OsString::from).chain([odd]);
        let said = line_of(words.chain(after.iter().map(OsString::from)), 2);
        assert!(said.starts_with(&format!("pktcat: usage: {says}")), "{said}");
    }
}

/// Characters that a terminal obeys or that turn the text around them: a C1 control, overrides and
/// isolates of the direction, an end of line, and what is not seen at all.
const HOSTILE: &str =
    "a\u{9b}31m\u{85}\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{2029}\u{feff}\u{200b}z";

/// The same as it is shown.
const SHOWN: &str =
    "a\\u{9b}31m\\u{85}\\u{202e}\\u{2066}\\u{200f}\\u{61c}\\u{2028}\\u{2029}\\u{feff}\\u{200b}z";

#[track_caller]
fn is_tame(text: &str) {
    let bad = text.chars().find(|c| HOSTILE[1..].contains(*c) && !c.is_ascii());
    assert_eq!(bad, None, "{text:?}");
}

/// What a datagram listener says of a peer with a hostile name, on stdout and on stderr.
fn heard(options: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let line = format!("listen -u {options} -U {}", path.display());
    let server = pktcat_line(&line).spawn();
    let peer = UnixDatagram::bind(folder.path().join(HOSTILE)).unwrap();
    eventually("the listener hears", || peer.send_to(b"x", &path).ok());
    let ended = server.wait().expect_code(0);
    (ended.stdout_text(), ended.stderr)
}

fn names_from_outside_leave_a_terminal_alone() {
    for ways in ways() {
        let (stdout, stderr) = heard(&format!("{ways} -v -x --count 1 -O lines --tag"));
        is_tame(&stdout);
        is_tame(&stderr);
        assert!(stdout.contains(&format!("/{SHOWN} x\n")), "{stdout:?}");
        let peers = stderr.lines().filter(|line| line.contains(SHOWN)).count();
        // The line of -v and the header of the dump.
        assert_eq!(peers, 2, "{stderr:?}");
    }
}

fn json_escapes_names_and_means_the_same() {
    for ways in ways() {
        let (_, stderr) = heard(&format!("{ways} --json --count 1"));
        is_tame(&stderr);
        let events = stderr.lines().map(|line| serde_json::from_str(line).unwrap());
        let peers: Vec<serde_json::Value> =
            events.filter(|event: &serde_json::Value| event["event"] == "peer").collect();
        let name = peers[0]["peer_address"].as_str().unwrap();
        assert!(name.ends_with(&format!("/{HOSTILE}")), "{name:?}");
    }
}

fn errors_leave_a_terminal_alone() {
    for words in [
        ["connect", "-U", HOSTILE].as_slice(),
        &["connect", "-n", HOSTILE, "9"],
        &["listen", "--reply-file", HOSTILE, "127.0.0.1", "0"],
        &["connect", HOSTILE],
        &[HOSTILE],
        &["connect", "-w", HOSTILE, "127.0.0.1", "9"],
    ] {
        let ended = pktcat(words).run();
        is_tame(&ended.stderr);
        assert!(ended.stderr.contains(SHOWN), "{words:?}: {:?}", ended.stderr);
    }
}
