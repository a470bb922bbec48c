//! A connection: two pumps between standard input and output and a stream socket, and every way
//! their run can end.

use std::time::{Duration, Instant};

use crate::engine::batch::Batch;
use crate::engine::flow::Sink as _;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::{Failure, Pump};
use crate::engine::stream::{Fin, Settled, Stream};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::run::session::{Lull, Session, timed_out};
use crate::sys::Offload;

/// Room for what is under way in one direction. Larger buffers gain nothing.
const BUFFER: usize = 128 * 1024;

/// Steps between two looks at signals and deadlines while bytes flow.
const STEPS_BETWEEN_LOOKS: u32 = 16;

/// A peer that floods must not keep a stopped run alive: this many steps are more than fits into
/// the socket's buffer.
const STEPS_AT_THE_END: u32 = 256;

/// How often the kernel is asked whether everything is acknowledged, should it not say so.
const ACKNOWLEDGED_CHECK: Duration = Duration::from_millis(20);

/// What ends the run besides both directions being done.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// When the sending half is closed.
    pub fin: Fin,
    /// End once the peer's FIN has come and all it sent is written.
    pub until_fin: bool,
    /// End once everything sent is acknowledged.
    pub send_only: bool,
    /// After standard input's end, stop when nothing arrives for this long.
    pub linger: Option<Duration>,
    /// Fail when nothing passes for this long.
    pub idle: Option<Duration>,
}

#[derive(Debug)]
enum Sending {
    /// Standard input still flows.
    Open,
    /// It has ended; the FIN waits for the peer's.
    Held,
    /// The FIN is sent.
    Closed,
    /// The connection took no more; what arrived is still to be written.
    Broken(Option<Error>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Open,
    /// The peer's FIN came and all before it is written.
    Closed,
}

/// One connection and what it is connected to on this side.
pub struct Relay {
    input: Input,
    output: Output,
    stream: Stream,
    rules: Rules,
    up: Pump,
    down: Pump,
    sending: Sending,
    receiving: Receiving,
    input_ended: Option<Instant>,
    last_arrival: Instant,
    last_activity: (u64, Instant),
    received_before: u64,
    /// Whether nothing that arrived waits to be written.
    silent: bool,
}

impl Relay {
    /// A relay ready to run.
    #[must_use]
    pub fn new(
        input: Input,
        output: Output,
        stream: Stream,
        rules: Rules,
        offload: Offload,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        Self {
            input,
            output,
            stream,
            rules,
            up: Pump::new(Batch::new(BUFFER), offload, pace),
            down: Pump::new(Batch::new(BUFFER), offload, None),
            sending: Sending::Open,
            receiving: Receiving::Open,
            input_ended: None,
            last_arrival: now,
            last_activity: (0, now),
            received_before: 0,
            silent: true,
        }
    }

    /// Moves bytes both ways until one of the ends in `verdict` is reached.
    ///
    /// # Errors
    /// When an end failed, a limit passed or a signal came. What had arrived by then has been written, as far
    /// as standard output takes it.
    pub fn run(&mut self, session: &mut Session) -> Result<()> {
        let mut result = self.run_to_end(session);
        if result.is_err() {
            self.write_what_arrived();
        }
        if self.receiving == Receiving::Open {
            let whole = self.output.finish();
            let written = self.output.write_out(session, &result);
            result = result.and(whole).and(written);
        }
        if result.as_ref().is_err_and(|error| self.is_cut_off(error.status)) {
            self.stream.abort();
        }
        self.stream.over();
        result
    }

    /// Whether the peer would take an ordinary end for that of all we had to send, or for our word
    /// that all it sent has been dealt with.
    fn is_cut_off(&self, status: Status) -> bool {
        match self.sending {
            // Everything has been sent that there was at the moment the run was told to end.
            Sending::Open if status.is_told_to_end() => {
                !self.up.is_empty() || self.input.has_more()
            }
            Sending::Held if status.is_told_to_end() => false,
            Sending::Open | Sending::Held => true,
            // What took no more need not be broken: the system may have been short of memory.
            Sending::Broken(_) => status != Status::Broken,
            Sending::Closed => false,
        }
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut steps = 0;
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let congested = session.is_congested();
            let moved = !congested && (self.step_up(now)? | self.step_down(session, now)?);
            self.note_activity(session, now);
            if self.verdict(session.looked_at())? {
                return Ok(());
            }
            steps += 1;
            if !moved {
                let expected = lull.expected(&session.tap);
                session.wait_for(self.deadline(now, congested), expected)?;
            } else if steps % STEPS_BETWEEN_LOOKS == 0 {
                session.look()?;
            }
        }
    }

