//! A connection: two pumps between standard input and output and a stream socket.

use std::time::Instant;

use crate::engine::batch::Batch;
use crate::engine::duplex::{Duplex, Listener, Speaker};
use crate::engine::ends::{
    ACKNOWLEDGED_CHECK, Company, Ends, Fin, Halves, OurFin, Pending, Reader, Rules, Saying,
    Sending, Subject, Verdict, closes_sending,
};
use crate::engine::expect::{self, Heard, Prospect};
use crate::engine::flow::Sink as _;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::pace::Pace;
use crate::engine::pump::{Failure, Pump, STEPS_BETWEEN_LOOKS};
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::run::between::{Between, Lull};
use crate::run::session::Session;
use crate::sys::Offload;

/// Room for what is under way in one direction. Larger buffers gain nothing; unit tests, which make many
/// relays, need less.
const BUFFER: usize = if cfg!(test) { 4 * 1024 } else { 128 * 1024 };

/// What became of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something moved; there may be more.
    Moved,
    /// Nothing can be done before an end is ready or a deadline has come.
    Idle,
    /// The run is over.
    Over,
}

/// One connection and what it is connected to on this side.
pub(crate) struct Relay<I, O, C> {
    input: I,
    output: O,
    stream: C,
    fin: Fin,
    until_fin: bool,
    ends: Ends,
    up: Pump,
    down: Pump,
    sending: Sending,
    /// Why the connection took no more; what arrived is still to be written.
    broken: Option<Error>,
    peer_closed: bool,
    /// Whether words of the command line are on their way.
    speaks: bool,
    dialogue: Option<expect::Shared>,
}

impl<I: Speaker, O: Listener, C: Duplex> Relay<I, O, C> {
    /// A relay ready to run; `fin` says when the sending half is closed.
    #[must_use]
    pub(crate) fn new(
        (input, output): (I, O),
        stream: C,
        fin: Fin,
        rules: Rules,
        offload: Offload,
        pace: Option<Pace>,
        now: Instant,
    ) -> Self {
        Self {
            input,
            output,
            stream,
            fin,
            until_fin: rules.until_fin,
            ends: Ends::new(rules, Company::Here, now),
            up: Pump::new(Batch::new(BUFFER), offload, pace),
            down: Pump::new(Batch::new(BUFFER), offload, None),
            sending: Sending::Open,
            broken: None,
            peer_closed: false,
            speaks: false,
            dialogue: None,
        }
    }

    /// The same relay, with what is waited for.
    #[must_use]
    pub(crate) fn in_dialogue(mut self, dialogue: Option<expect::Shared>) -> Self {
        self.dialogue = dialogue;
        self
    }

    /// Whether the peer would take a FIN for the end of everything we had to send, or for a sign that
    /// all it sent has been processed, while it is not.
    fn is_cut_off(&self, status: Status) -> bool {
        match self.sending {
            // If all that was there when the run was told to end has been sent, nothing is cut off.
            Sending::Open if status.is_told_to_end() => self.has_unsent(),
            Sending::Held if status.is_told_to_end() => false,
            Sending::Open | Sending::Held => true,
            // Sending may have failed without the connection being broken, as for lack of memory.
            Sending::Broken => status != Status::Broken,
            Sending::Closed => false,
        }
    }

    /// Moves what can be moved in one step each way, and judges by what was known at `looked_at` whether the
    /// run is over. While standard error or a dump is `congested`, nothing moves that would add to it.
    ///
    /// # Errors
    /// When an end failed, or a limit is over.
    fn turn(&mut self, now: Instant, looked_at: Instant, congested: bool) -> Result<Turn> {
        let mut moved = false;
        if !congested {
            moved = self.step_up(now)?;
            self.speaks = moved && self.input.is_given();
            moved |= self.step_down(now)?;
        }
        let is_written = self.down.is_empty() && self.output.is_drained();
        let pending = Pending::of(self.stream.is_drained(), is_written);
        self.ends.note(self.stream.activity(), pending, now);
        let awaits = expect::awaits_answer(self.dialogue.as_ref(), self.up.is_empty());
        self.ends.awaits_answer(awaits, now);
        Ok(match (self.is_over(looked_at)?, moved) {
            (true, _) => Turn::Over,
            (false, true) => Turn::Moved,
            (false, false) => Turn::Idle,
        })
    }

    fn is_over(&mut self, looked_at: Instant) -> Result<bool> {
        // A source has failed, and what came before is not written yet: that is no end.
        if self.down.has_failed() {
            return self.down.fail_if(self.ends.is_stuck(looked_at)).map(|()| false);
        }
        let reader = self.reader();
        match self.ends.verdict(reader, self.subject(), &self.stream, looked_at)? {
            Verdict::GoOn => Ok(false),
            Verdict::Done | Verdict::TooFew { .. } => Ok(true),
            Verdict::BrokenSending => self.broken.take().map_or(Ok(true), Err),
        }
    }

    /// What has become of whoever reads the output, and of what it is waited for.
    fn reader(&self) -> Reader {
        let is_written = self.down.is_empty() && self.output.is_drained();
        let reader = self.output.reader().while_speaking(self.speaks);
        expect::reader(self.dialogue.as_ref(), reader, is_written, |speaks| {
            // Closing a connection on which something has not been read is a reset, which would take away
            // what has not reached the peer.
            speaks && !self.up.is_empty() || self.stream.owes_anything()
        })
    }

