//! Datagrams that come back, all from one socket: each says which probe it is.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::{SockAddr, Socket};

use super::attempt::{told_by, watch};
use super::clock::Departure;
use super::echo_message::Messages;
use super::flights::Flights;
use super::prober::{Answer, Outcome, Prober, Sent, Told};
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::net::socket::said::{self, Said};
use crate::sys;

/// Datagrams that are received before the loop looks after its other work; the latch stays readable
/// for the rest.
const MOST_AT_ONCE: usize = 256;

/// Echoes over UDP.
pub(super) struct DatagramEcho {
    messages: Messages,
    flights: Flights,
    /// The addresses that are asked; one, once it has answered.
    ends: Vec<End>,
    /// The place of the one that has.
    there: Option<usize>,
    buffer: Vec<u8>,
}

/// The socket for one address.
struct End {
    address: SocketAddr,
    open: Option<(Socket, Rc<Latch>)>,
    /// Probes that were sent from here and were neither answered nor refused here, oldest first.
    sent: VecDeque<(u64, Departure)>,
}

/// The result of sending.
enum Handed {
    Sent,
    /// The call failed for an ICMP message about an earlier probe, and has sent nothing.
    Earlier(Answer),
    /// What is known of the address without an answer.
    Unsent(Answer),
    NoRoom(Error),
}

/// The result of receiving.
enum Heard {
    Echo(u64, Duration),
    Icmp(Answer),
    /// Nothing of ours.
    Other,
    Nothing,
}

impl DatagramEcho {
    /// Nothing is sent yet. There is one target at least.
    pub(super) fn new(targets: Vec<SocketAddr>, size: usize, timeout: Duration) -> Self {
        let end = |address| End { address, open: None, sent: VecDeque::new() };
        let messages = Messages::new(size);
        // One more, so that a longer datagram is not taken for ours.
        let buffer = vec![0; messages.size() + 1];
        let ends = targets.into_iter().map(end).collect();
        Self { messages, flights: Flights::new(timeout), ends, there: None, buffer }
    }

    /// One address has said something of a probe.
    fn told(
        &mut self,
        at: usize,
        seq: u64,
        (answer, took): (Answer, Option<Duration>),
        outcomes: &mut Vec<Outcome>,
    ) {
        let told = Told { address: self.ends[at].address, answer, took };
        outcomes.extend(self.flights.told(seq, told));
    }

    /// An ICMP message came, which is about the oldest probe: those before it are settled.
    fn icmp(&mut self, at: usize, answer: Answer, outcomes: &mut Vec<Outcome>) {
        if let Some((seq, left)) = self.ends[at].sent.pop_front() {
            let took = (answer == Answer::Refused).then(|| left.took(Instant::now(), None));
            self.told(at, seq, (answer, took), outcomes);
        }
    }

    /// Takes what has come to one socket.
    fn listen(&mut self, at: usize, outcomes: &mut Vec<Outcome>) -> Result<()> {
        for _ in 0..MOST_AT_ONCE {
            match self.ends[at].hear(&self.messages, &mut self.buffer)? {
                Heard::Echo(seq, took) => {
                    self.there = self.there.or(Some(at));
                    let answer = (Answer::Answered(self.messages.size()), Some(took));
                    self.told(at, seq, answer, outcomes);
                }
                Heard::Icmp(answer) => self.icmp(at, answer, outcomes),
                Heard::Other => {}
                Heard::Nothing => break,
            }
        }
        Ok(())
    }

    /// From now on only this address is asked, which has answered.
    fn settle_on(&mut self, at: usize, reactor: &mut Reactor) {
        let kept = self.ends.swap_remove(at);
        for end in self.ends.drain(..) {
            end.close(reactor);
        }
        self.ends.push(kept);
    }
}

