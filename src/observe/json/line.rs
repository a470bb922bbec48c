//! One JSON object in one line, and values that several kinds of objects have.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};
use serde_json::ser::{Formatter, Serializer as Writer};

use crate::net::address::{Address, canonical};
use crate::peer::is_unsafe_to_show;
use crate::units;

/// Adds an object in one line.
pub(crate) fn write_line(text: &mut Vec<u8>, object: &impl Serialize) {
    let before = text.len();
    match object.serialize(&mut Writer::with_formatter(&mut *text, Escaping)) {
        Ok(()) => text.push(b'\n'),
        // Should not happen: serializing plain values into memory cannot fail. Half a line would be
        // worse than none.
        Err(_) => text.truncate(before),
    }
}

/// Makes JSON safe to show on a terminal: characters that could control it or reorder the text (C1
/// controls, bidirectional marks) become `\u` escapes, which mean the same to a program.
struct Escaping;

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
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}

/// RFC 3339, UTC, with microseconds.
#[derive(Debug)]
pub(crate) struct Time(pub(crate) SystemTime);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_micros(units::writable(self.0)))
    }
}

/// An IP address, with `%INTERFACE` if it is link-local; or the path of a local socket.
#[derive(Debug)]
pub(crate) struct Host(pub(crate) Address);

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
