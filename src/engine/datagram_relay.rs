//! Datagrams: standard input and output and a datagram socket.
//!
//! Datagrams have no connection and so no end of their own: a run ends after silence, a count, a
//! limit or a signal, or when the network reports that nobody receives (ICMP).

use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::datagram::{Datagram, RECEIVE_ROOM};
use crate::engine::duplex::{DatagramEnd, Listener};
use crate::engine::ends::{Company, Ends, Pending, Reader, Rules, Subject, Verdict};
use crate::engine::expect::{self, Heard};
use crate::engine::flow::Source;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::{Failure, Pump, STEPS_BETWEEN_LOOKS};
use crate::engine::relay::Turn;
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::net::address::Address;
use crate::run::between::{Between, Lull};
use crate::run::session::Session;
use crate::sys::Offload;

/// Room for standard input on its way into datagrams. Unit tests make many relays, and send little.
const SEND_ROOM: usize = if cfg!(test) { 4 * 1024 } else { 256 * 1024 };

/// Room for what is received.
const ROOM: usize = if cfg!(test) { 4 * 1024 } else { RECEIVE_ROOM };

/// A datagram socket connected to the next address of a name, if there is one more.
pub(crate) type NextAddress =
    Box<dyn FnMut(&mut Session) -> Result<Option<(Rc<Socket>, Rc<Latch>, Address)>>>;

/// One datagram socket and what it is connected to on this side.
pub(crate) struct DatagramRelay<I = Input, O = Output, D = Datagram> {
    input: I,
    output: O,
    socket: D,
    ends: Ends,
    up: Pump,
    down: Pump,
    /// Whether words of the command line are on their way.
    speaks: bool,
    /// The other addresses of the name.
    others: Option<NextAddress>,
    dialogue: Option<expect::Shared>,
}

impl<I: Source, O: Listener, D: DatagramEnd> DatagramRelay<I, O, D> {
    /// A relay ready to run.
    #[must_use]
    pub(crate) fn new(
        input: I,
        output: O,
        socket: D,
        rules: Rules,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        // A connected socket has a peer from the start.
        let company = if socket.has_peer() { Company::Here } else { Company::Awaited };
        Self {
            input,
            output,
            socket,
            ends: Ends::new(rules, company, now),
            up: Pump::new(Batch::new(SEND_ROOM), Offload::Portable, pace),
            down: Pump::new(Batch::new(ROOM), Offload::Portable, None),
            speaks: false,
            others: None,
            dialogue: None,
        }
    }

    /// Moves what can be moved in one step each way, and judges by what was known at `looked_at` whether the
    /// run is over. While standard error or a dump is `congested`, nothing moves that would add to it.
    ///
    /// # Errors
    /// When an end failed, the network reported that nobody receives, or a limit is over.
    fn turn(&mut self, now: Instant, looked_at: Instant, congested: bool) -> Result<Turn> {
        let stepped = match congested {
            true => Ok(false),
            false => self.step_down(now).and_then(|down| {
                let up = self.step_up(now)?;
                self.speaks = up && self.input.is_given();
                Ok(down | up)
            }),
        };
        let is_written = self.down.is_empty() && self.output.is_drained();
        let pending = Pending::of(self.socket.is_drained(), is_written);
        self.ends.note(self.socket.activity(), pending, now);
        let awaits = expect::awaits_answer(self.dialogue.as_ref(), self.up.is_empty());
        self.ends.awaits_answer(awaits, now);
        Ok(match (stepped?, self.is_over(looked_at)?) {
            (_, true) => Turn::Over,
            (true, false) => Turn::Moved,
            (false, false) => Turn::Idle,
        })
    }

    /// The same relay, with what is waited for.
    #[must_use]
    pub(crate) fn in_dialogue(mut self, dialogue: Option<expect::Shared>) -> Self {
        self.dialogue = dialogue;
        self
    }

