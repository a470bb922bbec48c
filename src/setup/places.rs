//! Places: who lets a client in when all are taken.
//!
//! A client whose FIN has come may still read, or may have left without anybody knowing yet: it keeps its place
//! while nobody else needs it. Then the one goes that has been half-closed longest.

use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::net::address::Address;
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::setup::accept::Acceptor;

/// Clients that are accepted one by one, and may give up their places.
pub(crate) trait Places {
    /// What accepts them, unless nobody is let in any more, and whether one would give up its place now.
    fn acceptor(&mut self) -> Option<(&mut Acceptor, impl Fn() -> bool)>;

    /// How many there are.
    fn present(&self) -> usize;

    /// Closes the connection of whoever has to give up its place; whether there was somebody.
    fn give_up_place(&mut self, session: &mut Session) -> bool;

    /// The next client that is let in and its address, with the listener's; room is made for it where somebody
    /// gives up a place.
    ///
    /// # Errors
    /// When the listening socket itself failed.
    fn next_client(&mut self, session: &mut Session) -> Result<Option<(Socket, Address, Address)>> {
        loop {
            let present = self.present();
            let Some((acceptor, yields)) = self.acceptor() else { return Ok(None) };
            let next = acceptor.next_where(present, yields, session)?;
            let Some((acceptor, _)) = self.acceptor() else { return Ok(None) };
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
}

/// Tells that a client, named `who`, has given up its place.
pub(crate) fn tell(who: String, session: &mut Session) {
    let why = "another client needs the place that it held after its FIN";
    session.event(&Event::Error(&Error::new(Status::Failure, "close", who, why)));
}
