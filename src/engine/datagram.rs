//! A datagram socket: UDP, connected to one peer or open to all.

mod book;
mod complaints;
mod hearing;
mod peers;
mod reports;
mod rounds;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use socket2::Socket;

use book::{Book, MOST_PEERS};
use complaints::Complaints;
use hearing::Hearing;
pub use rounds::Handed;
use rounds::Round;

use crate::engine::batch::Batch;
use crate::engine::flow::{Allowance, Sink, Source};
use crate::engine::repeat::Repeat;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::reactor::Latch;
use crate::net::access::AccessList;
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::{Activity, Link, Tap};
use crate::sys::{Fetch, Offload, Received, Receiver, Sender};

/// The most payload a UDP datagram carries over IPv4: 65,535 less 20 bytes of IPv4 header and 8
/// of UDP header (RFC 791, RFC 768).
pub const LONGEST_IPV4: usize = 65_507;

/// The same over IPv6, whose header is not counted in its length (RFC 8200).
pub const LONGEST_IPV6: usize = 65_527;

/// Room that a batch for receiving must have.
pub const RECEIVE_ROOM: usize = Receiver::ROOM;

/// Whom datagrams are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// The one the socket is connected to.
    Connected(Route),
    /// The one heard last.
    Last(Option<Route>),
    /// Every one heard so far.
    All(Vec<Route>),
}

/// A bound or connected, non-blocking datagram socket.
pub struct Datagram {
    socket: Rc<Socket>,
    latch: Rc<Latch>,
    local: Address,
    peers: Peers,
    book: Book,
    /// How far what is sent to all has come.
    round: Option<Round>,
    /// The peer of the last datagram, so that a flow from one peer needs no look-up.
    last_heard: Option<Route>,
    receiver: Receiver,
    received: Vec<Received>,
    sender: Sender,
    offload: Offload,
    fetch: Fetch,
    access: Option<AccessList>,
    repeat: Repeat,
    /// Whether there have been too many peers.
    has_forgotten: bool,
    complaints: Complaints,
    /// What the network said of a datagram of ours. It is told once all that came before is taken.
    said: Cell<Option<Error>>,
    hearing: Hearing,
    passed: Cell<Activity>,
    tap: Rc<Tap>,
}

impl Datagram {
    /// Takes a non-blocking socket that the reactor already watches.
    #[must_use]
    pub fn new(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peers: Peers,
        offload: Offload,
        fetch: Fetch,
        tap: Rc<Tap>,
    ) -> Self {
        let local = socket::local_address(&socket).unwrap_or(Address::Unix(None));
        let mut book = Book::new(MOST_PEERS);
        if let Peers::Connected(Route { peer, .. }) = &peers {
            book.add(Link::new(Protocol::Udp, local.clone(), peer.clone()));
        }
        Self {
            receiver: Receiver::new(&*socket, offload, fetch),
            // Local sockets take a train for one datagram.
            sender: Sender::new(if local.internet().is_some() {
                offload
            } else {
                Offload::Portable
            }),
            offload,
            fetch,
            socket,
            latch,
            local,
            peers,
            book,
            round: None,
            last_heard: None,
            received: Vec::new(),
            access: None,
            repeat: Repeat::Nothing,
            has_forgotten: false,
            complaints: Complaints::default(),
            said: Cell::new(None),
            hearing: Hearing::Good,
            passed: Cell::default(),
            tap,
        }
    }

    /// There are other addresses: what is sent is kept for them until somebody answers.
    pub fn keep_for_others(&mut self) {
        self.repeat = Repeat::begun();
    }

    /// Whether nothing would be lost by going on with another address.
    #[must_use]
    pub fn can_move(&self) -> bool {
        matches!(self.repeat, Repeat::Kept(..))
    }

    /// Goes on with a socket that is connected to another address, and sends it what the one
    /// before got; the socket and the latch of that one, and whether sending failed. What was to be
    /// sent is kept all the same.
    pub fn move_to(
        &mut self,
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peer: Address,
    ) -> (Rc<Socket>, Rc<Latch>, Result<()>) {
        let (tap, peers) = (Rc::clone(&self.tap), Peers::Connected(peer.into()));
        let new = Self::new(socket, latch, peers, self.offload, self.fetch, tap);
        let old = std::mem::replace(self, new);
        let mut result = Ok(());
        if let (Repeat::Kept(trains, _), Peers::Connected(to)) = (&old.repeat, self.peers.clone()) {
            // A socket that nothing was sent over has room for so little.
            result = trains
                .iter()
                .try_for_each(|(bytes, segment)| self.send(bytes, *segment, &to).map(drop));
        }
        self.repeat = old.repeat;
        self.note(|passed| {
            *passed = *passed + old.passed.get();
        });
        (old.socket, old.latch, result)
    }

