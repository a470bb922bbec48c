//! A datagram socket: UDP, connected to one peer or open to all.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::Socket;

use super::{Allowance, Progress, Sink, Source};
use crate::address::Protocol;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::reactor::Latch;
use crate::socket;
use crate::sys::{self, Received};
use crate::tap::Tap;

/// The most payload a UDP datagram carries over IPv4: 65,535 less 20 bytes of IPv4 header and 8
/// of UDP header (RFC 791, RFC 768).
pub const LONGEST_IPV4: usize = 65_507;

/// The same over IPv6, whose header is not counted in its length (RFC 8200).
pub const LONGEST_IPV6: usize = 65_527;

/// Room for any datagram.
const SLOT: usize = 64 * 1024;

/// Room that a batch for receiving must have: several of the longest datagrams.
pub const RECEIVE_ROOM: usize = 8 * SLOT;

/// Peers remembered and counted; more are heard all the same.
const MOST_PEERS: usize = 65_536;

/// Whom datagrams are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peers {
    /// The one the socket is connected to.
    Connected(SocketAddr),
    /// The one heard last.
    Last(Option<SocketAddr>),
    /// Every one heard so far.
    All(Vec<SocketAddr>),
}

/// A bound or connected, non-blocking datagram socket.
#[derive(Debug)]
pub struct Datagram {
    socket: Rc<Socket>,
    latch: Rc<Latch>,
    peers: Peers,
    known: HashSet<SocketAddr>,
    /// Peers heard for the first time that nobody has asked about yet.
    strangers: Vec<SocketAddr>,
    /// Sends that failed without ending the run.
    complaints: Vec<Error>,
    tap: Rc<Tap>,
}

impl Datagram {
    /// Takes a non-blocking socket that the reactor already watches.
    #[must_use]
    pub fn new(socket: Rc<Socket>, latch: Rc<Latch>, peers: Peers, tap: Rc<Tap>) -> Self {
        Self {
            socket,
            latch,
            peers,
            known: HashSet::new(),
            strangers: Vec::new(),
            complaints: Vec::new(),
            tap,
        }
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

    /// Peers heard for the first time since the last call.
    pub fn strangers(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.strangers)
    }

    /// Failures to send to one of many peers since the last call.
    pub fn complaints(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.complaints)
    }

    /// An error the network reported for what was sent: ICMP port or host unreachable
    /// (RFC 1122, 4.1.3.3).
    ///
    /// # Errors
    /// That error.
    pub fn check(&self) -> Result<()> {
        match self.socket.take_error() {
            Ok(Some(cause)) => Err(self.failed("send", &cause)),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, cause: &io::Error) -> Error {
        let place = match self.peers {
            Peers::Connected(peer) => socket::name(peer, Protocol::Udp),
            _ => "(udp)".to_owned(),
        };
        let error = Error::network(what, place, cause);
        if cause.kind() == io::ErrorKind::ConnectionRefused {
            return error.hint("ICMP port unreachable: nobody listens there");
        }
        error
    }

    fn heard(&mut self, peer: SocketAddr) {
        if let Peers::Last(last) = &mut self.peers {
            *last = Some(peer);
        }
        if self.known.len() < MOST_PEERS && self.known.insert(peer) {
            if let Peers::All(all) = &mut self.peers {
                all.push(peer);
            }
            self.tap.peers.set(self.known.len() as u64);
            self.strangers.push(peer);
        }
    }

    /// Sends one datagram; `false` when there is no room for it now.
    fn send(&mut self, bytes: &[u8], to: Option<SocketAddr>) -> Result<bool> {
        let result = match to {
            None => self.socket.send(bytes),
            Some(peer) => self.socket.send_to(bytes, &peer.into()),
        };
        match result {
            Ok(_) => {
                self.tap.sent(bytes.len());
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                self.latch.not_writable();
                Ok(false)
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(cause) => match to {
                None => Err(self.failed("send", &cause)),
                Some(peer) => {
                    // One peer's trouble is not the others'.
                    let place = socket::name(peer, Protocol::Udp);
                    self.complaints.push(Error::network("send", place, &cause));
                    Ok(true)
                }
            },
        }
    }

    /// Sends one datagram to every peer heard. A socket with room for one has room for the next;
    /// what finds none is lost, like any datagram that a full network drops.
    fn send_to_all(&mut self, bytes: &[u8]) -> Result<bool> {
        let mut any = false;
        let mut next = 0;
        while let Peers::All(all) = &self.peers
            && let Some(&peer) = all.get(next)
        {
            any |= self.send(bytes, Some(peer))?;
            next += 1;
        }
        Ok(any)
    }
}

impl Source for Datagram {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if !self.latch.readable() {
            return Ok(Progress::Blocked);
        }
        let capacity = batch.reset().len();
        let mut at = 0;
        let mut any = false;
        while at + SLOT <= capacity {
            let room = &mut batch.arena()[at..at + SLOT];
            match sys::receive_datagram(&*self.socket, room) {
                Ok(Received {
                    length,
                    whole,
                    peer,
                }) => {
                    if !whole {
                        self.tap.cut.set(self.tap.cut.get() + 1);
                    }
                    self.tap.received(length);
                    if let Some(peer) = peer {
                        self.heard(peer);
                    }
                    batch.place(at..at + length, peer);
                    at += length;
                    any = true;
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                    break;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => break,
                Err(cause) => {
                    if matches!(self.peers, Peers::Connected(_)) {
                        return Err(self.failed("receive", &cause));
                    }
                    self.complaints.push(self.failed("receive", &cause));
                    break;
                }
            }
        }
        Ok(if any {
            Progress::Moved(at)
        } else {
            Progress::Blocked
        })
    }
}

impl Sink for Datagram {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let mut moved = 0;
        let mut messages = 0;
        while let Some((_, bytes)) = batch.front() {
            if messages == allowed.messages || moved >= allowed.bytes || !self.latch.writable() {
                break;
            }
            let sent = match self.peers {
                Peers::Connected(_) => self.send(bytes, None)?,
                Peers::Last(None) => break,
                Peers::Last(Some(peer)) => self.send(bytes, Some(peer))?,
                Peers::All(_) => self.send_to_all(bytes)?,
            };
            if !sent {
                break;
            }
            moved += bytes.len();
            messages += 1;
            batch.pop();
        }
        Ok(if messages == 0 {
            Progress::Blocked
        } else {
            Progress::Moved(moved)
        })
    }
}
