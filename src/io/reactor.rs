//! The one event loop: readiness of descriptors, signals and deadlines.
//!
//! It must not know what the descriptors are for. Every descriptor is registered once,
//! edge-triggered (epoll(7)). An event sets its [`Latch`]; a caller that gets `EWOULDBLOCK` clears
//! it.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::signal::SigSet;
use nix::sys::stat::{SFlag, fstat};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals;

use crate::sys;

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
    /// Whether reading is to be tried again after [`RETRY`], because no event will come.
    retry: Cell<bool>,
    token: Token,
}

impl Latch {
    /// A latch in its first state: ready in both directions.
    fn always(token: Token, interest: Interest) -> Rc<Self> {
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

    /// A small number that identifies this latch while its descriptor is watched.
    pub(crate) fn id(&self) -> usize {
        self.token.0
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
    /// [retry](Reactor::retry) this latch, it becomes readable again 250 ms later.
    pub(crate) fn not_readable_for_now(&self) {
        self.readable.set(false);
        self.retry.set(true);
    }

    /// Notes that writing returned `EWOULDBLOCK`. A descriptor that is not watched stays writable.
    pub(crate) fn not_writable(&self) {
        self.writable.set(!self.is_watched());
    }

    /// A latch that a test sets, as an event would.
    #[cfg(test)]
    pub(crate) fn scripted() -> Rc<Self> {
        Self::always(Token(0), Interest::READABLE.add(Interest::WRITABLE))
    }

    /// An event: both directions are ready, as far as they are said to be.
    #[cfg(test)]
    pub(crate) fn is_ready(&self, readable: bool, writable: bool) {
        self.readable.set(self.readable() || readable);
        self.writable.set(self.writable() || writable);
    }
}

const SIGNALS: Token = Token(usize::MAX);
const UNWATCHED: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// A signal that the run handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT or SIGTERM: stop, and end by this signal's number.
    Stop(i32),
    /// SIGUSR1: print the summary so far.
    Report,
    /// SIGCHLD: a child has ended.
    Child,
}

/// How long to wait before reading again from a descriptor whose readiness causes no event.
const RETRY: Duration = Duration::from_millis(250);

/// How soon the caller expects something to be ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Perhaps at once: small messages go back and forth.
    Soon,
    /// Unknown.
    Whenever,
}

/// How long to poll without sleeping before the loop sleeps.
const LONGEST_LOOK: Duration = Duration::from_micros(50);

/// Polling without sleeping is worth it only if the last wait was shorter than this.
const SHORT_WAIT: Duration = Duration::from_micros(120);

/// The event loop: epoll, the latches it sets, and the signals that have come.
pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    latches: Vec<Option<Rc<Latch>>>,
    free: Vec<usize>,
    signals: Signals,
    /// The latches that may be [not readable for now](Latch::not_readable_for_now).
    retried: Vec<Rc<Latch>>,
    /// Created when another thread first needs to wake the loop.
    waker: Option<Arc<Waker>>,
    heard: Vec<Signal>,
    /// Whether the last poll found anything new. A writable event for a latch that is writable
    /// already is not new: a datagram socket causes one each time a datagram of its send buffer has
    /// left.
    woken: bool,
    /// How long the last wait took.
    last_wait: Duration,
    /// See [`Reactor::looked_at`].
    looked_at: Instant,
}

/// Whether a descriptor is of a kind that can always be watched: a socket, a pipe, or one of the kernel's
/// own such as a timer, which has no type of file. When epoll refuses such a one, a sandbox does, and to
/// take it for always ready would mean to ask it without end.
fn is_waited_for(fd: impl AsFd) -> bool {
    let kind = fstat(fd).map(|status| SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT);
    kind.is_ok_and(|kind| [SFlag::S_IFSOCK, SFlag::S_IFIFO, SFlag::empty()].contains(&kind))
}

