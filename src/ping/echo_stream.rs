//! Messages that come back over one connection, in their order.
//!
//! The connection is made for the first probe, and again for the next one after it was lost. Its
//! making is no part of a round trip.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use super::attempt::{Attempt, Step, watch};
use super::clock::Departure;
use super::echo_message::Messages;
use super::flights::Flights;
use super::prober::{Answer, Outcome, Prober, Sent, Told};
use super::tcp::{self, Dialed};
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::{Link, Tap};

/// What is received at once.
const BUFFER: usize = 64 * 1024;

/// Buffers that are received before the loop looks after its other work.
const MOST_AT_ONCE: usize = 16;

/// Bytes that may wait to be sent while the peer reads nothing.
const MOST_WAITING: usize = 4 << 20;

/// Echoes over TCP.
pub(super) struct StreamEcho {
    messages: Messages,
    flights: Flights,
    timeout: Duration,
    /// The addresses to connect to; one, once a connection was made.
    targets: Vec<SocketAddr>,
    state: State,
    /// Probes that wait for a connection, oldest first.
    waiting: VecDeque<u64>,
    /// What has to be told of lost connections.
    note: Option<Error>,
    /// What was told of the last one: the same is not told again.
    noted: String,
    /// Observers of the connection: there are none.
    tap: Rc<Tap>,
}

enum State {
    /// Not connected. The next probe connects.
    Idle,
    /// To several addresses at once, with the best answer so far of those that failed.
    Connecting(Vec<Attempt>, Option<Told>),
    Connected(Box<Connection>),
}

struct Connection {
    stream: Stream,
    address: SocketAddr,
    /// Bytes of messages that are not sent yet.
    unsent: VecDeque<u8>,
    /// Messages that were sent and have not come back, in their order.
    sent: VecDeque<(u64, Departure)>,
    /// The part of a message that has come back.
    partial: Vec<u8>,
    buffer: Vec<u8>,
}

/// A message that has come back, and how long it took.
type Echo = (u64, Duration);

impl Connection {
    /// Sends what there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            // Two slices where it is wrapped around: the second is sent after the first.
            match self.stream.send(self.unsent.as_slices().0)? {
                Progress::Moved(n) => drop(self.unsent.drain(..n)),
                Progress::Blocked | Progress::End => break,
            }
        }
        Ok(())
    }

    /// Takes what has come back.
    ///
    /// # Errors
    /// When the connection is broken, or over, or no echo service is at its other end.
    fn hear(&mut self, messages: &Messages, echoes: &mut Vec<Echo>) -> Result<()> {
        for _ in 0..MOST_AT_ONCE {
            if !self.stream.latch().readable() {
                break;
            }
            let count = match self.stream.receive(&mut self.buffer)? {
                Progress::Moved(count) => count,
                Progress::Blocked => break,
                Progress::End => return Err(self.failed("closed by the peer")),
            };
            let read = Instant::now();
            self.partial.extend_from_slice(&self.buffer[..count]);
            let size = messages.size();
            let whole = self.partial.len() / size * size;
            for message in self.partial[..whole].chunks(size) {
                match self.sent.pop_front() {
                    Some((seq, left)) if messages.read(message) == Some(seq) => {
                        echoes.push((seq, left.took(read, None)));
                    }
                    _ => {
                        let error = self.failed("what came back is not what was sent");
                        return Err(error.hint("--echo is for echo services (RFC 862)"));
                    }
                }
            }
            self.partial.drain(..whole);
        }
        Ok(())
    }

    fn failed(&self, why: &str) -> Error {
        let name = socket::name(&Address::from(self.address), Protocol::Tcp);
        Error::new(Status::Broken, "echo", name, why)
    }
}

impl StreamEcho {
    /// Nothing is sent yet. There is one target at least.
    pub(super) fn new(targets: Vec<SocketAddr>, size: usize, timeout: Duration) -> Self {
        Self {
            messages: Messages::new(size),
            flights: Flights::new(timeout),
            timeout,
            targets,
            state: State::Idle,
            waiting: VecDeque::new(),
            note: None,
            noted: String::new(),
            tap: Rc::new(Tap::new(Instant::now())),
        }
    }

