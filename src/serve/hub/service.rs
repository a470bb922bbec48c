//! The UDP side of a listener that answers by itself, or that hears both protocols.
//!
//! A datagram with a forged sender can make such a service flood a third party, or exchange answers with
//! another service without end. So the services of RFC 862 and 864 answer with no more bytes than they
//! received, no peer is answered at a port below 1024 or at the listener's own port number (the RFCs have
//! no such rule, and CERT CA-1996-01 describes the consequences), and a peer that gets [too many
//! answers](crate::serve::hub::loops) gets none for a while.

use std::time::Instant;

use crate::engine::batch::Batch;
use crate::engine::datagram::patience::Patience;
use crate::engine::datagram::{Datagram, Handed, RECEIVE_ROOM};
use crate::engine::ends::Standing;
use crate::engine::flow::Source as _;
use crate::engine::output::Output;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::Activity;

use crate::serve::hub::loops::{self, LoopGuard, LoopVerdict};
use crate::serve::hub::role::{Reply, Role};

/// Ports below this belong to the system's services (RFC 6335, section 6).
const FIRST_USER_PORT: u16 = 1024;

/// A datagram socket and what was received on it.
pub(super) struct Service {
    socket: Datagram,
    /// Received datagrams that have not been handled yet.
    batch: Batch,
    guard: LoopGuard,
    /// For the room that one answer needs: all others wait behind it.
    patience: Patience,
}

impl Service {
    /// A service on this socket.
    pub(super) fn new(socket: Datagram) -> Self {
        let (batch, guard) = (Batch::new(RECEIVE_ROOM), LoopGuard::default());
        Self { socket, batch, guard, patience: Patience::default() }
    }

    /// How much was received and sent.
    pub(super) fn activity(&self) -> Activity {
        self.socket.activity()
    }

    /// The socket, as what the rules of how a run ends ask about it.
    pub(super) fn standing(&self) -> &dyn Standing {
        &self.socket
    }

    /// Whether there is a peer to send standard input to.
    pub(super) fn has_peer(&self) -> bool {
        self.socket.has_peer()
    }

    /// Sends messages of standard input, each of `segment` bytes, to the last peer or to all.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize) -> Handed {
        self.socket.send_to_peers(bytes, segment)
    }

    /// Whether an answer waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.batch.is_empty()
    }

    /// When sending what waits for room is tried again, even without an event of the socket. A time that has
    /// passed is none: what is due waits for something else.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let answer = self.patience.again_at().filter(|_| self.is_waiting());
        [answer, self.socket.again_at()].into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Receives datagrams and handles them: answers and writes them, as the role demands. Whether there
    /// were any.
    ///
    /// # Errors
    /// When receiving or sending fails in a way that ends the run.
    pub(super) fn step(&mut self, role: &Role, tag: bool, output: &mut Output) -> Result<bool> {
        let now = Instant::now();
        if self.batch.is_empty() {
            if !matches!(self.socket.fill(&mut self.batch)?, Progress::Moved(_)) {
                return Ok(false);
            }
        } else if self.patience.again_at().is_some_and(|again| now < again)
            && !self.socket.has_room()
        {
            return Ok(false);
        }
        while let Some((frame, bytes)) = self.batch.front() {
            let Some(from) = frame.from.as_ref().filter(|_| !output.has_enough()) else {
                self.batch.pop();
                continue;
            };
            // Echoed datagrams that are not counted one by one are sent back as the kernel has combined
            // them.
            let whole = matches!(role, Role::Echo) && !output.counts();
            let segment = frame.segment;
            let message = if whole { bytes } else { &bytes[..bytes.len().min(segment)] };
            let answers = if whole { frame.count() } else { 1 };
            let answer = answer(role, from, self.socket.port(), message)
                .filter(|_| may_answer(&mut self.guard, &mut self.socket, from, answers, now));
            let mut done = message.len();
            if let Some(answer) = answer {
                let segment = if whole { segment } else { answer.len() };
                match self.socket.answer(answer, segment, from) {
                    Some(sent) => {
                        self.patience.found_room();
                        done = if whole { sent } else { done };
                    }
                    None => {
                        self.patience.found_none(now);
                        if !self.patience.is_over(now) {
                            return Ok(true);
                        }
                        self.socket.lose(answer, segment);
                    }
                }
            }
            if !whole {
                write_down(role, tag, from, message, output);
            }
            self.batch.consume(done);
        }
        Ok(true)
    }
}

/// Writes a received message to standard output, or counts it if the role does not write.
fn write_down(role: &Role, tag: bool, from: &Route, message: &[u8], output: &mut Output) {
    if role.writes_output() {
        let tag = if tag { format!("{} ", from.peer) } else { String::new() };
        output.message(&tag, message);
    } else {
        output.unwritten();
    }
}

/// The answer to a datagram; `None` when there is none, or the peer must not be answered.
fn answer<'a>(role: &'a Role, to: &Route, own_port: u16, message: &'a [u8]) -> Option<&'a [u8]> {
    let answer = match role {
        Role::Echo => message,
        Role::Chargen(characters) => &characters[..message.len().min(characters.len())],
        Role::Reply(Reply::Bytes(reply)) => reply,
        _ => return None,
    };
    is_safe(&to.peer, own_port).then_some(answer)
}

/// Whether this peer may be given this many answers now; reports the first refusal.
fn may_answer(
    guard: &mut LoopGuard,
    socket: &mut Datagram,
    to: &Route,
    answers: usize,
    now: Instant,
) -> bool {
    match guard.judge(&to.peer, answers, now) {
        LoopVerdict::Answer => return true,
        LoopVerdict::Paused => {}
        LoopVerdict::Pause => {
            let why = format!(
                "not answered for {}, after more than {} answers a second for {} s",
                humantime::format_duration(loops::PAUSE),
                loops::MOST_A_SECOND,
                loops::SECONDS,
            );
            let place = socket::name(&to.peer, Protocol::Udp);
            socket.tell(&Error::new(Status::Failure, "answer", place, why).hint("a loop?"));
        }
    }
    false
}

/// Whether the address of this peer rules out that answering it starts a loop or reaches a system
/// service.
fn is_safe(peer: &Address, own_port: u16) -> bool {
    match peer.internet() {
        Some(peer) => peer.port() >= FIRST_USER_PORT && peer.port() != own_port,
        None => peer.can_be_answered(),
    }
}
