//! The clients of a hub, and which of them may have something to do.

use std::collections::VecDeque;
use std::ops::Range;

use crate::serve::hub::client::Client;

/// Everybody connected, by the id of their latch.
#[derive(Debug, Default)]
pub(super) struct Table {
    clients: Vec<Option<Box<Client>>>,
    /// Connected clients: those in the table, and one that has its turn.
    present: usize,
    /// Clients that may have something to do, each once.
    ready: VecDeque<usize>,
}

impl Table {
    /// How many clients are connected.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    /// The places of the table, which are ids; there is not a client at each.
    pub(super) fn ids(&self) -> Range<usize> {
        0..self.clients.len()
    }

    /// The client with this id.
    pub(super) fn get(&self, id: usize) -> Option<&Client> {
        self.clients.get(id)?.as_deref()
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut Client> {
        self.clients.get_mut(id)?.as_deref_mut()
    }

    /// All clients but the one that has its turn.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut().flatten().map(Box::as_mut)
    }

    /// Somebody has connected.
    pub(super) fn add(&mut self, id: usize, client: Box<Client>) {
        if self.clients.len() <= id {
            self.clients.resize_with(id + 1, || None);
        }
        self.clients[id] = Some(client);
        self.present += 1;
        self.list(id);
    }

    /// Takes a client out: it has its turn, with the others at hand, or leaves.
    pub(super) fn take(&mut self, id: usize) -> Option<Box<Client>> {
        self.clients.get_mut(id)?.take()
    }

    /// A client's turn is over.
    pub(super) fn put_back(&mut self, id: usize, client: Box<Client>) {
        self.clients[id] = Some(client);
    }

    /// A client that was taken out does not come back.
    pub(super) fn forget(&mut self) {
        self.present -= 1;
    }

    /// Puts a client on the list of those that may have something to do.
    pub(super) fn list(&mut self, id: usize) {
        if let Some(Some(client)) = self.clients.get_mut(id)
            && !client.listed
        {
            client.listed = true;
            self.ready.push_back(id);
        }
    }

    /// How many are on that list.
    pub(super) fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Takes out the next one of that list, with its id; `None` when that one has left.
    pub(super) fn take_listed(&mut self) -> Option<(usize, Box<Client>)> {
        let id = self.ready.pop_front()?;
        let mut client = self.take(id)?;
        client.listed = false;
        Some((id, client))
    }
}
