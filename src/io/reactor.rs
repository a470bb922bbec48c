//! The one event loop: readiness of descriptors, signals and deadlines.
//!
//! It must not know what the descriptors are for. Every descriptor is registered once,
//! edge-triggered (epoll(7)). An event sets its [`Latch`]; a caller that gets `EWOULDBLOCK` clears
//! it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sys::signal::SigSet;
use nix::sys::stat::{SFlag, fstat};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1};
use signal_hook_mio::v1_0::Signals;

use crate::io::latch::Latch;
use crate::sys;

const SIGNALS: Token = Token(usize::MAX);
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
                let latch = Latch::watched(Token(index), interest);
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
                    return Ok(Latch::unwatched(interest));
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
            self.latches[latch.id()] = None;
            self.free.push(latch.id());
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
        if self.retried.iter().filter(|latch| latch.retries()).count() > 0 {
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
                self.woken |= latch.set(event);
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
