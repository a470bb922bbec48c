//! A datagram socket: UDP, connected to one peer or open to all.
//!
//! [`Datagram`] is a socket (`endpoint`), whom it knows and sends to (`peers`), and whose datagrams
//! it delivers (`admission`).

mod admission;
mod book;
pub(crate) mod complaints;
mod endpoint;
mod hearing;
mod longest;
mod moving;
mod passed;
pub(crate) mod patience;
mod peers;
mod reports;
mod rounds;
mod sending;

use std::io;
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use admission::Admission;
use endpoint::Endpoint;
use hearing::Hearing;
pub(crate) use longest::{LONGEST_IPV4, LONGEST_IPV6, longest_to};
use passed::Passed;
pub(crate) use peers::{Following, Peers};
use peers::{KnownPeers, Target};
use reports::Reports;
pub(crate) use rounds::Handed;

use crate::engine::batch::Batch;
use crate::engine::ends::Standing;
use crate::engine::flow::{Allowance, Sink, Source};
use crate::engine::repeat::Repeat;
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::net::access::AccessList;
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::{Activity, Link, Tap};
use crate::sys::{Fetch, Offload, Received, Receiver, segmented};

/// Room that a batch for receiving must have.
pub(crate) const RECEIVE_ROOM: usize = Receiver::ROOM;

/// A bound or connected, non-blocking datagram socket.
pub(crate) struct Datagram {
    end: Endpoint,
    known: KnownPeers,
    admission: Admission,
    received: Vec<Received>,
    repeat: Repeat,
    reports: Reports,
    passed: Passed,
}

impl Datagram {
    /// Takes a non-blocking socket that the reactor already watches.
    #[must_use]
    pub(crate) fn new(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peers: Peers,
        offload: Offload,
        fetch: Fetch,
        tap: Rc<Tap>,
    ) -> Self {
        Self::at(Endpoint::new(socket, latch, offload, fetch), peers, tap)
    }

    /// Takes a socket that is for the peer of `link`, which what passes is reported with. Where it is not
    /// connected, as for a group, anybody may answer, and the link then names who did.
    #[must_use]
    pub(crate) fn linked(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        link: Link,
        offload: Offload,
        tap: Rc<Tap>,
    ) -> Self {
        let peers = Peers::only(&socket, link.peer.clone(), Following::Never);
        let end = Endpoint::new(socket, latch, offload, Fetch::Many);
        let local = end.local.clone();
        let unlinked = Self::at(end, Peers::Last(None), tap);
        Self { known: KnownPeers::of(link, local, peers), ..unlinked }
    }

    fn at(end: Endpoint, peers: Peers, tap: Rc<Tap>) -> Self {
        Self {
            known: KnownPeers::new(peers, end.local.clone()),
            end,
            admission: Admission::default(),
            received: Vec::new(),
            repeat: Repeat::Nothing,
            reports: Reports::new(),
            passed: Passed::new(tap),
        }
    }

    /// From now on datagrams of peers that the list refuses are counted and not delivered.
    pub(crate) fn guard(&mut self, access: AccessList) {
        self.admission = Admission::by(access);
    }

    /// Whether there is somebody to send to.
    #[must_use]
    pub(crate) fn has_peer(&self) -> bool {
        self.known.has_any()
    }

    /// How much has passed, with all peers together.
    #[must_use]
    pub(crate) fn activity(&self) -> Activity {
        self.passed.activity()
    }

