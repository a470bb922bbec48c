//! The loop of one run over one protocol: sends, receives, and decides when the run is over.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::chart::round_trips::RoundTrips;
use crate::compare::lab::network::Network;
use crate::compare::measure::account::At;
use crate::compare::measure::attempt::Attempt;
use crate::compare::measure::carrier::Carrier;
use crate::compare::measure::flow::{Delivery, Next, Pacing};
use crate::compare::measure::ledger::Ledger;
use crate::compare::measure::messages::Messages;
use crate::compare::measure::peer::BuiltInPeer;
use crate::compare::measure::so_far::{self, SoFar};
use crate::compare::measure::stream::TcpCarrier;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::io::timer::Timer;
use crate::net::address::Protocol;
use crate::run::session::Session;

/// The run ends when no reply has come for this many times the limit for one reply, or for one of the
/// two durations below if that is longer.
const SILENCE: u32 = 3;

/// The least silence that ends the run, as long as there was no reply at all.
const FIRST_SILENCE: Duration = Duration::from_secs(3);

/// The least silence that ends the run after there were replies: many datagrams in succession may have
/// been lost.
const LATER_SILENCE: Duration = Duration::from_secs(10);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    /// Every message was sent, and answered or waited for.
    Complete,
    /// No reply has come for this long, and the rest of the messages was not sent.
    Silence(Duration),
}

/// What has come of a turn.
#[derive(Debug)]
pub(crate) enum Turn<T> {
    /// The end.
    Over(T),
    /// There may be more to do at once.
    Busy,
    /// There is nothing to do before something comes, or until then.
    Until(At),
}

/// What the runs over both protocols share.
pub(crate) struct Runner<'a> {
    session: &'a mut Session,
    peer: Option<BuiltInPeer>,
    network: Option<Network>,
    timer: Timer,
    clock: Instant,
    pacing: Pacing,
    so_far: SoFar,
}

impl<'a> Runner<'a> {
    /// A runner. The built-in peer, if there is one, runs in the same loop.
    ///
    /// # Errors
    /// When the timer cannot be created, mostly because no descriptors are left.
    pub(crate) fn new(
        session: &'a mut Session,
        peer: Option<BuiltInPeer>,
        network: Option<Network>,
        pacing: Pacing,
    ) -> Result<Self> {
        let timer = Timer::new(&mut session.reactor)?;
        let (clock, so_far) = (Instant::now(), SoFar::default());
        Ok(Self { session, peer, network, timer, clock, pacing, so_far })
    }

    /// The built-in peer and the network before it take their turns; whether they did anything.
    fn step_others(&mut self) -> Result<bool> {
        let mut did = false;
        if let Some(network) = &mut self.network {
            did |= network.step(Instant::now())?;
        }
        if let Some(peer) = &mut self.peer {
            did |= peer.step(&mut self.session.reactor, Instant::now())?;
        }
        Ok(did)
    }

    /// Connects to an address, which is only found if the others take their turns meanwhile; how
    /// long that took.
    ///
    /// # Errors
    /// When nobody is there, or `limit` has passed.
    pub(crate) fn connect(
        &mut self,
        begin: impl FnOnce(&mut Session) -> Result<Attempt>,
        limit: Duration,
    ) -> Result<(Attempt, Duration)> {
        self.session.leave_reports();
        self.clock = Instant::now();
        let clock = self.clock;
        let attempt = begin(self.session)?;
        let took = self.turns(|now| match attempt.check() {
            Some(result) => result.map(|()| Turn::Over(clock.elapsed())),
            None if now >= limit => Err(attempt.unanswered(limit)),
            None => Ok(Turn::Until(limit)),
        })?;
        Ok((attempt, took))
    }

    /// Does something else until it is over, while the others take their turns. It is told how long
    /// ago it began.
    ///
    /// # Errors
    /// When it fails, or a signal stops the run.
    pub(crate) fn take_turns<T>(&mut self, turn: impl FnMut(At) -> Result<Turn<T>>) -> Result<T> {
        self.clock = Instant::now();
        self.turns(turn)
    }

    fn turns<T>(&mut self, mut turn: impl FnMut(At) -> Result<Turn<T>>) -> Result<T> {
        loop {
            self.so_far.tell(self.session, || None);
            let did = self.step_others()?;
            match turn(self.clock.elapsed())? {
                Turn::Over(result) => return Ok(result),
                Turn::Until(at) if !did => self.rest(self.clock.elapsed(), Some(at))?,
                Turn::Until(_) | Turn::Busy => self.session.look()?,
            }
        }
    }

    /// Notes how long the messages waited behind a lost one that were answered since `answered`
    /// were.
    fn note_held_up(&mut self, answered: &mut u64, ledger: &Ledger, held_up: &mut RoundTrips) {
        let Some(network) = &mut self.network else { return };
        let counts = ledger.account.counts();
        while *answered < counts.received + counts.late {
            *answered += 1;
            if let Some(waited) = network.held_up.answered() {
                held_up.record(waited);
            }
        }
    }

