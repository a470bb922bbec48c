//! Going on at another address of a name, when the network says that nobody is at this one.

use std::rc::Rc;

use socket2::Socket;

use super::{Datagram, KnownPeers};
use crate::engine::repeat::Repeat;
use crate::error::Result;
use crate::io::latch::Latch;
use crate::net::address::Address;

impl Datagram {
    /// Keeps copies of what is sent until a peer answers, because there are other addresses to try.
    pub(crate) fn keep_for_others(&mut self) {
        self.repeat = Repeat::begun();
    }

    /// The next address gets nothing of what was sent so far.
    pub(crate) fn keep_nothing(&mut self) {
        self.repeat = Repeat::Nothing;
    }

    /// Whether nothing would be lost by going on with another address.
    #[must_use]
    pub(crate) fn can_move(&self) -> bool {
        matches!(self.repeat, Repeat::Kept(..))
    }

    /// Goes on with a socket that is for another address, and sends it what the one before got; the
    /// socket and the latch of that one, and whether sending failed. What was to be sent is kept all
    /// the same.
    pub(crate) fn move_to(
        &mut self,
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peer: Address,
    ) -> (Rc<Socket>, Rc<Latch>, Result<()>) {
        let tap = Rc::clone(&self.passed.tap);
        let peers = self.known.peers.elsewhere(&socket, peer.clone());
        let mut new = Self::at(self.end.like(socket, latch), peers, tap);
        if let Some(link) = self.known.link_of_client_to(peer, new.end.local.clone()) {
            new.known = KnownPeers::of(link, new.end.local.clone(), new.known.peers);
        }
        let old = std::mem::replace(self, new);
        let mut result = Ok(());
        if let (Repeat::Kept(calls, _), Some(to)) = (&old.repeat, self.known.target().cloned()) {
            result = calls.iter().try_for_each(|(bytes, segment)| {
                // A new socket has room for the little that is kept, but its device may have none.
                match self.send(bytes, *segment, &to)? {
                    Some(sent) if sent == bytes.len() => {}
                    sent => self.lose(&bytes[sent.unwrap_or(0)..], *segment),
                }
                Ok(())
            });
        }
        self.repeat = old.repeat;
        self.passed.add(&old.passed);
        (old.end.socket, old.end.latch, result)
    }
}
