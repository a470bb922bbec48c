//! Two connections joined: what comes from the one goes to the other, and so does the way it ends.
//!
//! A FIN is passed on as a FIN once all before it is delivered, and the other direction goes on. A
//! reset is passed on as a reset. A side that takes nothing stops the side that sends to it, because
//! a pump reads only when it has delivered what it read before.

mod flow;
mod shaped;

use std::rc::Rc;
use std::time::{Duration, Instant};

use flow::{Flow, FlowEnd, Half};
use shaped::Shaped;

use crate::engine::batch::Batch;
use crate::engine::duplex::Side;
use crate::engine::ends::ACKNOWLEDGED_CHECK;
use crate::engine::impair::{Shaper, StreamTally};
use crate::engine::pump::Failure;
use crate::engine::splice::pipes::Pipes;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::tap::Activity;
use crate::sys::Offload;

/// How long a reset waits for a side that acknowledges nothing of what came before it.
const PATIENCE: Duration = Duration::from_secs(5);

/// When a tunnel whose two directions have ended is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finish {
    /// At once: the system delivers what is under way.
    AtOnce,
    /// When both peers have acknowledged everything, so that a failure until then is met.
    Acknowledged,
}

/// What became of a turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Something moved; there may be more.
    Moved,
    /// Nothing can be done before an end is ready or a deadline has come.
    Idle,
    /// Both directions have ended.
    Done,
    /// One side broke, and the other will be reset when it is closed.
    Broken(Error),
}

/// One side broke.
#[derive(Debug)]
struct Breakage {
    /// The side that is to be reset.
    survivor: Which,
    cause: Error,
    /// What it had not acknowledged at the last look, and since when that has not become less.
    unacknowledged: Option<u32>,
    since: Instant,
}

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Client,
    Server,
}

/// A client's connection and the one that was made for it.
pub(crate) struct Tunnel<C, S> {
    client: C,
    server: S,
    /// From the client to the server.
    up: Flow,
    /// From the server to the client.
    down: Flow,
    finish: Finish,
    /// Why a side took no more; what it had sent before is still to be delivered.
    refusal: Option<Error>,
    breakage: Option<Breakage>,
    /// The bad network is to reset both sides here.
    is_cut: bool,
    /// When the first FIN was passed on.
    half_closed: Option<Instant>,
}

impl<C: Side, S: Side> Tunnel<C, S> {
    /// Joins two connections.
    #[must_use]
    pub(crate) fn new(
        client: C,
        server: S,
        offload: Offload,
        pipes: &Rc<Pipes>,
        finish: Finish,
    ) -> Self {
        let (up, down) = (Flow::new(offload, pipes), Flow::new(offload, pipes));
        let (refusal, breakage, half_closed) = (None, None, None);
        Self { client, server, up, down, finish, refusal, breakage, is_cut: false, half_closed }
    }

    /// The same tunnel with a bad network on the way up, down, or both.
    #[must_use]
    pub(crate) fn impaired(mut self, [up, down]: [Option<Shaper>; 2]) -> Self {
        let shaped = |shaper: Option<Shaper>| shaper.map(|shaper| Box::new(Shaped::new(shaper)));
        self.up.shaped = shaped(up);
        self.down.shaped = shaped(down);
        self
    }

    /// What the bad network has done so far, up and down.
    #[must_use]
    pub(crate) fn tallies(&self) -> [StreamTally; 2] {
        [&self.up, &self.down]
            .map(|flow| flow.shaped.as_ref().map(|shaped| shaped.tally()).unwrap_or_default())
    }

    /// The client's side.
    #[must_use]
    pub(crate) fn client(&self) -> &C {
        &self.client
    }

    /// The server's side.
    #[must_use]
    pub(crate) fn server(&self) -> &S {
        &self.server
    }

    /// Ends both halves as far as that can be done without waiting, where closing a socket alone does
    /// not say that nothing is missing.
    pub(crate) fn conclude(&mut self) {
        self.client.conclude();
        self.server.conclude();
    }

