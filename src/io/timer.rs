//! A timer that wakes the event loop at a time given in nanoseconds, at little cost.
//!
//! The reactor's own deadlines are whole milliseconds and are passed with each epoll_wait(2), which on
//! loopback takes a noticeable part of a round trip. This one is a timerfd(2) that is rarely set: if it
//! is set to an earlier time than the one asked for, it is left as it is, as waking too early is
//! harmless.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;

use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::sys;

/// A timer that the reactor watches.
pub(crate) struct Timer {
    timer: sys::Timer,
    /// Keeps the reactor's watch; its readiness is not looked at.
    _latch: Rc<Latch>,
    rings_at: Option<Instant>,
}

fn failed(cause: &io::Error) -> Error {
    Error::system("timer", cause)
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the kernel creates no timer, mostly because no descriptors are left.
    pub(crate) fn new(reactor: &mut Reactor) -> Result<Self> {
        let timer = sys::Timer::new().map_err(|cause| failed(&cause))?;
        let latch = reactor.watch(&timer, Interest::READABLE).map_err(|cause| failed(&cause))?;
        Ok(Self { timer, _latch: latch, rings_at: None })
    }

    /// Sees to it that the loop is woken at this time or earlier.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn wake_by(&mut self, at: Instant, now: Instant) -> Result<()> {
        if self.rings_at.is_some_and(|rings_at| now < rings_at && rings_at <= at) {
            return Ok(());
        }
        // A timer of no length would never ring.
        let length = at.saturating_duration_since(now).max(Duration::from_nanos(1));
        self.timer.set(length).map_err(|cause| failed(&cause))?;
        self.rings_at = Some(now + length);
        Ok(())
    }
}
