//! Whether receiving works, on a socket that many peers write to: a failure is not the fault of a
//! peer, and the run goes on.

use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::observe::tap::{Event, Tap};

#[derive(Debug)]
pub(super) enum Hearing {
    Good,
    /// It has failed since; this was the first reason.
    Failing(Error),
}

impl Hearing {
    /// Receiving failed. It is tried again, at once the first time and then after a while, because
    /// datagrams may be waiting of which no event will tell again; and it is told once.
    pub(super) fn failed(&mut self, error: Error, latch: &Latch, tap: &Tap) -> Progress {
        if let Self::Failing(_) = self {
            latch.not_readable_for_now();
            return Progress::Blocked;
        }
        tap.event(&Event::Error(&error));
        *self = Self::Failing(error);
        Progress::Moved(0)
    }

    /// Whether silence means that nobody has sent anything.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Good => Ok(()),
            Self::Failing(error) => Err(error.clone().told()),
        }
    }
}