    /// Whether something is on its way through a bad network, and arrives by itself.
    #[must_use]
    pub(crate) fn is_under_way(&self, now: Instant) -> bool {
        let arrives = |flow: &Flow| flow.shaped.as_ref()?.deadline(now);
        [&self.up, &self.down].into_iter().any(|flow| arrives(flow).is_some())
    }

    /// Since when one side has sent its FIN, if nothing is under way to it.
    #[must_use]
    pub(crate) fn half_closed_since(&self) -> Option<Instant> {
        self.half_closed.filter(|_| self.up.is_empty() && self.down.is_empty())
    }

    /// Whether it can be [given up](Self::give_up) without losing anything that has come.
    #[must_use]
    pub(crate) fn can_be_given_up(&self) -> bool {
        let is_safe = |half, unacknowledged| half == Half::Closed || unacknowledged == Some(0);
        is_safe(self.down.half, self.client.unacknowledged())
            && is_safe(self.up.half, self.server.unacknowledged())
    }

    /// It is over because its place is needed. Whoever has its FIN has everything; who still waits for more
    /// must not take this for the end of it.
    pub(crate) fn give_up(&self) {
        if self.down.half != Half::Closed {
            self.client.cut_off();
        }
        if self.up.half != Half::Closed {
            self.server.cut_off();
        }
    }

    /// How much has passed at both sides.
    #[must_use]
    pub(crate) fn activity(&self) -> Activity {
        self.client.activity() + self.server.activity()
    }

    /// Moves what can be moved each way in a few steps. `room` is lent for it; a direction whose
    /// sink takes nothing keeps it and leaves new room behind.
    pub(crate) fn turn(&mut self, room: &mut Batch, now: Instant, looked_at: Instant) -> Turn {
        let mut moved = false;
        if self.breakage.is_none() {
            moved |= self.step(Which::Server, room, now);
        }
        if self.breakage.is_none() {
            moved |= self.step(Which::Client, room, now);
        }
        if self.breakage.is_none() {
            self.check(Which::Client, now);
        }
        if self.breakage.is_none() {
            self.check(Which::Server, now);
        }
        if self.is_cut {
            self.reset();
            return Turn::Broken(Error::new(Status::Broken, "impair", "", "reset on purpose"));
        }
        match (&self.breakage, moved) {
            (Some(_), _) => self.pass_reset_on(now, looked_at),
            (None, true) => Turn::Moved,
            (None, false) if self.up.half == Half::Closed && self.down.half == Half::Closed => {
                self.settle()
            }
            (None, false) => Turn::Idle,
        }
    }

