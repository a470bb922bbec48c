//! Who speaks: the peer heard last, all of them, and what is remembered of each.

use std::net::SocketAddr;

use crate::engine::datagram::book::MOST_PEERS;
use crate::engine::datagram::{Datagram, Peers};
use crate::error::{Error, Status};
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::{Event, Link};

impl Datagram {
    /// Remembers who spoke, and tells when it is somebody new.
    pub(super) fn heard(&mut self, from: &Route) {
        if self.last_heard.as_ref() == Some(from) {
            return;
        }
        if let Some(before) = self.last_heard.replace(from.clone()) {
            // It was heard up to now.
            self.book.hear(&before.peer);
        }
        match &mut self.peers {
            Peers::Connected(Route { peer, .. }) => {
                if let Some(link) = self.book.link(peer) {
                    self.tap.event(&Event::Peer(link));
                }
            }
            Peers::Last(last) if from.peer.can_be_answered() => *last = Some(from.clone()),
            Peers::Last(_) | Peers::All(_) => {}
        }
        if let Some(link) = self.book.hear(&from.peer) {
            let local = from.local.map(|local| at_port_of(&self.local, local));
            if let Some(local) = local.filter(|local| *local != link.local) {
                link.local = local;
                self.answer_from_there(from);
            }
        } else {
            self.meet(from);
        }
    }

    /// A known peer has written to another address of ours than before.
    fn answer_from_there(&mut self, from: &Route) {
        if let Peers::All(all) = &mut self.peers
            && let Some(known) = all.iter_mut().find(|known| known.peer == from.peer)
        {
            known.local = from.local;
        }
    }

    /// Remembers somebody new.
    fn meet(&mut self, from: &Route) {
        let local = match from.local {
            Some(local) => at_port_of(&self.local, local),
            None if self.tap.is_watched() => socket::local_towards(self.local.clone(), &from.peer),
            None => self.local.clone(),
        };
        let link = Link::new(Protocol::Udp, local, from.peer.clone());
        self.tap.event(&Event::Peer(&link));
        if self.book.add(link) {
            self.forget();
        }
        if let Peers::All(all) = &mut self.peers
            && from.peer.can_be_answered()
        {
            all.push(from.clone());
        }
    }

    /// Some peers are not in the book any more; what that means is told once.
    fn forget(&mut self) {
        if let Peers::All(all) = &mut self.peers {
            if let Some(round) = &mut self.round {
                round.forget(all, |peer| self.book.knows(peer));
            }
            all.retain(|route| self.book.knows(&route.peer));
        }
        if !std::mem::replace(&mut self.has_forgotten, true) {
            let why = format!("over {MOST_PEERS} peers; those silent for longest are forgotten");
            let name = socket::name(&self.local, Protocol::Udp);
            let error = Error::new(Status::Failure, "receive", name, why)
                .hint("they count as new when they are heard again");
            self.tap.event(&Event::Error(&error));
        }
    }
}

/// The address among ours, with the port of the socket.
fn at_port_of(socket: &Address, ours: SocketAddr) -> Address {
    let port = socket.internet().map_or(0, |socket| socket.port());
    let mut ours = ours;
    ours.set_port(port);
    ours.into()
}
