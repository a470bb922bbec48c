//! A timer that is a descriptor: a queue of its own (kqueue(2)) with nothing in it but a timer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

pub(crate) struct Timer(Kqueue);

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Kqueue::new()?))
    }

    pub(crate) fn set(&self, after: Duration) -> io::Result<()> {
        // A timer that has this number already gets the new time.
        let flags = EvFlags::EV_ADD | EvFlags::EV_ONESHOT;
        let length = isize::try_from(after.as_nanos()).unwrap_or(isize::MAX);
        let unit = FilterFlag::NOTE_NSECONDS;
        let timer = KEvent::new(0, EventFilter::EVFILT_TIMER, flags, unit, length as _, 0);
        self.0.kevent(&[timer], &mut [], None)?;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