    /// Sends the messages and waits for the replies.
    ///
    /// # Errors
    /// When sending or receiving fails, the user's file cannot be read, or a signal stops the run.
    pub(crate) fn run(
        &mut self,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<(RunEnd, RoundTrips)> {
        let protocol = match carrier.delivery() {
            Delivery::InOrder => Protocol::Tcp,
            Delivery::Any => Protocol::Udp,
        };
        let ended = self.exchange(protocol, carrier, messages, ledger);
        let (of, since) = (self.pacing.count, self.clock.elapsed());
        self.so_far.end(so_far::line(protocol, ledger, of, since));
        ended
    }

    fn exchange(
        &mut self,
        protocol: Protocol,
        carrier: &mut impl Carrier,
        messages: &mut Messages,
        ledger: &mut Ledger,
    ) -> Result<(RunEnd, RoundTrips)> {
        // Each run has its own time.
        self.clock = Instant::now();
        let clock = self.clock;
        let mut outbox = Outbox::default();
        let (mut answered, mut held_up) = (0, RoundTrips::default());
        let follows = protocol == Protocol::Tcp;
        loop {
            let of = self.pacing.count;
            let present = || Some(so_far::line(protocol, ledger, of, clock.elapsed()));
            self.so_far.tell(self.session, present);
            if self.session.is_congested() {
                // The reader of the dump on standard error is slow: wait for it.
                self.session.wait(None)?;
                continue;
            }
            let mut did = self.step_others()?;
            did |= carrier.receive(&|| clock.elapsed(), ledger)?;
            if follows {
                self.note_held_up(&mut answered, ledger, &mut held_up);
            }
            // The clock is read as seldom as possible: between a message and its reply, every look
            // at it is part of what is measured.
            let mut now = clock.elapsed();
            ledger.tick(now);
            // The replies received above have made room in the window; now it is filled again.
            while ledger.next(now) == Next::Now && carrier.is_writable() {
                let Some(at) = outbox.send(clock, carrier, messages, ledger)? else { break };
                if let Some(network) = self.network.as_mut().filter(|_| follows) {
                    network.held_up.sent(outbox.message.len());
                }
                now = at;
                did = true;
            }
            if did && (self.peer.is_some() || carrier.is_readable()) {
                self.session.look()?;
                continue;
            }
            match self.prospect(now, carrier, ledger) {
                ControlFlow::Break(end) => return Ok((end, held_up)),
                ControlFlow::Continue(deadline) => {
                    carrier.before_sleep(&mut self.session.reactor)?;
                    self.rest(now, deadline)?;
                }
            }
        }
    }

    /// How the run has ended, if nothing more is to be expected of it; else when there is something to do though
    /// nothing comes.
    fn prospect(
        &self,
        now: At,
        carrier: &impl Carrier,
        ledger: &Ledger,
    ) -> ControlFlow<RunEnd, Option<At>> {
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
                return ControlFlow::Break(RunEnd::Silence(patience));
            }
            until(since + patience);
        }
        if ledger.next(now) == Next::Done && ledger.account.open() == 0 {
            match self.quiet_until(carrier, ledger) {
                Some(end) if now < end => until(end),
                Some(_) => return ControlFlow::Break(RunEnd::Complete),
                None => {}
            }
        }
        ControlFlow::Continue(deadline)
    }

    /// Until when a duplicate may still come although every message is answered or lost; `None` while the
    /// built-in peer still has replies to send.
    fn quiet_until(&self, carrier: &impl Carrier, ledger: &Ledger) -> Option<At> {
        match carrier.delivery() {
            Delivery::InOrder => Some(At::ZERO),
            Delivery::Any if self.peer.as_ref().is_some_and(BuiltInPeer::is_busy) => None,
            Delivery::Any if self.network.as_ref().is_some_and(Network::is_busy) => None,
            Delivery::Any => {
                Some(ledger.last_event().map_or(At::ZERO, |last| last + ledger.patience()))
            }
        }
    }

    /// Sleeps until a descriptor is ready or the deadline has come, like a simple client that waits in
    /// recv(2). Polling in a busy loop would take the processor from a peer on this machine, and change
    /// the measured times.
    fn rest(&mut self, now: At, deadline: Option<At>) -> Result<()> {
        let peer = self.peer.as_ref().and_then(BuiltInPeer::next_due);
        let network = self.network.as_ref().and_then(Network::deadline);
        let clock = self.clock;
        let own = deadline.map(|at| clock + at);
        if let Some(at) = [own, peer, network].into_iter().flatten().min() {
            self.timer.wake_by(at, clock + now)?;
        }
        self.session.sleep()
    }

    /// Closes a connection in both directions. Returns how long that took, or `None` when the peer's FIN did
    /// not come in time. Replies that come before the FIN are recorded.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) fn tear_down(
        &mut self,
        stream: &mut TcpCarrier,
        ledger: &mut Ledger,
    ) -> Result<Option<Duration>> {
        let clock = self.clock;
        let begun = clock.elapsed();
        let mut closing = Progress::Blocked;
        loop {
            self.so_far.tell(self.session, || None);
            if closing != Progress::End {
                closing = stream.close_write()?;
            }
            let did = self.step_others()? | stream.read(&|| clock.elapsed(), ledger)?;
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

    /// The network between client and peer, if it is one of our own.
    #[must_use]
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// What passes from now on is not in the capture.
    pub(crate) fn end_capture(&mut self) {
        if let Some(network) = &mut self.network {
            network.end_capture();
        }
    }

    /// From now on messages leave at this pace.
    pub(crate) fn keep_pace(&mut self, pacing: Pacing) {
        self.session.leave_reports();
        self.pacing = pacing;
    }

    /// The built-in peer.
    #[must_use]
    pub(crate) fn peer(&self) -> Option<&BuiltInPeer> {
        self.peer.as_ref()
    }

    /// The session, between runs.
    pub(crate) fn session(&mut self) -> &mut Session {
        self.session
    }
}

/// The message that is sent next.
#[derive(Default)]
struct Outbox {
    message: Vec<u8>,
    /// Whether the message has been read already, but found no room in the socket.
    is_held: bool,
}

impl Outbox {
    /// Sends the next message and records it; returns when it was sent, or `None` when it found no room.
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
            ledger.sent(at, self.message.len());
        }
        Ok(has_left.then_some(at))
    }
}
