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
use crate::sys::errno;

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

/// What an error says of the peer; `None` when it says nothing.
pub(super) fn told_by(cause: &io::Error) -> Option<Answer> {
    // ICMP messages (icmp(7)), no route, and rules of this machine's firewall.
    if errno::is_unreachable(cause) {
        return Some(Answer::Unreachable);
    }
    match cause.raw_os_error()? {
        libc::ECONNREFUSED => Some(Answer::Refused),
        libc::ETIMEDOUT => Some(Answer::Silent),
        libc::ENOPROTOOPT
        | libc::ECONNABORTED
        | libc::EACCES
        | libc::EPERM
        | libc::EPROTO
        | libc::EOPNOTSUPP => Some(Answer::Unreachable),
        _ => None,
    }
}
