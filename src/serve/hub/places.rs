//! Places: which client gives up its own when another needs one.
//!
//! A client whose FIN has come may still read, or may have left without anybody knowing yet: it keeps its place
//! while nobody else needs it. Then the one goes that has been half-closed longest. Whoever is still being given
//! an answer of its own (an echo, a reply) is not cut off for somebody new: it leaves by itself when it has all.

use crate::error::{Error, Result, Status};
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::serve::hub::client::{Client, SendHalf};
use crate::serve::hub::role::Role;
use crate::serve::hub::state::Hub;
use crate::serve::hub::table::Table;

use socket2::Socket;

use crate::net::address::Address;

impl Hub {
    /// The next client that is let in and its address, with the listener's; room is made for it where somebody
    /// gives up a place.
    ///
    /// # Errors
    /// When the listening socket itself failed.
    pub(super) fn next_client(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<(Socket, Address, Address)>> {
        loop {
            let present = self.present();
            let Some(acceptor) = &mut self.acceptor else { return Ok(None) };
            let (clients, role) = (&self.clients, &self.role);
            let yields = || next_to_yield(clients, role).is_some();
            let next = acceptor.next_where(present, yields, session)?;
            let (local, most) = (acceptor.local(), acceptor.most());
            if let Some((socket, peer)) = next {
                while most.is_some_and(|most| self.present() >= most) && self.give_up_place(session)
                {
                }
                return Ok(Some((socket, local, peer)));
            }
            // Whoever gives up a place ends the pause, too.
            if !acceptor.has_somebody_without_room() || !self.give_up_place(session) {
                return Ok(None);
            }
        }
    }

    /// Closes the connection of whoever has to give up its place; whether there was somebody.
    fn give_up_place(&mut self, session: &mut Session) -> bool {
        let next = next_to_yield(&self.clients, &self.role);
        let Some(mut client) = next.and_then(|id| self.clients.take(id)) else { return false };
        let why = "another client needs the place that it held after its FIN";
        let error = Error::new(Status::Failure, "close", client.link().to_string(), why);
        session.event(&Event::Error(&error));
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
    let is_under_way = client.queued() > 0 || client.answered.is_some();
    matches!(role, Role::Echo | Role::Reply(_))
        && is_under_way
        && client.sending != SendHalf::Closed
}
