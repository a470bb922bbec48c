//! The peers that a datagram socket has heard: bounded, because anybody can forge another one.

use std::collections::HashMap;

use crate::net::address::Address;
use crate::observe::tap::Link;

/// Peers remembered at most.
pub(super) const MOST_PEERS: usize = 65_536;

/// Peers, and when each was heard last.
#[derive(Debug)]
pub(super) struct Book {
    known: HashMap<Address, Known>,
    /// Counts the changes from one peer to another, which is all the time that matters here.
    clock: u64,
    most: usize,
}

#[derive(Debug)]
struct Known {
    link: Link,
    heard: u64,
}

impl Book {
    /// A book for at most so many peers.
    pub(super) fn new(most: usize) -> Self {
        Self { known: HashMap::new(), clock: 0, most }
    }

    pub(super) fn knows(&self, peer: &Address) -> bool {
        self.known.contains_key(peer)
    }

    pub(super) fn link(&self, peer: &Address) -> Option<&Link> {
        self.known.get(peer).map(|known| &known.link)
    }

    /// The link of a peer that was just heard.
    pub(super) fn hear(&mut self, peer: &Address) -> Option<&mut Link> {
        self.clock += 1;
        let known = self.known.get_mut(peer)?;
        known.heard = self.clock;
        Some(&mut known.link)
    }

    /// Adds a peer. When there are too many, the quarter that has been silent for longest is
    /// forgotten: one at a time would have all of them looked at for each newcomer. Whether any
    /// were.
    pub(super) fn add(&mut self, link: Link) -> bool {
        let is_full = self.known.len() >= self.most;
        if is_full {
            let mut times: Vec<u64> = self.known.values().map(|known| known.heard).collect();
            let at = times.len() / 4;
            let (_, last_forgotten, _) = times.select_nth_unstable(at);
            let last_forgotten = *last_forgotten;
            self.known.retain(|_, known| known.heard > last_forgotten);
        }
        self.clock += 1;
        self.known.insert(link.peer.clone(), Known { link, heard: self.clock });
        is_full
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::net::address::Protocol;

    fn peer(port: u16) -> Address {
        Address::from(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn the_longest_silent_make_room_and_newcomers_are_always_known() {
        let mut book = Book::new(8);
        for port in 1..=8 {
            assert!(!book.add(Link::new(Protocol::Udp, peer(99), peer(port))));
        }
        assert!(book.hear(&peer(1)).is_some());
        assert!(book.add(Link::new(Protocol::Udp, peer(99), peer(9))));
        let known: Vec<u16> = (1..=9).filter(|port| book.knows(&peer(*port))).collect();
        assert_eq!(known, [1, 5, 6, 7, 8, 9]);
        for port in 10..1000 {
            book.add(Link::new(Protocol::Udp, peer(99), peer(port)));
            assert!(book.knows(&peer(port)) && book.known.len() <= 8);
        }
    }
}
