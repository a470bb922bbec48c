//! The largest payload that passes in one packet: what is known of it, and the search for it.
//!
//! A datagram that must not be fragmented is sent, as long as the system believes the path allows. A
//! router whose next hop takes less says so (RFC 1191; RFC 8201 for IPv6), the system believes it, and
//! the next datagram is that long. The one whose echo comes back has passed. The search opens nothing
//! and reads no clock.

use std::net::SocketAddr;
use std::time::Duration;

use crate::compare::measure::account::At;
use crate::engine::datagram::longest_to;
use crate::net::address::canonical;
use crate::sys::Pieces;

/// The headers of IPv4 (RFC 791) or IPv6 (RFC 8200), and of UDP (RFC 768), in bytes.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

/// How many datagrams of one length are sent, as each may be lost.
const TRIES: u32 = 8;

/// How often the path may turn out to be narrower: each time the search takes longer.
const MOST_NARROWER: u32 = 8;

/// An echo that usually comes much sooner is not waited for any longer than this.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// The search waits for so many times as long as the slowest reply so far.
const SLOWER: u32 = 3;

/// The largest payload in one packet, each way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unfragmented {
    /// From here.
    pub out: Largest,
    /// From the peer to the client.
    pub back: Largest,
}

/// The largest payload in one packet, one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Largest {
    /// So many bytes.
    Bytes(u64),
    /// Why it is not known.
    NotKnown(Why),
}

/// Why the largest payload is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// The system does not tell.
    NotTold,
    /// No message was answered, or none any more.
    NoReplies,
    /// No echo of so many bytes came.
    Silent(usize),
    /// So many bytes are too long for the path, and the system knows no length that is not.
    TooLong(usize),
    /// Fewer bytes came back than were sent.
    Shortened {
        /// Bytes sent.
        sent: usize,
        /// Bytes that came back.
        came: usize,
    },
    /// The echo came back in fragments.
    Fragmented {
        /// Its bytes.
        sent: usize,
        /// Bytes of the longest packet.
        longest: usize,
    },
    /// Something else went wrong.
    Failed(String),
}

impl Largest {
    /// The number, where it is known.
    #[must_use]
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(*bytes),
            Self::NotKnown(_) => None,
        }
    }
}

impl Unfragmented {
    /// The same both ways.
    #[must_use]
    pub(crate) fn both(largest: Largest) -> Self {
        Self { out: largest.clone(), back: largest }
    }

    /// Nothing is known, for one reason.
    #[must_use]
    pub(crate) fn unknown(why: Why) -> Self {
        Self::both(Largest::NotKnown(why))
    }
}

/// Bytes of payload in a packet to `peer` that is as long as this MTU allows; never more than a datagram
/// can carry.
#[must_use]
pub(crate) fn payload(peer: SocketAddr, mtu: usize) -> usize {
    let peer = canonical(peer);
    let [v4, v6] = HEADERS;
    let headers = if peer.is_ipv4() { v4 } else { v6 };
    mtu.saturating_sub(headers).min(longest_to(&peer.into()))
}

/// How long an echo is waited for that may be lost: as long as a reply may take, but not much longer
/// than the slowest one has taken.
#[must_use]
pub(crate) fn patience(limit: Duration, slowest: Duration) -> Duration {
    limit.min(LEAST_PATIENCE.max(slowest * SLOWER))
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send a datagram of so many bytes.
    Send(usize),
    /// Wait for what comes until then.
    Wait(At),
    /// It is over, and this is not known for this reason.
    GiveUp(Why),
}

/// A search on its way.
#[derive(Debug)]
pub(crate) struct Search {
    peer: SocketAddr,
    /// Bytes of the datagrams that are sent now.
    size: usize,
    patience: Duration,
    next_at: At,
    until: At,
    narrower: u32,
    /// Whether a datagram of this size was refused as too long.
    is_refused: bool,
}

impl Search {
    /// A search that begins at `now` with what the system knows: `mtu`.
    #[must_use]
    pub(crate) fn new(peer: SocketAddr, mtu: usize, patience: Duration, now: At) -> Self {
        Self {
            peer,
            size: payload(peer, mtu),
            patience,
            next_at: now,
            until: now + patience,
            narrower: 0,
            is_refused: false,
        }
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: At) -> Step {
        if now >= self.until {
            let why = if self.is_refused { Why::TooLong } else { Why::Silent };
            return Step::GiveUp(why(self.size));
        }
        if now < self.next_at {
            return Step::Wait(self.next_at.min(self.until));
        }
        self.next_at = now + self.patience / TRIES;
        Step::Send(self.size)
    }

    /// The path MTU, as the system knows it now.
    pub(crate) fn path(&mut self, mtu: usize, now: At) {
        let size = payload(self.peer, mtu);
        if size >= self.size {
            return;
        }
        self.size = size;
        self.is_refused = false;
        self.next_at = now;
        self.narrower += 1;
        if self.narrower <= MOST_NARROWER {
            self.until = now + self.patience;
        }
    }

