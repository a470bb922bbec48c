//! The UDP side of a listener that answers by itself, or that hears both protocols.
//!
//! A service that answers strangers can be made to flood a third party whose address was forged,
//! or to talk to itself for ever. So the services of RFC 862 and 864 answer with no more bytes than
//! they got, nobody is answered at a port below 1024 or of our own number (the RFCs know no such
//! rule; CERT CA-1996-01 tells what came of that), and a peer that is answered [too
//! often](crate::serve::hub::loops) is left alone for a while.

use std::time::{Duration, Instant};

use crate::engine::batch::Batch;
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

/// How long the others wait for the room that one answer needs; then it is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is tried whether there is room: of a full queue at the peer's end of a local socket
/// nobody tells when it has some again.
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// A datagram socket and what was received on it.
pub(super) struct Service {
    socket: Datagram,
    /// What has not been dealt with yet.
    batch: Batch,
    guard: LoopGuard,
    /// Since when no answer has found room, and when the next try is due.
    full: Option<(Instant, Instant)>,
}

impl Service {
    pub(super) fn new(socket: Datagram) -> Self {
        let (batch, guard) = (Batch::new(RECEIVE_ROOM), LoopGuard::default());
        Self { socket, batch, guard, full: None }
    }

    /// How much has passed.
    pub(super) fn activity(&self) -> Activity {
        self.socket.activity()
    }

    /// What the socket can tell of an end.
    pub(super) fn standing(&self) -> &dyn Standing {
        &self.socket
    }

    /// Whether there is somebody to send standard input to.
    pub(super) fn has_peer(&self) -> bool {
        self.socket.has_peer()
    }

    /// Sends a train of standard input's messages to the peer heard last, or to all.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize) -> Handed {
        self.socket.send_to_peers(bytes, segment)
    }

    /// Whether an answer waits for room.
    pub(super) fn is_waiting(&self) -> bool {
        !self.batch.is_empty()
    }

    /// When an answer that waits for room is tried again, whatever the socket says.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.full.filter(|_| self.is_waiting()).map(|(_, again)| again)
    }

    /// Receives what is there and deals with it; whether there was anything.
    pub(super) fn step(&mut self, role: &Role, tag: bool, output: &mut Output) -> Result<bool> {
        let now = Instant::now();
        if self.batch.is_empty() {
            if !matches!(self.socket.fill(&mut self.batch)?, Progress::Moved(_)) {
                return Ok(false);
            }
        } else if self.full.is_some_and(|(_, again)| now < again) && !self.socket.has_room() {
            return Ok(false);
        }
        while let Some((frame, bytes)) = self.batch.front() {
            let Some(from) = frame.from.as_ref().filter(|_| !output.has_enough()) else {
                self.batch.pop();
                continue;
            };
            // Where nobody looks at single messages a train goes back as one.
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
                        self.full = None;
                        done = if whole { sent } else { done };
                    }
                    None => {
                        let since = self.full.map_or(now, |(since, _)| since);
                        self.full = Some((since, now + ROOM_CHECK));
                        if now < since + PATIENCE {
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

fn write_down(role: &Role, tag: bool, from: &Route, message: &[u8], output: &mut Output) {
    if role.writes_output() {
        let tag = if tag { format!("{} ", from.peer) } else { String::new() };
        output.message(&tag, message);
    } else {
        output.unwritten();
    }
}

/// What a datagram is answered with, if anything.
fn answer<'a>(role: &'a Role, to: &Route, own_port: u16, message: &'a [u8]) -> Option<&'a [u8]> {
    let answer = match role {
        Role::Echo => message,
        Role::Chargen(characters) => &characters[..message.len().min(characters.len())],
        Role::Reply(Reply::Bytes(reply)) => reply,
        _ => return None,
    };
    is_safe(&to.peer, own_port).then_some(answer)
}

/// Whether this peer may have so many answers now; tells when it may not from now on.
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

/// Whether answering this peer could start no loop.
fn is_safe(peer: &Address, own_port: u16) -> bool {
    match peer.internet() {
        Some(peer) => peer.port() >= FIRST_USER_PORT && peer.port() != own_port,
        None => peer.can_be_answered(),
    }
}
