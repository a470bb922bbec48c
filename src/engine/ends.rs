//! How a run ends: every rule of it, and every deadline.
//!
//! [`Ends`] is told what has happened at one connection, at one datagram socket, or at one listener
//! with all its clients. It opens nothing and reads no clock, so that a test can drive it through any
//! order of events. Three parts of the program ask it: the relay of a connection, the relay of
//! datagrams, and the hub.

mod farewell;
mod standing;

use std::time::{Duration, Instant};

pub(crate) use farewell::{Farewell, Learned, OurFin};
pub(crate) use standing::{Here, Standing};

use crate::error::Result;
use crate::observe::tap::Activity;
use crate::run::limits::{Limit, nearest};

/// How often the kernel is asked whether everything is acknowledged, should it not say so.
pub(crate) const ACKNOWLEDGED_CHECK: Duration = Duration::from_millis(20);

/// When the sending half is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fin {
    /// When standard input has ended.
    AtInputEnd,
    /// When the peer has closed its half: there is nothing to be sent.
    AtPeerClose,
    /// Not before the connection is over (`--no-shutdown`).
    Never,
}

/// What may still be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Saying {
    /// Standard input still flows.
    More,
    /// Standard input still flows, and some of it that was read, or could be read right now, is not sent
    /// yet.
    Unsent,
    /// Standard input is a terminal, whose user need not end it once the peer has closed.
    Terminal,
    /// It has ended, or nothing was ever to be sent.
    Nothing,
}

/// Whether the sending half of a connection is to be closed now.
#[must_use]
pub(crate) fn closes_sending(fin: Fin, until_fin: bool, saying: Saying, peer_closed: bool) -> bool {
    match (saying, peer_closed) {
        (Saying::Nothing, false) => fin == Fin::AtInputEnd,
        (Saying::Nothing | Saying::Terminal, true) => true,
        (Saying::More | Saying::Unsent, true) => until_fin || fin == Fin::AtPeerClose,
        (Saying::More | Saying::Unsent | Saying::Terminal, false) => false,
    }
}

/// When silence is an end (`--linger`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Never.
    Ignored,
    /// This long after the latest of: the end of standard input, the first sign of a peer, the last
    /// arrival.
    AfterInput(Duration),
    /// This long after the last arrival, once there was one, whatever standard input still holds.
    AfterFirst(Duration),
}

/// What ends a run before both sides are done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// End once the peer's FIN has come and all it sent is written.
    pub until_fin: bool,
    /// Nothing is to be received: the run is over when everything is sent.
    pub send_only: bool,
    /// When silence is an end.
    pub silence: Silence,
    /// How many messages are wanted, where silence before that is a time-out.
    pub count: Option<u64>,
    /// Fail when no peer has come within this time.
    pub first: Option<Duration>,
    /// Fail when nothing passes for this long, once a peer has come.
    pub idle: Option<Duration>,
}

/// Whether there is a peer from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// The peer is connected.
    Here,
    /// The first peer has yet to come.
    Awaited,
}

/// What has arrived from the peer and not been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing: all that came has been read and written.
    Nothing,
    /// The socket may hold something that has not been read.
    Unread,
    /// Something that arrived has not been written.
    Unwritten,
}

impl Pending {
    /// From whether everything there was has been read, and whether all of that has been written.
    #[must_use]
    pub(crate) fn of(is_read: bool, is_written: bool) -> Self {
        match (is_read, is_written) {
            (_, false) => Self::Unwritten,
            (false, true) => Self::Unread,
            (true, true) => Self::Nothing,
        }
    }
}

/// The state of the output and its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It may want more.
    Wants,
    /// As many messages as were asked for have been written.
    Satisfied,
    /// Nobody reads any more.
    Gone,
}

impl Reader {
    /// The same, but not satisfied while words of the command line are on their way: `--count` does not cut off what
    /// was given.
    #[must_use]
    pub(crate) fn while_speaking(self, speaks: bool) -> Self {
        if speaks && self == Self::Satisfied { Self::Wants } else { self }
    }
}

/// The sending half of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    /// There may be more to send.
    Open,
    /// Everything is sent; the FIN waits for the peer's.
    Held,
    /// The FIN is sent.
    Closed,
    /// The connection took no more.
    Broken,
}

/// Both halves of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Halves {
    /// Ours.
    pub sending: Sending,
    /// Whether the peer's FIN has come and all before it is written.
    pub peer_closed: bool,
    /// What may still be sent.
    pub saying: Saying,
}