    /// From now on datagrams of peers that may not come in are counted and not delivered.
    pub fn guard(&mut self, access: AccessList) {
        self.access = Some(access);
    }

    /// Whether there is somebody to send to.
    #[must_use]
    pub fn has_peer(&self) -> bool {
        match &self.peers {
            Peers::Connected(_) => true,
            Peers::Last(last) => last.is_some(),
            Peers::All(all) => !all.is_empty(),
        }
    }

    /// How much has passed, with all peers together.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.passed.get()
    }

    fn note(&self, count: impl FnOnce(&mut Activity)) {
        let mut passed = self.passed.get();
        count(&mut passed);
        self.passed.set(passed);
    }

    /// Whether receiving has met nothing more for now.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.latch.readable()
    }

    /// Our port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.local.internet().map_or(0, |local| local.port())
    }

    /// Whether sending may find room.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.latch.writable()
    }

    /// Sends a train to a peer of its own: how many of its bytes are dealt with, `None` when there
    /// was no room for any.
    pub fn answer(&mut self, bytes: &[u8], segment: usize, to: &Route) -> Option<usize> {
        // Not connected: failures are told to the observers, and no error comes back.
        self.send(bytes, segment, to).unwrap_or(None)
    }

    /// A train finds no room for so long that it is lost.
    pub fn lose(&self, bytes: &[u8], segment: usize) {
        self.tap.unsent(bytes.len().div_ceil(segment.max(1)).max(1));
    }

    /// Sends a train to one peer. Bytes that left; `None` when there was no room for any, or signals
    /// kept interrupting the call.
    fn send(&mut self, bytes: &[u8], segment: usize, to: &Route) -> Result<Option<usize>> {
        let connected = matches!(self.peers, Peers::Connected(_));
        let sent = self.sender.send(&*self.socket, bytes, segment, (!connected).then_some(to));
        if sent.messages > 0 {
            self.count_sent(&bytes[..sent.bytes], segment, sent.messages, &to.peer);
        }
        let Some(cause) = sent.error else {
            self.repeat.keep(&bytes[..sent.bytes], segment);
            return Ok(Some(sent.bytes));
        };
        match cause.kind() {
            io::ErrorKind::WouldBlock => self.latch.not_writable(),
            io::ErrorKind::Interrupted => {}
            // The whole train stays with whoever wanted it sent.
            _ if connected => match self.failed("send", &to.peer, &cause) {
                Some(error) => return Err(error),
                // It was about an earlier one.
                None if sent.messages == 0 => return self.send(bytes, segment, to),
                None => {}
            },
            _ => {
                // One peer's trouble is not the others', and a datagram nobody can have is lost.
                self.complain("send", &to.peer, &cause);
                self.tap.unsent(1);
                return Ok(Some(bytes.len().min(sent.bytes + segment)));
            }
        }
        if sent.messages == 0 {
            return Ok(None);
        }
        self.repeat.keep(&bytes[..sent.bytes], segment);
        Ok(Some(sent.bytes))
    }

    fn count_sent(&self, bytes: &[u8], segment: usize, messages: usize, to: &Address) {
        self.note(|passed| passed.sent(messages));
        match self.book.link(to) {
            Some(link) if self.tap.is_watched() => {
                if bytes.is_empty() {
                    self.tap.sent(link, bytes);
                }
                for message in bytes.chunks(segment.max(1)) {
                    self.tap.sent(link, message);
                }
            }
            link => self.tap.sent_unseen(link, bytes.len(), messages),
        }
    }

    fn take(&mut self, batch: &mut Batch, received: &Received) {
        self.repeat = Repeat::Nothing;
        if let Some(from) = &received.from {
            self.heard(from);
        }
        batch.place(received.range.clone(), received.segment, received.from.clone());
    }

    /// Counts what was received, and shows it to whoever wants to see it.
    fn count_received(&self, bytes: &[u8], received: &Received) {
        self.note(|passed| passed.received(received.count()));
        let from = received.from.as_ref().or(match &self.peers {
            Peers::Connected(from) => Some(from),
            Peers::Last(_) | Peers::All(_) => None,
        });
        let link = from.and_then(|from| self.book.link(&from.peer));
        match link {
            Some(link) if self.tap.is_watched() || received.cut_from.is_some() => {
                if bytes.is_empty() {
                    self.tap.received(link, bytes, received.cut_from);
                }
                for message in bytes.chunks(received.segment.max(1)) {
                    self.tap.received(link, message, received.cut_from);
                }
            }
            link => self.tap.received_unseen(link, bytes.len(), received.count()),
        }
    }
}

