//! One run over one protocol: sends, receives, and knows when it is over.

use std::time::{Duration, Instant};

use super::account::At;
use super::flow::{Delivery, Next, Pacing};
use super::ledger::Ledger;
use super::messages::Messages;
use super::peer::Peer;
use super::stream::Stream;
use crate::error::Result;
use crate::reactor::Expected;
use crate::session::Session;

/// The reactor sleeps in whole milliseconds, rounded up: what is left before a deadline is spent
/// looking.
const TICK: Duration = Duration::from_millis(1);

/// A peer that answers nothing for so many times the limit is given up.
const SILENCE: u32 = 3;

/// Whether to ask a socket for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// When the reactor says that there is some.
    WhenTold,
    /// In any case: a reply is expected any moment, and asking twice would take time that is not
    /// the network's.
    Anyway,
}

/// So long after a message left or came, replies are looked for without asking the reactor. What
/// takes longer is measured well enough by it.
const LOOKING: Duration = Duration::from_micros(50);

/// So many turns without the reactor at most: it also hears of signals.
const TURNS: u32 = 32;

/// What carries the messages.
pub trait Carrier {
    /// Whether a message can begin to leave now.
    fn is_writable(&self) -> bool;

    /// Sends a message; `false` when nothing of it found room.
    ///
    /// # Errors
    /// When the network fails.
    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool>;

    /// Takes what has come to the ledger; whether anything came. Also lets out what could not
    /// leave before. [`Look::Anyway`] asks the socket even if no readiness was told.
    ///
    /// # Errors
    /// When the network fails, or nothing can come any more.
    fn receive(&mut self, look: Look, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool>;

    /// Whether it may bring a message twice, or out of its turn.
    fn delivery(&self) -> Delivery;
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every message was sent, and answered or waited for.
    Complete,
    /// Nothing came back for so long that the rest was not sent.
    Silence(Duration),
}

/// What all runs share.
pub struct Runner<'a> {
    session: &'a mut Session,
    peer: Option<Peer>,
    clock: Instant,
    pacing: Pacing,
}

impl<'a> Runner<'a> {
    /// A runner; the built-in peer takes its turns in the same loop.
    pub fn new(session: &'a mut Session, peer: Option<Peer>, pacing: Pacing) -> Self {
        Self { session, peer, clock: Instant::now(), pacing }
    }

    fn now(&self) -> At {
        self.clock.elapsed()
    }

    fn step_peer(&mut self) -> Result<bool> {
        let now = self.now();
        match &mut self.peer {
            Some(peer) => peer.step(&mut self.session.reactor, now),
            None => Ok(false),
        }
    }

    /// Sends the messages and waits for the replies.
    ///
    /// # Errors
    /// When the network or the machine fails, or a signal stops the run.
    pub fn run(
        &mut self,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<Ending> {
        // Each run has its own time.
        self.clock = Instant::now();
        let clock = self.clock;
        let mut outbox = Outbox::default();
        // The last thing that moved, and turns since the reactor was asked.
        let (mut moved, mut turns) = (clock.elapsed(), 0);
        loop {
            if self.session.is_congested() {
                // Whoever reads the dump is slow, and so is this run.
                self.session.wait(None)?;
                continue;
            }
            let mut did = self.step_peer()?;
            let is_waiting = ledger.account.open() > 0;
            let is_near = self.peer.is_none() && is_waiting && clock.elapsed() < moved + LOOKING;
            let look = if is_near { Look::Anyway } else { Look::WhenTold };
            did |= carrier.receive(look, &|| clock.elapsed(), ledger)?;
            ledger.tick(clock.elapsed());
            // Replies make room before more is sent; then the window is filled.
            while ledger.next(clock.elapsed()) == Next::Now && carrier.is_writable() {
                if !outbox.send(clock, carrier, messages, ledger)? {
                    break;
                }
                did = true;
            }
            let now = clock.elapsed();
            if did {
                moved = now;
            }
            turns = if is_near { (turns + 1) % TURNS } else { 0 };
            if did || is_near {
                if turns == 0 {
                    self.session.look()?;
                } else if !did && now > moved + LOOKING / 2 {
                    std::thread::yield_now();
                }
                continue;
            }
            let mut deadline = ledger.next_change(now);
            let mut until = |at: At| deadline = Some(deadline.map_or(at, |other| other.min(at)));
            if let Some(since) = ledger.unanswered_since() {
                let patience = self.pacing.limit.max(self.pacing.interval) * SILENCE;
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
            self.rest(now, deadline, is_waiting)?;
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

    /// Waits for readiness or the deadline.
    fn rest(&mut self, now: At, deadline: Option<At>, is_waiting: bool) -> Result<()> {
        let due = self.peer.as_ref().and_then(Peer::next_due);
        let deadline = [deadline, due].into_iter().flatten().min();
        let expected = if is_waiting { Expected::Soon } else { Expected::Whenever };
        match deadline {
            Some(at) if at.saturating_sub(now) <= TICK => {
                self.session.look()?;
                std::thread::yield_now();
                Ok(())
            }
            Some(at) => self.session.wait_for(Some(self.clock + (at - TICK)), expected),
            None => self.session.wait_for(None, expected),
        }
    }

    /// Ends a connection, both halves; how long that took, if the peer's end came in time. What
    /// still comes before it is credited.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn tear_down(
        &mut self,
        stream: &mut Stream,
        ledger: &mut Ledger,
    ) -> Result<Option<Duration>> {
        let clock = self.clock;
        let begun = clock.elapsed();
        stream.finish()?;
        loop {
            let did =
                self.step_peer()? | stream.read(Look::WhenTold, &|| clock.elapsed(), ledger)?;
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
                self.rest(now, Some(begun + self.pacing.limit), true)?;
            }
        }
    }

    /// The session, between runs.
    pub fn session(&mut self) -> &mut Session {
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
    /// Sends the next message; `false` when it found no room.
    fn send(
        &mut self,
        clock: Instant,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<bool> {
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
        Ok(has_left)
    }
}
