//! Which of the listener's clients gives up its place when another one needs it. Whoever is still being given
//! an answer of its own (an echo, a reply) is not cut off for somebody new: it leaves by itself when it has all.

use crate::error::Status;
use crate::run::session::Session;
use crate::serve::hub::client::{Client, SendHalf};
use crate::serve::hub::handshakes::Handshakes;
use crate::serve::hub::role::Role;
use crate::serve::hub::state::Hub;
use crate::serve::hub::table::Table;
use crate::setup::accept::Acceptor;
use crate::setup::places::{self, Places};

impl Places for Hub {
    fn acceptor(&mut self) -> Option<(&mut Acceptor, impl Fn() -> bool)> {
        let (clients, role) = (&self.clients, &self.role);
        Some((self.acceptor.as_mut()?, || next_to_yield(clients, role).is_some()))
    }

    /// Those included who have yet to show who they are.
    fn present(&self) -> usize {
        self.clients.present() + self.handshakes.as_ref().map_or(0, Handshakes::count)
    }

    fn give_up_place(&mut self, session: &mut Session) -> bool {
        let next = next_to_yield(&self.clients, &self.role);
        let Some(mut client) = next.and_then(|id| self.clients.take(id)) else { return false };
        places::tell(client.link().to_string(), session);
        // As when a limit ends the run: what was to be sent has been sent, or the end is a reset.
        match self.is_cut_off(&client, Status::TimedOut) {
            true => client.abort(),
            false => client.conclude(),
        }
        self.goodbye(client, None, session);
        true
    }
}

/// The client that gives up its place first.
fn next_to_yield(clients: &Table, role: &Role) -> Option<usize> {
    let since = |id: usize| {
        let client = clients.get(id)?;
        if !client.ended || is_being_answered(client, role) {
            return None;
        }
        Some((client.link().course.peer_closed_at()?, id))
    };
    clients.ids().filter_map(since).min().map(|(_, id)| id)
}

/// Whether a client is given something that ends.
fn is_being_answered(client: &Client, role: &Role) -> bool {
    let is_under_way = client.queued() > 0 || client.is_being_answered();
    matches!(role, Role::Echo | Role::Reply(_))
        && is_under_way
        && client.sending != SendHalf::Closed
}
