//! What is known of one descriptor's readiness between two looks of the event loop.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use mio::event::Event;
use mio::{Interest, Token};

use crate::io::progress::Progress;

/// The token of descriptors that are not watched. The reactor has two of its own beside it.
const UNWATCHED: Token = Token(usize::MAX - 1);

/// Whether a descriptor may be ready. Both directions start as ready; the first call tells.
#[derive(Debug)]
pub(crate) struct Latch {
    readable: Cell<bool>,
    writable: Cell<bool>,
    failed: Cell<bool>,
    /// Which directions have ended: kqueue(2) tells of each in an event of its own.
    closed: Cell<(bool, bool)>,
    /// What the descriptor is watched for.
    interest: Interest,
    /// Whether reading is to be tried again some time later, because no event will come.
    retry: Cell<bool>,
    token: Token,
}

impl Latch {
    /// A latch in its first state: ready in both directions.
    pub(super) fn watched(token: Token, interest: Interest) -> Rc<Self> {
        Rc::new(Self {
            readable: Cell::new(true),
            writable: Cell::new(true),
            failed: Cell::new(false),
            closed: Cell::new((false, false)),
            interest,
            retry: Cell::new(false),
            token,
        })
    }

    /// A latch that is always ready: nothing tells of this descriptor's readiness.
    pub(super) fn unwatched(interest: Interest) -> Rc<Self> {
        Self::watched(UNWATCHED, interest)
    }

    /// A small number that identifies this latch while its descriptor is watched.
    pub(crate) fn id(&self) -> usize {
        self.token.0
    }

    /// Notes what an event tells; whether it is worth waking up for.
    pub(super) fn set(&self, event: &Event) -> bool {
        let failed = event.is_error() || self.closes(event);
        let wakes = event.is_readable() || failed || !self.writable();
        self.failed.set(self.failed() || failed);
        self.readable.set(self.readable() || event.is_readable() || failed);
        self.writable.set(self.writable() || event.is_writable() || failed);
        wakes
    }

    /// Notes which directions an event tells the end of; whether nothing is left of what the descriptor
    /// is watched for.
    fn closes(&self, event: &Event) -> bool {
        let (reading, writing) = self.closed.get();
        let (reading, writing) =
            (reading || event.is_read_closed(), writing || event.is_write_closed());
        self.closed.set((reading, writing));
        // A pipe that is only written to has no other direction.
        writing && (reading || !self.interest.is_readable())
    }

    /// Whether epoll watches the descriptor. It refuses regular files and `/dev/null`, which count
    /// as always ready.
    pub(crate) fn is_watched(&self) -> bool {
        self.token != UNWATCHED
    }

    /// Whether reading is worth a try.
    pub(crate) fn readable(&self) -> bool {
        self.readable.get()
    }

    /// Whether writing is worth a try.
    pub(crate) fn writable(&self) -> bool {
        self.writable.get()
    }

    /// Whether the other end has hung up or the descriptor has failed since it was registered.
    pub(crate) fn failed(&self) -> bool {
        self.failed.get()
    }

    /// Notes that reading returned `EWOULDBLOCK`. A descriptor that is not watched stays readable.
    pub(crate) fn not_readable(&self) {
        self.readable.set(!self.is_watched());
    }

    /// Notes that reading failed for a reason whose end causes no event: a terminal while this
    /// process is a background job, or an error that may pass. If the reactor was told to
    /// [retry](super::reactor::Reactor::retry) this latch, it becomes readable again 250 ms later.
    pub(crate) fn not_readable_for_now(&self) {
        self.readable.set(false);
        self.retry.set(true);
    }

    /// Makes a latch readable again that was not for now; whether it was.
    pub(super) fn retries(&self) -> bool {
        let retries = self.retry.take();
        if retries {
            self.readable.set(true);
        }
        retries
    }

    /// Notes that writing returned `EWOULDBLOCK`. A descriptor that is not watched stays writable.
    pub(crate) fn not_writable(&self) {
        self.writable.set(!self.is_watched());
    }

    /// Calls `read` if that is worth a try, and notes when it finds nothing.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn reading(
        &self,
        read: impl FnOnce() -> io::Result<Progress>,
    ) -> io::Result<Progress> {
        if !self.readable() {
            return Ok(Progress::Blocked);
        }
        let progress = read()?;
        if progress == Progress::Blocked {
            self.not_readable();
        }
        Ok(progress)
    }

    /// Calls `write` if that is worth a try, and notes when it finds no room.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn writing(
        &self,
        write: impl FnOnce() -> io::Result<Progress>,
    ) -> io::Result<Progress> {
        if !self.writable() {
            return Ok(Progress::Blocked);
        }
        let progress = write()?;
        if progress == Progress::Blocked {
            self.not_writable();
        }
        Ok(progress)
    }

    /// A latch that a test sets, as an event would.
    #[cfg(test)]
    pub(crate) fn scripted() -> Rc<Self> {
        Self::watched(Token(0), Interest::READABLE.add(Interest::WRITABLE))
    }

    /// An event: both directions are ready, as far as they are said to be.
    #[cfg(test)]
    pub(crate) fn is_ready(&self, readable: bool, writable: bool) {
        self.readable.set(self.readable() || readable);
        self.writable.set(self.writable() || writable);
    }
}