impl Reactor {
    /// A reactor that handles SIGINT, SIGTERM and SIGUSR1, except those that the parent ignores.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        // A shell without job control ignores SIGINT for `command &`; that has to stay so.
        let wanted = [SIGINT, SIGTERM, SIGUSR1].into_iter();
        let mut signals = Signals::new(wanted.filter(|signal| !sys::is_ignored(*signal)))?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(256),
            latches: Vec::new(),
            free: Vec::new(),
            signals,
            retried: Vec::new(),
            waker: None,
            heard: Vec::new(),
            woken: false,
            last_wait: Duration::ZERO,
            looked_at: Instant::now(),
        })
    }

    /// The latches contain every event up to this time. Deadlines for something to arrive are
    /// judged by this time and not by the present: after a SIGSTOP the process continues late, and
    /// the events that came while it was stopped have not been polled yet.
    #[must_use]
    pub(crate) fn looked_at(&self) -> Instant {
        self.looked_at
    }

    /// Handles SIGCHLD from now on, too.
    ///
    /// # Errors
    /// When the handler cannot be set.
    pub(crate) fn hear_children(&mut self) -> io::Result<()> {
        // The signal mask is inherited: if the parent had SIGCHLD blocked, it would never come.
        let mut child = SigSet::empty();
        child.add(nix::sys::signal::Signal::SIGCHLD);
        child.thread_unblock()?;
        self.signals.add_signal(SIGCHLD)
    }

    /// From now on makes this latch readable again some time after it was [not readable for
    /// now](Latch::not_readable_for_now).
    pub(crate) fn retry(&mut self, latch: &Rc<Latch>) {
        self.retried.push(Rc::clone(latch));
    }

    /// Wakes this loop from another thread.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn waker(&mut self) -> io::Result<Arc<Waker>> {
        if let Some(waker) = &self.waker {
            return Ok(Arc::clone(waker));
        }
        let waker = Arc::new(Waker::new(self.poll.registry(), WAKER)?);
        self.waker = Some(Arc::clone(&waker));
        Ok(waker)
    }

    /// Watches a descriptor. One that epoll refuses (EPERM: regular files, `/dev/null`) counts as
    /// always ready.
    ///
    /// # Errors
    /// When epoll cannot watch it, such as for want of memory.
    pub(crate) fn watch(&mut self, fd: impl AsFd, interest: Interest) -> io::Result<Rc<Latch>> {
        let index = self.free.pop().unwrap_or(self.latches.len());
        let raw = fd.as_fd().as_raw_fd();
        match self.poll.registry().register(&mut SourceFd(&raw), Token(index), interest) {
            Ok(()) => {
                let latch = Latch::always(Token(index), interest);
                if index == self.latches.len() {
                    self.latches.push(None);
                }
                self.latches[index] = Some(Rc::clone(&latch));
                Ok(latch)
            }
            Err(error) => {
                if index < self.latches.len() {
                    self.free.push(index);
                }
                if sys::errno::never_waits(&error) && !is_waited_for(fd) {
                    return Ok(Latch::always(UNWATCHED, interest));
                }
                Err(error)
            }
        }
    }

    /// The [`id`](Latch::id)s of the latches that the last wait or look has set.
    pub(crate) fn fired(&self) -> impl Iterator<Item = usize> {
        self.events.iter().map(|event| event.token().0).filter(|id| *id < self.latches.len())
    }

    /// Forgets a descriptor that is about to be closed and has no duplicate: closing the last one
    /// removes it from epoll (epoll(7)).
    pub(crate) fn release(&mut self, latch: &Latch) {
        if latch.is_watched() {
            self.latches[latch.token.0] = None;
            self.free.push(latch.token.0);
        }
    }

    /// Forgets a descriptor; to be called before it is closed.
    pub(crate) fn forget(&mut self, fd: impl AsFd, latch: &Latch) {
        if latch.is_watched() {
            let raw = fd.as_fd().as_raw_fd();
            // Fails only for a descriptor that epoll does not have, which is as good.
            let _ = self.poll.registry().deregister(&mut SourceFd(&raw));
        }
        self.release(latch);
    }

    /// Sets the latches of what is ready. If nothing is, sleeps until something is or `deadline`
    /// has come; `None` is no deadline.
    ///
    /// When an answer is [`Expected::Soon`] and the last wait was short, it polls for up to 50
    /// microseconds before it sleeps: sleeping and waking up cost more than a round trip over
    /// loopback. Between two polls it yields the core to other processes (sched_yield(2)).
    ///
    /// # Errors
    /// When the poller itself fails.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>, expected: Expected) -> io::Result<()> {
        let begun = Instant::now();
        let mut timeout = deadline.map(|at| at.saturating_duration_since(begun));
        for latch in self.retried.iter().filter(|latch| latch.retry.take()) {
            latch.readable.set(true);
            timeout = Some(timeout.map_or(RETRY, |timeout| timeout.min(RETRY)));
        }
        if expected == Expected::Soon && self.last_wait < SHORT_WAIT {
            let mut now = begun;
            while now - begun < LONGEST_LOOK {
                self.poll(Some(now), Some(Duration::ZERO))?;
                if self.woken {
                    self.last_wait = now - begun;
                    return Ok(());
                }
                std::thread::yield_now();
                now = Instant::now();
            }
        }
        self.poll(Some(begun), timeout)?;
        self.last_wait = begun.elapsed();
        Ok(())
    }

    /// Sets the latches of what is ready, sleeping until something is. Unlike [`wait`](Self::wait)
    /// it reads no clock, which would add to the times that a caller measures.
    ///
    /// # Errors
    /// When the poller itself fails.
    pub(crate) fn sleep(&mut self) -> io::Result<()> {
        self.poll(None, None)
    }

    /// Sets the latches of what is ready now, without sleeping.
    ///
    /// # Errors
    /// When the poller itself fails.
    pub(crate) fn look(&mut self) -> io::Result<()> {
        self.poll(Some(Instant::now()), Some(Duration::ZERO))
    }

    /// Polls once, and once more without sleeping if a signal interrupted that. `begun` is when the
    /// poll began, if the caller knows; it moves [`looked_at`](Self::looked_at) on.
    fn poll(&mut self, begun: Option<Instant>, timeout: Option<Duration>) -> io::Result<()> {
        self.woken = false;
        if self.poll_once(timeout)? {
            // If there was no event, the poll lasted as long as its timeout.
            let slept = timeout.filter(|_| self.events.is_empty()).unwrap_or_default();
            self.looked_at = begun.map_or(self.looked_at, |begun| begun + slept);
        } else {
            // An interrupted epoll_wait(2) returns no events. What became ready meanwhile has to be
            // polled for before anything is judged to be late. (A stop signal interrupts it too:
            // signal(7).)
            self.hear_signals();
            let again = Instant::now();
            if self.poll_once(Some(Duration::ZERO))? {
                self.looked_at = again;
            }
        }
        for event in &self.events {
            if event.token() == SIGNALS {
                self.woken = true;
            } else if let Some(Some(latch)) = self.latches.get(event.token().0) {
                let failed = event.is_error() || latch.closes(event);
                self.woken |= event.is_readable() || failed || !latch.writable();
                latch.failed.set(latch.failed() || failed);
                latch.readable.set(latch.readable() || event.is_readable() || failed);
                latch.writable.set(latch.writable() || event.is_writable() || failed);
            }
        }
        if self.events.iter().any(|event| event.token() == SIGNALS) {
            self.hear_signals();
        }
        Ok(())
    }

    /// Polls; `false` when a signal interrupted it, so that there are no events.
    fn poll_once(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn hear_signals(&mut self) {
        self.heard.extend(self.signals.pending().map(|number| match number {
            SIGUSR1 => Signal::Report,
            SIGCHLD => Signal::Child,
            number => Signal::Stop(number),
        }));
    }

    /// Takes the oldest signal that has not been handled.
    pub(crate) fn signal(&mut self) -> Option<Signal> {
        if self.heard.is_empty() { None } else { Some(self.heard.remove(0)) }
    }
}
