//! A clock that wakes the loop: to the nanosecond, and nearly free between messages.
//!
//! The reactor's own deadlines are whole milliseconds, and set up anew for each wait, which on
//! loopback is a noticeable part of a round trip. This one is set rarely: while it will ring in time
//! for what is asked, it stays as it is, and to be woken early harms nobody.

use std::io;
use std::rc::Rc;

use mio::Interest;

use crate::compare::measure::account::At;
use crate::error::{Error, Result};
use crate::io::reactor::{Latch, Reactor};
use crate::sys;

/// A timer that the reactor watches.
pub(crate) struct Timer {
    timer: sys::Timer,
    /// Held for the reactor: nobody looks at it.
    _latch: Rc<Latch>,
    rings_at: Option<At>,
}

fn failed(cause: &io::Error) -> Error {
    Error::system("timer", cause)
}

impl Timer {
    /// An timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(reactor: &mut Reactor) -> Result<Self> {
        let timer = sys::Timer::new().map_err(|cause| failed(&cause))?;
        let latch = reactor.watch(&timer, Interest::READABLE).map_err(|cause| failed(&cause))?;
        Ok(Self { timer, _latch: latch, rings_at: None })
    }

    /// The loop will be woken at this time or earlier.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn wake_by(&mut self, at: At, now: At) -> Result<()> {
        if self.rings_at.is_some_and(|rings_at| now < rings_at && rings_at <= at) {
            return Ok(());
        }
        // A timer of no length would never ring.
        let length = at.saturating_sub(now).max(At::from_nanos(1));
        self.timer.set(length).map_err(|cause| failed(&cause))?;
        self.rings_at = Some(now + length);
        Ok(())
    }

    /// A new time begins: what was set belongs to the old one.
    pub(crate) fn forget(&mut self) {
        self.rings_at = None;
    }
}
