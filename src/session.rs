//! What every part of one run shares: the reactor, the console, the counters and the clock.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::address::Protocol;
use crate::console::{Console, Verbosity};
use crate::error::{Error, Result, Status};
use crate::reactor::{Reactor, Signal};
use crate::report;
use crate::sys;
use crate::tap::Tap;

/// The shared parts of one run.
pub struct Session {
    /// The event loop.
    pub reactor: Reactor,
    /// Lines for people.
    pub console: Console,
    /// What has passed.
    pub tap: Rc<Tap>,
    /// When the run began.
    pub started: Instant,
    /// When the whole run must be over (`--timeout`), and the limit as given.
    limit: Option<(Instant, Duration)>,
    protocol: Protocol,
    /// Datagram sockets whose dropped datagrams are counted.
    drops_of: Vec<Rc<Socket>>,
}

impl Session {
    /// Begins a run.
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
        Ok(Self {
            reactor,
            console: Console::new(verbosity),
            tap: Rc::new(Tap::default()),
            started,
            limit: timeout.map(|limit| (started + limit, limit)),
            protocol,
            drops_of: Vec::new(),
        })
    }

    /// Prints a line with `-v`.
    pub fn verbose(&mut self, line: fmt::Arguments<'_>) {
        self.console
            .say(Verbosity::Verbose, &mut self.reactor, line);
    }

    /// Prints a line unless `--quiet`.
    pub fn notice(&mut self, line: fmt::Arguments<'_>) {
        self.console.say(Verbosity::Normal, &mut self.reactor, line);
    }

    /// What is left of the whole run's time.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.limit
            .map(|(end, _)| end.saturating_duration_since(Instant::now()))
    }

    /// From now on the summary tells what the kernel dropped at this socket.
    pub fn count_drops_of(&mut self, socket: &Rc<Socket>) {
        self.drops_of.push(Rc::clone(socket));
    }

    /// Sleeps until something is ready, `deadline` or the end of the run's time.
    ///
    /// # Errors
    /// When the poller fails, the run's time is over or a signal stops it.
    pub fn wait(&mut self, deadline: Option<Instant>) -> Result<()> {
        let nearest = [deadline, self.limit.map(|(end, _)| end)]
            .into_iter()
            .flatten()
            .min();
        self.console.flush(&mut self.reactor);
        self.reactor
            .wait(nearest)
            .map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    /// Takes notice of what is ready, without sleeping.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn look(&mut self) -> Result<()> {
        self.reactor
            .look()
            .map_err(|cause| Error::system("poll", &cause))?;
        self.check()
    }

    fn check(&mut self) -> Result<()> {
        while let Some(signal) = self.reactor.signal() {
            match signal {
                Signal::Stop(number) => return Err(Error::stopped(number)),
                Signal::Report => self.summary(Verbosity::Quiet),
            }
        }
        match self.limit {
            Some((end, limit)) if Instant::now() >= end => {
                Err(timed_out("--timeout", "the run is not done", limit))
            }
            _ => Ok(()),
        }
    }

    /// Prints the summary if so much is to be said.
    pub fn summary(&mut self, least: Verbosity) {
        self.count_drops();
        let line = report::summary(&self.tap, self.protocol, self.started.elapsed());
        self.console
            .say(least, &mut self.reactor, format_args!("{line}"));
    }

    fn count_drops(&self) {
        if !self.drops_of.is_empty() {
            let drops = self
                .drops_of
                .iter()
                .filter_map(|socket| sys::receive_drops(&**socket).ok());
            self.tap.kernel_drops.set(drops.sum());
        }
    }

    /// Ends the run: the summary, what was lost, and everything said is written.
    pub fn finish(mut self) {
        self.count_drops();
        let drops = self.tap.kernel_drops.get();
        if drops > 0 && self.console.verbosity() == Verbosity::Normal {
            let lost = report::counted(drops, "datagram");
            self.notice(format_args!(
                "pktcat: receive: {lost} dropped by the kernel"
            ));
        }
        self.summary(Verbosity::Verbose);
        while !self.console.flush(&mut self.reactor) {
            if self.wait(None).is_err() {
                return;
            }
        }
    }
}

/// The error for a limit that passed.
#[must_use]
pub fn timed_out(option: &str, why: &str, limit: Duration) -> Error {
    let limit = humantime::format_duration(limit);
    Error::new(
        Status::TimedOut,
        "timed out",
        "",
        format!("{why} after {limit}"),
    )
    .hint(option)
}
