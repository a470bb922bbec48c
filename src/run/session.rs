//! What every part of one run shares: the reactor, the console, the counters and the clock.

use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::reactor::{Expected, Latch, Reactor, Signal};
use crate::net::address::Protocol;
use crate::net::local::Name;
use crate::observe::journal::Verbosity;
use crate::observe::tap::{Event, Observer, Tap};
use crate::run::console::Console;
use crate::run::limits::Limit;
use crate::sys;

/// How often, at most, observers hear of the counters.
const TICK: Duration = Duration::from_millis(100);

/// The shared parts of one run.
pub struct Session {
    /// The event loop.
    pub reactor: Reactor,
    /// Lines for people.
    pub console: Console,
    /// How much is said.
    pub verbosity: Verbosity,
    /// What passes, and who wants to know.
    pub tap: Rc<Tap>,
    /// When the whole run must be over (`--timeout`).
    limit: Option<Limit>,
    protocol: Protocol,
    /// Paths of local sockets, to be removed at the end.
    pub names: Vec<Name>,
    /// Whether a child has ended since somebody looked.
    pub child_ended: bool,
    /// Datagram sockets whose dropped datagrams are counted.
    drops_of: Vec<Rc<Socket>>,
    /// What was dropped at those that are gone.
    drops_before: u64,
    /// Files of the user's choice that are written to.
    files: Vec<Console>,
    /// When the next tick is due.
    next_tick: Instant,
    /// How often somebody must hear of the counters, even when nothing happens.
    period: Option<Duration>,
}

