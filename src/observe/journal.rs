//! Text on its way to people and programs: observers add to it, and whoever has the device writes it.

use std::cell::RefCell;
use std::rc::Rc;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only (`--quiet`).
    Quiet,
    /// What must be known: the port behind 0, losses.
    Normal,
    /// What happens, and a summary (`-v`).
    Verbose,
}

/// Text on its way out; observers hold a handle each and add to it.
#[derive(Debug, Clone, Default)]
pub struct Journal(pub(crate) Rc<RefCell<Text>>);

#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    /// How much of it has been written.
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
            // A slow reader must not make it grow for ever; moving the lesser half is cheap.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

impl Journal {
    /// Adds a line.
    pub fn line(&self, line: &str) {
        self.append(|text| {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        });
    }

    /// Lets somebody write at the end.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.0.borrow_mut().bytes);
    }

    /// Whether everything has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().waiting() == 0
    }
}
