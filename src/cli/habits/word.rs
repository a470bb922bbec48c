//! One word of a command line: an address, and how a shell reads it back.

use crate::net::address::HostPort;

/// Host and port of one word that has both.
pub(super) fn parts(word: &str) -> Option<HostPort> {
    let is_both = |place: &HostPort| place.host.is_some() || word.starts_with(':');
    HostPort::parse(&[word.to_owned()]).ok().filter(is_both)
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=[]".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
