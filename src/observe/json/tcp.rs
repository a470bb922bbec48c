//! What the events `closed` and `summary` tell of TCP: who closed first, and what the kernel measured.

use std::time::Duration;

use serde::Serialize;

use crate::observe::connections::Connections;
use crate::observe::course::Measured;
use crate::observe::tap::{Link, Side};

/// Who closed first, and what the kernel measured.
#[derive(Serialize)]
pub(super) struct TcpFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_first: Option<&'static str>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmissions: Option<u64>,
}

/// A side of a connection, of which a forwarder is neither, unless it is the one who ended it.
fn name(side: Side, is_forwarded: bool) -> &'static str {
    match (side, is_forwarded) {
        (Side::Ours, false) | (Side::Between, _) => "us",
        (Side::Peers, false) => "peer",
        (Side::Ours, true) => "client",
        (Side::Peers, true) => "server",
    }
}

impl TcpFields {
    /// Those of one connection; none of a local socket.
    pub(super) fn of_link(link: &Link) -> Self {
        let closed_first = link.course.closed_first().filter(|_| link.is_tcp());
        let measured = link.course.measured();
        let round_trip = measured.and_then(|Measured { round_trip, .. }| round_trip);
        Self {
            closed_first: closed_first.map(|side| name(side, link.forwarded.is_some())),
            round_trip: round_trip.as_ref().map(Duration::as_secs_f64),
            retransmissions: measured.map(|measured| measured.retransmissions),
        }
    }

    /// Those of all connections of a run.
    pub(super) fn of_all(all: &Connections) -> Self {
        Self {
            closed_first: all.closed_first().map(|side| name(side, all.are_forwarded)),
            round_trip: all.round_trip().as_ref().map(Duration::as_secs_f64),
            retransmissions: all.retransmissions,
        }
    }
}

/// The counters of a summary that only TCP connections have.
#[derive(Serialize)]
pub(super) struct ConnectionCounts {
    connections: u64,
    peer_closed_first: u64,
    we_closed_first: u64,
}

impl ConnectionCounts {
    /// Those of a run; `None` where no connection is over.
    pub(super) fn of(all: &Connections) -> Option<Self> {
        (all.count > 0).then_some(Self {
            connections: all.count,
            peer_closed_first: all.peer_first,
            we_closed_first: all.we_first,
        })
    }
}
