//! One run over one protocol: sends, receives, and knows when it is over.

use std::time::{Duration, Instant};

use crate::compare::measure::account::At;
use crate::compare::measure::carrier::Carrier;
use crate::compare::measure::flow::{Delivery, Next, Pacing};
use crate::compare::measure::ledger::Ledger;
use crate::compare::measure::messages::Messages;
use crate::compare::measure::peer::Peer;
use crate::compare::measure::stream::Stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::io::timer::Timer;
use crate::run::session::Session;

/// A peer that answers nothing for so many times the limit is given up, though not before these.
const SILENCE: u32 = 3;

/// How long a peer that has never answered is given.
const FIRST_SILENCE: Duration = Duration::from_secs(3);

/// How long one that has is given: that many in a row may have been lost.
const LATER_SILENCE: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every message was sent, and answered or waited for.
    Complete,
    /// Nothing came back for so long that the rest was not sent.
    Silence(Duration),
}

/// What all runs share.
pub(crate) struct Runner<'a> {
    session: &'a mut Session,
    peer: Option<Peer>,
    timer: Timer,
    clock: Instant,
    pacing: Pacing,
}

impl<'a> Runner<'a> {
    /// A runner; the built-in peer takes its turns in the same loop.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new(
        session: &'a mut Session,
        peer: Option<Peer>,
        pacing: Pacing,
    ) -> Result<Self> {
        let timer = Timer::new(&mut session.reactor)?;
        Ok(Self { session, peer, timer, clock: Instant::now(), pacing })
    }

    fn step_peer(&mut self) -> Result<bool> {
        match &mut self.peer {
            Some(peer) => peer.step(&mut self.session.reactor, self.clock.elapsed()),
            None => Ok(false),
        }
    }

    /// Sends the messages and waits for the replies.
    ///
    /// # Errors
    /// When the network or the machine fails, or a signal stops the run.
    pub(crate) fn run(
        &mut self,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<Ending> {
        // Each run has its own time.
        self.clock = Instant::now();
        self.timer.forget();
        let clock = self.clock;
        let mut outbox = Outbox::default();
        loop {
            if self.session.is_congested() {
                // Whoever reads the dump is slow, and so is this run.
                self.session.wait(None)?;
                continue;
            }
            let mut did = self.step_peer()?;
            did |= carrier.receive(&|| clock.elapsed(), ledger)?;
            // The clock is read as seldom as possible: between a message and its reply, every look
            // at it is part of what is measured.
            let mut now = clock.elapsed();
            ledger.tick(now);
            // Replies make room before more is sent; then the window is filled.
            while ledger.next(now) == Next::Now && carrier.is_writable() {
                let Some(at) = outbox.send(clock, carrier, messages, ledger)? else { break };
                now = at;
                did = true;
            }
            if did && (self.peer.is_some() || carrier.is_readable()) {
                self.session.look()?;
                continue;
            }
            let mut deadline = ledger.next_change(now);
            let mut until = |at: At| deadline = Some(deadline.map_or(at, |other| other.min(at)));
            if let Some(since) = ledger.unanswered_since() {
                let counts = ledger.account.counts();
                let least = match counts.received + counts.late {
                    0 => FIRST_SILENCE,
                    _ => LATER_SILENCE,
                };
                let patience = (self.pacing.limit.max(self.pacing.interval) * SILENCE).max(least);
                if now >= since + patience {
                    return Ok(Ending::Silence(patience));
                }
                until(since + patience);
            }
            if ledger.next(now) == Next::Done && ledger.account.open() == 0 {
                match self.quiet_until(carrier, ledger) {
                    Some(end) if now < end => until(end),
                    Some(_) => return Ok(Ending::Complete),
                    None => {}
                }
            }
            carrier.before_sleep(&mut self.session.reactor)?;
            self.rest(now, deadline)?;
        }
    }

    /// Until when something may still come although all messages are settled; `None` while the
    /// built-in peer still holds replies.
    fn quiet_until(&self, carrier: &impl Carrier, ledger: &Ledger) -> Option<At> {
        match carrier.delivery() {
            Delivery::InOrder => Some(At::ZERO),
            Delivery::Any if self.peer.as_ref().is_some_and(Peer::is_busy) => None,
            Delivery::Any => {
                Some(ledger.last_event().map_or(At::ZERO, |last| last + ledger.patience()))
            }
        }
    }

    /// Sleeps until something is ready or the deadline has come, as a bare client does in recv(2):
    /// looking around meanwhile would keep the core from a peer on this machine, and change what
    /// is measured.
    fn rest(&mut self, now: At, deadline: Option<At>) -> Result<()> {
        let due = self.peer.as_ref().and_then(Peer::next_due);
        if let Some(at) = deadline.into_iter().chain(due).min() {
            self.timer.wake_by(at, now)?;
        }
        self.session.sleep()
    }

    /// Ends a connection, both halves; how long that took, if the peer's end came in time. What
    /// still comes before it is credited.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn tear_down(
        &mut self,
        stream: &mut Stream,
        ledger: &mut Ledger,
    ) -> Result<Option<Duration>> {
        let clock = self.clock;
        let begun = clock.elapsed();
        let mut closing = Progress::Blocked;
        loop {
            if closing != Progress::End {
                closing = stream.close_write()?;
            }
            let did = self.step_peer()? | stream.read(&|| clock.elapsed(), ledger)?;
            let now = clock.elapsed();
            if stream.is_finished() {
                return Ok(Some(now - begun));
            }
            if now >= begun + self.pacing.limit {
                return Ok(None);
            }
            if did {
                self.session.look()?;
            } else {
                self.rest(now, Some(begun + self.pacing.limit))?;
            }
        }
    }

    /// The session, between runs.
    pub(crate) fn session(&mut self) -> &mut Session {
        self.session
    }
}

/// The message on its way out.
#[derive(Default)]
struct Outbox {
    message: Vec<u8>,
    /// Taken from the user's messages, but it found no room yet.
    is_held: bool,
}

impl Outbox {
    /// Sends the next message; when that was, or `None` when it found no room.
    fn send(
        &mut self,
        clock: Instant,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<Option<At>> {
        let number = ledger.account.sent_so_far();
        let at = clock.elapsed();
        if !self.is_held || matches!(messages, Messages::Generated(_)) {
            messages.next(number, at, &mut self.message)?;
        }
        let has_left = carrier.send(number, &self.message)?;
        self.is_held = !has_left;
        if has_left {
            ledger.sent(at);
        }
        Ok(has_left.then_some(at))
    }
}
