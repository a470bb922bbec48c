//! A clock that wakes the loop: to the nanosecond, and nearly free between messages.
//!
//! The reactor's own deadlines are whole milliseconds, and set up anew for each wait, which on
//! loopback is a noticeable part of a round trip. This one is set rarely: while it will ring in time
//! for what is asked, it stays as it is, and to be woken early harms nobody.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::error::{Error, Result};
use crate::io::reactor::{Latch, Reactor};

/// A timer that the reactor watches.
pub(crate) struct Timer {
    timer: TimerFd,
    /// Held for the reactor: nobody looks at it.
    _latch: Rc<Latch>,
    /// Since the same beginning as the times that callers give.
    rings_at: Option<Duration>,
}

fn failed(cause: impl Into<io::Error>) -> Error {
    Error::system("timer", &cause.into())
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(reactor: &mut Reactor) -> Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed)?;
        let latch = reactor.watch(&timer, Interest::READABLE).map_err(failed)?;
        Ok(Self { timer, _latch: latch, rings_at: None })
    }

    /// The loop will be woken at this time or earlier. Both times are counted from one beginning,
    /// whichever the caller likes.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn wake_by(&mut self, at: Duration, now: Duration) -> Result<()> {
        if self.rings_at.is_some_and(|rings_at| now < rings_at && rings_at <= at) {
            return Ok(());
        }
        // A timer of no length would never ring.
        let length = at.saturating_sub(now).max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(length));
        self.timer.set(expiration, TimerSetTimeFlags::empty()).map_err(failed)?;
        self.rings_at = Some(now + length);
        Ok(())
    }

    /// A new time begins: what was set belongs to the old one.
    pub(crate) fn forget(&mut self) {
        self.rings_at = None;
    }
}
