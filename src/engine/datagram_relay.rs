//! Datagrams: standard input and output and a datagram socket.
//!
//! There is no connection, so there is no end to hear of: silence, a count, a limit or a signal
//! ends the run, or the network's word that nobody is there.

use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::datagram::{Datagram, RECEIVE_ROOM};
use crate::engine::ends::{Company, Ends, Pending, Reader, Rules, Subject, Verdict};
use crate::engine::expect::{self, Heard, Prospect};
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::{Failure, Pump};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::reactor::Latch;
use crate::net::address::Address;
use crate::run::session::{Lull, Session};
use crate::sys::Offload;

/// Room for standard input on its way into datagrams.
const SEND_ROOM: usize = 256 * 1024;

/// Steps between two looks at signals and deadlines while datagrams flow.
const STEPS_BETWEEN_LOOKS: u32 = 16;

/// As for a connection: a flood must not keep a stopped run alive.
const STEPS_AT_THE_END: u32 = 256;

/// A datagram socket connected to the next address of a name, if there is one more.
pub(crate) type NextAddress =
    Box<dyn FnMut(&mut Session) -> Result<Option<(Rc<Socket>, Rc<Latch>, Address)>>>;

/// One datagram socket and what it is connected to on this side.
pub(crate) struct DatagramRelay {
    input: Input,
    output: Output,
    socket: Datagram,
    ends: Ends,
    up: Pump,
    down: Pump,
    /// The other addresses of the name.
    others: Option<NextAddress>,
    dialogue: Option<expect::Shared>,
}

impl DatagramRelay {
    /// A relay ready to run.
    #[must_use]
    pub(crate) fn new(
        input: Input,
        output: Output,
        socket: Datagram,
        rules: Rules,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        // Who connects has somebody there from the start.
        let company = if socket.has_peer() { Company::Here } else { Company::Awaited };
        Self {
            input,
            output,
            socket,
            ends: Ends::new(rules, company, now),
            up: Pump::new(Batch::new(SEND_ROOM), Offload::Portable, pace),
            down: Pump::new(Batch::new(RECEIVE_ROOM), Offload::Portable, None),
            others: None,
            dialogue: None,
        }
    }

    /// The same relay, with what is waited for.
    #[must_use]
    pub(crate) fn in_dialogue(mut self, dialogue: Option<expect::Shared>) -> Self {
        self.dialogue = dialogue;
        self
    }

    /// The same relay with the name's other addresses: where the first ones turn out to have
    /// nobody, the next gets what was sent.
    #[must_use]
    pub(crate) fn or(mut self, next: NextAddress) -> Self {
        self.socket.keep_for_others();
        self.others = Some(next);
        self
    }

    /// Moves datagrams both ways until the run is over; see [`Ends`].
    ///
    /// # Errors
    /// When an end failed, the network said that nobody is there, a limit passed or a signal came. What had
    /// arrived by then has been written, as far as standard output takes it.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(session);
        if result.is_err() {
            self.write_what_arrived();
        }
        let written = self.output.write_out(session, &result);
        let result = result.and(written);
        match &self.dialogue {
            Some(dialogue) => dialogue.borrow().settle(result, self.output.has_enough()),
            None => result,
        }
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
            let is_written = self.down.is_empty() && self.output.is_drained();
            let pending = Pending::of(self.socket.is_drained(), is_written);
            self.ends.note(self.socket.activity(), pending, now);
            self.ends.awaits_answer(self.awaits_answer(), now);
            let turn = stepped.and_then(|moved| Ok((moved, self.is_over(session.looked_at())?)));
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
                session.wait_for(self.deadline(now, congested), expected)?;
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
            self.ends.sent_anew(now);
            match resent {
                Ok(()) => return Ok(true),
                Err(nobody_either) => error = nobody_either,
            }
        }
        Err(error)
    }

    fn step_up(&mut self, now: Instant) -> Result<bool> {
        // Until there is somebody to send to, standard input is not read.
        if self.ends.has_input_ended() || !self.socket.has_peer() || self.down.has_failed() {
            return Ok(false);
        }
        match self.up.step(&mut self.input, &mut self.socket, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.ends.input_ended(now);
                Ok(true)
            }
            Err(Failure::Sink(error) | Failure::Source(error)) => Err(error),
        }
    }

    fn step_down(&mut self, now: Instant) -> Result<bool> {
        let mut peers = Heard { source: &mut self.socket, dialogue: self.dialogue.as_ref() };
        match self.down.step(&mut peers, &mut self.output, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked | Progress::End) => Ok(false),
            Err(Failure::Sink(error) | Failure::Source(error)) => Err(error),
        }
    }

    fn is_over(&self, looked_at: Instant) -> Result<bool> {
        // A failure that is still to be told must not be taken for an end.
        if self.down.has_failed() {
            return Ok(false);
        }
        match self.ends.verdict(self.reader(), Subject::Datagrams, &self.socket, looked_at)? {
            Verdict::GoOn => Ok(false),
            Verdict::TooFew { wanted, silence } => Err(self.too_few(wanted, silence)),
            Verdict::Done | Verdict::BrokenSending => Ok(true),
        }
    }

    /// What has become of whoever reads the output, and of what it is waited for.
    fn reader(&self) -> Reader {
        let reader = self.output.reader();
        let Some(dialogue) = &self.dialogue else { return reader };
        if reader == Reader::Gone {
            dialogue.borrow_mut().abandon();
        }
        let is_written = self.down.is_empty() && self.output.is_drained();
        let is_said = !self.input.is_scripted() || self.up.is_empty();
        let is_met = dialogue.borrow().prospect() == Prospect::Met;
        if is_met && is_written && is_said { Reader::Satisfied } else { reader }
    }

    fn awaits_answer(&self) -> bool {
        let awaits = self.dialogue.as_ref().is_some_and(|all| all.borrow().awaits_answer());
        awaits && self.input.is_scripted() && self.up.is_empty()
    }

    /// Silence has ended the run before as many messages came as were asked for.
    fn too_few(&self, wanted: u64, silence: Duration) -> Error {
        let limit = humantime::format_duration(silence);
        let why = match wanted - self.output.still_wanted() {
            0 => format!("no reply within {limit}"),
            came => format!("{came} of {wanted} messages came, then none for {limit}"),
        };
        Error::new(Status::TimedOut, "timed out", "", why).of_limit("--linger waits longer")
    }

    fn deadline(&self, now: Instant, congested: bool) -> Option<Instant> {
        // While text waits for its reader nothing is sent, however due it is.
        let sends = !self.ends.has_input_ended() && !congested;
        let pace = if sends { self.up.deadline() } else { None };
        [self.ends.deadline(Subject::Datagrams, now), pace].into_iter().flatten().min()
    }

    /// The run is over before its time: what is already here still goes to standard output, as
    /// far as it takes it without waiting.
    fn write_what_arrived(&mut self) {
        let now = Instant::now();
        for _ in 0..STEPS_AT_THE_END {
            let mut peers = Heard { source: &mut self.socket, dialogue: self.dialogue.as_ref() };
            match self.down.step(&mut peers, &mut self.output, now) {
                Ok(Progress::Moved(_)) => {}
                _ => return,
            }
        }
    }
}
