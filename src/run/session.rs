//! What all parts of one run share: the reactor, the console, the counters and the time limit.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::reactor::{Expected, Reactor, Signal};
use crate::net::address::Protocol;
use crate::net::local::Name;
use crate::observe::journal::Verbosity;
use crate::observe::tap::{Event, Observer, Summary, Tap};
use crate::run::console::Console;
use crate::run::limits::Limit;
use crate::sys;

/// How often the kernel's counts of dropped datagrams are read, unless an observer has a period.
const TICK: Duration = Duration::from_millis(100);

/// Who tells of the run so far when SIGUSR1 asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reports {
    /// The session, by a summary of what has passed its tap.
    Summed,
    /// The caller, who knows more; whether somebody has asked since it looked.
    Left { asked: bool },
}

/// The shared parts of one run.
pub(crate) struct Session {
    /// The event loop.
    pub reactor: Reactor,
    /// Standard error.
    pub console: Console,
    /// How much is reported there.
    pub verbosity: Verbosity,
    /// Counters and observers.
    pub tap: Rc<Tap>,
    /// The limit of the whole run (`--timeout`).
    limit: Option<Limit>,
    protocol: Protocol,
    /// Paths of local sockets, which are removed at the end.
    pub names: Vec<Name>,
    /// Set when a child has ended; whoever looks for ended children clears it.
    pub child_ended: bool,
    /// Who tells of the run so far when SIGUSR1 asks.
    reports: Reports,
    /// The datagram sockets whose dropped datagrams the summary counts.
    drops_of: Vec<Rc<Socket>>,
    /// Datagrams dropped at sockets that were closed.
    drops_before: u64,
    /// The dump and capture files.
    files: Vec<Console>,
    /// When the next tick is due.
    next_tick: Instant,
    /// How often observers want the counters, even if nothing happens.
    period: Option<Duration>,
}

