//! How single values are written as JSON: times, bytes, addresses, and text that leaves a terminal alone.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

use crate::net::address::{Address, canonical};
use crate::peer::is_unsafe_to_show;

/// Makes JSON safe to show on a terminal: characters that could control it or reorder the text (C1
/// controls, bidirectional marks) become `\u` escapes, which mean the same to a program.
pub(super) struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for piece in fragment.split_inclusive(is_unsafe_to_show) {
            let unsafe_one = piece.chars().next_back().filter(|last| is_unsafe_to_show(*last));
            let safe = &piece[..piece.len() - unsafe_one.map_or(0, char::len_utf8)];
            writer.write_all(safe.as_bytes())?;
            if let Some(character) = unsafe_one {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

/// Seconds, cut to whole microseconds.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

/// RFC 3339, UTC, with microseconds.
pub(super) struct Time(pub(super) SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_micros(self.0))
    }
}

/// Bytes as hex digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// Serializes a value as the string that `Display` gives.
pub(super) struct AsText<T>(pub(super) T);

impl<T: fmt::Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An IP address, with `%INTERFACE` if it is link-local; or the path of a local socket.
pub(super) struct Host(pub(super) Address);

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let address = match &self.0 {
            Address::Internet(address) => *address,
            // The exact path, escaped by JSON only, so that a program can use it.
            Address::Unix(Some(path)) => return serializer.serialize_str(&path.to_string_lossy()),
            Address::Unix(None) => return serializer.collect_str(&self.0),
        };
        match canonical(address) {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                let name = nix::net::if_::if_indextoname(v6.scope_id());
                let name = name.map(|name| name.to_string_lossy().into_owned());
                let name = name.unwrap_or_else(|_| v6.scope_id().to_string());
                serializer.collect_str(&format_args!("{}%{name}", v6.ip()))
            }
            other => serializer.collect_str(&other.ip()),
        }
    }
}
