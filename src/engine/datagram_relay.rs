//! Datagrams: standard input and output and a datagram socket, and every way their run can end.
//!
//! There is no connection, so there is no end to hear of: silence, a count, a limit or a signal
//! ends the run, or the network's word that nobody is there.

use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::datagram::{Datagram, RECEIVE_ROOM};
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::{Failure, Pump};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::reactor::Latch;
use crate::net::address::Address;
use crate::run::session::{Lull, Session, timed_out};
use crate::sys::Offload;

/// Room for standard input on its way into datagrams.
const SEND_ROOM: usize = 256 * 1024;

/// Steps between two looks at signals and deadlines while datagrams flow.
const STEPS_BETWEEN_LOOKS: u32 = 16;

/// As for a connection: a flood must not keep a stopped run alive.
const STEPS_AT_THE_END: u32 = 256;

/// When silence is an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Never.
    Ignored,
    /// This long after standard input has ended and the last datagram has come (connect).
    AfterInput(Duration),
    /// This long after the last datagram, once there was one (listen).
    AfterFirst(Duration),
}

/// What ends the run.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// When silence is an end.
    pub silence: Silence,
    /// How many messages are wanted: silence before that is a time-out.
    pub count: Option<u64>,
    /// Nothing is to be received: the run is over when everything is sent.
    pub send_only: bool,
    /// Fail when no datagram has come within this time.
    pub first: Option<Duration>,
    /// Fail when nothing passes for this long, once something has.
    pub idle: Option<Duration>,
}

/// A datagram socket connected to the next address of a name, if there is one more.
pub type NextAddress =
    Box<dyn FnMut(&mut Session) -> Result<Option<(Rc<Socket>, Rc<Latch>, Address)>>>;

/// One datagram socket and what it is connected to on this side.
pub struct DatagramRelay {
    input: Input,
    output: Output,
    socket: Datagram,
    rules: Rules,
    up: Pump,
    down: Pump,
    started: Instant,
    input_ended: Option<Instant>,
    last_arrival: Option<Instant>,
    last_activity: Option<Instant>,
    seen: (u64, u64),
    /// The other addresses of the name.
    others: Option<NextAddress>,
    /// Whether nothing that arrived waits to be written.
    silent: bool,
}

impl DatagramRelay {
    /// An relay ready to run.
    #[must_use]
    pub fn new(
        input: Input,
        output: Output,
        socket: Datagram,
        rules: Rules,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        // Who connects has somebody there from the start.
        let last_activity = socket.has_peer().then_some(now);
        Self {
            input,
            output,
            socket,
            rules,
            up: Pump::new(Batch::new(SEND_ROOM), Offload::Portable, pace),
            down: Pump::new(Batch::new(RECEIVE_ROOM), Offload::Portable, None),
            started: now,
            input_ended: None,
            last_arrival: None,
            last_activity,
            seen: (0, 0),
            others: None,
            silent: true,
        }
    }

    /// The same relay with the name's other addresses: where the first ones turn out to have
    /// nobody, the next gets what was sent.
    #[must_use]
    pub fn or(mut self, next: NextAddress) -> Self {
        self.socket.keep_for_others();
        self.others = Some(next);
        self
    }

