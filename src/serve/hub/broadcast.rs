//! Standard input's way to everybody: the sink in front of all clients' queues.

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

/// All clients, and the UDP peer heard last or all of them, as one sink.
pub(super) struct Broadcast<'a> {
    pub clients: &'a mut Table,
    /// Bytes that may wait for one client.
    pub queue: usize,
    pub service: Option<&'a mut Service>,
    /// How standard input is cut, where some get it as datagrams.
    pub format: Format,
    /// Whether a line ends in CRLF in a stream.
    pub crlf: bool,
    pub now: Instant,
    /// Set when somebody has no room.
    pub anybody_stuck: &'a mut bool,
}

impl Broadcast<'_> {
    /// Whether every client has room; those that have none are marked.
    fn has_room(&mut self, bytes: usize) -> bool {
        let mut room = true;
        for client in self.clients.iter_mut().filter(|client| client.is_open()) {
            // A message longer than a whole queue has to fit into an empty one.
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

    /// Takes what is already as it travels in a stream, as many bytes as may leave.
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

    /// Takes messages, which leave whole: as datagrams, and with what marks their ends in a stream.
    fn drain_messages(&mut self, batch: &mut Batch, allowed: Allowance) -> Progress {
        let mut moved = 0;
        let before = batch.len();
        while let Some((frame, bytes)) = batch.front() {
            let (segment, gone) = (frame.segment, before - batch.len());
            let Some(train) = allowed.whole_messages(bytes, segment, gone, moved) else { break };
            // Only raw input has more than one message in a train, and no marks.
            let prefix = framing::length_prefix(train);
            let marked = in_stream(self.format, self.crlf, &prefix, train).concat();
            if !self.has_room(marked.len()) {
                break;
            }
            let n = match self.service.as_mut().map(|service| service.send(train, segment)) {
                None => train.len(),
                Some(Handed::Bytes(n)) => n,
                // There are more peers; signals are heard in between.
                Some(Handed::ToSome) => return Progress::Moved(moved),
                Some(Handed::NoRoom) => break,
            };
            // Of a train that has no marks part may have found room.
            self.push(if n < train.len() { &train[..n] } else { &marked });
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
