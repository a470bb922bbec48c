//! Probes at fixed times: whether a port is there, since when, and how fast it answers.
//!
//! `schedule` says when the next one leaves, the probers (`ask`, `echo_stream`, `echo_datagram`) send it and know
//! what an answer is, `tally` and `outages` count; this module is the loop around them. It knows
//! nothing of names and options.

mod ask;
mod attempt;
mod clock;
mod echo_datagram;
mod echo_message;
mod echo_stream;
mod flights;
mod outages;
pub(crate) mod plan;
mod prober;
mod report;
mod schedule;
mod tally;
mod tcp;
mod udp;

use std::io;
use std::time::{Duration, Instant};

use signal_hook::consts::SIGINT;

use crate::error::{Error, Result, Status};
use crate::io::reactor::{Expected, Reactor, Signal};
use crate::io::timer::Timer;
use crate::net::address::Protocol;
use crate::net::socket::said::NO_ROOM_PAUSE;
use crate::run::console::{Console, OutputReader};
use crate::sys;
use ask::{Asker, Question};
use clock::Start;
use outages::Success;
use plan::{Kind, LineFormat, Plan, Style, Until};
use prober::{Outcome, Prober, Sent};
use report::{Counted, Moment};
use schedule::Schedule;
use tally::Tally;

pub(crate) use echo_message::HEADER as LEAST_ECHO;

/// Probes that are sent before the loop looks for answers, signals and deadlines.
const PROBES_A_ROUND: usize = 64;

/// The loop is woken so much before a probe is due, if nothing else is to be heard meanwhile, and waits
/// for the rest without sleeping: a processor that was idle takes some microseconds to be quick again,
/// which would be in the round trip.
const WARM_UP: Duration = Duration::from_micros(50);

/// Whether the run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Going {
    On,
    /// It is over, in the usual way.
    Over,
}

/// The probes of one protocol.
struct Track {
    protocol: Protocol,
    schedule: Schedule,
    prober: Box<dyn Prober>,
    tally: Tally,
    /// The number of the next probe.
    seq: u64,
}

/// A run of probes.
pub(crate) struct Pinger {
    tracks: Vec<Track>,
    until: Until,
    style: Style,
    start: Start,
    timer: Timer,
    /// When to try again after [`Sent::NoRoom`].
    room_at: Option<Instant>,
    stdout: Console,
    stderr: Console,
}