    /// When to have a turn though nothing happens.
    #[must_use]
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let is_done = self.up.half == Half::Closed && self.down.half == Half::Closed;
        let check = (self.breakage.is_some() || is_done).then(|| now + ACKNOWLEDGED_CHECK);
        let arrivals = [&self.up, &self.down].map(|flow| flow.shaped.as_ref()?.deadline(now));
        arrivals.into_iter().chain([check]).flatten().min()
    }

    /// It is over before its time: both peers must not take that for an ordinary end.
    pub(crate) fn reset(&self) {
        self.client.cut_off();
        self.server.cut_off();
    }

    /// Moves what comes for one side; whether anything moved.
    fn step(&mut self, to: Which, room: &mut Batch, now: Instant) -> bool {
        let (moved, end) = match to {
            Which::Server => self.up.step(&mut self.client, &mut self.server, room, now),
            Which::Client => self.down.step(&mut self.server, &mut self.client, room, now),
        };
        match end {
            None => {}
            Some(FlowEnd::Failed(Failure::Source(error))) => self.broke(to, error, now),
            Some(FlowEnd::Failed(Failure::Sink(error))) => self.refused(to, error, now),
            Some(FlowEnd::Reset) => self.is_cut = true,
        }
        let half = self.flow(to).half;
        if self.breakage.is_none() && half == Half::Ended {
            return moved | self.pass_fin_on(to, now);
        }
        moved
    }

    /// A side took no more. What it had sent is delivered before the other side is reset.
    fn refused(&mut self, by: Which, error: Error, now: Instant) {
        self.flow(by).half = Half::Broken;
        self.refusal = Some(error);
        let other = by.other();
        // Nothing more comes from it.
        if self.flow(other).half != Half::Open {
            self.end_by_refusal(other, now);
        }
    }

    fn end_by_refusal(&mut self, survivor: Which, now: Instant) {
        if let Some(error) = self.refusal.take() {
            self.broke(survivor, error, now);
        }
    }

    /// The side opposite to `survivor` broke, and all that came from it is delivered.
    fn broke(&mut self, survivor: Which, error: Error, now: Instant) {
        // The first failure is the cause of the others.
        let cause = self.refusal.take().unwrap_or(error);
        let unacknowledged = None;
        self.breakage = Some(Breakage { survivor, cause, unacknowledged, since: now });
    }

    /// Everything from one side is delivered to the other, which gets its FIN; whether it has it.
    fn pass_fin_on(&mut self, to: Which, now: Instant) -> bool {
        // What may have been cut off must not look whole at the other side.
        let whole = match to {
            Which::Server => self.client.is_whole(),
            Which::Client => self.server.is_whole(),
        };
        if let Err(error) = whole {
            self.broke(to, error, now);
            return true;
        }
        if self.refusal.is_some() {
            // A side that took no more gives an end of file where it was reset.
            self.end_by_refusal(to, now);
            return true;
        }
        let result = match to {
            Which::Server => self.server.close_write(),
            Which::Client => self.client.close_write(),
        };
        match result {
            Ok(Progress::End) => {
                self.flow(to).half = Half::Closed;
                self.half_closed.get_or_insert(now);
                // Who has sent its FIN may have left for good, which no reading tells.
                match to {
                    Which::Server => self.client.probe_peer(),
                    Which::Client => self.server.probe_peer(),
                }
            }
            Ok(Progress::Moved(_) | Progress::Blocked) => return false,
            Err(error) => self.refused(to, error, now),
        }
        true
    }

    /// A side whose FIN has come is not read any more: what becomes of it only the socket tells.
    fn check(&mut self, side: Which, now: Instant) {
        if self.flow(side.other()).half == Half::Open || self.flow(side).half == Half::Broken {
            return;
        }
        let standing = match side {
            Which::Client => self.client.check(),
            Which::Server => self.server.check(),
        };
        if let Err(error) = standing {
            self.refused(side, error, now);
        }
    }

    /// Resets the side that is still there once it has acknowledged all that came before.
    fn pass_reset_on(&mut self, now: Instant, looked_at: Instant) -> Turn {
        let Some(breakage) = &mut self.breakage else { return Turn::Idle };
        let (unacknowledged, standing) = match breakage.survivor {
            Which::Client => (self.client.unacknowledged(), self.client.check()),
            Which::Server => (self.server.unacknowledged(), self.server.check()),
        };
        if unacknowledged != breakage.unacknowledged {
            breakage.unacknowledged = unacknowledged;
            breakage.since = now;
        }
        let is_acknowledged = !matches!(unacknowledged, Some(1..)) || standing.is_err();
        if !is_acknowledged && looked_at < breakage.since + PATIENCE {
            return Turn::Idle;
        }
        // A side whose connection stands, though our system could not send on it, must not take what it got
        // for all there is either.
        let (cause, survivor) = (breakage.cause.clone(), breakage.survivor);
        match (cause.status, survivor) {
            (Status::Broken, Which::Client) => self.client.reset(),
            (Status::Broken, Which::Server) => self.server.reset(),
            (_, Which::Client | Which::Server) => self.reset(),
        }
        Turn::Broken(cause)
    }

    /// Both directions have ended.
    fn settle(&self) -> Turn {
        if self.finish == Finish::AtOnce {
            return Turn::Done;
        }
        let settled: Result<bool> =
            self.client.has_settled().and_then(|client| Ok(client && self.server.has_settled()?));
        match settled {
            Ok(true) => Turn::Done,
            Ok(false) => Turn::Idle,
            Err(error) => Turn::Broken(error),
        }
    }

    /// The direction that leads to this side.
    fn flow(&mut self, to: Which) -> &mut Flow {
        match to {
            Which::Client => &mut self.down,
            Which::Server => &mut self.up,
        }
    }
}

impl Which {
    fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[cfg(test)]
mod tests;