    /// Whether receiving has met nothing more for now.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        !self.end.latch.readable()
    }

    /// Our port.
    #[must_use]
    pub(crate) fn port(&self) -> u16 {
        self.end.local.internet().map_or(0, |local| local.port())
    }

    /// Whether sending may find room.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.end.has_room()
    }

    /// When sending is to be tried again though no event tells; that may have passed. `None` where an event
    /// will tell, or there was room the last time.
    #[must_use]
    pub(crate) fn again_at(&self) -> Option<Instant> {
        self.end.again_at()
    }

    /// Sends datagrams of `segment` bytes, the last possibly shorter, to this peer. Returns how many of
    /// the bytes need not be sent again, `None` when there was no room for any.
    pub(crate) fn answer(&mut self, bytes: &[u8], segment: usize, to: &Route) -> Option<usize> {
        // The socket is not connected: failures are reported to the observers, and not returned.
        self.send(bytes, segment, to).unwrap_or(None)
    }

    /// Counts datagrams as lost which have found no room for too long.
    pub(crate) fn lose(&self, bytes: &[u8], segment: usize) {
        self.passed.tap.unsent(segmented::count(bytes.len(), segment));
    }

    /// The run is over while so many datagrams wait to be sent: if that is because the queue of the device is
    /// full, they are lost, which is told. What ended the run decides on its status.
    pub(crate) fn leave_behind(&mut self, messages: usize) {
        if messages == 0 || self.end.again_at().is_none() {
            return;
        }
        self.passed.tap.unsent(messages);
        let place = socket::name(&self.end.local, Protocol::Udp);
        let cause = io::Error::from_raw_os_error(libc::ENOBUFS);
        let error = Error::network("send", place, &cause);
        self.reports.tell(&error.hint(format!("{messages} not sent")), &self.passed.tap);
    }

    /// Sends datagrams to one peer. Returns how many bytes were sent; `None` when there was no room for
    /// any, or signals kept interrupting the call.
    fn send(&mut self, bytes: &[u8], segment: usize, to: &Route) -> Result<Option<usize>> {
        let connected = self.known.connected().is_some();
        let sent = self.end.send(bytes, segment, (!connected).then_some(to));
        if sent.messages > 0 {
            self.known.turn_to(&to.peer);
            let link = self.known.link(&to.peer);
            self.passed.sent(&bytes[..sent.bytes], segment, sent.messages, link);
        }
        let Some(cause) = sent.error else {
            self.repeat.keep(&bytes[..sent.bytes], segment);
            return Ok(Some(sent.bytes));
        };
        match cause.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {}
            _ if self.end.finds_room_soon(&cause, bytes, segment) => {}
            // After an error the caller keeps all of the datagrams.
            _ if self.known.target().is_some() => match self.failed("send", &to.peer, &cause) {
                Some(error) => return Err(error),
                // It was about an earlier datagram.
                None if sent.messages == 0 => return self.send(bytes, segment, to),
                None => {}
            },
            _ => {
                // The failure of one peer must not end the others. The datagram is lost.
                self.reports.complain("send", &to.peer, &cause, &self.passed.tap);
                self.passed.tap.unsent(1);
                return Ok(Some(bytes.len().min(sent.bytes + segment)));
            }
        }
        if sent.messages == 0 {
            return Ok(None);
        }
        self.repeat.keep(&bytes[..sent.bytes], segment);
        Ok(Some(sent.bytes))
    }

    /// The error for a failed call on a connected socket; `None` when the run goes on all the same.
    fn failed(&self, what: &str, peer: &Address, cause: &io::Error) -> Option<Error> {
        let link = self.known.link(peer);
        reports::failed(&self.end.socket, (peer, link), what, cause, &self.passed.tap)
    }

    /// Sends datagrams to the one peer that the socket is for. Bytes sent; `None` when there was no room
    /// for any.
    ///
    /// # Errors
    /// What the network reported for an earlier datagram; nothing was sent then.
    pub(crate) fn send_to_peer(&mut self, bytes: &[u8], segment: usize) -> Result<Option<usize>> {
        match self.known.target().cloned() {
            Some(to) if self.end.has_room() => self.send(bytes, segment, &to),
            _ => Ok(None),
        }
    }

    /// The address that the socket is bound to.
    #[must_use]
    pub(crate) fn local(&self) -> &Address {
        &self.end.local
    }

    /// What passes between the socket and the one peer that it is for.
    #[must_use]
    pub(crate) fn link(&self) -> Option<&Link> {
        self.known.link(&self.known.target()?.peer)
    }

    /// The one peer that the socket is for.
    #[must_use]
    pub(crate) fn target(&self) -> Option<&Address> {
        self.known.target().map(|to| &to.peer)
    }

    /// The socket's readiness.
    #[must_use]
    pub(crate) fn latch(&self) -> &Rc<Latch> {
        &self.end.latch
    }

    /// The socket itself, for the session to count what the kernel drops there.
    #[must_use]
    pub(crate) fn socket(&self) -> &Rc<Socket> {
        &self.end.socket
    }

    /// Reports something that concerns one of many peers, unless there was such a line just now.
    pub(crate) fn tell(&mut self, error: &Error) {
        self.reports.tell(error, &self.passed.tap);
    }

    /// An error the network reported for what was sent: ICMP port or host unreachable
    /// (RFC 1122, 4.1.3.3); or why nothing can be received any more.
    fn reported(&self) -> Result<()> {
        self.reports.check()?;
        match (self.end.socket.take_error(), self.known.target()) {
            (Ok(Some(cause)), Some(to)) => {
                self.failed("send", &to.peer, &cause).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    /// Adds what was received to the batch, and counts it. Returns how many bytes that is; 0 if the access
    /// list refuses the sender.
    fn take(&mut self, batch: &mut Batch, received: &mut Received) -> usize {
        if received.from.is_none()
            && let Address::Unix(_) = &self.end.local
            && self.known.connected().is_none()
        {
            // The sender is a socket without a name (unix(7)).
            received.from = Some(Address::Unix(None).into());
        }
        // Whom a connected socket hears is its peer, however the system spells the address: where 0.0.0.0 was
        // asked it is 127.0.0.1, and a path is as the peer's own bind(2) had it.
        if let (Some(from), Some(to)) = (&mut received.from, self.known.connected())
            && from.peer != to.peer
        {
            from.peer = to.peer.clone();
        }
        if self.admission.refuses(received, &self.passed.tap) {
            return 0;
        }
        self.repeat = Repeat::Nothing;
        if let Some(from) = &received.from {
            self.known.heard(from, &self.passed.tap);
        }
        batch.place(received.range.clone(), received.segment, received.from.clone());
        let from = received.from.as_ref().or(self.known.connected());
        let link = from.and_then(|from| self.known.link(&from.peer));
        self.passed.received(batch.bytes(received.range.clone()), received, link);
        received.range.len()
    }
}

/// There is no connection: nothing is acknowledged, so nothing is waited for.
impl Standing for Datagram {
    fn has_settled(&self) -> Result<bool> {
        self.reported().map(|()| true)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        self.reported().map(|()| true)
    }

    fn check(&self) -> Result<()> {
        self.reported()
    }
}

impl Source for Datagram {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if !self.end.latch.readable() {
            return self.reports.said.take().map_or(Ok(Progress::Blocked), Err);
        }
        let mut received = std::mem::take(&mut self.received);
        received.clear();
        let result = self.end.receive(batch.reset(), &mut received);
        let bytes = received.iter_mut().map(|one| self.take(batch, one)).sum();
        let any = !received.is_empty();
        self.received = received;
        match (result, self.known.target()) {
            (Ok(()), _) => self.reports.hearing = Hearing::Good,
            (Err(cause), _) if cause.kind() == io::ErrorKind::WouldBlock => {
                self.reports.hearing = Hearing::Good;
            }
            (Err(cause), _) if cause.kind() == io::ErrorKind::Interrupted => {
                return Ok(Progress::Moved(bytes));
            }
            (Err(cause), Some(from)) => {
                let error = self.failed("receive", &from.peer, &cause);
                if let Some(error) = error
                    && let Some(before) = self.reports.said.replace(Some(error))
                {
                    return Err(before);
                }
                return Ok(Progress::Moved(bytes));
            }
            (Err(cause), None) => {
                let place = socket::name(&self.end.local, Protocol::Udp);
                let error = Error::network("receive", place, &cause);
                let hearing = &mut self.reports.hearing;
                let progress = hearing.failed(error, &self.end.latch, &self.passed.tap);
                return Ok(if any { Progress::Moved(bytes) } else { progress });
            }
        }
        match self.reports.said.take() {
            Some(error) if !any => Err(error),
            said => {
                self.reports.said.set(said);
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
            let Some(part) = allowed.whole_messages(bytes, segment, gone, moved) else { break };
            if !self.end.has_room() {
                break;
            }
            let sent = match &self.known.peers {
                Peers::Connected(to) | Peers::Last(Some(to)) | Peers::Open(Target { to, .. }) => {
                    let to = to.clone();
                    self.send(part, segment, &to)?
                }
                Peers::Last(None) => None,
                Peers::All(_) => match self.step_round(part, segment)? {
                    Handed::Bytes(sent) => Some(sent),
                    Handed::ToSome => return Ok(Progress::Moved(moved)),
                    Handed::NoRoom => None,
                },
            };
            let Some(sent) = sent else {
                // If there was no room, that is known now. Otherwise the call was interrupted: no event will
                // follow, so it has to be made again at once.
                is_interrupted = self.has_peer() && self.end.has_room();
                break;
            };
            moved += sent;
            batch.consume(sent);
        }
        let is_stuck = batch.len() == before && !is_interrupted;
        Ok(if is_stuck { Progress::Blocked } else { Progress::Moved(moved) })
    }
}
