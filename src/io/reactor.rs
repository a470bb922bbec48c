//! The one event loop: readiness of descriptors, signals and deadlines.
//!
//! It hands out wake-ups and knows nothing of what they mean. Every source is registered once;
//! an event sets the source's [`Latch`], and whoever then meets `EWOULDBLOCK` clears it again
//! (epoll(7), edge-triggered).

use std::cell::Cell;
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

use crate::sys;

/// What is known of a source's readiness. Both sides start set: the first call finds out.
#[derive(Debug)]
pub struct Latch {
    readable: Cell<bool>,
    writable: Cell<bool>,
    failed: Cell<bool>,
    /// Whether reading is worth another try soon though nothing will tell.
    untold: Cell<bool>,
    token: Token,
}

impl Latch {
    /// A latch that nothing ever clears or sets: regular files are always ready.
    fn always(token: Token) -> Rc<Self> {
        Rc::new(Self {
            readable: Cell::new(true),
            writable: Cell::new(true),
            failed: Cell::new(false),
            untold: Cell::new(false),
            token,
        })
    }

    /// A small number that is this latch's alone while it is watched.
    pub fn id(&self) -> usize {
        self.token.0
    }

    /// Whether the poller tells of its readiness. What it refuses, regular files and `/dev/null`,
    /// is always ready.
    pub fn is_watched(&self) -> bool {
        self.token != UNWATCHED
    }

    /// Whether reading may find something.
    pub fn readable(&self) -> bool {
        self.readable.get()
    }

    /// Whether writing may find room.
    pub fn writable(&self) -> bool {
        self.writable.get()
    }

    /// Whether the other end hung up or failed since the source was registered.
    pub fn failed(&self) -> bool {
        self.failed.get()
    }

    /// Reading met `EWOULDBLOCK`. A source that cannot be watched stays readable.
    pub fn not_readable(&self) {
        self.readable.set(!self.is_watched());
    }

    /// Reading met something that may pass without a word: the terminal of a job in the background,
    /// which may come to the front, or an error. It is tried again after a while, if the reactor
    /// [looks after](Reactor::look_after) it.
    pub fn not_readable_for_now(&self) {
        self.readable.set(false);
        self.untold.set(true);
    }

    /// Writing met `EWOULDBLOCK`. A source that cannot be watched stays writable.
    pub fn not_writable(&self) {
        self.writable.set(!self.is_watched());
    }
}

const SIGNALS: Token = Token(usize::MAX);
const UNWATCHED: Token = Token(usize::MAX - 1);
const WAKER: Token = Token(usize::MAX - 2);

/// A signal that concerns the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT or SIGTERM: stop, and end by this signal's number.
    Stop(i32),
    /// SIGUSR1: print the summary so far.
    Report,
    /// SIGCHLD: a child has ended.
    Child,
}

/// How long something is left alone whose readiness nobody tells of.
const UNTOLD: Duration = Duration::from_millis(250);

/// When something will be ready, as far as the caller can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Small messages go back and forth: perhaps at once.
    Soon,
    /// Nobody knows.
    Whenever,
}

/// How long to look before sleeping.
const LONGEST_LOOK: Duration = Duration::from_micros(50);

/// A wait that was shorter than this would have been worth looking through.
const SHORT_WAIT: Duration = Duration::from_micros(120);

