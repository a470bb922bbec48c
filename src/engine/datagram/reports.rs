//! What goes wrong with single datagrams: whether it ends the run, and how it is reported.

use std::cell::Cell;
use std::io;
use std::time::Instant;

use socket2::Socket;

use super::complaints::Complaints;
use super::hearing::Hearing;
use crate::error::{Error, Result, Status};
use crate::net::address::Address;
use crate::net::socket;
use crate::observe::tap::{Event, Link, Tap};

/// What is known of failures so far.
pub(super) struct Reports {
    complaints: Complaints,
    /// An error that the network reported for a datagram of ours. It is returned after everything that
    /// was received before it.
    pub said: Cell<Option<Error>>,
    /// How receiving goes.
    pub hearing: Hearing,
}

impl Reports {
    /// Nothing has failed.
    pub(super) fn new() -> Self {
        Self { complaints: Complaints::default(), said: Cell::new(None), hearing: Hearing::Good }
    }

    /// Reports something that concerns one of many peers, unless there was such a line just now.
    pub(super) fn tell(&mut self, error: &Error, tap: &Tap) {
        if self.complaints.add(Instant::now()).is_some() {
            tap.event(&Event::Error(error));
        }
    }

    /// A failure that concerns one of many peers: the run goes on.
    pub(super) fn complain(&mut self, what: &str, peer: &Address, cause: &io::Error, tap: &Tap) {
        let Some(held_back) = self.complaints.add(Instant::now()) else { return };
        let error = socket::sending_failed(what, peer, cause).and_more(held_back);
        tap.event(&Event::Error(&error));
    }

    /// An error that is not returned yet: what the network reported for a datagram of ours, or why
    /// nothing can be received any more.
    pub(super) fn check(&self) -> Result<()> {
        if let Some(error) = self.said.take() {
            return Err(error);
        }
        self.hearing.check()
    }
}

/// The error for a failed call on a connected socket; `None` when the run goes on all the same.
pub(super) fn failed(
    socket: &Socket,
    (peer, link): (&Address, Option<&Link>),
    what: &str,
    cause: &io::Error,
    tap: &Tap,
) -> Option<Error> {
    let error = socket::datagram_failed(socket, what, peer, cause)?;
    if error.status == Status::Refused
        && let Some(link) = link
    {
        tap.event(&Event::Refused(link));
    }
    Some(match peer {
        Address::Unix(_) if error.status == Status::Refused => error.hint("nobody listens there"),
        _ => error,
    })
}