impl Session {
    /// Begins a run without observers.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(
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
            reports: Reports::Summed,
            drops_of: Vec::new(),
            drops_before: 0,
            files: Vec::new(),
            next_tick: started,
            period: None,
        })
    }

    /// Adds an observer.
    pub(crate) fn observe(&mut self, observer: Box<dyn Observer>) {
        self.period = [self.period, observer.period()].into_iter().flatten().min();
        self.tap.add(observer);
    }

    /// From now on the caller tells of the run so far, whenever it [is asked](Self::is_asked).
    pub(crate) fn leave_reports(&mut self) {
        if self.reports == Reports::Summed {
            self.reports = Reports::Left { asked: false };
        }
    }

    /// Whether SIGUSR1 has come since the last look, and the caller is to answer it.
    pub(crate) fn is_asked(&mut self) -> bool {
        match &mut self.reports {
            Reports::Summed => false,
            Reports::Left { asked } => std::mem::take(asked),
        }
    }

    /// Adds a file to write to. If the file fails, the run fails.
    pub(crate) fn add_file(&mut self, file: Console) {
        self.files.push(file);
    }

    /// Reports an event to all observers.
    pub(crate) fn event(&mut self, event: &Event<'_>) {
        if matches!(event, Event::Listening { .. } | Event::Connected(_)) {
            self.begin_files();
        }
        self.tap.event(event);
        self.flush();
    }

    /// With `-v`, names an address that was tried and failed, where others are tried, too.
    pub(crate) fn tell_tried(&mut self, error: &Error) {
        if self.verbosity == Verbosity::Verbose {
            self.event(&Event::Detail(&format!("tried {}", error.without_operation())));
        }
    }

    /// Truncates the files and allows writing to them. A run that fails before this leaves the
    /// files unchanged.
    pub(crate) fn begin_files(&mut self) {
        for file in &mut self.files {
            file.begin(&mut self.reactor);
        }
    }

    /// Writes as much text as fits; `false` while some of it waits.
    fn flush(&mut self) -> bool {
        let mut done = self.console.flush(&mut self.reactor);
        for file in &mut self.files {
            done &= file.flush(&mut self.reactor);
        }
        done
    }

    /// Writes as much text as fits. A file that takes none has to be told now: no event would wake the
    /// loop for it.
    fn flush_before_sleep(&mut self) -> Result<()> {
        self.flush();
        self.check_files()
    }

    fn check_files(&mut self) -> Result<()> {
        self.files.iter_mut().find_map(Console::failure).map_or(Ok(()), Err)
    }

    /// Whether so much text waits that no data should be moved that adds to it.
    #[must_use]
    pub(crate) fn is_congested(&mut self) -> bool {
        !self.flush()
            && (self.console.is_congested() || self.files.iter().any(Console::is_congested))
    }

    /// From now on the summary counts the datagrams that the kernel drops at this socket.
    pub(crate) fn count_drops_of(&mut self, socket: &Rc<Socket>) {
        self.drops_of.push(Rc::clone(socket));
    }

    /// Stops watching a datagram socket. The datagrams dropped at it stay counted. Dropping the
    /// last `Rc` closes it.
    pub(crate) fn leave(&mut self, socket: &Rc<Socket>, latch: &Latch) {
        self.reactor.forget(&**socket, latch);
        let known = self.drops_of.len();
        self.drops_of.retain(|counted| !Rc::ptr_eq(counted, socket));
        if self.drops_of.len() < known {
            self.drops_before += sys::receive_drops(&**socket).unwrap_or(0);
        }
    }

    /// Counts the datagrams that the kernel has dropped at a socket which is about to be closed.
    pub(crate) fn count_last_drops_of(&mut self, socket: &Socket) {
        self.drops_before += sys::receive_drops(socket).unwrap_or(0);
    }

    /// Sleeps until something is ready, or `deadline` or the limit of the run has come.
    ///
    /// # Errors
    /// When polling fails, the limit of the run has passed, a file cannot be written, or a signal
    /// stops the run.
    pub(crate) fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.wait_for(deadline, Expected::Whenever)
    }

    /// As [`wait`](Self::wait), with a hint on how soon something will be ready.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn wait_for(&mut self, deadline: Option<Instant>, expected: Expected) -> Result<()> {
        let tick = self.period.map(|_| self.next_tick);
        let nearest =
            [deadline, self.limit.map(|limit| limit.at()), tick].into_iter().flatten().min();
        self.flush_before_sleep()?;
        self.reactor.wait(nearest, expected).map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// As [`wait`](Self::wait) without a deadline. It reads no clock unless the run has a limit or
    /// an observer a period, because that would add to the times that a caller measures.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn sleep(&mut self) -> Result<()> {
        if self.limit.is_some() || self.period.is_some() {
            return self.wait(None);
        }
        self.flush_before_sleep()?;
        self.reactor.sleep().map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// Updates what is ready, without sleeping.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub(crate) fn look(&mut self) -> Result<()> {
        self.reactor.look().map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// The time up to which all events are known; time limits are judged by it. See
    /// [`Reactor::looked_at`].
    #[must_use]
    pub(crate) fn looked_at(&self) -> Instant {
        self.reactor.looked_at()
    }

    fn check(&mut self) -> Result<()> {
        if self.period.is_some() || self.tap.is_watched() {
            self.tick(Instant::now());
        }
        self.check_files()?;
        while let Some(signal) = self.reactor.signal() {
            match signal {
                Signal::Stop(number) => return Err(Error::stopped(number)),
                Signal::Report => match &mut self.reports {
                    Reports::Summed => self.summary(None),
                    Reports::Left { asked } => *asked = true,
                },
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

    /// If it is time, gives the counters to the observers and updates the count of dropped
    /// datagrams.
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

    /// Reports the counters so far; with the exit status, those of the whole run.
    fn summary(&mut self, status: Option<u8>) {
        self.count_drops();
        let counters = self.tap.summary(self.protocol, status.is_some());
        let summary = Summary { status, ..counters };
        self.event(&Event::Summary(&summary));
    }

    fn count_drops(&self) {
        if !self.drops_of.is_empty() || self.drops_before > 0 {
            let drops =
                self.drops_of.iter().filter_map(|socket| sys::receive_drops(&**socket).ok());
            self.tap.dropped(self.drops_before + drops.sum::<u64>());
        }
    }

    /// Ends the run: reports the error, if there is one, and the summary, and writes all text that
    /// waits.
    ///
    /// # Errors
    /// The error in `result`, marked as reported; otherwise what kept text from being written.
    pub(crate) fn finish(mut self, result: Result<()>) -> Result<()> {
        let result = result.map_err(|error| self.tell(error));
        if matches!(&result, Err(error) if error.status == Status::Stopped(libc::SIGINT))
            && self.verbosity == Verbosity::Verbose
            && sys::echoes_control(io::stderr())
        {
            // The terminal has written ^C, and does not end the line.
            self.console.journal().append(|text| text.push(b'\n'));
        }
        let status = result.as_ref().err().map_or(0, |error| error.status.code());
        self.summary(Some(status));
        let result = match result {
            // After a signal to stop, a reader that is slow is not waited for.
            Err(error) if matches!(error.status, Status::Stopped(_)) => {
                self.flush();
                Err(error)
            }
            Err(error) => {
                // The run ends with its first error.
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

    /// Waits until all text is written.
    ///
    /// # Errors
    /// When a signal to stop or the limit of the run comes first.
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
