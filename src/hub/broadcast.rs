//! Standard input's way to everybody: the sink in front of all clients' queues.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::client::Client;
use super::list;
use super::service::Service;
use crate::batch::Batch;
use crate::endpoint::{Allowance, Progress, Sink};
use crate::error::Result;

/// All clients, and the UDP peer heard last, as one sink.
pub(super) struct Broadcast<'a> {
    pub clients: &'a mut Vec<Option<Box<Client>>>,
    pub ready: &'a mut VecDeque<usize>,
    /// Bytes that may wait for one client.
    pub queue: usize,
    pub service: Option<&'a mut Service>,
    pub now: Instant,
    /// Set when somebody has no room.
    pub anybody_stuck: &'a mut bool,
}

impl Broadcast<'_> {
    /// Whether every client has room; those that have none are marked.
    fn has_room(&mut self, bytes: usize) -> bool {
        let mut room = true;
        for client in self.clients.iter_mut().flatten().filter(|client| client.is_open()) {
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
        for id in 0..self.clients.len() {
            if let Some(client) = &mut self.clients[id]
                && client.is_open()
            {
                client.push(&shared);
                list(self.clients, self.ready, id);
            }
        }
        if let Some(service) = &mut self.service {
            service.send(bytes);
        }
    }
}

impl Sink for Broadcast<'_> {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let mut moved = 0;
        let mut messages = 0;
        while let Some((_, bytes)) = batch.front() {
            if messages == allowed.messages || moved >= allowed.bytes {
                break;
            }
            let bytes = &bytes[..bytes.len().min(allowed.bytes - moved)];
            if !self.has_room(bytes.len()) {
                break;
            }
            let n = bytes.len();
            self.push(bytes);
            batch.consume(n);
            moved += n;
            messages += 1;
        }
        Ok(if messages == 0 { Progress::Blocked } else { Progress::Moved(moved) })
    }
}
