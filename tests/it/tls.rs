//! TLS: against the programs that people have, and against a peer in the test that does exactly what
//! it is told.

mod clients;
mod endings;
mod peers;
mod trust;
mod words;

use libtest_mimic::Trial;

use crate::util::tls::{Authority, Dates, Pair};
use crate::util::{Cmd, Running, pktcat};

pub(crate) fn tests() -> Vec<Trial> {
    [clients::tests(), endings::tests(), peers::tests(), trust::tests(), words::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// An authority, and a certificate from it for this machine.
fn here() -> (Authority, Pair) {
    let authority = Authority::new("Root");
    let pair = authority.certify("here", &["localhost", "127.0.0.1"], Dates::Now);
    (authority, pair)
}

/// A listener with this certificate and these further words; its port is free.
fn listen(pair: &Pair, words: &str) -> Cmd {
    let words = words.split_whitespace();
    pktcat(["listen", "--tls", "127.0.0.1", "0", "--cert"])
        .arg(&pair.cert)
        .arg("--key")
        .arg(&pair.key)
        .args(words)
}

/// A client of this port that trusts the authority, with these further words.
fn connect(authority: &Authority, port: u16, words: &str) -> Cmd {
    pktcat(["connect", "--tls", "127.0.0.1", &port.to_string(), "--ca"])
        .arg(authority.root())
        .args(words.split_whitespace())
}

/// The end of a run that has to be status 9, with the one line that says why.
#[track_caller]
fn refused(run: Running, reason: &str) -> String {
    let ended = run.wait().expect_code(9);
    let lines: Vec<_> = ended.stderr.lines().filter(|line| line.starts_with("pktcat: ")).collect();
    assert!(lines.len() == 1 && lines[0].contains(reason), "{reason:?}: {}", ended.stderr);
    ended.stderr
}
