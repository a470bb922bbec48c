//! Probes UDP ports by sending each a datagram, up to three times.
//!
//! One socket per target serves all ports. The source address of a reply says which port it is
//! from. For a refusal the error queue says so (IP_RECVERR, ip(7)): it has the destination of the
//! datagram that caused the ICMP message. Most services ignore a datagram that they do not
//! understand, so silence means nothing.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use super::plan::{Payload, Plan, Target};
use super::probe::{Answer, Asked, Job, Prober};
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::services::{self, TFTP};
use crate::net::socket;
use crate::net::socket::said::{self, Said};
use crate::scan::report::{Found, PortState};
use crate::sys::{self, Icmp, IcmpKind};

/// Datagrams sent to a port that does not answer: each of them, and each reply, may be lost.
const SENDS: u32 = 3;

/// A datagram is repeated after a PAUSES-th part of the time that an answer may take, so that the
/// last one is sent at half of that time.
const PAUSES: u32 = 4;

/// Bytes of receive buffer for replies and ICMP messages.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Replies, and ICMP messages, that are read before signals and deadlines are looked at: a peer may
/// send them faster than they can be read.
const MOST_AT_ONCE: usize = 256;

/// The probes in flight.
pub(super) struct UdpProber {
    ends: Vec<ProbeSocket>,
    payload: Payload,
    timeout: Duration,
    flights: HashMap<Key, Flight>,
    /// Queue N is for questions that were sent N + 1 times: when to repeat them or, in the last
    /// queue, to give them up; earliest first. A question that was answered stays until then.
    due: [VecDeque<Due>; SENDS as usize],
}

/// Target and port of a question. There is at most one question for each.
type Key = (usize, u16);

/// When to look after a question again, and when it was asked first: the same port may be asked again
/// later.
type Due = (Instant, Key, Instant);

struct Flight {
    job: Job,
    started: Instant,
}

/// The socket for one target.
struct ProbeSocket {
    target: Target,
    socket: Socket,
    latch: Rc<Latch>,
    own_port: u16,
}

/// The beginning of an answer.
type Head = [u8; 2];

/// The result of receiving.
enum Heard {
    From(SocketAddr, Head),
    /// No datagram: the call returned an ICMP message as an error, or was interrupted.
    Icmp,
    None,
}

/// The result of sending a datagram.
enum Sent {
    Yes,
    NoRoom,
}

impl UdpProber {
    pub(super) fn new(plan: &Plan, reactor: &mut Reactor) -> Result<Self> {
        let ends = plan.targets.iter().map(|target| ProbeSocket::new(*target, reactor));
        Ok(Self {
            ends: ends.collect::<Result<_>>()?,
            payload: plan.payload.clone(),
            timeout: plan.timeout,
            flights: HashMap::new(),
            due: Default::default(),
        })
    }

    /// Handles an ICMP message about a probe.
    fn hear(&mut self, target: usize, icmp: &Icmp, answers: &mut Vec<Answer>) {
        let state = match icmp.kind {
            IcmpKind::PortUnreachable => PortState::Closed,
            // A router has given up, so no answer will come.
            IcmpKind::HostUnreachable
            | IcmpKind::NetworkUnreachable
            | IcmpKind::Prohibited
            | IcmpKind::ParameterProblem => PortState::Silent,
            // A repeated probe may get through.
            IcmpKind::TimeExceeded | IcmpKind::TooLong => return,
        };
        if self.ends[target].target.is_asked_at(icmp.about.ip()) {
            self.answer((target, icmp.about.port()), state, answers);
        }
    }

    fn is_under_way(&self, key: Key, started: Instant) -> bool {
        self.flights.get(&key).is_some_and(|flight| flight.started == started)
    }

    /// The question that a datagram from this port answers: where a service takes another port for its
    /// answer, what it says tells.
    fn asked(&self, target: usize, from: u16, head: Head) -> Key {
        let elsewhere = (target, TFTP);
        let is_tftp = self.payload == Payload::ByService && services::is_tftp(&head);
        if is_tftp && self.flights.contains_key(&elsewhere) { elsewhere } else { (target, from) }
    }

    fn answer(&mut self, key: Key, state: PortState, answers: &mut Vec<Answer>) {
        // Otherwise it is a second answer, or one that is too late.
        if let Some(Flight { job, started }) = self.flights.remove(&key) {
            let time = (state != PortState::Silent).then(|| started.elapsed());
            answers.push(Answer { job, found: Found { state, time } });
        }
    }

