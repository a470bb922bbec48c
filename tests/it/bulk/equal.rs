//! What goes in comes out: two instances, every kind of stdin and stdout, with and without somebody who
//! has to see the bytes on the way.

use libtest_mimic::Trial;

use super::ends::{self, End};
use crate::util::data::{assert_same, random};
use crate::util::{Input, harness, pktcat_line, ways};

/// Enough to fill every buffer on the way many times over, and no multiple of any of them.
const MUCH: u64 = (96 << 20) + 12_345;

/// For the slow ways: terminals, and eyes on every byte in a build without optimisation.
const SOME: u64 = (6 << 20) + 12_345;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for (from, to) in [
        (End::Pipe, End::Pipe),
        (End::File, End::File),
        (End::File, End::Null),
        (End::Pipe, End::Append),
        (End::Socket, End::Socket),
        (End::Pipe, End::File),
        (End::File, End::Pipe),
        (End::File, End::Terminal),
    ] {
        let len = if to == End::Terminal { SOME } else { MUCH };
        for &options in ways() {
            tests.push(transfer(from, to, options, len));
        }
    }
    for options in
        ["--hex-file /dev/null", "-x --hex-file /dev/null", "--pcap /dev/null", "--rate 8000000"]
    {
        for (from, to) in [(End::Pipe, End::Pipe), (End::File, End::File)] {
            tests.push(transfer(from, to, options, SOME));
        }
    }
    tests.extend(crate::tests![line_feeds_and_nothing_else_change]);
    tests
}

fn transfer(from: End, to: End, options: &'static str, len: u64) -> Trial {
    let name = format!("equal_{from:?}_to_{to:?} {options}").to_lowercase();
    harness::test(module_path!(), name.trim_end(), &[], move || arrives(from, to, options, len))
}

fn arrives(from: End, to: End, options: &str, len: u64) {
    let dir = tempfile::tempdir().unwrap();
    let seed = 40;
    let (stdin, feeder) = ends::feed(from, seed, len, &dir);
    let (stdout, check) = ends::drain(to, seed, len, &dir);
    let listener = pktcat_line(&format!("listen -v {options} 127.0.0.1 0")).stdout(stdout).spawn();
    let line = format!("connect -v {options} 127.0.0.1 {}", listener.port());
    let client = pktcat_line(&line).stdin(stdin).spawn();
    let (sent, got) = (client.wait().expect_code(0), listener.wait().expect_code(0));
    assert_eq!(check.written(&got), len);
    if let Some(feeder) = feeder {
        assert_eq!(feeder.join().unwrap(), len);
    }
    assert!(sent.stderr.contains(&format!("sent {len} bytes")), "{}", sent.stderr);
}

fn line_feeds_and_nothing_else_change() {
    for &options in ways() {
        let bytes = random(41, usize::try_from(SOME).unwrap());
        let mut wanted = Vec::with_capacity(bytes.len() + bytes.len() / 200);
        let mut last = 0;
        for &byte in &bytes {
            if byte == b'\n' && last != b'\r' {
                wanted.push(b'\r');
            }
            wanted.push(byte);
            last = byte;
        }
        let listener = pktcat_line(&format!("listen {options} 127.0.0.1 0")).spawn();
        let line = format!("connect -C {options} 127.0.0.1 {}", listener.port());
        let client = pktcat_line(&line).stdin(Input::Bytes(bytes)).spawn();
        assert_same(&listener.wait().expect_code(0).stdout, &wanted);
        client.wait().expect_code(0);
    }
}
