//! A timer that wakes the event loop at a time given in nanoseconds, at little cost.
//!
//! The reactor's own deadlines are whole milliseconds and are passed with each epoll_wait(2), which on
//! loopback takes a noticeable part of a round trip. This one is a timerfd(2) that is rarely set: if it
//! is set to an earlier time than the one asked for, it is left as it is, as waking too early is
//! harmless.

use std::io;
use std::rc::Rc;

use mio::Interest;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use crate::compare::measure::account::At;
use crate::error::{Error, Result};
use crate::io::reactor::{Latch, Reactor};

/// A timer that the reactor watches.
pub(crate) struct Timer {
    timer: TimerFd,
    /// Keeps the reactor's watch; its readiness is not looked at.
    _latch: Rc<Latch>,
    rings_at: Option<At>,
}

fn failed(cause: impl Into<io::Error>) -> Error {
    Error::system("timer", &cause.into())
}

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the kernel creates no timer, mostly because no descriptors are left.
    pub(crate) fn new(reactor: &mut Reactor) -> Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed)?;
        let latch = reactor.watch(&timer, Interest::READABLE).map_err(failed)?;
        Ok(Self { timer, _latch: latch, rings_at: None })
    }

    /// Sees to it that the loop is woken at this time or earlier.
    ///
    /// # Errors
    /// What timerfd_settime(2) says.
    pub(crate) fn wake_by(&mut self, at: At, now: At) -> Result<()> {
        if self.rings_at.is_some_and(|rings_at| now < rings_at && rings_at <= at) {
            return Ok(());
        }
        // A time of 0 would switch the timer off (timerfd_settime(2)).
        let length = at.saturating_sub(now).max(At::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from_duration(length));
        self.timer.set(expiration, TimerSetTimeFlags::empty()).map_err(failed)?;
        self.rings_at = Some(now + length);
        Ok(())
    }

    /// Forgets what the timer is set to, because times are counted from another start from now on.
    pub(crate) fn forget(&mut self) {
        self.rings_at = None;
    }
}
