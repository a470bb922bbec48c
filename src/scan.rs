//! Port scanning: sends probes, a limited number at a time, and prints results as they come.
//!
//! The modules `tcp` and `udp` know how a port is asked and what an answer is (`probe` is what they
//! have in common); this one decides when the next is asked and when the scan is over. It knows nothing of names and options.

pub(crate) mod plan;
pub mod ports;
mod probe;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod results;
mod tcp;
mod udp;
pub(crate) mod wait;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::engine::flow::Cuts;
use crate::engine::pace::Pace;
use crate::error::{Error, Result, Status};
use crate::io::reactor::{Expected, Reactor, Signal};
use crate::net::address::Protocol;
use crate::net::socket::said::NO_ROOM_PAUSE;
use crate::observe::journal::Verbosity;
use crate::run::console::{Console, OutputReader};
use crate::scan::report::PortState;
use plan::{Order, Plan};
use probe::{Answer, Asked, Job, Prober};
use progress::ScanBar;
use results::Results;
use wait::{Verdict, Waiting};

/// Probes that are sent before the loop looks for answers, signals and deadlines.
const PROBES_A_ROUND: usize = 256;

/// A scan under way.
pub(crate) struct Scanner {
    plan: Plan,
    prober: Box<dyn Prober>,
    /// Ports to probe; the first one is next. One that is asked again stands behind those that were not asked
    /// yet, which would else never be where probes leave slowly.
    fresh: VecDeque<u16>,
    /// Questions to ask before those of `fresh`: at another address, or again because there was no
    /// room.
    again: VecDeque<Job>,
    pace: Option<Pace>,
    /// When to try again after [`Asked::NoRoom`].
    room_at: Option<Instant>,
    results: Results,
    /// Set while ports are asked until they are open (`--wait`).
    waiting: Option<Waiting>,
    console: Console,
    verbosity: Verbosity,
    progress: ScanBar,
    started: Instant,
}

