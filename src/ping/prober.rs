//! One probe, what became of it, and what every way of probing can do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::io::reactor::Reactor;
use crate::ping::outages::Success;

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// TCP: a connection was made.
    Open,
    /// So many bytes came back: a datagram, or an echo.
    Answered(usize),
    /// A reset in answer to a SYN, or ICMP port unreachable.
    Refused,
    /// A router, or this machine's own routes, say that nobody can be reached there.
    Unreachable,
    /// Nothing within the time that an answer may take.
    Silent,
}

impl Answer {
    /// The word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered(_) => "answered",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Silent => "no answer",
        }
    }

    /// Whether the probe found what it was sent for.
    pub(super) fn success(self) -> Success {
        match self {
            Self::Open | Self::Answered(_) => Success::Yes,
            Self::Refused | Self::Unreachable | Self::Silent => Success::No,
        }
    }

    /// Of the answers of several addresses to one probe, the one with the greatest rank counts.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Open | Self::Answered(_) => 3,
            Self::Refused => 2,
            Self::Unreachable => 1,
            Self::Silent => 0,
        }
    }
}

/// What one address said to one probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Who was asked.
    pub address: SocketAddr,
    /// What it said.
    pub answer: Answer,
    /// From the probe's leaving to its answer; `None` where there was none.
    pub took: Option<Duration>,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// The number of the probe, from 1.
    pub seq: u64,
    /// When it left.
    pub left: Instant,
    /// What counts of the answers to it.
    pub told: Told,
}

/// What became of sending a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It has left, and may be answered already.
    Yes,
    /// The system has no room for it now.
    NoRoom,
}

/// One way of probing.
pub(super) trait Prober {
    /// Sends the probe with this number.
    ///
    /// # Errors
    /// When it can never be sent.
    fn send(
        &mut self,
        seq: u64,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Sent>;

    /// Takes the answers that have come since the reactor last looked, and gives up what is too
    /// late.
    ///
    /// # Errors
    /// When the system fails.
    fn collect(&mut self, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) -> Result<()>;

    /// When the next probe is to be given up.
    fn deadline(&self) -> Option<Instant>;

    /// Probes without an answer so far.
    fn in_flight(&self) -> usize;

    /// The address that is asked, or the first of several.
    fn address(&self) -> SocketAddr;

    /// Takes what has to be told besides the answers.
    fn note(&mut self) -> Option<Error> {
        None
    }
}
