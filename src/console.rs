//! Standard error: lines for people, written without waiting.
//!
//! A reader that stalls must not stall the traffic, so lines that find no room wait here. A
//! reader that goes away is `/dev/null` from then on.

use std::fmt;

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

/// The lines for people.
#[derive(Debug)]
pub struct Console {
    verbosity: Verbosity,
    device: Device,
    pending: Vec<u8>,
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
    /// A console that says this much.
    #[must_use]
    pub fn new(verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            device: Device::Unopened,
            pending: Vec::new(),
        }
    }

    /// How much is said.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Prints a line if so much is to be said.
    pub fn say(&mut self, least: Verbosity, reactor: &mut Reactor, line: fmt::Arguments<'_>) {
        if self.verbosity < least || matches!(self.device, Device::Gone) {
            return;
        }
        self.pending.extend_from_slice(line.to_string().as_bytes());
        self.pending.push(b'\n');
        self.flush(reactor);
    }

    /// Writes what there is room for; `false` while something still waits.
    pub fn flush(&mut self, reactor: &mut Reactor) -> bool {
        if self.pending.is_empty() {
            return true;
        }
        if matches!(self.device, Device::Unopened) {
            self.device = match Local::take(Which::Stderr, reactor) {
                Ok(local) => Device::Open(local),
                Err(_) => Device::Gone,
            };
        }
        if let Device::Open(local) = &mut self.device {
            while !self.pending.is_empty() {
                match local.write(&self.pending) {
                    Ok(Progress::Moved(n)) => drop(self.pending.drain(..n)),
                    Ok(Progress::Blocked) => return false,
                    Ok(Progress::End) | Err(_) => {
                        self.device = Device::Gone;
                        break;
                    }
                }
            }
            if let Device::Open(local) = &mut self.device
                && matches!(local.flush(), Ok(Progress::Blocked))
            {
                return false;
            }
        }
        self.pending.clear();
        true
    }
}
