//! A timer that is a descriptor, whatever the system makes it of.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::system;

/// A timer that a poller can watch: readable once its time has come.
pub(crate) struct Timer(system::Timer);

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        system::Timer::new().map(Self)
    }

    /// It rings once after this time, to the nanosecond as far as the system knows it, and no more at
    /// the time it was set to before. A timer of no length never rings.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn set(&self, after: Duration) -> io::Result<()> {
        self.0.set(after)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