impl Scanner {
    /// A scan that is ready to begin.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(
        plan: Plan,
        results: Results,
        console: Console,
        verbosity: Verbosity,
        progress: ScanBar,
        reactor: &mut Reactor,
    ) -> Result<Self> {
        let prober: Box<dyn Prober> = match plan.protocol {
            Protocol::Tcp => Box::new(tcp::TcpProber::new(plan.targets.clone(), plan.timeout)),
            Protocol::Udp => Box::new(udp::UdpProber::new(&plan, reactor)?),
        };
        let mut fresh = plan.ports.clone();
        if plan.order == Order::Shuffled {
            fastrand::shuffle(&mut fresh);
        }
        Ok(Self {
            pace: Pace::new(
                plan.rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
                None,
                Cuts::Anywhere,
            ),
            prober,
            fresh: fresh.into(),
            again: VecDeque::new(),
            room_at: None,
            results,
            waiting: None,
            console,
            verbosity,
            progress,
            started: Instant::now(),
            plan,
        })
    }

    /// From now on ports are asked until they are open, as this says.
    #[must_use]
    pub(crate) fn waiting(self, waiting: Waiting) -> Self {
        Self { waiting: Some(waiting), ..self }
    }

    /// Probes all ports and prints the results, also those so far when it fails or is stopped.
    ///
    /// # Errors
    /// When the kernel refuses to probe at all, standard output fails, or a signal stops the scan.
    pub(crate) fn run(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        let mut result = self.ask_all(reactor);
        self.progress.end(&self.console.journal());
        if !matches!(result, Ok(OutputReader::Gone)) {
            self.end_wait();
            self.results.conclude();
            // After a signal to stop, a reader that is slow is not waited for.
            let written =
                if is_stopped(&result) { self.write(reactor) } else { self.write_all(reactor) };
            // The run ends with the first error.
            result = result.and(written);
        }
        if !matches!(result, Ok(OutputReader::Gone)) {
            self.say(Verbosity::Normal);
        }
        // A signal can still end this, if the reader of standard error does not read.
        while !self.console.flush(reactor) && !is_stopped(&result) {
            self.wait(reactor, None)?;
        }
        result
    }

    fn write_all(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        while self.results.is_waiting() {
            if self.write(reactor)? == OutputReader::Gone {
                return Ok(OutputReader::Gone);
            }
            if self.results.is_waiting() {
                self.wait(reactor, None)?;
            }
        }
        Ok(OutputReader::There)
    }

    /// The results so far.
    #[must_use]
    pub(crate) fn results(&self) -> &Results {
        &self.results
    }

    fn ask_all(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        let mut answers = Vec::new();
        loop {
            self.ask(reactor, &mut answers)?;
            let now = Instant::now();
            self.prober.collect(reactor.looked_at(), reactor, &mut answers)?;
            for answer in answers.drain(..) {
                self.settle(answer);
            }
            self.look_after_wait(now);
            if self.write(reactor)? == OutputReader::Gone {
                return Ok(OutputReader::Gone);
            }
            if self.results.is_complete() {
                return Ok(OutputReader::There);
            }
            self.progress.update(now, &self.results.tally(), &self.console.journal());
            self.console.flush(reactor);
            let wait = self.waiting.as_ref().map(Waiting::deadline);
            let wakes =
                [self.next_probe(now), self.prober.deadline(), self.progress.deadline(), wait];
            self.wait(reactor, wakes.into_iter().flatten().min())?;
        }
    }

    /// Sends the probes that the limits allow now.
    fn ask(&mut self, reactor: &mut Reactor, answers: &mut Vec<Answer>) -> Result<()> {
        let now = Instant::now();
        if self.room_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        let allowed = match &mut self.pace {
            None => usize::MAX,
            Some(pace) => pace.allowance(now).map_or(0, |allowed| allowed.messages),
        };
        let mut sent = 0;
        while sent < allowed.min(PROBES_A_ROUND) {
            let asked = match self.prober.ask_again(now, answers)? {
                Some(asked) => asked,
                None => match self.next_job() {
                    Some(job) => self.ask_first(job, reactor, answers)?,
                    None => break,
                },
            };
            if asked == Asked::NoRoom {
                self.room_at = Some(now + NO_ROOM_PAUSE);
                break;
            }
            sent += 1;
        }
        if let Some(pace) = self.pace.as_mut().filter(|_| sent > 0) {
            pace.spent(sent, 0);
        }
        Ok(())
    }

    fn ask_first(
        &mut self,
        job: Job,
        reactor: &mut Reactor,
        answers: &mut Vec<Answer>,
    ) -> Result<Asked> {
        let asked = self.prober.ask(job, reactor, answers)?;
        if asked == Asked::NoRoom {
            self.again.push_front(job);
        }
        Ok(asked)
    }

    /// When the next probe may be sent; `None` when that depends on answers and not on time.
    fn next_probe(&self, now: Instant) -> Option<Instant> {
        let due = if self.has_next() { Some(now) } else { self.prober.again_at() };
        let not_before = self.room_at.max(self.pace.as_ref().and_then(Pace::next));
        due.map(|due| not_before.map_or(due, |at| at.max(due)))
    }

    /// Whether the number of probes in flight and the reader of the results allow a new probe.
    fn has_next(&self) -> bool {
        self.prober.in_flight() < self.plan.concurrency
            && !self.results.is_congested()
            && !(self.again.is_empty() && self.fresh.is_empty())
    }

    fn next_job(&mut self) -> Option<Job> {
        if !self.has_next() {
            return None;
        }
        let first = |port| Job { port, target: 0, so_far: None };
        self.again.pop_front().or_else(|| self.fresh.pop_front().map(first))
    }

    /// A port is settled when it is open, or was asked at every address.
    fn settle(&mut self, Answer { job, found }: Answer) {
        let best = match job.so_far {
            Some(before) if before.state >= found.state => before,
            _ => found,
        };
        let target = job.target + 1;
        if best.state == PortState::Open || target == self.plan.targets.len() {
            match &mut self.waiting {
                None => self.results.settle(job.port, best),
                Some(waiting) => waiting.answered(job.port, best, Instant::now()),
            }
        } else {
            self.again.push_back(Job { port: job.port, target, so_far: Some(best) });
        }
    }

    /// Asks the ports again that are waited for; once the wait is over their answers are results.
    fn look_after_wait(&mut self, now: Instant) {
        let Some(waiting) = &mut self.waiting else { return };
        let mut ask = Vec::new();
        let verdict = waiting.verdict(now, &mut ask);
        self.fresh.extend(ask);
        if verdict == Verdict::Over {
            self.end_wait();
        }
    }

    /// The answers so far are the results.
    fn end_wait(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        for (port, found) in waiting.results() {
            self.results.settle(port, found);
        }
    }

    /// Writes results, after removing the progress bar if it is shown.
    fn write(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        if self.results.is_waiting() && self.progress.clear(&self.console.journal()) {
            self.console.flush(reactor);
        }
        self.results.write(reactor)
    }

    fn wait(&mut self, reactor: &mut Reactor, deadline: Option<Instant>) -> Result<()> {
        let waited = reactor.wait(deadline, Expected::Whenever);
        waited.map_err(|cause| Error::system("poll", &cause))?;
        while let Some(signal) = reactor.signal() {
            match signal {
                Signal::Stop(number) => return Err(Error::stopped(number)),
                Signal::Report => self.say(Verbosity::Quiet),
                Signal::Child => {}
            }
        }
        Ok(())
    }

    /// Prints the counts so far.
    fn say(&mut self, least: Verbosity) {
        if self.verbosity < least {
            return;
        }
        self.progress.clear(&self.console.journal());
        let seconds = self.started.elapsed().as_secs_f64();
        let tally = match &self.waiting {
            None => self.results.tally(),
            Some(waiting) => waiting.tally(self.plan.protocol),
        };
        self.console.journal().line(&format!("{tally}, {seconds:.3} s"));
    }
}

/// Whether a signal has stopped the scan.
fn is_stopped(result: &Result<OutputReader>) -> bool {
    matches!(result, Err(error) if matches!(error.status, Status::Stopped(_)))
}