/// What the verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// One connection.
    Connection(Halves),
    /// Datagrams, which have no halves.
    Datagrams,
    /// A listener and all its clients.
    Service {
        /// Whether it has no clients and accepts no more.
        deserted: bool,
    },
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The run goes on.
    GoOn,
    /// The run is over, and all is well.
    Done,
    /// The run is over with the error that sending met.
    BrokenSending,
    /// It has been silent for long enough, and fewer messages have come than were wanted.
    TooFew {
        /// How many were.
        wanted: u64,
        /// How long it has been silent.
        silence: Duration,
    },
}

/// What is known of one run, and how it ends.
#[derive(Debug)]
pub(crate) struct Ends {
    rules: Rules,
    started: Instant,
    came: Option<Instant>,
    input_ended: Option<Instant>,
    /// Since when nothing is to be sent before an answer has come.
    awaiting: Option<Instant>,
    seen: Activity,
    arrived_at: Option<Instant>,
    moved_at: Option<Instant>,
    pending: Pending,
}

impl Ends {
    /// A run that begins now.
    #[must_use]
    pub(crate) fn new(rules: Rules, company: Company, now: Instant) -> Self {
        Self {
            rules,
            started: now,
            came: (company == Company::Here).then_some(now),
            input_ended: None,
            awaiting: None,
            seen: Activity::default(),
            arrived_at: None,
            moved_at: None,
            pending: Pending::Nothing,
        }
    }

    /// Somebody has come, though nothing has passed yet.
    pub(crate) fn somebody_came(&mut self, now: Instant) {
        self.came.get_or_insert(now);
        // A new peer has the whole of each limit to send something.
        self.moved_at = Some(now);
        self.arrived_at = Some(now);
    }

    /// Standard input has ended and all of it is sent.
    pub(crate) fn input_ended(&mut self, now: Instant) {
        self.input_ended.get_or_insert(now);
    }

    /// Whether everything is sent that may be before an answer has come: silence is then an end as it is
    /// behind standard input's end.
    pub(crate) fn awaits_answer(&mut self, awaits: bool, now: Instant) {
        self.awaiting = awaits.then(|| self.awaiting.unwrap_or(now));
    }

    /// What was sent has to be waited for anew: it went to another peer now.
    pub(crate) fn sent_anew(&mut self, now: Instant) {
        self.input_ended = self.input_ended.map(|_| now);
        self.awaiting = self.awaiting.map(|_| now);
    }

    /// Whether standard input has ended.
    #[must_use]
    pub(crate) fn has_input_ended(&self) -> bool {
        self.input_ended.is_some()
    }

    /// Notes how much has passed so far, and what is pending. Neither counts as silence.
    pub(crate) fn note(&mut self, activity: Activity, pending: Pending, now: Instant) {
        let is_unwritten = pending == Pending::Unwritten && self.arrived_at.is_some();
        if activity.arrived != self.seen.arrived || is_unwritten {
            self.arrived_at = Some(now);
        }
        if activity != self.seen {
            self.moved_at = Some(now);
            self.came.get_or_insert(now);
        }
        self.seen = activity;
        self.pending = pending;
    }

    /// Whether the run is over, judged by what was known at `looked_at`.
    ///
    /// # Errors
    /// When a limit is over, or the peer is gone.
    pub(crate) fn verdict(
        &self,
        reader: Reader,
        subject: Subject,
        standing: &dyn Standing,
        looked_at: Instant,
    ) -> Result<Verdict> {
        // The reader of the output is gone, or has as many messages as it wants.
        if reader != Reader::Wants {
            return Ok(Verdict::Done);
        }
        let verdict = match subject {
            Subject::Connection(halves) => self.of_connection(halves, standing)?,
            Subject::Datagrams => self.of_datagrams(standing)?,
            // Everybody is done, and all they sent is written.
            Subject::Service { deserted: true } if self.pending == Pending::Nothing => {
                Verdict::Done
            }
            Subject::Service { .. } => Verdict::GoOn,
        };
        if verdict != Verdict::GoOn {
            return Ok(verdict);
        }
        // It has been silent for long enough.
        if let Some(limit) = self.silence().filter(|limit| limit.is_over(looked_at)) {
            standing.check()?;
            standing.is_whole()?;
            return match self.rules.count {
                Some(wanted) => Ok(Verdict::TooFew { wanted, silence: limit.given() }),
                None => Ok(Verdict::Done),
            };
        }
        // Nobody came.
        if let Some(limit) = self.first().filter(|limit| limit.is_over(looked_at)) {
            return Err(limit.error(match subject {
                Subject::Datagrams => "no datagram has come",
                Subject::Connection(_) | Subject::Service { .. } => "nobody has come",
            }));
        }
        // Nothing has passed for too long.
        if let Some(limit) = self.idle().filter(|limit| limit.is_over(looked_at)) {
            return Err(limit.error("nothing has passed"));
        }
        Ok(Verdict::GoOn)
    }

