//! The clients of a hub, and the list of those that are to be served.

use std::collections::VecDeque;
use std::ops::Range;

use crate::serve::hub::client::Client;

/// All connected clients, by the id of their latch.
#[derive(Debug, Default)]
pub(super) struct Table {
    clients: Vec<Option<Box<Client>>>,
    /// The number of connected clients: those in the table, and the one that is taken out while it is
    /// served.
    present: usize,
    /// The clients to be served, each once.
    ready: VecDeque<usize>,
}

impl Table {
    /// How many clients are connected.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    /// All ids in the table. Not every one of them belongs to a client.
    pub(super) fn ids(&self) -> Range<usize> {
        0..self.clients.len()
    }

    /// The client with this id.
    pub(super) fn get(&self, id: usize) -> Option<&Client> {
        self.clients.get(id)?.as_deref()
    }

    /// The client with this id, mutable.
    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut Client> {
        self.clients.get_mut(id)?.as_deref_mut()
    }

    /// All clients but the one that is taken out.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Client> {
        self.clients.iter_mut().flatten().map(Box::as_mut)
    }

    /// Adds a client that has connected.
    pub(super) fn add(&mut self, id: usize, client: Box<Client>) {
        if self.clients.len() <= id {
            self.clients.resize_with(id + 1, || None);
        }
        self.clients[id] = Some(client);
        self.present += 1;
        self.list(id);
    }

    /// Takes a client out, so that it can be served while the others stay accessible, or because it
    /// leaves. [`put_back`](Self::put_back) or [`forget`](Self::forget) must follow.
    pub(super) fn take(&mut self, id: usize) -> Option<Box<Client>> {
        self.clients.get_mut(id)?.take()
    }

    /// Puts a client back that was taken out.
    pub(super) fn put_back(&mut self, id: usize, client: Box<Client>) {
        self.clients[id] = Some(client);
    }

    /// Records that the client which was taken out has left.
    pub(super) fn forget(&mut self) {
        self.present -= 1;
    }

    /// Adds a client to the list of those to be served, unless it is there already.
    pub(super) fn list(&mut self, id: usize) {
        if let Some(Some(client)) = self.clients.get_mut(id)
            && !client.listed
        {
            client.listed = true;
            self.ready.push_back(id);
        }
    }

    /// How many clients are on that list.
    pub(super) fn listed(&self) -> usize {
        self.ready.len()
    }

    /// Takes the next client of that list out of the table, with its id; `None` when that one has left
    /// meanwhile, or the list is empty.
    pub(super) fn take_listed(&mut self) -> Option<(usize, Box<Client>)> {
        let id = self.ready.pop_front()?;
        let mut client = self.take(id)?;
        client.listed = false;
        Some((id, client))
    }
}
