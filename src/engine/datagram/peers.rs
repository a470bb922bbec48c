//! Whom datagrams come from and go to: the peer that was heard last, or all of them.

use std::net::SocketAddr;

use socket2::Socket;

use super::book::{Book, MOST_PEERS};
use super::rounds::Round;
use crate::error::{Error, Status};
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::{Event, Forwarded, Link, Tap};

/// Whom datagrams are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Peers {
    /// The one the socket is connected to.
    Connected(Route),
    /// The one heard last.
    Last(Option<Route>),
    /// Every one heard so far.
    All(Vec<Route>),
    /// One that the socket is not connected to, so that anybody may answer.
    Open(Target),
}

/// Whom an unconnected socket sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) to: Route,
    following: Following,
    /// Whether the peer that was asked has answered itself.
    has_answered: bool,
}

/// Whether datagrams go on to whoever answered first (`--follow`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    /// They go to the same peer, whoever answers.
    Never,
    /// They go to whoever answers first.
    First,
}

impl Peers {
    /// Datagrams go to this peer. Who is heard depends on whether the socket is connected.
    pub(crate) fn only(socket: &Socket, peer: Address, following: Following) -> Self {
        match socket::peer_address(socket) {
            Some(_) => Self::Connected(peer.into()),
            None => Self::Open(Target { to: peer.into(), following, has_answered: false }),
        }
    }

    /// The same for another socket and another peer.
    pub(super) fn elsewhere(&self, socket: &Socket, peer: Address) -> Self {
        let following = match self {
            Self::Open(target) => target.following,
            _ => Following::Never,
        };
        Self::only(socket, peer, following)
    }
}

/// The peers of a socket.
#[derive(Debug)]
pub(super) struct KnownPeers {
    /// Whom is sent to.
    pub peers: Peers,
    /// How far what is sent to all of them has come.
    pub round: Option<Round>,
    /// The address of the socket.
    local: Address,
    book: Book,
    /// The peer of the last datagram, so that a flow from one peer needs no look-up.
    last_heard: Option<Route>,
    /// Whether there have been too many peers.
    has_forgotten: bool,
    /// The link of a forwarder's client that anybody may answer. Its peer is whoever the datagram at
    /// hand goes to or comes from, and what passes counts together.
    client: Option<Link>,
}

impl KnownPeers {
    /// For a socket with this address, which knows only the peer that it is connected to, if any.
    pub(super) fn new(peers: Peers, local: Address) -> Self {
        let mut book = Book::new(MOST_PEERS);
        match &peers {
            Peers::Connected(Route { peer, .. }) => {
                book.add(Link::new(Protocol::Udp, local.clone(), peer.clone()));
            }
            Peers::Open(Target { to, .. }) => {
                let local = socket::local_towards(local.clone(), &to.peer);
                book.add(Link::new(Protocol::Udp, local, to.peer.clone()));
            }
            Peers::Last(_) | Peers::All(_) => {}
        }
        Self {
            peers,
            round: None,
            local,
            book,
            last_heard: None,
            has_forgotten: false,
            client: None,
        }
    }

    /// For a socket that is for the peer of this link, whether it is connected or not.
    pub(super) fn of(link: Link, local: Address, peers: Peers) -> Self {
        let mut known = Self::new(Peers::Last(None), local);
        match &peers {
            Peers::Open(_) => known.client = Some(link),
            Peers::Connected(_) | Peers::Last(_) | Peers::All(_) => drop(known.book.add(link)),
        }
        known.peers = peers;
        known
    }

    /// The same client's link to another peer, from `far`, with what has passed so far; `None` where it is
    /// nobody's.
    pub(super) fn link_of_client_to(&self, peer: Address, far: Address) -> Option<Link> {
        let link = self.link(&self.target()?.peer)?;
        let Forwarded { client, came, near, .. } = link.forwarded.as_ref()?;
        let (client, came, near) = (*client, *came, near.clone());
        let forwarded = Forwarded { client, came, near, far };
        let elsewhere = Link::new(link.protocol, link.local.clone(), peer).of_client(forwarded);
        elsewhere.continue_from(link);
        Some(elsewhere)
    }

