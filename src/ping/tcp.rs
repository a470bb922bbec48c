//! A probe by connecting: from SYN to SYN-ACK, or to the reset that refuses it.
//!
//! Over loopback the answer is there before connect(2) returns EINPROGRESS, so that a second
//! connect(2) fetches it at once.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::{SockAddr, Socket};

use super::attempt::{self, Attempt, Begun, Step, watch};
use super::clock::Departure;
use super::prober::Answer;
use crate::error::{Error, Result};
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::net::socket::said::{self, Said};
use crate::sys;
use crate::sys::errno::is_no_room;

/// The result of sending a SYN.
pub(super) enum Dialed {
    /// It was sent, and may be answered already.
    Socket(Socket, Departure, Option<(Answer, Option<Duration>)>),
    /// It could not be sent for want of descriptors, memory or source ports.
    NoRoom(Error),
}

/// Sends a SYN by a socket that nobody watches yet.
pub(super) fn dial(address: SocketAddr) -> Result<Dialed> {
    let failed = |cause: &io::Error| socket::failure::answered(address, cause);
    let socket = match socket::open_plain(address, Protocol::Tcp) {
        Ok(socket) => socket,
        Err(cause) if is_no_room(&cause) => return Ok(Dialed::NoRoom(failed(&cause))),
        Err(cause) => return Err(failed(&cause)),
    };
    // If this fails, closing leaves the connection in TIME-WAIT.
    let _ = sys::forget_once_closed(&socket);
    let to = SockAddr::from(address);
    let left = Departure::now();
    let mut result = connect(&socket, &to);
    if result.as_ref().is_err_and(|cause| said::of_error(address, cause) == Said::Waiting) {
        result = connect(&socket, &to);
    }
    let read = Instant::now();
    if let Err(cause) = &result
        && said::of_error(address, cause) == Said::NoRoom
    {
        return Ok(Dialed::NoRoom(failed(cause)));
    }
    let answer = judge(&socket, address, &result)?;
    let answer = answer.map(|answer| (answer, is_timed(answer).then(|| left.took(read, None))));
    Ok(Dialed::Socket(socket, left, answer))
}

/// Sends a SYN.
pub(super) fn begin(address: SocketAddr, reactor: &mut Reactor) -> Result<Begun> {
    Ok(match dial(address)? {
        Dialed::NoRoom(error) => Begun::NoRoom(error),
        // Dropping the socket closes the connection, which was all that was wanted.
        Dialed::Socket(_, _, Some((answer, took))) => Begun::Told(answer, took),
        Dialed::Socket(socket, left, None) => {
            let latch = watch(&socket, Interest::WRITABLE, reactor)?;
            Begun::Attempt(Attempt { socket, latch, address, left })
        }
    })
}

/// Looks whether the SYN was answered.
pub(super) fn check(attempt: &Attempt) -> Result<Step> {
    let Attempt { socket, address, left, .. } = attempt;
    let result = connect(socket, &(*address).into());
    let read = Instant::now();
    Ok(match judge(socket, *address, &result)? {
        None => Step::Waiting,
        Some(answer) => Step::Told(answer, is_timed(answer).then(|| left.took(read, None))),
    })
}

fn connect(socket: &Socket, to: &SockAddr) -> io::Result<()> {
    sys::again(|| socket.connect(to))
}

/// Whether the answer came from the peer, which takes the time of a round trip.
fn is_timed(answer: Answer) -> bool {
    matches!(answer, Answer::Open | Answer::Refused)
}

/// What the result of connect(2) says; `None` while there is no answer.
fn judge(socket: &Socket, address: SocketAddr, result: &io::Result<()>) -> Result<Option<Answer>> {
    let said = said::of_connecting(socket, address, result);
    match (said, result) {
        (Said::NoRoom | Said::Nothing, Err(cause)) => {
            Err(socket::failure::answered(address, cause))
        }
        (said, _) => Ok(attempt::answer(said)),
    }
}