impl Pinger {
    /// A run that is ready to begin; `stderr` is for the summary.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(
        plan: Plan,
        style: Style,
        (stdout, stderr): (Console, Console),
        reactor: &mut Reactor,
    ) -> Result<Self> {
        let timer = Timer::new(reactor)?;
        let start = Start::now();
        // Over two protocols each leaves in the middle between two probes of the other.
        let share = plan.interval / u32::try_from(plan.protocols.len()).unwrap_or(1).max(1);
        let mut begins = start.at;
        let mut tracks = Vec::new();
        for protocol in &plan.protocols {
            tracks.push(Track {
                protocol: *protocol,
                schedule: Schedule::new(begins, plan.interval, plan.until.count()),
                prober: prober(&plan, *protocol)?,
                tally: Tally::new(),
                seq: 1,
            });
            begins += share;
        }
        let until = plan.until;
        Ok(Self { tracks, until, style, start, timer, room_at: None, stdout, stderr })
    }

    /// Sends all probes and prints what becomes of them, then the summary.
    ///
    /// # Errors
    /// When the kernel refuses to probe at all, standard output fails, or a signal other than
    /// SIGINT stops the run; then the summary is printed all the same.
    pub(crate) fn run(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        let result = self.probe_all(reactor);
        if matches!(result, Ok(OutputReader::Gone)) {
            return result;
        }
        self.give_up();
        self.say(Moment::End);
        let is_stopped = |result: &Result<OutputReader>| matches!(result, Err(error) if matches!(error.status, Status::Stopped(_)));
        let mut result = result;
        // After a signal to stop, a reader that is slow is not waited for.
        while !self.flush(reactor) && !is_stopped(&result) {
            if let Some(failure) = self.stdout.failure() {
                return result.and(Err(failure));
            }
            let waited = reactor.wait(None, Expected::Whenever);
            waited.map_err(|cause| Error::system("poll", &cause))?;
            while let Some(signal) = reactor.signal() {
                if let Signal::Stop(number) = signal {
                    result = result.and(Err(Error::stopped(number)));
                }
            }
        }
        match self.stdout.failure() {
            Some(failure) => result.and(Err(failure)),
            None => result,
        }
    }

    /// What is still awaited when the run ends is not waited for any more, and lost; unless the run ends because it
    /// has found what it was waiting for, of which that says nothing.
    fn give_up(&mut self) {
        if matches!(self.until, Until::Found(_)) && self.failure().is_none() {
            return;
        }
        self.tracks.iter_mut().for_each(|track| track.tally.end());
    }

    /// The exit status of what was found so far; `None` when somebody was found.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<Status> {
        tally::failure(self.tracks.iter().map(|track| &track.tally))
    }

    fn probe_all(&mut self, reactor: &mut Reactor) -> Result<OutputReader> {
        loop {
            let mut going = self.collect(reactor)?;
            if going == Going::On {
                going = self.send_due(reactor)?;
            }
            self.flush(reactor);
            match self.stdout.failure() {
                Some(failure) => return Err(failure),
                None if self.stdout.is_gone() => return Ok(OutputReader::Gone),
                None => {}
            }
            if going == Going::Over || self.is_complete() || self.wait(reactor)? == Going::Over {
                return Ok(OutputReader::There);
            }
        }
    }

    /// Whether all probes have been sent, and their ends are known.
    fn is_complete(&self) -> bool {
        let is_done =
            |track: &Track| track.schedule.due().is_none() && track.prober.in_flight() == 0;
        self.tracks.iter().all(is_done)
    }

    /// Sends the probes whose time has come.
    fn send_due(&mut self, reactor: &mut Reactor) -> Result<Going> {
        if self.room_at.is_some_and(|at| Instant::now() < at) || self.is_congested() {
            return Ok(Going::On);
        }
        self.room_at = None;
        self.warm_up();
        let mut outcomes = Vec::new();
        for _ in 0..PROBES_A_ROUND {
            let now = Instant::now();
            let due = |track: &Track| track.schedule.due().filter(|due| *due <= now);
            let next = (0..self.tracks.len()).filter_map(|at| Some((due(&self.tracks[at])?, at)));
            let Some((_, at)) = next.min() else { break };
            let track = &mut self.tracks[at];
            if track.prober.send(track.seq, reactor, &mut outcomes)? == Sent::NoRoom {
                self.room_at = Some(now + NO_ROOM_PAUSE);
                break;
            }
            track.tally.left(track.seq);
            track.seq += 1;
            track.schedule.sent(now);
            if self.settle(at, &mut outcomes) == Going::Over {
                return Ok(Going::Over);
            }
        }
        Ok(Going::On)
    }

    /// Waits for the next probe's time if that is near.
    fn warm_up(&self) {
        let next = self.tracks.iter().filter_map(|track| track.schedule.due()).min();
        if let Some(due) = next.filter(|due| *due <= Instant::now() + self.warm_up_time()) {
            while Instant::now() < due {
                std::hint::spin_loop();
            }
        }
    }

    /// How long before a probe the loop is woken: not at all while an answer may come, which would be
    /// read late.
    fn warm_up_time(&self) -> Duration {
        match self.tracks.iter().all(|track| track.prober.in_flight() == 0) {
            true => WARM_UP,
            false => Duration::ZERO,
        }
    }

    /// Takes the answers that have come.
    fn collect(&mut self, reactor: &mut Reactor) -> Result<Going> {
        let mut outcomes = Vec::new();
        for at in 0..self.tracks.len() {
            self.tracks[at].prober.collect(reactor, &mut outcomes)?;
            if self.settle(at, &mut outcomes) == Going::Over {
                return Ok(Going::Over);
            }
        }
        Ok(Going::On)
    }

    /// Counts and shows what became of probes.
    fn settle(&mut self, at: usize, outcomes: &mut Vec<Outcome>) -> Going {
        let Self { tracks, style, start, stdout, stderr, .. } = self;
        let track = &mut tracks[at];
        for outcome in outcomes.drain(..) {
            track.tally.record(&outcome);
            let times = (&*start, Instant::now());
            stdout.journal().append(|out| {
                report::write_probe(out, style, track.protocol, &outcome, times);
            });
            let is_found = outcome.told.answer.success() == Success::Yes;
            if is_found && matches!(self.until, Until::Found(_)) {
                return Going::Over;
            }
        }
        while let Some(error) = track.prober.note() {
            stderr.journal().line(&format!("pktcat: {error}"));
        }
        Going::On
    }

    /// Whether so much text waits for its reader that no more should be added.
    fn is_congested(&self) -> bool {
        self.stdout.is_congested()
    }

    /// Writes what there is room for; `false` while some of it waits.
    fn flush(&mut self, reactor: &mut Reactor) -> bool {
        let written = self.stdout.flush(reactor);
        self.stderr.flush(reactor) && written
    }

    fn wait(&mut self, reactor: &mut Reactor) -> Result<Going> {
        let is_held = self.is_congested();
        let not_before = self.room_at;
        let dues = self.tracks.iter().filter_map(|track| track.schedule.due());
        let early = self.warm_up_time();
        let dues = dues.map(|due| due.checked_sub(early).unwrap_or(due));
        let dues = dues.filter(|_| !is_held).map(|due| not_before.map_or(due, |at| at.max(due)));
        let ends = self.tracks.iter().filter_map(|track| track.prober.deadline());
        if let Some(at) = dues.chain(ends).min() {
            self.timer.wake_by(at, Instant::now())?;
        }
        let waited = reactor.wait(None, Expected::Whenever);
        waited.map_err(|cause| Error::system("poll", &cause))?;
        while let Some(signal) = reactor.signal() {
            match signal {
                Signal::Stop(SIGINT) => {
                    if sys::echoes_control(io::stderr()) {
                        // The terminal has written ^C, and does not end the line.
                        self.stderr.journal().line("");
                    }
                    // What has come by now counts.
                    return self.collect(reactor).map(|_| Going::Over);
                }
                Signal::Stop(number) => return Err(Error::stopped(number)),
                Signal::Report => self.say(Moment::Between),
                Signal::Child => {}
            }
        }
        Ok(Going::On)
    }

    /// Prints the counts so far.
    fn say(&mut self, moment: Moment) {
        let status = self.failure().map_or(0, Status::code);
        let counted = |track: &'_ Track| (track.protocol, track.prober.address());
        let addresses: Vec<_> = self.tracks.iter().map(counted).collect();
        let all: Vec<_> = addresses
            .iter()
            .zip(&self.tracks)
            .map(|((protocol, address), track)| Counted {
                protocol: *protocol,
                address: *address,
                tally: &track.tally,
            })
            .collect();
        if self.style.plot && moment == Moment::End {
            let drawing = report::plot(&all);
            self.stdout.journal().append(|out| out.extend_from_slice(drawing.as_bytes()));
        }
        if self.style.format == LineFormat::Json {
            let times = (&self.start, Instant::now());
            let host = self.style.host.as_deref();
            self.stdout.journal().append(|out| {
                report::write_summary(out, host, &all, status, moment, times);
            });
        } else if self.style.format != LineFormat::Nothing || moment == Moment::Between {
            for counted in &all {
                let text = report::summary_text(counted, &self.start, Instant::now());
                self.stderr.journal().append(|out| out.extend_from_slice(text.as_bytes()));
            }
        }
    }
}

/// What sends the probes of a protocol.
fn prober(plan: &Plan, protocol: Protocol) -> Result<Box<dyn Prober>> {
    let (targets, timeout) = (plan.targets.clone(), plan.timeout);
    Ok(match (&plan.kind, protocol) {
        (Kind::Ask { .. }, Protocol::Tcp) => {
            Box::new(Asker::new(Question::Connection, targets, timeout))
        }
        (Kind::Ask { payload }, Protocol::Udp) => {
            Box::new(Asker::new(Question::Datagram(payload.clone()), targets, timeout))
        }
        (Kind::Echo { size }, Protocol::Tcp) => {
            Box::new(echo_stream::StreamEcho::new(targets, *size, timeout))
        }
        (Kind::Echo { size }, Protocol::Udp) => {
            Box::new(echo_datagram::DatagramEcho::new(targets, *size, timeout))
        }
    })
}