    /// Moves datagrams both ways until one of the ends in `verdict` is reached.
    ///
    /// # Errors
    /// When an end failed, the network said that nobody is there, a limit passed or a signal came. What had
    /// arrived by then has been written, as far as standard output takes it.
    pub fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(session);
        if result.is_err() {
            self.write_what_arrived();
        }
        let written = self.output.write_out(session, &result);
        result.and(written)
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut steps = 0;
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let congested = session.is_congested();
            let stepped = match congested {
                true => Ok(false),
                false => self.step_down(now).and_then(|down| Ok(down | self.step_up(now)?)),
            };
            self.note_activity(session, now);
            let turn = stepped.and_then(|moved| Ok((moved, self.verdict(session.looked_at())?)));
            let (moved, over) = match turn {
                Err(error) => (self.go_on_elsewhere(error, session, now)?, false),
                Ok(turn) => turn,
            };
            if over {
                return Ok(());
            }
            steps += 1;
            if !moved {
                let expected = lull.expected(&session.tap);
                session.wait_for(self.deadline(congested), expected)?;
            } else if steps % STEPS_BETWEEN_LOOKS == 0 {
                session.look()?;
            }
        }
    }

    /// Goes on with the next address when nobody was at this one; else the error itself.
    fn go_on_elsewhere(
        &mut self,
        mut error: Error,
        session: &mut Session,
        now: Instant,
    ) -> Result<bool> {
        let is_nobody_there =
            |error: &Error| matches!(error.status, Status::Refused | Status::Unreachable);
        while is_nobody_there(&error) && self.socket.can_move() {
            let Some(next) = &mut self.others else { break };
            let (socket, latch, peer) = match next(session) {
                Ok(Some(next)) => next,
                Err(end) if matches!(end.status, Status::Stopped(_) | Status::TimedOut) => {
                    return Err(end);
                }
                // What is wrong with the others says less than that nobody was here.
                Ok(None) | Err(_) => break,
            };
            let (socket, latch, resent) = self.socket.move_to(socket, latch, peer);
            session.leave(&socket, &latch);
            // The one for receiving has met its source's end.
            self.down = Pump::new(Batch::new(RECEIVE_ROOM), Offload::Portable, None);
            self.input_ended = self.input_ended.map(|_| now);
            match resent {
                Ok(()) => return Ok(true),
                Err(nobody_either) => error = nobody_either,
            }
        }
        Err(error)
    }

    fn step_up(&mut self, now: Instant) -> Result<bool> {
        // Until there is somebody to send to, standard input is not read.
        if self.input_ended.is_some() || !self.socket.has_peer() || self.down.has_failed() {
            return Ok(false);
        }
        match self.up.step(&mut self.input, &mut self.socket, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.input_ended = Some(now);
                Ok(true)
            }
            Err(Failure::Sink(error) | Failure::Source(error)) => Err(error),
        }
    }

    fn step_down(&mut self, now: Instant) -> Result<bool> {
        match self.down.step(&mut self.socket, &mut self.output, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked | Progress::End) => Ok(false),
            Err(Failure::Sink(error) | Failure::Source(error)) => Err(error),
        }
    }

    fn note_activity(&mut self, session: &Session, now: Instant) {
        let (received, all) = (session.tap.received_so_far(), session.tap.activity());
        // What has arrived and not found its way out yet is no silence.
        let is_written = self.down.is_empty() && self.output.is_drained();
        self.silent = is_written && self.socket.is_drained();
        if received != self.seen.0 || (received > 0 && !is_written) {
            self.last_arrival = Some(now);
        }
        if all != self.seen.1 {
            self.last_activity = Some(now);
        }
        self.seen = (received, all);
    }

    /// Whether the run is over. All its ends stand here.
    fn verdict(&self, now: Instant) -> Result<bool> {
        // Nobody reads what arrives: `| head` has seen enough.
        if self.output.is_broken() {
            return Ok(true);
        }
        // As many messages as were asked for have been written.
        if self.output.is_satisfied() {
            return Ok(true);
        }
        // Everything is sent, and nothing is wanted back but the word that nobody is there.
        if self.rules.send_only && self.input_ended.is_some() && !self.down.has_failed() {
            self.socket.check()?;
            return Ok(true);
        }
        // It has been silent for long enough.
        if self.silence_ends().is_some_and(|end| now >= end) {
            self.socket.check()?;
            return match (self.rules.count, self.rules.silence) {
                (Some(count), Silence::AfterInput(limit)) => Err(self.too_few(count, limit)),
                _ => Ok(true),
            };
        }
        // Nobody came.
        if let (None, Some(limit)) = (self.last_arrival, self.rules.first)
            && now >= self.started + limit
        {
            return Err(timed_out("--accept-timeout", "no datagram has come", limit));
        }
        // Nothing has passed for too long.
        if let (Some(last), Some(limit)) = (self.last_activity, self.rules.idle)
            && now >= last + limit
        {
            return Err(timed_out("--idle-timeout", "nothing has passed", limit));
        }
        Ok(false)
    }

    fn too_few(&self, count: u64, limit: Duration) -> Error {
        let limit = humantime::format_duration(limit);
        let why = match count - self.output.still_wanted() {
            0 => format!("no reply within {limit}"),
            came => format!("{came} of {count} messages came, then none for {limit}"),
        };
        Error::new(Status::TimedOut, "timed out", "", why).hint("--linger waits longer")
    }

    fn silence_ends(&self) -> Option<Instant> {
        if !self.silent {
            return None;
        }
        match self.rules.silence {
            Silence::Ignored => None,
            Silence::AfterInput(limit) => {
                let ended = self.input_ended?;
                Some(self.last_arrival.map_or(ended, |last| last.max(ended)) + limit)
            }
            Silence::AfterFirst(limit) => Some(self.last_arrival? + limit),
        }
    }

    fn deadline(&self, congested: bool) -> Option<Instant> {
        let first = match self.last_arrival {
            None => self.rules.first.map(|limit| self.started + limit),
            Some(_) => None,
        };
        let idle = self.last_activity.zip(self.rules.idle).map(|(last, limit)| last + limit);
        // While text waits for its reader nothing is sent, however due it is.
        let sends = self.input_ended.is_none() && !congested;
        let pace = if sends { self.up.deadline() } else { None };
        [self.silence_ends(), first, idle, pace].into_iter().flatten().min()
    }

    /// The run is over before its time: what is already here still goes to standard output, as
    /// far as it takes it without waiting.
    fn write_what_arrived(&mut self) {
        let now = Instant::now();
        for _ in 0..STEPS_AT_THE_END {
            match self.down.step(&mut self.socket, &mut self.output, now) {
                Ok(Progress::Moved(_)) => {}
                _ => return,
            }
        }
    }
}
