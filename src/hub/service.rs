//! The UDP side of a listener that answers by itself, or that hears both protocols.
//!
//! A service that answers strangers can be made to flood a third party whose address was forged,
//! or to talk to itself for ever. So no built-in peer answers with more bytes than it got, nor
//! answers a port below 1024 or its own (RFC 862 and 864 know no such rule; CERT CA-1996-01 tells
//! what came of that).

use crate::address::{Address, Route};
use crate::batch::Batch;
use crate::endpoint::datagram::{Datagram, RECEIVE_ROOM};
use crate::endpoint::output::Output;
use crate::endpoint::{Progress, Source as _};
use crate::error::Result;

use super::role::{Reply, Role};

/// Ports below this belong to the system's services (RFC 6335, section 6).
const FIRST_USER_PORT: u16 = 1024;

/// A datagram socket and what was received on it.
pub(super) struct Service {
    socket: Datagram,
    batch: Batch,
}

impl Service {
    pub(super) fn new(socket: Datagram) -> Self {
        Self { socket, batch: Batch::new(RECEIVE_ROOM) }
    }

    /// Whether there is somebody to send standard input to.
    pub(super) fn has_peer(&self) -> bool {
        self.socket.has_peer()
    }

    /// Sends a train of standard input's messages to the peer heard last, or to all.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize) {
        self.socket.send_to_peers(bytes, segment);
    }

    /// Receives what is there and deals with it; whether there was anything.
    pub(super) fn step(&mut self, role: &Role, tag: bool, output: &mut Output) -> Result<bool> {
        if !matches!(self.socket.fill(&mut self.batch)?, Progress::Moved(_)) {
            return Ok(false);
        }
        let Self { socket, batch, .. } = self;
        while let Some((frame, bytes)) = batch.front() {
            let Some(from) = &frame.from else {
                batch.pop();
                continue;
            };
            if matches!(role, Role::Echo) && !output.counts() {
                // Nobody looks at single messages: a train goes back as one.
                if is_safe(&from.peer, socket.port()) {
                    socket.answer(bytes, frame.segment, from);
                }
                batch.pop();
                continue;
            }
            let tag = if tag { format!("{} ", from.peer) } else { String::new() };
            for message in frame.messages(bytes) {
                if output.has_enough() {
                    break;
                }
                answer(socket, role, from, message);
                if role.writes_output() {
                    output.message(&tag, message);
                } else {
                    output.unwritten();
                }
            }
            batch.pop();
        }
        Ok(true)
    }
}

/// Answers a datagram as the role says.
fn answer(socket: &mut Datagram, role: &Role, to: &Route, message: &[u8]) {
    let safe = is_safe(&to.peer, socket.port());
    let answer = match role {
        Role::Echo if safe => message,
        Role::Chargen(characters) if safe => &characters[..message.len().min(characters.len())],
        Role::Reply(Reply::Bytes(reply)) if to.peer.has_name() => reply,
        _ => return,
    };
    socket.answer(answer, answer.len(), to);
}

/// Whether answering this peer could start no loop.
fn is_safe(peer: &Address, own_port: u16) -> bool {
    match peer.internet() {
        Some(peer) => peer.port() >= FIRST_USER_PORT && peer.port() != own_port,
        None => peer.has_name(),
    }
}
