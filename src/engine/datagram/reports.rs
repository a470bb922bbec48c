//! What goes wrong with single datagrams: whether it ends the run, and who is told.

use std::io;
use std::time::Instant;

use super::{Datagram, Peers};
use crate::engine::ends::Standing;
use crate::error::{Error, Result, Status};
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::Event;

impl Datagram {
    /// Tells something that concerns one of many peers, unless there was such a line just now.
    pub fn tell(&mut self, error: &Error) {
        if self.complaints.add(Instant::now()).is_some() {
            self.tap.event(&Event::Error(error));
        }
    }

    /// An error the network reported for what was sent: ICMP port or host unreachable
    /// (RFC 1122, 4.1.3.3); or why nothing can be received any more.
    fn reported(&self) -> Result<()> {
        if let Some(error) = self.said.take() {
            return Err(error);
        }
        self.hearing.check()?;
        match (self.socket.take_error(), &self.peers) {
            (Ok(Some(cause)), Peers::Connected(to)) => {
                self.failed("send", &to.peer, &cause).map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    /// The error for a failed call on a connected socket; `None` when the run goes on all the same.
    pub(super) fn failed(&self, what: &str, peer: &Address, cause: &io::Error) -> Option<Error> {
        let error = socket::datagram_failed(&self.socket, what, peer, cause)?;
        if error.status == Status::Refused
            && let Some(link) = self.book.link(peer)
        {
            self.tap.event(&Event::Refused(link));
        }
        Some(match peer {
            Address::Unix(_) if error.status == Status::Refused => {
                error.hint("nobody listens there")
            }
            _ => error,
        })
    }

    /// A failure that concerns one of many peers: the run goes on.
    pub(super) fn complain(&mut self, what: &str, peer: &Address, cause: &io::Error) {
        let Some(held_back) = self.complaints.add(Instant::now()) else { return };
        let mut error = Error::network(what, socket::name(peer, Protocol::Udp), cause);
        if held_back > 0 {
            error = error.hint(format!("and {held_back} more since the last such line"));
        }
        self.tap.event(&Event::Error(&error));
    }
}

/// There is no connection: nothing is acknowledged, so nothing is waited for.
impl Standing for Datagram {
    fn has_settled(&self) -> Result<bool> {
        self.reported().map(|()| true)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        self.reported().map(|()| true)
    }

    fn check(&self) -> Result<()> {
        self.reported()
    }
}