    /// When to look again whether the peer has everything, if that is all that is missing.
    fn check(&self, now: Instant) -> Option<Instant> {
        let prospect = self.dialogue.as_ref().map(|all| all.borrow().prospect());
        (prospect == Some(Prospect::Met)).then(|| now + ACKNOWLEDGED_CHECK)
    }

    fn subject(&self) -> Subject {
        Subject::Connection(Halves {
            sending: self.sending,
            peer_closed: self.peer_closed,
            saying: self.saying(),
        })
    }

    fn saying(&self) -> Saying {
        match self.sending {
            Sending::Open if self.input.is_terminal() => Saying::Terminal,
            // Asked only when it matters, because it may cost a call.
            Sending::Open
                if self.stream.farewell(OurFin::NotSent).is_some() && self.has_unsent() =>
            {
                Saying::Unsent
            }
            Sending::Open => Saying::More,
            Sending::Held | Sending::Closed | Sending::Broken => Saying::Nothing,
        }
    }

    /// Whether there is something to send right now.
    fn has_unsent(&self) -> bool {
        !self.up.is_empty() || self.input.has_more() || self.stream.held() > 0
    }

    /// One step from standard input to the socket; whether anything moved.
    fn step_up(&mut self, now: Instant) -> Result<bool> {
        match self.sending {
            Sending::Open => {}
            // Something may still have to leave before the half can be closed.
            Sending::Held => return Ok(self.close_sending_if_due()),
            Sending::Closed | Sending::Broken => return Ok(false),
        }
        match self.up.step(&mut self.input, &mut self.stream, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.ends.input_ended(now);
                self.sending = Sending::Held;
                self.close_sending_if_due();
                Ok(true)
            }
            Err(Failure::Sink(error)) => {
                self.sending_broke(error);
                Ok(true)
            }
            Err(Failure::Source(error)) => Err(error),
        }
    }

    /// One step from the socket to standard output; whether anything moved.
    fn step_down(&mut self, now: Instant) -> Result<bool> {
        if self.peer_closed {
            return Ok(false);
        }
        let dialogue = self.dialogue.as_ref();
        let mut peer = Heard { source: &mut self.stream, dialogue };
        match self.down.step(&mut peer, &mut self.output, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.peer_closed = true;
                match self.sending {
                    Sending::Open => self.stream.probe_peer(),
                    Sending::Held => drop(self.close_sending_if_due()),
                    Sending::Closed | Sending::Broken => {}
                }
                Ok(true)
            }
            Err(Failure::Source(error) | Failure::Sink(error)) => Err(error),
        }
    }

    /// Ends our half, if that is what the moment asks for; whether it is ended now.
    fn close_sending_if_due(&mut self) -> bool {
        if !closes_sending(self.fin, self.until_fin, self.saying(), self.peer_closed) {
            return false;
        }
        match self.stream.close_write() {
            Ok(Progress::End) => self.sending = Sending::Closed,
            Ok(Progress::Moved(_) | Progress::Blocked) => {}
            Err(error) => self.sending_broke(error),
        }
        self.sending != Sending::Held
    }

    fn sending_broke(&mut self, error: Error) {
        self.sending = Sending::Broken;
        self.broken = Some(error);
    }

    fn deadline(&self, now: Instant, congested: bool) -> Option<Instant> {
        // While a dump is congested nothing is sent, even if the pace would allow it.
        let sends = self.sending == Sending::Open && !congested;
        let pace = if sends { self.up.deadline() } else { None };
        let ends = match self.down.has_failed() {
            true => self.ends.stuck_at(),
            false => self.ends.deadline(self.subject(), now),
        };
        [ends, pace, self.check(now)].into_iter().flatten().min()
    }
}

impl Relay<Input, Output, Stream> {
    /// Moves bytes both ways until the run is over; see [`Ends`].
    ///
    /// # Errors
    /// When an end failed, a limit passed or a signal came. What had arrived by then has been written, as far
    /// as standard output takes it.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let mut result = self.run_to_end(session);
        if result.is_err() {
            let mut peer = Heard { source: &mut self.stream, dialogue: self.dialogue.as_ref() };
            self.down.deliver_the_rest(&mut peer, &mut self.output, Instant::now());
        }
        let mut whole = Ok(());
        if !self.peer_closed {
            whole = self.output.finish();
            let written = self.output.write_out(session, &result);
            result = result.and(written);
        }
        if let Some(dialogue) = &self.dialogue {
            result = dialogue.borrow().settle(result, self.output.has_enough());
        }
        // Half a frame is lost when a silence ends the run. Whoever has all that was wanted misses nothing, and
        // any other end says more.
        if result.is_ok() && self.reader() == Reader::Wants {
            result = whole;
        }
        if result.as_ref().is_err_and(|error| self.is_cut_off(error.status)) {
            self.stream.abort();
        } else if self.sending != Sending::Closed {
            self.stream.conclude();
        }
        self.stream.over();
        result
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut between = Between::new(STEPS_BETWEEN_LOOKS);
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let congested = session.is_congested();
            let turn = self.turn(now, session.looked_at(), congested)?;
            if self.peer_closed {
                self.output.close(&mut session.reactor);
            }
            if turn == Turn::Over {
                return Ok(());
            }
            between.turns(turn == Turn::Moved, session, |session| {
                session.wait_for(self.deadline(now, congested), lull.expected(&session.tap))
            })?;
        }
    }
}

#[cfg(test)]
mod tests;
