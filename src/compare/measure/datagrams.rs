//! Messages over UDP: each is one datagram, and its reply is recognised by the content.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::rc::Rc;

use mio::Interest;
use socket2::Socket;

use crate::compare::measure::account::At;
use crate::compare::measure::carrier::Carrier;
use crate::compare::measure::flow::Delivery;
use crate::compare::measure::ledger::Ledger;
use crate::compare::measure::recognise::Recogniser;
use crate::compare::measure::wire::{UdpMeter, WireTraffic};
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::observe::tap::{Event, Link, Tap};
use crate::sys::{self, Offload, Sender, errno};

/// The MTU in bytes that is assumed where the kernel does not tell it: that of Ethernet.
const USUAL_MTU: usize = 1500;

/// Bytes of buffer: more than the longest datagram has.
const ROOM: usize = 64 * 1024;

/// How many datagrams are received before messages may be sent again.
const BUDGET: usize = 64;

/// Whether the socket has room for another datagram. Watching for that makes epoll report every datagram
/// that has been sent (the kernel's `sk_write_space`), which would double the work of the loop. So the
/// watch begins only once a datagram has found no room.
#[derive(Debug)]
enum Room {
    /// So far every datagram has found room.
    Always,
    /// The last datagram found none, and the watch has yet to be made.
    Missing,
    /// The reactor watches for room, through a duplicate of the socket: a descriptor can be watched only
    /// once.
    Watched {
        /// Keeps the duplicate open.
        _twin: Socket,
        latch: Rc<Latch>,
    },
}

/// The client's end: a connected socket.
pub(crate) struct UdpCarrier {
    socket: Rc<Socket>,
    latch: Rc<Latch>,
    room: Room,
    peer: SocketAddr,
    link: Link,
    tap: Rc<Tap>,
    recogniser: Recogniser,
    buffer: Vec<u8>,
    sender: Sender,
    meter: UdpMeter,
    wire: WireTraffic,
    /// Datagrams that came.
    came: u64,
}

impl UdpCarrier {
    /// Takes a connected socket that the reactor watches for reading.
    #[must_use]
    pub(crate) fn new(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peer: SocketAddr,
        recogniser: Recogniser,
        tap: Rc<Tap>,
    ) -> Self {
        let link = Link::of(&socket, Protocol::Udp, peer.into());
        let mtu = sys::path_mtu(&*socket, peer).unwrap_or(USUAL_MTU);
        Self {
            // Each message is sent at its own time, so that several are never sent in one call.
            sender: Sender::new(Offload::Portable),
            socket,
            latch,
            room: Room::Always,
            peer,
            link,
            tap,
            recogniser,
            buffer: vec![0; ROOM],
            meter: UdpMeter::new(peer, mtu),
            wire: WireTraffic::default(),
            came: 0,
        }
    }

    /// The error that ends the run because of this cause; `None` when the run goes on.
    fn failed(&self, what: &str, cause: &io::Error) -> Option<Error> {
        let error = socket::datagram_failed(&self.socket, what, &self.peer.into(), cause)?;
        if error.status == Status::Refused {
            self.tap.event(&Event::Refused(&self.link));
        }
        Some(error)
    }

    /// The packets and bytes sent and received so far.
    #[must_use]
    pub(crate) fn wire(&self) -> WireTraffic {
        self.wire
    }

    /// Datagrams that came.
    #[must_use]
    pub(crate) fn came(&self) -> u64 {
        self.came
    }
}

impl Carrier for UdpCarrier {
    fn is_writable(&self) -> bool {
        match &self.room {
            Room::Always => true,
            Room::Missing => false,
            Room::Watched { latch, .. } => latch.writable(),
        }
    }

    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool> {
        let sent = self.sender.send(&*self.socket, message, message.len().max(1), None);
        match sent.error {
            None => {}
            Some(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                match &self.room {
                    Room::Watched { latch, .. } => latch.not_writable(),
                    Room::Always | Room::Missing => self.room = Room::Missing,
                }
                return Ok(false);
            }
            // Lost in this machine, as a router loses one whose queue is full.
            Some(cause) if errno::is_full(&cause) => {
                self.recogniser.sent(number, message);
                return Ok(true);
            }
            Some(cause) => match self.failed("send", &cause) {
                Some(error) => return Err(error),
                None => return self.send(number, message),
            },
        }
        self.tap.sent(&self.link, message);
        self.meter.count(message.len(), &mut self.wire.out);
        self.recogniser.sent(number, message);
        Ok(true)
    }

    fn receive(&mut self, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool> {
        let mut any = false;
        for _ in 0..BUDGET {
            if !self.latch.readable() {
                break;
            }
            // Each datagram is received by a call of its own, so that each has its own arrival time.
            match (&*self.socket).read(&mut self.buffer) {
                Ok(length) => {
                    let at = now();
                    let reply = &self.buffer[..length];
                    self.came += 1;
                    any = true;
                    self.meter.count(length, &mut self.wire.back);
                    self.tap.received(&self.link, reply, None);
                    for (number, condition) in self.recogniser.recognise(reply, &ledger.account) {
                        ledger.reply(number, at, condition);
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                    break;
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => self.failed("receive", &cause).map_or(Ok(()), Err)?,
            }
        }
        Ok(any)
    }

    fn before_sleep(&mut self, reactor: &mut Reactor) -> Result<()> {
        if matches!(self.room, Room::Missing) {
            let failed = |cause: io::Error| Error::system("poll", &cause);
            let twin = self.socket.try_clone().map_err(failed)?;
            let latch = reactor.watch(&twin, Interest::WRITABLE).map_err(failed)?;
            latch.not_writable();
            self.room = Room::Watched { _twin: twin, latch };
        }
        Ok(())
    }

    fn is_readable(&self) -> bool {
        self.latch.readable()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Any
    }
}