impl Session {
    /// Begins a run that nobody observes yet.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn new(
        protocol: Protocol,
        verbosity: Verbosity,
        timeout: Option<Duration>,
    ) -> Result<Self> {
        let started = Instant::now();
        let reactor = Reactor::new().map_err(|cause| Error::system("event loop", &cause))?;
        let console = Console::stderr();
        let tap = Rc::new(Tap::new(started));
        Ok(Self {
            reactor,
            console,
            verbosity,
            tap,
            limit: timeout.map(|given| Limit::new("--timeout", given, started)),
            protocol,
            names: Vec::new(),
            child_ended: false,
            drops_of: Vec::new(),
            drops_before: 0,
            files: Vec::new(),
            next_tick: started,
            period: None,
        })
    }

    /// Adds somebody who wants to know.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.period = [self.period, observer.period()].into_iter().flatten().min();
        self.tap.add(observer);
    }

    /// Adds a file that is written to; the run fails when it does.
    pub fn add_file(&mut self, file: Console) {
        self.files.push(file);
    }

    /// Tells everybody who wants to know what happened.
    pub fn event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Listening { .. } | Event::Connected(_)) {
            self.begin_files();
        }
        self.tap.event(event);
        self.flush();
    }

    /// There is something to write from now on: files lose what they held before. A run that fails
    /// before that leaves them as they were.
    pub fn begin_files(&mut self) {
        for file in &mut self.files {
            file.begin(&mut self.reactor);
        }
    }

    /// Writes what there is room for; `false` while something still waits.
    fn flush(&mut self) -> bool {
        let mut done = self.console.flush(&mut self.reactor);
        for file in &mut self.files {
            done &= file.flush(&mut self.reactor);
        }
        done
    }

    /// Whether so much text waits for its readers that no bytes should move that add to it.
    #[must_use]
    pub fn is_congested(&mut self) -> bool {
        !self.flush()
            && (self.console.is_congested() || self.files.iter().any(Console::is_congested))
    }

    /// From now on the summary tells what the kernel dropped at this socket.
    pub fn count_drops_of(&mut self, socket: &Rc<Socket>) {
        self.drops_of.push(Rc::clone(socket));
    }

    /// The run goes on without this datagram socket: nobody watches it any more, and what was dropped
    /// at it stays counted. It is closed when the caller lets go of it.
    pub fn leave(&mut self, socket: &Rc<Socket>, latch: &Latch) {
        self.reactor.forget(&**socket, latch);
        let known = self.drops_of.len();
        self.drops_of.retain(|counted| !Rc::ptr_eq(counted, socket));
        if self.drops_of.len() < known {
            self.drops_before += sys::receive_drops(&**socket).unwrap_or(0);
        }
    }

    /// Sleeps until something is ready, `deadline` or the end of the run's time.
    ///
    /// # Errors
    /// When the poller fails, the run's time is over or a signal stops it.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.wait_for(deadline, Expected::Whenever)
    }

    /// As [`wait`](Self::wait), knowing when something is expected.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_for(&mut self, deadline: Option<Instant>, expected: Expected) -> Result<()> {
        let tick = self.period.map(|_| self.next_tick);
        let nearest =
            [deadline, self.limit.map(|limit| limit.at()), tick].into_iter().flatten().min();
        self.flush();
        self.reactor.wait(nearest, expected).map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// As [`wait`](Self::wait) without a deadline, for those who measure what they wait for: no
    /// clock is read unless the run itself has a limit or an observer a period.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn sleep(&mut self) -> Result<()> {
        if self.limit.is_some() || self.period.is_some() {
            return self.wait(None);
        }
        self.flush();
        self.reactor.sleep().map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// Takes notice of what is ready, without sleeping.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn look(&mut self) -> Result<()> {
        self.reactor.look().map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// The time by which everything that was ready is known, by which ends are judged that come
    /// when nothing has come in time; see [`Reactor::looked_at`].
    #[must_use]
    pub fn looked_at(&self) -> Instant {
        self.reactor.looked_at()
    }

    fn check(&mut self) -> Result<()> {
        if self.period.is_some() || self.tap.is_watched() {
            self.tick(Instant::now());
        }
        if let Some(failure) = self.files.iter_mut().find_map(Console::failure) {
            return Err(failure);
        }
        while let Some(signal) = self.reactor.signal() {
            match signal {
                Signal::Stop(number) => return Err(Error::stopped(number)),
                Signal::Report => self.summary(false),
                Signal::Child => self.child_ended = true,
            }
        }
        match self.limit {
            Some(limit) if limit.is_over(self.looked_at()) => {
                Err(limit.error("the run is not done"))
            }
            _ => Ok(()),
        }
    }

    /// Tells observers how far things are, and what the kernel has dropped by now.
    fn tick(&mut self, now: Instant) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + self.period.unwrap_or(TICK);
        self.count_drops();
        if self.period.is_some() {
            self.tap.tick(&self.tap.summary(self.protocol, false));
        }
        self.flush();
    }

    /// Tells the counters so far.
    fn summary(&mut self, last: bool) {
        self.count_drops();
        let summary = self.tap.summary(self.protocol, last);
        self.event(&Event::Summary(&summary));
    }

    fn count_drops(&self) {
        if !self.drops_of.is_empty() {
            let drops =
                self.drops_of.iter().filter_map(|socket| sys::receive_drops(&**socket).ok());
            self.tap.dropped(self.drops_before + drops.sum::<u64>());
        }
    }

    /// Ends the run: the error if there is one, the summary, and everything said is written.
    ///
    /// # Errors
    /// The result as it was given, its error marked as told; else what kept text from being written.
    pub fn finish(mut self, result: Result<()>) -> Result<()> {
        let result = result.map_err(|error| self.tell(error));
        self.summary(true);
        let result = match result {
            // A run that was told to stop does not wait for somebody to read its last words.
            Err(error) if matches!(error.status, Status::Stopped(_)) => {
                self.flush();
                Err(error)
            }
            Err(error) => {
                // It came first, so it is what the run ends with.
                let _ = self.drain();
                Err(error)
            }
            Ok(()) => self.drain().map_err(|error| {
                let error = self.tell(error);
                self.flush();
                error
            }),
        };
        match self.files.iter_mut().find_map(Console::failure) {
            Some(failure) if result.is_ok() => {
                let failure = self.tell(failure);
                self.flush();
                Err(failure)
            }
            _ => result,
        }
    }

    /// Waits until everything said is written.
    ///
    /// # Errors
    /// When a signal or the end of the run's time comes first: then it is not done.
    fn drain(&mut self) -> Result<()> {
        let end = self.limit.map(|limit| limit.at());
        while !self.flush() {
            while let Some(signal) = self.reactor.signal() {
                if let Signal::Stop(number) = signal {
                    return Err(Error::stopped(number));
                }
            }
            if let Some(limit) = self.limit
                && limit.is_over(self.looked_at())
            {
                return Err(limit.error("what was said is not written"));
            }
            let waited = self.reactor.wait(end, Expected::Whenever);
            waited.map_err(|cause| Error::system("poll", &cause))?;
        }
        Ok(())
    }

    fn tell(&mut self, error: Error) -> Error {
        if !matches!(error.status, Status::Stopped(_)) {
            self.event(&Event::Error(&error));
        }
        error.told()
    }
}

/// Tells small talk from bulk and from silence, from what passed between two waits.
#[derive(Debug, Default)]
pub struct Lull {
    bytes: u64,
}

/// So little between two waits is small talk; waiting for bulk may cost a sleep.
const SMALL_TALK: u64 = 16 * 1024;

impl Lull {
    /// Whether an answer may come at once: something has passed since the last wait, but little.
    pub fn expected(&mut self, tap: &Tap) -> Expected {
        let now = tap.bytes();
        let passed = now - std::mem::replace(&mut self.bytes, now);
        if (1..=SMALL_TALK).contains(&passed) { Expected::Soon } else { Expected::Whenever }
    }
}