impl Prober for DatagramEcho {
    fn send(
        &mut self,
        seq: u64,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Sent> {
        let message = self.messages.write(seq);
        self.flights.begin(seq, Instant::now(), self.ends[0].address, self.ends.len());
        for at in 0..self.ends.len() {
            loop {
                match self.ends[at].send(seq, &message, reactor)? {
                    // Over loopback a refusal is there already.
                    Handed::Sent => break self.listen(at, outcomes)?,
                    Handed::Earlier(answer) => self.icmp(at, answer, outcomes),
                    Handed::Unsent(answer) => {
                        break self.told(at, seq, (answer, None), outcomes);
                    }
                    Handed::NoRoom(error) if at == 0 => {
                        self.flights.cancel(seq);
                        return if self.flights.len() > 0 { Ok(Sent::NoRoom) } else { Err(error) };
                    }
                    Handed::NoRoom(_) => {
                        break self.told(at, seq, (Answer::Silent, None), outcomes);
                    }
                }
            }
        }
        Ok(Sent::Yes)
    }

    fn collect(&mut self, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) -> Result<()> {
        for at in 0..self.ends.len() {
            if self.ends[at].is_readable() {
                self.listen(at, outcomes)?;
            }
        }
        if let Some(at) = self.there.take().filter(|_| self.ends.len() > 1) {
            self.settle_on(at, reactor);
        }
        self.flights.expire(reactor.looked_at(), outcomes);
        for end in &mut self.ends {
            // What is settled needs no place in the line.
            while end.sent.front().is_some_and(|(seq, _)| self.flights.left(*seq).is_none()) {
                end.sent.pop_front();
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        if self.ends.iter().any(End::is_readable) {
            return Some(Instant::now());
        }
        self.flights.deadline()
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn address(&self) -> SocketAddr {
        self.ends[0].address
    }
}

impl End {
    fn is_readable(&self) -> bool {
        self.open.as_ref().is_some_and(|(_, latch)| latch.readable())
    }

    /// Whether the socket is not connected: the members of a group answer from their own addresses. Each message
    /// says which probe it answers.
    fn hears_anybody(&self) -> bool {
        self.address.ip().is_multicast()
    }

    fn close(self, reactor: &mut Reactor) {
        if let Some((socket, latch)) = self.open {
            reactor.forget(&socket, &latch);
        }
    }

    /// Sends a message.
    fn send(&mut self, seq: u64, message: &[u8], reactor: &mut Reactor) -> Result<Handed> {
        if self.open.is_none() {
            match self.connect(reactor)? {
                Ok(open) => self.open = Some(open),
                Err(cause) => return self.refused("connect", &cause),
            }
        }
        let Some((socket, _)) = &self.open else { return Ok(Handed::Unsent(Answer::Silent)) };
        let left = Departure::now();
        let to = SockAddr::from(self.address);
        let sent = sys::again(|| match self.hears_anybody() {
            false => socket.send(message),
            true => socket.send_to(message, &to),
        });
        match sent {
            Ok(_) => {
                self.sent.push_back((seq, left));
                Ok(Handed::Sent)
            }
            Err(cause) => match told_by(self.address, &cause) {
                Some(answer) if !self.sent.is_empty() => Ok(Handed::Earlier(answer)),
                _ => self.refused("send", &cause),
            },
        }
    }

    fn connect(&self, reactor: &mut Reactor) -> Result<io::Result<(Socket, Rc<Latch>)>> {
        let connected = socket::open_plain(self.address, Protocol::Udp).and_then(|socket| {
            if !self.hears_anybody() {
                socket.connect(&self.address.into())?;
            }
            Ok(socket)
        });
        let socket = match connected {
            Ok(socket) => socket,
            Err(cause) => return Ok(Err(cause)),
        };
        if socket::is_its_own_peer(&socket, self.address) {
            // While this one has the port, another gets another.
            return self.connect(reactor);
        }
        // Without these, ICMP messages say "port unreachable" only, and arrivals are timed by us.
        let _ = sys::hear_icmp(&socket, self.address);
        let _ = sys::stamp_arrivals(&socket);
        let latch = watch(&socket, Interest::READABLE, reactor)?;
        Ok(Ok((socket, latch)))
    }

    /// What it means that a message could not leave.
    fn refused(&self, what: &str, cause: &io::Error) -> Result<Handed> {
        if let Some(answer) = told_by(self.address, cause) {
            return Ok(Handed::Unsent(answer));
        }
        let name = socket::name(&self.address.into(), Protocol::Udp);
        let error = Error::network(what, name, cause);
        let error = socket::failure::explained(error, self.address, 0, cause);
        match said::of_error(self.address, cause) {
            Said::NoRoom => Ok(Handed::NoRoom(error)),
            _ => Err(error),
        }
    }

    /// The next thing that has come.
    fn hear(&mut self, messages: &Messages, buffer: &mut [u8]) -> Result<Heard> {
        let Some((socket, latch)) = &self.open else { return Ok(Heard::Nothing) };
        let received = sys::receive_stamped(socket, buffer);
        let read = Instant::now();
        match received {
            Ok(stamped) => {
                let bytes = buffer.get(..stamped.length).unwrap_or_default();
                let echoed = messages.read(bytes);
                let place = self.sent.iter().position(|(seq, _)| Some(*seq) == echoed);
                let Some((seq, left)) = place.and_then(|place| self.sent.remove(place)) else {
                    return Ok(Heard::Other);
                };
                Ok(Heard::Echo(seq, left.took(read, stamped.arrived)))
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                latch.not_readable();
                Ok(Heard::Nothing)
            }
            Err(cause) => {
                // Emptied, or it would fill up.
                while let Ok(Some(_)) = sys::next_icmp(socket) {}
                match told_by(self.address, &cause) {
                    Some(answer) => Ok(Heard::Icmp(answer)),
                    None if cause.raw_os_error() == Some(libc::EMSGSIZE) => Ok(Heard::Other),
                    None if cause.kind() == io::ErrorKind::Interrupted => Ok(Heard::Other),
                    None => {
                        let name = socket::name(&self.address.into(), Protocol::Udp);
                        Err(Error::network("receive", name, &cause))
                    }
                }
            }
        }
    }
}
