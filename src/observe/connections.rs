//! The TCP connections of a run, taken together for its summary.

use std::time::Duration;

use crate::observe::course::{Measured, Side};
use crate::observe::link::Link;

/// The TCP connections of a run that are over, taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    /// How many there were.
    pub count: u64,
    /// How many of them the peer closed first.
    pub peer_first: u64,
    /// How many of them we closed first; of a forwarder, how many the client did.
    pub we_first: u64,
    /// How many of them the forwarder closed on its own account.
    between_first: u64,
    /// Segments sent again; `None` where the kernel never told.
    pub retransmissions: Option<u64>,
    /// Whether they are those of a forwarder, where our side is the client and the peer is TO.
    pub are_forwarded: bool,
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
        self.are_forwarded |= link.forwarded.is_some();
        match link.course.closed_first() {
            Some(Side::Peers) => self.peer_first += 1,
            Some(Side::Ours) => self.we_first += 1,
            Some(Side::Between) => self.between_first += 1,
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
        match (self.count, self.peer_first, self.we_first, self.between_first) {
            (1, 1, _, _) => Some(Side::Peers),
            (1, _, 1, _) => Some(Side::Ours),
            (1, _, _, 1) => Some(Side::Between),
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