impl Source for Datagram {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if !self.latch.readable() {
            return self.said.take().map_or(Ok(Progress::Blocked), Err);
        }
        let mut received = std::mem::take(&mut self.received);
        received.clear();
        let arena = batch.reset();
        let result = self.receiver.receive(&*self.socket, arena, &mut received);
        let mut bytes = 0;
        for one in &mut received {
            if one.from.is_none()
                && let Address::Unix(_) = &self.local
                && !matches!(self.peers, Peers::Connected(_))
            {
                // Its sender has no name (unix(7)), which is all there is to know.
                one.from = Some(Address::Unix(None).into());
            }
            if let (Some(access), Some(from)) = (&self.access, &one.from)
                && access.refusal(&from.peer).is_some()
            {
                self.tap.ignored(one.count());
                continue;
            }
            bytes += one.range.len();
            self.take(batch, one);
            self.count_received(batch.bytes(one.range.clone()), one);
        }
        let any = !received.is_empty();
        self.received = received;
        match (result, &self.peers) {
            (Ok(()), _) => self.hearing = Hearing::Good,
            (Err(cause), _) if cause.kind() == io::ErrorKind::WouldBlock => {
                self.hearing = Hearing::Good;
                self.latch.not_readable();
            }
            (Err(cause), _) if cause.kind() == io::ErrorKind::Interrupted => {
                return Ok(Progress::Moved(bytes));
            }
            (Err(cause), Peers::Connected(from)) => {
                let error = self.failed("receive", &from.peer, &cause);
                if let Some(error) = error
                    && let Some(before) = self.said.replace(Some(error))
                {
                    return Err(before);
                }
                return Ok(Progress::Moved(bytes));
            }
            (Err(cause), _) => {
                let place = socket::name(&self.local, Protocol::Udp);
                let error = Error::network("receive", place, &cause);
                let progress = self.hearing.failed(error, &self.latch, &self.tap);
                return Ok(if any { Progress::Moved(bytes) } else { progress });
            }
        }
        match self.said.take() {
            Some(error) if !any => Err(error),
            said => {
                self.said.set(said);
                Ok(if any { Progress::Moved(bytes) } else { Progress::Blocked })
            }
        }
    }
}

impl Sink for Datagram {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let mut moved = 0;
        let mut is_interrupted = false;
        let before = batch.len();
        while let Some((frame, bytes)) = batch.front() {
            let (segment, gone) = (frame.segment, before - batch.len());
            let Some(train) = allowed.train(bytes, segment, gone, moved) else { break };
            if !self.latch.writable() {
                break;
            }
            let sent = match &self.peers {
                Peers::Connected(to) | Peers::Last(Some(to)) => {
                    let to = to.clone();
                    self.send(train, segment, &to)?
                }
                Peers::Last(None) => None,
                Peers::All(_) => match self.step_round(train, segment)? {
                    Handed::Bytes(sent) => Some(sent),
                    Handed::ToSome => return Ok(Progress::Moved(moved)),
                    Handed::NoRoom => None,
                },
            };
            let Some(sent) = sent else {
                // Where there was no room the latch is clear. Else no event will tell when the
                // interrupted call can be made again: the loop comes round at once.
                is_interrupted = self.has_peer() && self.latch.writable();
                break;
            };
            moved += sent;
            batch.consume(sent);
        }
        let is_stuck = batch.len() == before && !is_interrupted;
        Ok(if is_stuck { Progress::Blocked } else { Progress::Moved(moved) })
    }
}
