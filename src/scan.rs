//! Port scanning: sends probes, a limited number at a time, and prints results as they come.
//!
//! The modules `tcp` and `udp` know how to probe a port and what an answer means; this one decides
//! when the next probe is sent and when the scan is over. It must not know of host names and
//! options.

pub mod ports;
pub mod progress;
pub mod report;
pub mod results;
mod tcp;
mod udp;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::engine::flow::Cuts;
use crate::engine::pace::Pace;
use crate::error::{Error, Result, Status};
use crate::io::reactor::{Expected, Reactor, Signal};
use crate::net::address::Protocol;
use crate::observe::journal::Verbosity;
use crate::run::console::Console;
use crate::scan::report::{Found, PortState};
use progress::ScanBar;
use results::{OutputReader, Results};

/// Probes that are sent before the loop looks for answers, signals and deadlines.
const PROBES_A_ROUND: usize = 256;

/// How long to wait after descriptors, memory or source ports have run out.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(5);

/// An address of the host that is scanned.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The address to probe; its port is not used.
    pub address: SocketAddr,
    /// The source address of the probes.
    pub local: IpAddr,
}

impl Target {
    /// The address, if this machine has a route to it.
    ///
    /// # Errors
    /// The error of connect(2) when there is no route.
    pub fn new(mut address: SocketAddr) -> io::Result<Self> {
        // Connecting a datagram socket looks the route up and sends nothing. Any port will do.
        address.set_port(9);
        let socket = open(address, Protocol::Udp)?;
        socket.connect(&address.into())?;
        let local = crate::net::socket::local_address(&socket)
            .and_then(|local| local.internet())
            .unwrap_or(address)
            .ip();
        Ok(Self { address, local })
    }

    fn at(&self, port: u16) -> SocketAddr {
        let mut address = self.address;
        address.set_port(port);
        address
    }
}

/// A non-blocking socket, without the socket options of the command line: no data is sent.
fn open(address: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    Socket::new(Domain::for_address(address), kind.nonblocking(), None)
}

/// The order in which ports are probed and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the lowest up.
    Ascending,
    /// Probed at random, and shown in the order of the answers (`--shuffle`).
    Shuffled,
}

/// What to probe, and how fast.
#[derive(Debug)]
pub struct Plan {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The addresses of one host. A port is open if it is open at any of them: the next address is
    /// probed when the port was not open at the one before.
    pub targets: Vec<Target>,
    /// Ascending, without duplicates.
    pub ports: Vec<u16>,
    /// See [`Order`].
    pub order: Order,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The most probes in flight.
    pub concurrency: usize,
    /// The most probes per second, repeated ones included.
    pub rate: Option<u32>,
    /// The payload of a UDP probe.
    pub payload: Vec<u8>,
}

/// One question: a port at one of the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job {
    port: u16,
    /// Index into [`Plan::targets`].
    target: usize,
    /// The best answer of the addresses before this one.
    so_far: Option<Found>,
}

/// The answer to a question.
#[derive(Debug)]
struct Answer {
    job: Job,
    found: Found,
}

/// Whether a probe was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// It is in flight, or was answered at once.
    Yes,
    /// Descriptors, memory or source ports have run out for now.
    NoRoom,
}

/// Probing ports over one protocol.
trait Prober {
    /// Sends the first probe of a question.
    fn ask(&mut self, job: Job, reactor: &mut Reactor, answers: &mut Vec<Answer>) -> Result<Asked>;

    /// Repeats one probe whose answer may have been lost; `None` when none is due.
    fn ask_again(&mut self, now: Instant, answers: &mut Vec<Answer>) -> Result<Option<Asked>>;

    /// Collects the answers that have come, and gives up questions whose time is over at `now`.
    fn collect(
        &mut self,
        now: Instant,
        reactor: &mut Reactor,
        answers: &mut Vec<Answer>,
    ) -> Result<()>;

    /// Questions without an answer yet.
    fn in_flight(&self) -> usize;

    /// When the next probe is to be repeated.
    fn again_at(&self) -> Option<Instant>;

    /// When the next question is to be given up.
    fn deadline(&self) -> Option<Instant>;
}

/// A scan in progress.
pub struct Scanner {
    plan: Plan,
    prober: Box<dyn Prober>,
    /// Ports that were not probed yet; the last one is next.
    fresh: Vec<u16>,
    /// Questions to ask before those of `fresh`: at another address, or again because there was no
    /// room.
    again: VecDeque<Job>,
    pace: Option<Pace>,
    /// When to try again after [`Asked::NoRoom`].
    room_at: Option<Instant>,
    results: Results,
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
    pub fn new(
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
        match plan.order {
            Order::Ascending => fresh.reverse(),
            Order::Shuffled => fastrand::shuffle(&mut fresh),
        }
        Ok(Self {
            pace: Pace::new(
                plan.rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
                None,
                Cuts::Anywhere,
            ),
            prober,
            fresh,
            again: VecDeque::new(),
            room_at: None,
            results,
            console,
            verbosity,
            progress,
            started: Instant::now(),
            plan,
        })
    }

    /// Probes all ports and prints the results, also those so far when it fails or is stopped.
    ///
    /// # Errors
    /// When the kernel refuses to probe at all, standard output fails, or a signal stops the scan.
    pub fn run(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        let mut result = self.ask_all(reactor);
        self.progress.end(&self.console.journal());
        if !matches!(result, Ok(OutputReader::Gone)) {
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
    pub fn results(&self) -> &Results {
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
            if self.write(reactor)? == OutputReader::Gone {
                return Ok(OutputReader::Gone);
            }
            if self.results.is_complete() {
                return Ok(OutputReader::There);
            }
            self.progress.update(now, &self.results.tally(), &self.console.journal());
            self.console.flush(reactor);
            let wakes = [self.next_probe(now), self.prober.deadline(), self.progress.deadline()];
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
        self.again.pop_front().or_else(|| self.fresh.pop().map(first))
    }

    /// A port is settled when it is open, or was asked at every address.
    fn settle(&mut self, Answer { job, found }: Answer) {
        let best = match job.so_far {
            Some(before) if before.state >= found.state => before,
            _ => found,
        };
        let target = job.target + 1;
        if best.state == PortState::Open || target == self.plan.targets.len() {
            self.results.settle(job.port, best);
        } else {
            self.again.push_back(Job { port: job.port, target, so_far: Some(best) });
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
        let tally = self.results.tally();
        self.console.journal().line(&format!("{tally}, {seconds:.3} s"));
    }
}

/// Whether a signal has stopped the scan.
fn is_stopped(result: &Result<OutputReader>) -> bool {
    matches!(result, Err(error) if matches!(error.status, Status::Stopped(_)))
}
