//! What several commands refuse, each in one place and in the same words.

use std::path::Path;

use crate::cli::FormatArg;
use crate::error::{Error, Result};

/// Checks that what begins with the sender's address (`--tag`) is a line of text.
///
/// # Errors
/// A usage error.
pub(super) fn tag(is_given: bool, output: FormatArg) -> Result<()> {
    if !is_given || matches!(output, FormatArg::Lines | FormatArg::Hex) {
        return Ok(());
    }
    Err(Error::usage("--tag", "needs messages that are lines of text").hint("-O lines or -O hex"))
}

/// Checks that what comes over TCP is messages that can be counted (`--count`).
///
/// # Errors
/// A usage error.
pub(super) fn count_over_tcp(count: Option<u64>, output: FormatArg) -> Result<()> {
    if count.is_none() || output != FormatArg::Raw {
        return Ok(());
    }
    Err(Error::usage("--count", "a raw TCP stream has no messages to count")
        .hint("-O lines, hex or frames makes messages of it"))
}

/// Checks that at least one client may come (`--max-clients`).
///
/// # Errors
/// A usage error.
pub(super) fn max_clients(most: Option<usize>) -> Result<()> {
    match most {
        Some(0) => Err(Error::usage("--max-clients", "must be at least 1")),
        _ => Ok(()),
    }
}

/// Checks that a listener at a local socket is asked for nothing that only addresses and ports have.
///
/// # Errors
/// A usage error.
pub(super) fn local_listener(
    allow: &[String],
    deny: &[String],
    port_file: Option<&Path>,
) -> Result<()> {
    if !(allow.is_empty() && deny.is_empty()) {
        return Err(Error::usage("--allow, --deny", "a local socket's peers have no address")
            .hint("the permissions of its folder say who may come in"));
    }
    match port_file {
        Some(_) => Err(no_port("--port-file")),
        None => Ok(()),
    }
}

/// That an option is about the port of a local socket.
pub(super) fn no_port(option: &str) -> Error {
    Error::usage(option, "a local socket has no port")
}

/// Checks that there are packets for a capture (`--pcap`); `local` is the word for a local socket, if
/// one is used.
///
/// # Errors
/// A usage error.
pub(super) fn capture(pcap: Option<&Path>, local: Option<&str>) -> Result<()> {
    match (pcap, local) {
        (Some(_), Some(word)) => {
            let why = format!("a capture holds IP packets, and {word} has none");
            Err(Error::usage("--pcap", why))
        }
        _ => Ok(()),
    }
}

/// Checks that a word which names something is not empty, as it is when a script's variable was never
/// set.
///
/// # Errors
/// A usage error.
pub(super) fn named(option: &str, word: &str) -> Result<()> {
    if word.is_empty() { Err(Error::usage(option, "is empty")) } else { Ok(()) }
}
