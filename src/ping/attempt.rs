//! One probe to one address, by a socket of its own.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use super::clock::Departure;
use super::prober::Answer;
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::socket::said::{self, Said};

/// A probe to one address under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub socket: Socket,
    pub latch: Rc<Latch>,
    pub address: SocketAddr,
    pub left: Departure,
}

/// The result of one step of an attempt.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing has come yet.
    Waiting,
    /// An answer, and how long it took, if it was one.
    Told(Answer, Option<Duration>),
}

/// The result of beginning an attempt.
#[derive(Debug)]
pub(super) enum Begun {
    /// It is under way.
    Attempt(Attempt),
    /// It was answered before there was anything to wait for.
    Told(Answer, Option<Duration>),
    /// The system has no room for another probe: descriptors, memory or source ports. The error says
    /// which.
    NoRoom(Error),
}

/// Has the loop tell when something comes.
pub(super) fn watch(
    socket: &Socket,
    interest: Interest,
    reactor: &mut Reactor,
) -> Result<Rc<Latch>> {
    reactor.watch(socket, interest).map_err(|cause| Error::system("poll", &cause))
}

/// What an error of a datagram socket says of the peer; `None` when it says nothing.
pub(super) fn told_by(address: SocketAddr, cause: &io::Error) -> Option<Answer> {
    answer(said::of_error(address, cause)).filter(|answer| *answer != Answer::Open)
}

/// The answer that this is; `None` while or where there is none.
pub(super) fn answer(said: Said) -> Option<Answer> {
    match said {
        Said::Open => Some(Answer::Open),
        Said::Itself | Said::Refused => Some(Answer::Refused),
        Said::Unreachable => Some(Answer::Unreachable),
        Said::Silent => Some(Answer::Silent),
        Said::Waiting | Said::NoRoom | Said::Nothing => None,
    }
}