    /// The datagram at hand goes to this peer or came from it.
    pub(super) fn turn_to(&mut self, peer: &Address) {
        if let Some(link) = &mut self.client
            && link.peer != *peer
        {
            link.peer = peer.clone();
        }
    }

    /// Whom the socket is connected to.
    pub(super) fn connected(&self) -> Option<&Route> {
        match &self.peers {
            Peers::Connected(to) => Some(to),
            Peers::Last(_) | Peers::All(_) | Peers::Open(_) => None,
        }
    }

    /// The one peer that datagrams go to, whose failure is that of the run.
    pub(super) fn target(&self) -> Option<&Route> {
        match &self.peers {
            Peers::Connected(to) | Peers::Open(Target { to, .. }) => Some(to),
            Peers::Last(_) | Peers::All(_) => None,
        }
    }

    /// Whether there is somebody to send to.
    pub(super) fn has_any(&self) -> bool {
        match &self.peers {
            Peers::Connected(_) | Peers::Open(_) => true,
            Peers::Last(last) => last.is_some(),
            Peers::All(all) => !all.is_empty(),
        }
    }

    /// The peer at this place among all that are sent to.
    pub(super) fn at(&self, place: usize) -> Option<&Route> {
        match &self.peers {
            Peers::All(all) => all.get(place),
            Peers::Connected(_) | Peers::Last(_) | Peers::Open(_) => None,
        }
    }

    /// The two ends of what is sent to this peer or came from it.
    pub(super) fn link(&self, peer: &Address) -> Option<&Link> {
        self.client.as_ref().or_else(|| self.book.link(peer))
    }

    /// Remembers that this peer has sent something, and reports a new one.
    pub(super) fn heard(&mut self, from: &Route, tap: &Tap) {
        self.turn_to(&from.peer);
        if self.last_heard.as_ref() == Some(from) {
            return;
        }
        if let Some(before) = self.last_heard.replace(from.clone()) {
            // The peer before counts as heard until now.
            self.book.hear(&before.peer);
        }
        match &mut self.peers {
            Peers::Connected(Route { peer, .. }) => {
                // A forwarder's peers are its clients, who were heard before.
                let link = self.book.link(peer).filter(|link| link.forwarded.is_none());
                if let Some(link) = link {
                    tap.event(&Event::Peer(link));
                }
            }
            Peers::Open(_) if self.client.is_some() => {}
            Peers::Open(target) => target.heard(from, &self.book, tap),
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
            self.meet(from, tap);
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

    /// Remembers a new peer.
    fn meet(&mut self, from: &Route, tap: &Tap) {
        let local = match from.local {
            Some(local) => at_port_of(&self.local, local),
            None if tap.is_watched() => socket::local_towards(self.local.clone(), &from.peer),
            None => self.local.clone(),
        };
        let link = Link::new(Protocol::Udp, local, from.peer.clone());
        match &self.client {
            Some(client) => {
                let answered = format!("#{} answered by {}", client.client_number(), from.peer);
                tap.event(&Event::Detail(&answered));
                tap.event(&Event::Peer(client));
            }
            None => tap.event(&Event::Peer(&link)),
        }
        if self.book.add(link) {
            self.forget(tap);
        }
        if let Peers::All(all) = &mut self.peers
            && from.peer.can_be_answered()
        {
            all.push(from.clone());
        }
    }

    /// Some peers are not in the book any more. The first time, that is reported.
    fn forget(&mut self, tap: &Tap) {
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
            tap.event(&Event::Error(&error));
        }
    }
}

impl Target {
    /// Somebody has sent something, perhaps the peer itself.
    fn heard(&mut self, from: &Route, book: &Book, tap: &Tap) {
        // The peer is in the book from the start; others are reported when they are added to it.
        if self.to.peer == from.peer && !self.has_answered {
            self.has_answered = true;
            if let Some(link) = book.link(&from.peer) {
                tap.event(&Event::Peer(link));
            }
        }
        if self.following == Following::First && from.peer.can_be_answered() {
            self.following = Following::Never;
            self.to = from.clone();
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
