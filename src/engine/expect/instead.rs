//! What came instead of what was waited for, as errors show it.

use std::fmt;

use crate::engine::framing::escape;

/// Bytes that are shown.
const SHOWN: usize = 60;

/// The beginning of what has come, and how much it was.
#[derive(Debug, Default)]
pub(super) struct Instead {
    first: Vec<u8>,
    total: u64,
}

impl Instead {
    /// This has come.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = SHOWN - self.first.len();
        self.first.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.total += bytes.len() as u64;
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total == 0 {
            return f.write_str("nothing came");
        }
        write!(f, "what came: \"{}\"", escape(&self.first))?;
        match self.total - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} bytes more"),
        }
    }
}
