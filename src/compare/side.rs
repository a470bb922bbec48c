//! What one protocol did.

use std::time::Duration;

use crate::chart::round_trips::RoundTrips;
use crate::compare::lab::network::Tallies;
use crate::compare::measure::account::{Counts, Times};
use crate::compare::measure::ledger::{Ledger, Throughput};
use crate::compare::measure::run::RunEnd;
use crate::compare::measure::unfragmented::{Unfragmented, Why};
use crate::compare::measure::wire::WireTraffic;
use crate::error::{Error, Status};

/// How what came back was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Reads of a byte stream.
    Reads(u64),
    /// Datagrams.
    Datagrams(u64),
}

/// A protocol's column of the table.
#[derive(Debug)]
pub(crate) enum Column {
    /// What it did.
    Ran(Box<ProtocolResult>),
    /// Why it did nothing.
    Failed(Error),
}

impl Column {
    /// What it did, if anything.
    #[must_use]
    pub(crate) fn side(&self) -> Option<&ProtocolResult> {
        match self {
            Self::Ran(side) => Some(side),
            Self::Failed(_) => None,
        }
    }

    /// Why it did nothing, if so.
    #[must_use]
    pub(crate) fn failure(&self) -> Option<&Error> {
        match self {
            Self::Ran(_) => None,
            Self::Failed(error) => Some(error),
        }
    }

    /// How it ended, if no message was answered.
    #[must_use]
    pub(crate) fn end(&self) -> Option<Status> {
        match self {
            Self::Ran(side) if side.answered() > 0 => None,
            Self::Ran(_) => Some(Status::TimedOut),
            Self::Failed(error) => Some(error.status),
        }
    }
}

/// What one protocol did.
#[derive(Debug)]
pub(crate) struct ProtocolResult {
    /// How long it took until the first message could leave, where that takes packets.
    pub set_up: Option<Duration>,
    /// What became of the messages.
    pub counts: Counts,
    /// How what came back was cut.
    pub came: Came,
    /// Messages that came back as one piece with nothing else in it.
    pub boundaries: u64,
    /// How long replies took.
    pub times: Times,
    /// How many messages went alone at the beginning.
    pub alone: u64,
    /// How much was answered in how long with the window full.
    pub throughput: Option<Throughput>,
    /// From the first message to the last answer.
    pub duration: Duration,
    /// Packets and bytes; none where the system does not count them.
    pub wire: Option<WireTraffic>,
    /// The largest payload that goes in one packet.
    pub unfragmented: Unfragmented,
    /// Packets sent again, by us and by the built-in peer, where that exists and is counted.
    pub retransmissions: Option<[u64; 2]>,
    /// What decides about TCP's rate, where that exists and the system tells.
    pub congestion_control: Option<String>,
    /// How long messages waited behind a lost one, where that exists and can be seen.
    pub held_up: Option<RoundTrips>,
    /// What became of the packets, where the network is our own.
    pub packets: Option<Tallies>,
    /// How long the end took, where that takes packets and the peer took part.
    pub tear_down: Option<Duration>,
    /// Replies that the kernel dropped here because nobody fetched them in time.
    pub dropped_here: u64,
    /// How it ended.
    pub ending: RunEnd,
}

impl ProtocolResult {
    /// What the ledger knows; the rest is as of a protocol that has nothing of the kind.
    #[must_use]
    pub(crate) fn of(ledger: Ledger) -> Self {
        Self {
            set_up: None,
            counts: ledger.account.counts(),
            came: Came::Datagrams(0),
            boundaries: 0,
            alone: ledger.alone(),
            throughput: ledger.throughput(),
            duration: ledger.duration(),
            wire: None,
            unfragmented: Unfragmented::unknown(Why::NotTold),
            retransmissions: None,
            congestion_control: None,
            held_up: None,
            packets: None,
            tear_down: None,
            dropped_here: 0,
            ending: RunEnd::Complete,
            times: ledger.account.into_times(),
        }
    }

    /// Messages answered, in time or late.
    #[must_use]
    pub(crate) fn answered(&self) -> u64 {
        self.counts.received + self.counts.late
    }

    /// Segments sent again, by both ends.
    #[must_use]
    pub(crate) fn sent_again(&self) -> Option<u64> {
        self.retransmissions.map(|both| both.iter().sum())
    }
}
