//! Messages over UDP: one datagram each, known again by what is in it.

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
use crate::io::reactor::{Latch, Reactor};
use crate::net::address::Protocol;
use crate::net::socket;
use crate::observe::tap::{Event, Link, Tap};
use crate::sys::{self, Offload, Sender};

/// The longest packet where the system does not tell: that of Ethernet.
const USUAL_MTU: usize = 1500;

/// Room for the longest datagram there is.
const ROOM: usize = 64 * 1024;

/// Calls before somebody else has a turn.
const BUDGET: usize = 64;

/// Whether datagrams find room to leave. A watch for that is woken by every datagram that has left
/// (sk_write_space), which would double the loop's work, so that there is none until one is needed.
#[derive(Debug)]
enum Room {
    /// It has always been there.
    Always,
    /// The last datagram found none, and nobody watches yet.
    Missing,
    /// Watched through a descriptor of its own.
    Watched {
        /// Held open for the watch.
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
    /// UdpCarrier that came.
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
            // Never in trains: each datagram leaves by itself, when its time has come.
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

    /// `None` when that is no end.
    fn failed(&self, what: &str, cause: &io::Error) -> Option<Error> {
        let error = socket::datagram_failed(&self.socket, what, &self.peer.into(), cause)?;
        if error.status == Status::Refused {
            self.tap.event(&Event::Refused(&self.link));
        }
        Some(error)
    }

    /// What went over the wire.
    #[must_use]
    pub(crate) fn wire(&self) -> WireTraffic {
        self.wire
    }

    /// UdpCarrier that came.
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
            // One by one, each with its own time: a call that fetches many would make the first
            // wait for the last.
            match (&*self.socket).read(&mut self.buffer) {
                Ok(length) => {
                    let at = now();
                    let reply = &self.buffer[..length];
                    self.came += 1;
                    any = true;
                    self.meter.count(length, &mut self.wire.back);
                    self.tap.received(&self.link, reply, None);
                    let (number, condition) = self.recogniser.recognise(reply, &ledger.account);
                    ledger.reply(number, at, condition);
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
