//! Text that waits to be written: observers append to it, and the owner of the device writes it.

use std::cell::RefCell;
use std::rc::Rc;

/// How much is reported on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    /// Errors only (`--quiet`).
    Quiet,
    /// Also what a user must know: the port that the system chose, and losses.
    Normal,
    /// Also every event, and a summary at the end (`-v`).
    Verbose,
}

/// A handle to text that waits to be written; every observer has one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(pub(crate) Rc<RefCell<Text>>);

#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    /// Bytes of it that have been written.
    pub(crate) written: usize,
}

impl Text {
    pub(crate) fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    pub(crate) fn took(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > self.bytes.len() / 2 {
            // Without this the buffer would grow for as long as a slow reader never empties it.
            // Moving the smaller half is cheap.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

impl Journal {
    /// Adds a line.
    pub(crate) fn line(&self, line: &str) {
        self.append(|text| {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        });
    }

    /// Lets `write` append to the text.
    pub(crate) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.0.borrow_mut().bytes);
    }

    /// Whether everything has been written.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().waiting() == 0
    }
}
