//! Sends standard input to all clients: one sink that fills the queue of each.

use std::rc::Rc;
use std::time::Instant;

use crate::engine::batch::Batch;
use crate::engine::datagram::Handed;
use crate::engine::flow::{Allowance, Sink};
use crate::engine::framing::{self, Format};
use crate::engine::input::in_stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::serve::hub::service::Service;
use crate::serve::hub::table::Table;

/// All TCP clients, and the last UDP peer or all of them, as one sink.
pub(super) struct Broadcast<'a> {
    pub clients: &'a mut Table,
    /// The most bytes queued for one client.
    pub queue: usize,
    pub service: Option<&'a mut Service>,
    /// How standard input is cut into messages, if there is a UDP socket.
    pub format: Format,
    /// Whether lines end in CRLF in a TCP stream.
    pub crlf: bool,
    pub now: Instant,
    /// Set when the queue of a client is too full.
    pub anybody_stuck: &'a mut bool,
}

impl Broadcast<'_> {
    /// Whether the queue of every client has room for this many bytes. Clients without room are marked as
    /// stuck.
    fn has_room(&mut self, bytes: usize) -> bool {
        let mut room = true;
        for client in self.clients.iter_mut().filter(|client| client.is_open()) {
            // An empty queue takes any message, as one that is longer than the limit would otherwise
            // never be sent.
            if client.queued() > 0 && client.queued() + bytes > self.queue {
                client.set_stuck(self.now);
                *self.anybody_stuck = true;
                room = false;
            }
        }
        room
    }

    fn push(&mut self, bytes: &[u8]) {
        let shared: Rc<[u8]> = Rc::from(bytes);
        for id in self.clients.ids() {
            if let Some(client) = self.clients.get_mut(id)
                && client.is_open()
            {
                client.push(&shared);
                self.clients.list(id);
            }
        }
    }

    /// Queues a batch that is already in the form of a TCP stream, as much as is allowed now.
    fn drain_stream(&mut self, batch: &mut Batch, allowed: Allowance) -> Progress {
        let mut moved = 0;
        let mut messages = 0;
        while let Some((_, bytes)) = batch.front() {
            if messages == allowed.messages || moved >= allowed.bytes {
                break;
            }
            let bytes = allowed.front(bytes, moved);
            if !self.has_room(bytes.len()) {
                break;
            }
            let n = bytes.len();
            self.push(bytes);
            batch.consume(n);
            moved += n;
            messages += 1;
        }
        if messages == 0 { Progress::Blocked } else { Progress::Moved(moved) }
    }

    /// Sends whole messages: as datagrams to UDP peers, and with the delimiters of their format to TCP
    /// clients.
    fn drain_messages(&mut self, batch: &mut Batch, allowed: Allowance) -> Progress {
        let mut moved = 0;
        let before = batch.len();
        while let Some((frame, bytes)) = batch.front() {
            let (segment, gone) = (frame.segment, before - batch.len());
            let Some(front) = allowed.whole_messages(bytes, segment, gone, moved) else { break };
            // One entry of a batch holds several messages only if the input is raw, and raw messages have
            // no delimiters in a stream.
            let prefix = framing::length_prefix(front);
            let framed = in_stream(self.format, self.crlf, &prefix, front).concat();
            if !self.has_room(framed.len()) {
                break;
            }
            let n = match self.service.as_mut().map(|service| service.send(front, segment)) {
                None => front.len(),
                Some(Handed::Bytes(n)) => n,
                // More peers remain. Returning lets the loop handle signals in between.
                Some(Handed::ToSome) => return Progress::Moved(moved),
                Some(Handed::NoRoom) => break,
            };
            // Only some of several raw messages may have been sent.
            self.push(if n < front.len() { &front[..n] } else { &framed });
            batch.consume(n);
            moved += n;
        }
        if batch.len() == before { Progress::Blocked } else { Progress::Moved(moved) }
    }
}

impl Sink for Broadcast<'_> {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        Ok(match self.service {
            Some(_) => self.drain_messages(batch, allowed),
            None => self.drain_stream(batch, allowed),
        })
    }
}