    /// One step from standard input to the socket; whether anything moved.
    fn step_up(&mut self, now: Instant) -> Result<bool> {
        if !matches!(self.sending, Sending::Open) {
            return Ok(false);
        }
        match self.up.step(&mut self.input, &mut self.stream, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.input_ended = Some(now);
                let close = match self.rules.fin {
                    Fin::AtInputEnd => true,
                    Fin::AtPeerFin | Fin::Never => self.receiving == Receiving::Closed,
                };
                self.sending = if close { self.close_sending() } else { Sending::Held };
                Ok(true)
            }
            Err(Failure::Sink(error)) => {
                self.sending = Sending::Broken(Some(error));
                Ok(true)
            }
            Err(Failure::Source(error)) => Err(error),
        }
    }

    /// One step from the socket to standard output; whether anything moved.
    fn step_down(&mut self, session: &mut Session, now: Instant) -> Result<bool> {
        if self.receiving == Receiving::Closed {
            return Ok(false);
        }
        match self.down.step(&mut self.stream, &mut self.output, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.receiving = Receiving::Closed;
                if !self.output.is_broken() {
                    self.output.close(&mut session.reactor);
                }
                if matches!(self.sending, Sending::Held) {
                    self.sending = self.close_sending();
                }
                Ok(true)
            }
            Err(Failure::Source(error) | Failure::Sink(error)) => Err(error),
        }
    }

    fn close_sending(&mut self) -> Sending {
        match self.stream.shutdown() {
            Ok(()) => Sending::Closed,
            Err(error) => Sending::Broken(Some(error)),
        }
    }

    fn note_activity(&mut self, session: &Session, now: Instant) {
        // What has arrived and not found its way out yet is no silence.
        self.silent = self.stream.is_drained() && self.down.is_empty() && self.output.is_drained();
        let received = session.tap.received_so_far();
        if received != self.received_before || !self.silent {
            self.received_before = received;
            self.last_arrival = now;
        }
        let activity = session.tap.activity();
        if activity != self.last_activity.0 {
            self.last_activity = (activity, now);
        }
    }

    /// Whether the run is over. All its ends stand here.
    fn verdict(&mut self, now: Instant) -> Result<bool> {
        // Nobody reads what arrives: `| head` has seen enough.
        if self.output.is_broken() {
            return Ok(true);
        }
        // As many messages as were asked for have been written.
        if self.output.is_satisfied() {
            return Ok(true);
        }
        if self.receiving == Receiving::Closed {
            match &mut self.sending {
                // The connection broke while sending; all that had arrived is written now.
                Sending::Broken(error) => {
                    if let Some(error) = error.take() {
                        return Err(error);
                    }
                }
                // The peer is done, and that is all that was waited for.
                Sending::Open if self.rules.until_fin || self.input.is_terminal() => {
                    return Ok(true);
                }
                // A reset after the peer's FIN: nobody reads any more, but the socket tells.
                Sending::Open | Sending::Held => self.stream.check()?,
                // Both directions are done, once the peer has acknowledged our last byte.
                Sending::Closed => {
                    if self.rules.until_fin || self.stream.settled()? == Settled::Yes {
                        return Ok(true);
                    }
                }
            }
        }
        // Nothing is wanted from the peer but its acknowledgement.
        if self.rules.send_only {
            let settled = match self.sending {
                Sending::Closed => self.stream.settled()?,
                Sending::Held => self.stream.acknowledged()?,
                Sending::Open | Sending::Broken(_) => Settled::NotYet,
            };
            if settled == Settled::Yes {
                return Ok(true);
            }
        }
        // We have said everything, and the peer has been silent for long enough.
        if self.linger_ends().is_some_and(|end| now >= end) {
            return Ok(true);
        }
        // Nothing has passed for too long.
        if let (Some(end), Some(limit)) = (self.idle_ends(), self.rules.idle)
            && now >= end
        {
            return Err(timed_out("--idle-timeout", "nothing has passed", limit));
        }
        Ok(false)
    }

    fn linger_ends(&self) -> Option<Instant> {
        if !self.silent {
            return None;
        }
        let (linger, ended) = (self.rules.linger?, self.input_ended?);
        Some(self.last_arrival.max(ended) + linger)
    }

    fn idle_ends(&self) -> Option<Instant> {
        Some(self.last_activity.1 + self.rules.idle?)
    }

    fn deadline(&self, now: Instant, congested: bool) -> Option<Instant> {
        let waits_for_acknowledgement = !matches!(self.sending, Sending::Open)
            && (self.rules.send_only || self.receiving == Receiving::Closed);
        let check = waits_for_acknowledgement.then(|| now + ACKNOWLEDGED_CHECK);
        // While text waits for its reader nothing is sent, however due it is.
        let sends = matches!(self.sending, Sending::Open) && !congested;
        let pace = if sends { self.up.deadline() } else { None };
        [self.linger_ends(), self.idle_ends(), pace, check].into_iter().flatten().min()
    }

    /// The run is over before its time: what is already here still goes to standard output, as
    /// far as it takes it without waiting.
    fn write_what_arrived(&mut self) {
        let now = Instant::now();
        for _ in 0..STEPS_AT_THE_END {
            match self.down.step(&mut self.stream, &mut self.output, now) {
                Ok(Progress::Moved(_)) => {}
                _ => return,
            }
        }
    }
}