    /// Reads the replies and ICMP messages of a target, up to a limit; the latch stays readable for
    /// the rest.
    fn listen(&mut self, target: usize, answers: &mut Vec<Answer>) -> Result<()> {
        for _ in 0..MOST_AT_ONCE {
            self.hear_all(target, answers)?;
            match self.ends[target].next_reply()? {
                Heard::From(peer, head) if self.ends[target].target.hears(peer.ip()) => {
                    self.answer(self.asked(target, peer.port(), head), PortState::Open, answers);
                }
                Heard::From(..) | Heard::Icmp => {}
                Heard::None => {
                    self.ends[target].latch.not_readable();
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the ICMP messages of a target; returns whether there were any.
    fn hear_all(&mut self, target: usize, answers: &mut Vec<Answer>) -> Result<bool> {
        let mut heard = false;
        for _ in 0..MOST_AT_ONCE {
            let Some(icmp) = self.ends[target].next_icmp()? else { break };
            heard = true;
            self.hear(target, &icmp, answers);
        }
        Ok(heard)
    }

    /// Sends a probe. send(2) also returns errors that ICMP messages about earlier probes have
    /// caused; then it is called again.
    fn send(&mut self, key: Key, answers: &mut Vec<Answer>) -> Result<Sent> {
        let (target, port) = key;
        loop {
            let end = &self.ends[target];
            let to = end.target.at(port);
            let Err(cause) = end.socket.send_to(self.payload.to(port), &to.into()) else {
                return Ok(Sent::Yes);
            };
            match said::of_error(to, &cause) {
                _ if self.hear_all(target, answers)? => {}
                Said::NoRoom => return Ok(Sent::NoRoom),
                // The network is down, or a route or the firewall of this machine rejects the datagram: it counts
                // as lost.
                Said::Refused | Said::Unreachable | Said::Silent => return Ok(Sent::Yes),
                _ if cause.kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(failed("send", to, &cause)),
            }
        }
    }
}

impl Prober for UdpProber {
    fn ask(&mut self, job: Job, _: &mut Reactor, answers: &mut Vec<Answer>) -> Result<Asked> {
        let key = (job.target, job.port);
        let started = Instant::now();
        self.flights.insert(key, Flight { job, started });
        let ProbeSocket { target, own_port, .. } = &self.ends[job.target];
        if job.port == *own_port && target.is_own() {
            // The port belongs to this socket, so no service has it; the probe would come back as a
            // reply.
            self.answer(key, PortState::Closed, answers);
            return Ok(Asked::Yes);
        }
        match self.send(key, answers)? {
            Sent::Yes => {
                self.due[0].push_back((started + self.timeout / PAUSES, key, started));
                Ok(Asked::Yes)
            }
            Sent::NoRoom => {
                self.flights.remove(&key);
                Ok(Asked::NoRoom)
            }
        }
    }

    fn ask_again(&mut self, now: Instant, answers: &mut Vec<Answer>) -> Result<Option<Asked>> {
        for asked in 0..self.due.len() - 1 {
            while let Some(&(at, key, started)) = self.due[asked].front()
                && at <= now
            {
                if self.is_under_way(key, started)
                    && matches!(self.send(key, answers)?, Sent::NoRoom)
                {
                    return Ok(Some(Asked::NoRoom));
                }
                self.due[asked].pop_front();
                if !self.is_under_way(key, started) {
                    continue;
                }
                let next = if asked + 1 < self.due.len() - 1 {
                    now + self.timeout / PAUSES
                } else {
                    // With a low --rate the last datagram may be sent late; it gets half of the
                    // time all the same.
                    (started + self.timeout).max(now + self.timeout / 2)
                };
                self.due[asked + 1].push_back((next, key, started));
                return Ok(Some(Asked::Yes));
            }
        }
        Ok(None)
    }

    fn collect(&mut self, now: Instant, _: &mut Reactor, answers: &mut Vec<Answer>) -> Result<()> {
        for target in 0..self.ends.len() {
            if self.ends[target].latch.readable() {
                self.listen(target, answers)?;
            }
        }
        while let Some(&(at, key, started)) = self.due.last().and_then(VecDeque::front)
            && at <= now
        {
            if let Some(last) = self.due.last_mut() {
                last.pop_front();
            }
            if self.is_under_way(key, started) {
                self.answer(key, PortState::Silent, answers);
            }
        }
        Ok(())
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn again_at(&self) -> Option<Instant> {
        let before_last = &self.due[..self.due.len() - 1];
        before_last.iter().filter_map(|due| due.front()).map(|(at, ..)| *at).min()
    }

    fn deadline(&self) -> Option<Instant> {
        if self.ends.iter().any(|end| end.latch.readable()) {
            return Some(Instant::now());
        }
        self.due.last().and_then(VecDeque::front).map(|(at, ..)| *at)
    }
}

impl ProbeSocket {
    fn new(target: Target, reactor: &mut Reactor) -> Result<Self> {
        let address = target.address;
        let failed = |cause: io::Error| failed("open", address, &cause);
        let socket = socket::open_plain(address, Protocol::Udp).map_err(failed)?;
        // Many answers may come at once. A smaller buffer is no error.
        let _ = sys::raise_receive_buffer(&socket, RECEIVE_BUFFER);
        // Bound to one address, the socket does not receive datagrams to other addresses of this
        // machine.
        let mut from = address;
        from.set_ip(target.local);
        from.set_port(0);
        socket.bind(&from.into()).map_err(failed)?;
        sys::hear_icmp(&socket, address).map_err(failed)?;
        let own_port = socket::local_port(&socket);
        let latch = reactor
            .watch(&socket, Interest::READABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        Ok(Self { target, socket, latch, own_port })
    }

    fn next_icmp(&self) -> Result<Option<Icmp>> {
        sys::next_icmp(&self.socket).map_err(|cause| self.failed(&cause))
    }

    fn next_reply(&self) -> Result<Heard> {
        // Only the sender matters; the payload may be truncated.
        let mut head = Head::default();
        match sys::receive_stamped(&self.socket, &mut head) {
            Ok(received) => Ok(received.from.map_or(Heard::Icmp, |peer| Heard::From(peer, head))),
            Err(cause) => match (cause.raw_os_error(), said::of_error(self.target.address, &cause))
            {
                (Some(libc::EAGAIN), _) => Ok(Heard::None),
                // An ICMP message is in the error queue if it is about a probe.
                (Some(libc::EINTR | libc::EMSGSIZE), _)
                | (_, Said::Refused | Said::Unreachable | Said::Silent) => Ok(Heard::Icmp),
                _ => Err(self.failed(&cause)),
            },
        }
    }

    fn failed(&self, cause: &io::Error) -> Error {
        failed("receive", self.target.address, cause)
    }
}

fn failed(what: &str, address: SocketAddr, cause: &io::Error) -> Error {
    Error::network(what, socket::name(&address.into(), Protocol::Udp), cause)
}