    /// A datagram was too long for the path, in the system's own or in a router's words.
    pub(crate) fn refused(&mut self) {
        self.is_refused = true;
    }

    /// The echo of what was sent, or the beginning of it, has come; what is known by that, if anything.
    #[must_use]
    pub(crate) fn came(&self, length: usize, pieces: Option<Pieces>) -> Option<Unfragmented> {
        let sent = self.size;
        if length > sent {
            // Of an earlier one, which a router has refused since.
            return None;
        }
        let back = match pieces {
            _ if length < sent => Largest::NotKnown(Why::Shortened { sent, came: length }),
            Some(Pieces::One) => Largest::Bytes(sent as u64),
            Some(Pieces::Fragments { longest }) => {
                Largest::NotKnown(Why::Fragmented { sent, longest })
            }
            None => Largest::NotKnown(Why::NotTold),
        };
        Some(Unfragmented { out: Largest::Bytes(sent as u64), back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn search(peer: &str, mtu: usize) -> Search {
        Search::new(peer.parse().unwrap(), mtu, 800 * MS, At::ZERO)
    }

    #[test]
    fn the_first_is_as_long_as_path_and_protocol_allow() {
        for (peer, mtu, size) in [
            ("192.0.2.1:9", 1500, 1472),
            ("[2001:db8::1]:9", 1500, 1452),
            ("[::ffff:192.0.2.1]:9", 1500, 1472),
            ("127.0.0.1:9", 65_536, 65_507),
            ("127.0.0.1:9", 65_535, 65_507),
            ("[::1]:9", 65_536, 65_488),
            ("192.0.2.1:9", 20, 0),
        ] {
            assert_eq!(search(peer, mtu).next(At::ZERO), Step::Send(size), "{peer} {mtu}");
        }
    }

    #[test]
    fn a_lost_one_is_sent_again_but_not_for_ever() {
        let mut search = search("192.0.2.1:9", 1500);
        let (mut now, mut sent) = (At::ZERO, 0);
        let why = loop {
            match search.next(now) {
                Step::Send(size) => {
                    assert_eq!(size, 1472);
                    sent += 1;
                }
                Step::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Step::GiveUp(why) => break why,
            }
        };
        assert_eq!((sent, now, why), (TRIES, 800 * MS, Why::Silent(1472)));
    }

    #[test]
    fn a_narrower_path_is_tried_at_once_and_a_wider_one_is_not_believed() {
        let mut search = search("192.0.2.1:9", 1500);
        assert_eq!(search.next(At::ZERO), Step::Send(1472));
        search.refused();
        search.path(9000, 10 * MS);
        search.path(1500, 10 * MS);
        assert_eq!(search.next(10 * MS), Step::Wait(100 * MS));
        search.path(1400, 10 * MS);
        assert_eq!(search.next(10 * MS), Step::Send(1372));
        assert_eq!(search.came(1472, Some(Pieces::One)), None);
        let found = search.came(1372, Some(Pieces::One)).unwrap();
        assert_eq!([found.out.bytes(), found.back.bytes()], [Some(1372), Some(1372)]);
        assert_eq!(search.next(809 * MS), Step::Send(1372));
        assert_eq!(search.next(810 * MS), Step::GiveUp(Why::Silent(1372)));
    }

    #[test]
    fn a_path_that_becomes_narrower_without_end_is_given_up() {
        let mut search = search("192.0.2.1:9", 1500);
        search.refused();
        let mut now = At::ZERO;
        for mtu in (1000..1500).rev() {
            now += 100 * MS;
            search.path(mtu, now);
            search.refused();
            if matches!(search.next(now), Step::GiveUp(_)) {
                assert!(now <= 800 * MS + 100 * MS * MOST_NARROWER, "{now:?}");
                return;
            }
        }
        panic!("no end");
    }

    #[test]
    fn an_echo_tells_both_ways_only_if_it_is_whole_and_in_one_packet() {
        let search = search("192.0.2.1:9", 1500);
        for (length, pieces, why) in [
            (1400, Some(Pieces::One), Why::Shortened { sent: 1472, came: 1400 }),
            (1472, None, Why::NotTold),
            (
                1472,
                Some(Pieces::Fragments { longest: 1300 }),
                Why::Fragmented { sent: 1472, longest: 1300 },
            ),
        ] {
            let found = search.came(length, pieces).unwrap();
            assert_eq!((found.out.bytes(), found.back), (Some(1472), Largest::NotKnown(why)));
        }
    }

    #[test]
    fn patience_is_bounded_by_the_limit_and_by_what_is_usual() {
        assert_eq!(patience(300 * MS, 5 * MS), 300 * MS);
        assert_eq!(patience(60_000 * MS, 5 * MS), 1000 * MS);
        assert_eq!(patience(60_000 * MS, 2000 * MS), 6000 * MS);
    }
}