    /// Begins to connect to all addresses. The error is that there is no room.
    fn connect(
        &mut self,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<std::result::Result<(), Error>> {
        let (mut attempts, mut best) = (Vec::new(), None);
        for (place, address) in self.targets.clone().into_iter().enumerate() {
            match tcp::dial(address)? {
                Dialed::NoRoom(error) if place == 0 => return Ok(Err(error)),
                Dialed::NoRoom(_) => {}
                Dialed::Socket(socket, _, Some((Answer::Open, _))) => {
                    let latch = watch(&socket, Interest::READABLE | Interest::WRITABLE, reactor)?;
                    self.connected(socket, latch, address);
                    attempts.drain(..).for_each(|attempt| give_up(attempt, reactor));
                    return Ok(Ok(()));
                }
                Dialed::Socket(_, _, Some((answer, took))) => {
                    best = better(best, Told { address, answer, took });
                }
                Dialed::Socket(socket, left, None) => {
                    let latch = watch(&socket, Interest::READABLE | Interest::WRITABLE, reactor)?;
                    attempts.push(Attempt { socket, latch, address, left });
                }
            }
        }
        self.state = State::Connecting(attempts, best);
        self.look_at_attempts(reactor, outcomes)?;
        Ok(Ok(()))
    }

    fn connected(&mut self, socket: Socket, latch: Rc<Latch>, address: SocketAddr) {
        // A message is to leave at once. A failure costs only speed.
        let _ = socket.set_tcp_nodelay(true);
        self.targets = vec![address];
        let link = Rc::new(Link::of(&socket, Protocol::Tcp, address.into()));
        let stream = Stream::new(socket, latch, link, Rc::clone(&self.tap));
        self.state = State::Connected(Box::new(Connection {
            stream,
            address,
            unsent: VecDeque::new(),
            sent: VecDeque::new(),
            partial: Vec::new(),
            buffer: vec![0; BUFFER],
        }));
    }

    /// Looks whether one of the connections in progress was made, or all have failed.
    fn look_at_attempts(
        &mut self,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        let State::Connecting(attempts, best) = &mut self.state else { return Ok(()) };
        let (mut attempts, mut best) = (std::mem::take(attempts), *best);
        let mut left = Vec::new();
        while let Some(attempt) = attempts.pop() {
            let is_late = attempt.left.at + self.timeout <= reactor.looked_at();
            let address = attempt.address;
            match tcp::check(&attempt)? {
                Step::Told(Answer::Open, _) => {
                    attempts.drain(..).chain(left).for_each(|other| give_up(other, reactor));
                    self.connected(attempt.socket, attempt.latch, address);
                    return Ok(());
                }
                Step::Told(answer, took) => {
                    give_up(attempt, reactor);
                    best = better(best, Told { address, answer, took });
                }
                Step::Waiting if is_late => {
                    give_up(attempt, reactor);
                    best = better(best, Told { address, answer: Answer::Silent, took: None });
                }
                Step::Waiting => left.push(attempt),
            }
        }
        if !left.is_empty() {
            self.state = State::Connecting(left, best);
            return Ok(());
        }
        self.state = State::Idle;
        let silent = Told { address: self.targets[0], answer: Answer::Silent, took: None };
        for seq in self.waiting.drain(..) {
            outcomes.extend(self.flights.told(seq, best.unwrap_or(silent)));
        }
        Ok(())
    }

    /// Sends the messages of the probes that waited for the connection.
    fn send_waiting(&mut self, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) {
        let State::Connected(connection) = &mut self.state else { return };
        for seq in self.waiting.drain(..) {
            // Given up meanwhile, or more than a peer that reads nothing is owed.
            if self.flights.left(seq).is_none() || connection.unsent.len() > MOST_WAITING {
                continue;
            }
            connection.unsent.extend(self.messages.write(seq));
            let left = Departure::now();
            connection.sent.push_back((seq, left));
            self.flights.leave(seq, left.at);
        }
        if let Err(error) = connection.flush() {
            self.lost(&error, reactor, outcomes);
        }
    }

    /// The connection is over: what was sent on it will not come back.
    fn lost(&mut self, error: &Error, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) {
        let text = error.to_string();
        if self.noted != text {
            self.note = Some(error.clone());
            self.noted = text;
        }
        let State::Connected(connection) = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let told = Told { address: connection.address, answer: Answer::Silent, took: None };
        for (seq, _) in &connection.sent {
            outcomes.extend(self.flights.told(*seq, told));
        }
        reactor.release(connection.stream.latch());
    }
}

/// Closes an attempt.
fn give_up(attempt: Attempt, reactor: &mut Reactor) {
    reactor.forget(&attempt.socket, &attempt.latch);
}

/// Of two answers the one that tells more.
fn better(best: Option<Told>, told: Told) -> Option<Told> {
    match best {
        Some(best) if best.answer.rank() >= told.answer.rank() => Some(best),
        _ => Some(told),
    }
}

impl Prober for StreamEcho {
    fn send(
        &mut self,
        seq: u64,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Sent> {
        self.flights.begin(seq, Instant::now(), self.targets[0], 1);
        self.waiting.push_back(seq);
        if matches!(self.state, State::Idle)
            && let Err(error) = self.connect(reactor, outcomes)?
        {
            self.waiting.pop_back();
            self.flights.cancel(seq);
            return if self.flights.len() > 0 { Ok(Sent::NoRoom) } else { Err(error) };
        }
        self.send_waiting(reactor, outcomes);
        Ok(Sent::Yes)
    }

    fn collect(&mut self, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) -> Result<()> {
        self.look_at_attempts(reactor, outcomes)?;
        let mut echoes = Vec::new();
        if let State::Connected(connection) = &mut self.state {
            let (address, size) = (connection.address, self.messages.size());
            let heard = connection.hear(&self.messages, &mut echoes);
            for (seq, took) in echoes {
                let answer = Answer::Answered(size);
                let told = Told { address, answer, took: Some(took) };
                outcomes.extend(self.flights.told(seq, told));
            }
            match heard {
                Ok(()) => self.send_waiting(reactor, outcomes),
                Err(error) => self.lost(&error, reactor, outcomes),
            }
        }
        self.flights.expire(reactor.looked_at(), outcomes);
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        let is_readable = matches!(&self.state, State::Connected(connection)
            if connection.stream.latch().readable());
        if is_readable {
            return Some(Instant::now());
        }
        self.flights.deadline()
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn address(&self) -> SocketAddr {
        self.targets[0]
    }

    fn note(&mut self) -> Option<Error> {
        self.note.take()
    }
}
