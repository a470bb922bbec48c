//! Messages over UDP: one datagram each, known again by what is in it.

use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::Socket;

use super::account::At;
use super::flow::Delivery;
use super::ledger::Ledger;
use super::recognise::Recogniser;
use super::run::Carrier;
use super::wire::{UdpMeter, Wire};
use crate::address::Protocol;
use crate::error::{Error, Result};
use crate::reactor::Latch;
use crate::socket;
use crate::sys::{self, Sender, Ways};
use crate::tap::{Event, Link, Tap};

/// The longest packet where the system does not tell: that of Ethernet.
const USUAL_MTU: usize = 1500;

/// Room for the longest datagram there is.
const ROOM: usize = 64 * 1024;

/// Calls before somebody else has a turn.
const BUDGET: usize = 64;

/// The client's end: a connected socket.
pub struct Datagrams {
    socket: Rc<Socket>,
    latch: Rc<Latch>,
    peer: SocketAddr,
    link: Link,
    tap: Rc<Tap>,
    recogniser: Recogniser,
    buffer: Vec<u8>,
    sender: Sender,
    meter: UdpMeter,
    wire: Wire,
    /// Datagrams that came.
    came: u64,
}

impl Datagrams {
    /// Takes a connected socket.
    #[must_use]
    pub fn new(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        peer: SocketAddr,
        recogniser: Recogniser,
        tap: Rc<Tap>,
    ) -> Self {
        let link = socket::link(&socket, Protocol::Udp, peer.into());
        let mtu = sys::path_mtu(&*socket, peer).unwrap_or(USUAL_MTU);
        Self {
            // Never in trains: each datagram leaves by itself, when its time has come.
            sender: Sender::new(Ways::Portable),
            socket,
            latch,
            peer,
            link,
            tap,
            recogniser,
            buffer: vec![0; ROOM],
            meter: UdpMeter::new(peer, mtu),
            wire: Wire::default(),
            came: 0,
        }
    }

    fn failed(&self, what: &str, cause: &io::Error) -> Error {
        let error = Error::network(what, socket::name(&self.peer.into(), Protocol::Udp), cause);
        if cause.kind() == io::ErrorKind::ConnectionRefused {
            self.tap.event(&Event::Refused(&self.link));
            return error.hint("ICMP port unreachable: nobody listens there");
        }
        error
    }

    /// What went over the wire.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire
    }

    /// Datagrams that came.
    #[must_use]
    pub fn came(&self) -> u64 {
        self.came
    }
}

impl Carrier for Datagrams {
    fn is_writable(&self) -> bool {
        self.latch.writable()
    }

    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool> {
        let sent = self.sender.send(&*self.socket, message, message.len().max(1), None);
        match sent.error {
            None => {}
            Some(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                self.latch.not_writable();
                return Ok(false);
            }
            Some(cause) => return Err(self.failed("send", &cause)),
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
                Err(cause) => return Err(self.failed("receive", &cause)),
            }
        }
        Ok(any)
    }

    fn is_readable(&self) -> bool {
        self.latch.readable()
    }

    fn delivery(&self) -> Delivery {
        Delivery::Any
    }
}
