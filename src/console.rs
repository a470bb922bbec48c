//! Where lines for people and programs go: standard error and files of the user's choice.
//!
//! A reader that stalls must not stall the loop, and one that is slow must not lose or reorder
//! lines: what finds no room waits here, and while much waits, no bytes are moved that would add
//! to it. A standard error that goes away is `/dev/null` from then on.

use std::cell::RefCell;
use std::rc::Rc;

use crate::endpoint::Progress;
use crate::endpoint::stdio::{Local, Which};
use crate::reactor::Reactor;

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
pub struct Journal(Rc<RefCell<Vec<u8>>>);

impl Journal {
    /// Adds a line.
    pub fn line(&self, line: &str) {
        let mut text = self.0.borrow_mut();
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }

    /// Lets somebody write at the end.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.0.borrow_mut());
    }
}

/// This much text may wait before no more bytes are moved.
const MOST_WAITING: usize = 256 * 1024;

/// A journal and the device it goes to.
#[derive(Debug)]
pub struct Console {
    journal: Journal,
    device: Device,
}

#[derive(Debug)]
enum Device {
    /// Nothing has been said yet.
    Unopened,
    Open(Local),
    /// Its reader is gone, or it never was there.
    Gone,
}

impl Console {
    /// The console on standard error; the descriptor is not touched before there is a line.
    #[must_use]
    pub fn stderr() -> Self {
        Self { journal: Journal::default(), device: Device::Unopened }
    }

    /// A handle for adding text.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Whether so much waits that nothing should happen that adds to it.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.journal.0.borrow().len() > MOST_WAITING
    }

    /// Writes what there is room for; `false` while something still waits.
    pub fn flush(&mut self, reactor: &mut Reactor) -> bool {
        let journal = self.journal();
        let mut text = journal.0.borrow_mut();
        if text.is_empty() {
            return self.flush_device();
        }
        if matches!(self.device, Device::Unopened) {
            self.device = match Local::take(Which::Stderr, reactor) {
                Ok(local) => Device::Open(local),
                Err(_) => Device::Gone,
            };
        }
        let mut written = 0;
        while let Device::Open(local) = &mut self.device
            && written < text.len()
        {
            match local.write(&text[written..]) {
                Ok(Progress::Moved(n)) => written += n,
                Ok(Progress::Blocked) => {
                    text.drain(..written);
                    return false;
                }
                Ok(Progress::End) | Err(_) => self.device = Device::Gone,
            }
        }
        text.clear();
        self.flush_device()
    }

    fn flush_device(&mut self) -> bool {
        match &mut self.device {
            Device::Open(local) => !matches!(local.flush(), Ok(Progress::Blocked)),
            Device::Unopened | Device::Gone => true,
        }
    }
}