    fn of_connection(&self, halves: Halves, standing: &dyn Standing) -> Result<Verdict> {
        let Halves { sending, peer_closed, saying } = halves;
        if peer_closed {
            // It has closed for good, and has had everything.
            if Self::has_left(halves, standing) {
                return standing.is_whole().map(|()| Verdict::Done);
            }
            match sending {
                // All that had arrived before it broke is written now.
                Sending::Broken => return Ok(Verdict::BrokenSending),
                // Only the end of the peer was waited for.
                Sending::Open if self.rules.until_fin || saying == Saying::Terminal => {
                    return standing.is_whole().map(|()| Verdict::Done);
                }
                // After a FIN nothing is read that could meet a reset: the socket has to be asked.
                Sending::Open | Sending::Held => standing.check()?,
                // Both directions are done once the peer has acknowledged our last byte. Where the peer's
                // end may be missing, that is worth more words than what comes of our own.
                Sending::Closed => {
                    standing.is_whole()?;
                    if self.rules.until_fin || standing.has_settled()? {
                        return Ok(Verdict::Done);
                    }
                }
            }
        }
        // Nothing is wanted from the peer but its acknowledgement.
        let is_sent = self.rules.send_only
            && match sending {
                Sending::Closed => standing.has_settled()?,
                Sending::Held => standing.has_acknowledged()?,
                Sending::Open | Sending::Broken => false,
            };
        Ok(if is_sent { Verdict::Done } else { Verdict::GoOn })
    }

    /// Whether the peer is known to be gone, and misses nothing.
    fn has_left(Halves { sending, saying, .. }: Halves, standing: &dyn Standing) -> bool {
        let fin = match sending {
            Sending::Open if saying == Saying::Unsent => return false,
            Sending::Open | Sending::Held => OurFin::NotSent,
            Sending::Closed => OurFin::Sent,
            Sending::Broken => return false,
        };
        standing.farewell(fin).is_some_and(|farewell| farewell.is_in_peace(fin))
    }

    /// Where nothing is to be received, the run is over once everything is sent; but the network may
    /// have reported that nobody receives.
    fn of_datagrams(&self, standing: &dyn Standing) -> Result<Verdict> {
        if !self.rules.send_only || self.input_ended.is_none() {
            return Ok(Verdict::GoOn);
        }
        standing.check()?;
        Ok(Verdict::Done)
    }

    /// When to look again though nothing happens.
    #[must_use]
    pub(crate) fn deadline(&self, subject: Subject, now: Instant) -> Option<Instant> {
        let check = match subject {
            Subject::Connection(halves) if self.waits_for_acknowledgement(halves) => {
                Some(now + ACKNOWLEDGED_CHECK)
            }
            _ => None,
        };
        let limits = nearest([self.silence(), self.first(), self.idle()]);
        [limits, check].into_iter().flatten().min()
    }

    /// Whether nothing has passed for too long. Where an end has failed, and what came before has yet to be
    /// written, nothing else ends the run sooner.
    #[must_use]
    pub(crate) fn is_stuck(&self, looked_at: Instant) -> bool {
        self.idle().is_some_and(|limit| limit.is_over(looked_at))
    }

    /// When [`is_stuck`](Self::is_stuck) may become true though nothing happens.
    #[must_use]
    pub(crate) fn stuck_at(&self) -> Option<Instant> {
        nearest([self.idle()])
    }

    fn waits_for_acknowledgement(&self, halves: Halves) -> bool {
        halves.sending != Sending::Open && (self.rules.send_only || halves.peer_closed)
    }

    fn silence(&self) -> Option<Limit> {
        if self.pending != Pending::Nothing {
            return None;
        }
        let (given, since) = match self.rules.silence {
            Silence::Ignored => return None,
            Silence::AfterInput(given) => {
                let both = self.came?.max(self.input_ended.or(self.awaiting)?);
                (given, self.arrived_at.map_or(both, |arrived| arrived.max(both)))
            }
            Silence::AfterFirst(given) => (given, self.arrived_at?),
        };
        Some(Limit::new("--linger", given, since))
    }

    fn first(&self) -> Option<Limit> {
        let given = self.rules.first.filter(|_| self.came.is_none())?;
        Some(Limit::new("--accept-timeout", given, self.started))
    }

    fn idle(&self) -> Option<Limit> {
        let since = self.came.max(self.moved_at)?;
        Some(Limit::new("--idle-timeout", self.rules.idle?, since))
    }
}

#[cfg(test)]
mod tests;
