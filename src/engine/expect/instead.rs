//! What came instead of what was waited for, as errors show it.

use std::fmt;

use crate::engine::framing::escape;

/// Bytes that are shown.
const SHOWN: usize = 60;

/// Datagrams that are shown.
const DATAGRAMS_SHOWN: usize = 8;

/// The beginning of what has come, and how much it was.
#[derive(Debug, Default)]
pub(super) struct Instead {
    /// The bytes of the stream, or of each of the first datagrams.
    first: Vec<Vec<u8>>,
    shown: usize,
    total: u64,
}

impl Instead {
    /// These bytes of the stream have come.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if self.first.is_empty() && !bytes.is_empty() {
            self.first.push(Vec::new());
        }
        self.extend(bytes);
    }

    /// This datagram has come.
    pub(super) fn add_datagram(&mut self, bytes: &[u8]) {
        if self.shown < SHOWN && self.first.len() < DATAGRAMS_SHOWN {
            self.first.push(Vec::new());
            self.extend(bytes);
        } else {
            self.total += bytes.len() as u64;
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        let begin = &bytes[..bytes.len().min(SHOWN - self.shown)];
        if let Some(last) = self.first.last_mut() {
            last.extend_from_slice(begin);
        }
        self.shown += begin.len();
        self.total += bytes.len() as u64;
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("nothing came");
        }
        let pieces = self.first.iter().map(|piece| format!("\"{}\"", escape(piece)));
        write!(f, "what came: {}", pieces.collect::<Vec<_>>().join(", "))?;
        match self.total - self.shown as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}
