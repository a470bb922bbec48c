//! How one TCP connection went: who closed it first, how long it was, and what the kernel measured of it.

use std::cell::Cell;
use std::time::Duration;

/// One of the two ends of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// This program; of a forwarded connection the client.
    Ours,
    /// The peer, or the network in its place; of a forwarded connection TO.
    Peers,
    /// The forwarder, which is neither of the two ends.
    Between,
}

/// How one connection went, as far as it has come. Times are since the start of the run.
#[derive(Debug, Default)]
pub(crate) struct Course {
    began: Cell<Duration>,
    peer_closed: Cell<Option<Duration>>,
    closed_first: Cell<Option<Side>>,
    measured: Cell<Option<Measured>>,
}

/// What the kernel measured of a connection (TCP_INFO, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measured {
    /// The smoothed round trip (RFC 6298); `None` where none was measured.
    pub round_trip: Option<Duration>,
    /// Segments sent again.
    pub retransmissions: u64,
}

impl Course {
    /// The connection was made.
    pub(super) fn begin(&self, at: Duration) {
        self.began.set(at);
    }

    /// The peer's FIN was read.
    pub(super) fn peer_closed(&self, at: Duration) {
        self.peer_closed.set(Some(at));
        self.closed_by(Side::Peers);
    }

    /// One side has closed the connection or its half of it, which counts if it was the first.
    pub(crate) fn closed_by(&self, side: Side) {
        if self.closed_first.get().is_none() {
            self.closed_first.set(Some(side));
        }
    }

    /// The kernel was asked.
    pub(crate) fn set_measured(&self, measured: Measured) {
        self.measured.set(Some(measured));
    }

    /// How long the connection has been there at this time of the run.
    #[must_use]
    pub(super) fn duration(&self, at: Duration) -> Duration {
        at.saturating_sub(self.began.get())
    }

    /// When the peer's FIN was read.
    #[must_use]
    pub(crate) fn peer_closed_at(&self) -> Option<Duration> {
        self.peer_closed.get()
    }

    /// Who closed first; a reset is a way to close.
    #[must_use]
    pub(crate) fn closed_first(&self) -> Option<Side> {
        self.closed_first.get()
    }

    /// What the kernel measured, if it tells.
    #[must_use]
    pub(crate) fn measured(&self) -> Option<Measured> {
        self.measured.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_closes_first_stays_the_first() {
        let course = Course::default();
        course.begin(Duration::from_secs(1));
        assert_eq!(course.closed_first(), None);
        course.peer_closed(Duration::from_secs(3));
        course.closed_by(Side::Ours);
        assert_eq!(course.closed_first(), Some(Side::Peers));
        assert_eq!(course.peer_closed_at(), Some(Duration::from_secs(3)));
        assert_eq!(course.duration(Duration::from_secs(5)), Duration::from_secs(4));
    }
}