    /// The socket is connected to another address now.
    fn begin_anew(&mut self, now: Instant) {
        // The old pump has met the failure of the old socket, after which it moves nothing.
        self.down = Pump::new(Batch::new(ROOM), Offload::Portable, None);
        self.ends.sent_anew(now);
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

    fn is_over(&mut self, looked_at: Instant) -> Result<bool> {
        // A source has failed, and what came before is not written yet: that is no end.
        if self.down.has_failed() {
            return self.down.fail_if(self.ends.is_stuck(looked_at)).map(|()| false);
        }
        match self.ends.verdict(self.reader(), Subject::Datagrams, &self.socket, looked_at)? {
            Verdict::GoOn => Ok(false),
            Verdict::TooFew { wanted, silence } => Err(self.too_few(wanted, silence)),
            Verdict::Done | Verdict::BrokenSending => Ok(true),
        }
    }

    /// What has become of whoever reads the output, and of what it is waited for.
    fn reader(&self) -> Reader {
        let is_written = self.down.is_empty() && self.output.is_drained();
        let owes = |speaks: bool| speaks && !self.up.is_empty();
        let reader = self.output.reader().while_speaking(self.speaks);
        expect::reader(self.dialogue.as_ref(), reader, is_written, owes)
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
        // Nothing is sent while a dump is congested or a failure is pending, even if the pace would allow it.
        let sends = !self.ends.has_input_ended() && !congested && !self.down.has_failed();
        let pace = if sends { self.up.deadline() } else { None };
        // One that has passed is that of a try which the pace did not allow yet.
        let room = if sends { self.socket.again_at().filter(|at| *at > now) } else { None };
        let ends = match self.down.has_failed() {
            true => self.ends.stuck_at(),
            false => self.ends.deadline(Subject::Datagrams, now),
        };
        [ends, pace, room].into_iter().flatten().min()
    }
}

impl DatagramRelay {
    /// The same relay with the other addresses of the name: if the network reports that nobody
    /// receives at one, what was sent is sent to the next.
    #[must_use]
    pub(crate) fn or(mut self, next: NextAddress) -> Self {
        self.socket.keep_for_others();
        self.others = Some(next);
        self
    }

    /// Moves datagrams both ways until the run is over; see [`Ends`].
    ///
    /// # Errors
    /// When an end failed, the network reported that nobody receives, a limit passed or a signal came. What had
    /// arrived by then has been written, as far as standard output takes it.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(session);
        if result.is_err() {
            let mut peers = Heard { source: &mut self.socket, dialogue: self.dialogue.as_ref() };
            self.down.deliver_the_rest(&mut peers, &mut self.output, Instant::now());
        } else {
            self.socket.leave_behind(self.up.waiting());
        }
        let written = self.output.write_out(session, &result);
        let result = result.and(written);
        match &self.dialogue {
            Some(dialogue) => dialogue.borrow().settle(result, self.output.has_enough()),
            None => result,
        }
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut between = Between::new(STEPS_BETWEEN_LOOKS);
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let congested = session.is_congested();
            let turn = match self.turn(now, session.looked_at(), congested) {
                Err(error) => self.go_on_elsewhere(error, session, now)?,
                Ok(turn) => turn,
            };
            if turn == Turn::Over {
                return Ok(());
            }
            between.turns(turn == Turn::Moved, session, |session| {
                session.wait_for(self.deadline(now, congested), lull.expected(&session.tap))
            })?;
        }
    }

    /// Goes on with the next address if the error says that nobody receives at this one, and returns
    /// the error otherwise.
    fn go_on_elsewhere(
        &mut self,
        mut error: Error,
        session: &mut Session,
        now: Instant,
    ) -> Result<Turn> {
        while error.status.says_nobody_is_there() && self.socket.can_move() {
            let Some(next) = &mut self.others else { break };
            session.tell_tried(&error);
            let (socket, latch, peer) = match next(session) {
                Ok(Some(next)) => next,
                Err(end) if matches!(end.status, Status::Stopped(_) | Status::TimedOut) => {
                    return Err(end);
                }
                // The error of the first address says more than what is wrong with the others.
                Ok(None) | Err(_) => break,
            };
            let (socket, latch, resent) = self.socket.move_to(socket, latch, peer);
            session.leave(&socket, &latch);
            self.begin_anew(now);
            match resent {
                Ok(()) => return Ok(Turn::Moved),
                Err(nobody_either) => error = nobody_either,
            }
        }
        Err(error)
    }
}

#[cfg(test)]
mod tests;
