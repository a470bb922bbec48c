//! How a TCP connection went: who closed it first, how long it was, and what the kernel measured of it.

use std::cell::Cell;
use std::time::Duration;

use crate::observe::link::{Link, Side};

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
    pub(crate) fn duration(&self, at: Duration) -> Duration {
        at.saturating_sub(self.began.get())
    }

    /// When the peer's FIN was read.
    #[must_use]
    #[cfg_attr(not(test), expect(dead_code))]
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

/// The TCP connections of a run that are over, taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    /// How many there were.
    pub count: u64,
    /// How many of them the peer closed first.
    pub peer_first: u64,
    /// How many of them we closed first.
    pub we_first: u64,
    /// Segments sent again; `None` where the kernel never told.
    pub retransmissions: Option<u64>,
    /// How many have a round trip.
    round_trips: u32,
    /// All of them added up.
    round_trip_sum: Duration,
}

impl Connections {
    /// The same with one more, if it is one of TCP.
    #[must_use]
    pub(super) fn and(mut self, link: &Link) -> Self {
        if !link.is_tcp() {
            return self;
        }
        self.count += 1;
        match link.course.closed_first() {
            Some(Side::Peers) => self.peer_first += 1,
            Some(Side::Ours) => self.we_first += 1,
            None => {}
        }
        if let Some(Measured { round_trip, retransmissions }) = link.course.measured() {
            *self.retransmissions.get_or_insert(0) += retransmissions;
            if let Some(round_trip) = round_trip {
                self.round_trips += 1;
                self.round_trip_sum += round_trip;
            }
        }
        self
    }

    /// Who closed first, where there was one connection.
    #[must_use]
    pub(crate) fn closed_first(&self) -> Option<Side> {
        match (self.count, self.peer_first, self.we_first) {
            (1, 1, _) => Some(Side::Peers),
            (1, _, 1) => Some(Side::Ours),
            _ => None,
        }
    }

    /// The mean of the connections' round trips; `None` where none was measured.
    #[must_use]
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip_sum.checked_div(self.round_trips)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::address::{Address, Protocol};
    use std::net::SocketAddr;

    fn link() -> Link {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        Link::new(Protocol::Tcp, end("127.0.0.1:1"), end("127.0.0.1:2"))
    }

    #[test]
    fn whoever_closes_first_stays_the_first() {
        let link = link();
        link.course.begin(Duration::from_secs(1));
        assert_eq!(link.course.closed_first(), None);
        link.course.peer_closed(Duration::from_secs(3));
        link.course.closed_by(Side::Ours);
        assert_eq!(link.course.closed_first(), Some(Side::Peers));
        assert_eq!(link.course.peer_closed_at(), Some(Duration::from_secs(3)));
        assert_eq!(link.course.duration(Duration::from_secs(5)), Duration::from_secs(4));
    }

    #[test]
    fn connections_are_counted_and_their_round_trips_averaged() {
        let (one, other, local) =
            (link(), link(), Link::new(Protocol::Tcp, Address::Unix(None), Address::Unix(None)));
        one.course.closed_by(Side::Peers);
        let round_trip = Some(Duration::from_micros(40));
        one.course.set_measured(Measured { round_trip, retransmissions: 2 });
        let all = Connections::default().and(&one);
        assert_eq!((all.closed_first(), all.round_trip()), (Some(Side::Peers), round_trip));
        other.course.closed_by(Side::Ours);
        let round_trip = Some(Duration::from_micros(80));
        other.course.set_measured(Measured { round_trip, retransmissions: 1 });
        let all = all.and(&other).and(&local);
        assert_eq!((all.count, all.peer_first, all.we_first), (2, 1, 1));
        assert_eq!((all.closed_first(), all.retransmissions), (None, Some(3)));
        assert_eq!(all.round_trip(), Some(Duration::from_micros(60)));
        assert_eq!(Connections::default().round_trip(), None);
    }
}