/// The loop's state: the poller, the latches it sets and the signals it heard.
pub struct Reactor {
    poll: Poll,
    events: Events,
    latches: Vec<Option<Rc<Latch>>>,
    free: Vec<usize>,
    signals: Signals,
    /// The latches whose readiness may change without a word.
    untold: Vec<Rc<Latch>>,
    /// Made when somebody on another thread first has to wake the loop.
    waker: Option<Arc<Waker>>,
    heard: Vec<Signal>,
    /// Whether the last poll found anything new. Room where there was room already is nothing new:
    /// a datagram socket tells of it each time the network takes one off its hands.
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
    /// A reactor that listens for SIGINT, SIGTERM and SIGUSR1.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        // What the parent ignores stays ignored: a shell does that for `command &` in a script.
        let wanted = [SIGINT, SIGTERM, SIGUSR1].into_iter();
        let mut signals = Signals::new(wanted.filter(|signal| !sys::is_ignored(*signal)))?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(256),
            latches: Vec::new(),
            free: Vec::new(),
            signals,
            untold: Vec::new(),
            waker: None,
            heard: Vec::new(),
            woken: false,
            last_wait: Duration::ZERO,
            looked_at: Instant::now(),
        })
    }

    /// The time by which everything that was ready has been told to the latches. Whoever ends
    /// something because nothing came in time judges by this clock: a process that was stopped
    /// (SIGSTOP) goes on late, and does not know yet what came while it was stopped.
    #[must_use]
    pub fn looked_at(&self) -> Instant {
        self.looked_at
    }

    /// From now on the end of a child is a signal like the others.
    ///
    /// # Errors
    /// When the handler cannot be set.
    pub fn hear_children(&mut self) -> io::Result<()> {
        // A parent that has it blocked would leave us without a word of them.
        let mut child = SigSet::empty();
        child.add(nix::sys::signal::Signal::SIGCHLD);
        child.thread_unblock()?;
        self.signals.add_signal(SIGCHLD)
    }

    /// This latch may be [not readable for now](Latch::not_readable_for_now).
    pub fn look_after(&mut self, latch: &Rc<Latch>) {
        self.untold.push(Rc::clone(latch));
    }

    /// What wakes this loop from another thread.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn waker(&mut self) -> io::Result<Arc<Waker>> {
        if let Some(waker) = &self.waker {
            return Ok(Arc::clone(waker));
        }
        let waker = Arc::new(Waker::new(self.poll.registry(), WAKER)?);
        self.waker = Some(Arc::clone(&waker));
        Ok(waker)
    }

    /// Watches a descriptor. One that epoll refuses (EPERM: regular files, `/dev/null`) is always
    /// ready.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub fn watch(&mut self, fd: impl AsFd, interest: Interest) -> io::Result<Rc<Latch>> {
        let index = self.free.pop().unwrap_or(self.latches.len());
        let raw = fd.as_fd().as_raw_fd();
        match self.poll.registry().register(&mut SourceFd(&raw), Token(index), interest) {
            Ok(()) => {
                let latch = Latch::always(Token(index));
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
                if error.kind() == io::ErrorKind::PermissionDenied && !is_waited_for(fd) {
                    return Ok(Latch::always(UNWATCHED));
                }
                Err(error)
            }
        }
    }

    /// Whose latches the last wait or look has set.
    pub fn fired(&self) -> impl Iterator<Item = usize> {
        self.events.iter().map(|event| event.token().0).filter(|id| *id < self.latches.len())
    }

    /// Forgets a descriptor that is about to be closed, and that nobody else holds: closing it is
    /// all the kernel needs (epoll(7)).
    pub fn release(&mut self, latch: &Latch) {
        if latch.is_watched() {
            self.latches[latch.token.0] = None;
            self.free.push(latch.token.0);
        }
    }

    /// Forgets a descriptor; to be called before it is closed.
    pub fn forget(&mut self, fd: impl AsFd, latch: &Latch) {
        if latch.is_watched() {
            let raw = fd.as_fd().as_raw_fd();
            // A descriptor that is already gone needs no forgetting.
            let _ = self.poll.registry().deregister(&mut SourceFd(&raw));
        }
        self.release(latch);
    }

    /// Sets the latches of what is ready, sleeping until `deadline` if nothing is; `None` sleeps
    /// until something happens.
    ///
    /// When an answer is [`Expected::Soon`] and the last wait was a short one, looks for up to
    /// 50 microseconds before it sleeps: falling asleep and waking up again costs more than a
    /// round trip on a fast path. Whoever else wants the core gets it between two looks, and a
    /// wait that turns out long is not looked through the next time.
    ///
    /// # Errors
    /// When the poller itself fails.
    pub fn wait(&mut self, deadline: Option<Instant>, expected: Expected) -> io::Result<()> {
        let begun = Instant::now();
        let mut timeout = deadline.map(|at| at.saturating_duration_since(begun));
        for latch in self.untold.iter().filter(|latch| latch.untold.take()) {
            latch.readable.set(true);
            timeout = Some(timeout.map_or(UNTOLD, |timeout| timeout.min(UNTOLD)));
        }
        if expected == Expected::Soon && self.last_wait < SHORT_WAIT {
            while begun.elapsed() < LONGEST_LOOK {
                self.look()?;
                if self.woken {
                    self.last_wait = begun.elapsed();
                    return Ok(());
                }
                std::thread::yield_now();
            }
        }
        self.poll(Some(begun), timeout)?;
        self.last_wait = begun.elapsed();
        Ok(())
    }

    /// Sets the latches of what is ready, sleeping until something is. Unlike
    /// [`wait`](Self::wait) it reads no clock, for those who measure what they wait for.
    ///
    /// # Errors
    /// When the poller itself fails.
    pub fn sleep(&mut self) -> io::Result<()> {
        self.poll(None, None)
    }

    /// Sets the latches of what is ready now.
    ///
    /// # Errors
    /// When the poller itself fails.
    pub fn look(&mut self) -> io::Result<()> {
        self.poll(Some(Instant::now()), Some(Duration::ZERO))
    }

    /// Polls once, or once more without sleeping when a signal interrupts that; a poll that began at a
    /// known time tells by when everything is known.
    fn poll(&mut self, begun: Option<Instant>, timeout: Option<Duration>) -> io::Result<()> {
        self.woken = false;
        if self.poll_once(timeout)? {
            // One that found nothing was over with its timeout.
            let slept = timeout.filter(|_| self.events.is_empty()).unwrap_or_default();
            self.looked_at = begun.map_or(self.looked_at, |begun| begun + slept);
        } else {
            // A poll that a signal interrupts tells nothing, neither at once nor later (epoll_wait(2),
            // and signal(7) for stop signals): what has become ready has to be asked for again.
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
                let failed = event.is_error() || event.is_read_closed() && event.is_write_closed();
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

    /// Polls; `false` when a signal interrupted that and nothing was told.
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

    /// The oldest signal not yet dealt with.
    pub fn signal(&mut self) -> Option<Signal> {
        if self.heard.is_empty() { None } else { Some(self.heard.remove(0)) }
    }
}
