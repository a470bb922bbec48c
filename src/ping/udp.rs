//! A probe by a datagram: what comes back, or what ICMP says.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::Interest;
use socket2::{SockAddr, Socket};

use super::attempt::{Attempt, Begun, Step, told_by, watch};
use super::clock::Departure;
use super::prober::Answer;
use crate::error::{Error, Result};
use crate::io::reactor::Reactor;
use crate::net::address::{Protocol, canonical, destination};
use crate::net::services::{self, AnswersFrom};
use crate::net::socket;
use crate::net::socket::said::{self, Said};
use crate::sys;

/// Datagrams of others that are passed over before the loop looks after its other work.
const MOST_PASSED_OVER: usize = 1024;

/// Room for the beginning of an answer, of which only the length counts.
const ROOM: usize = 64;

/// Whose datagrams are answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Only those of the address and port that was asked: the socket is connected.
    Peer,
    /// Those from any port of the address that was asked.
    AnyPort,
    /// Everybody's: a group or a whole network was asked.
    Anybody,
}

impl Hearing {
    fn of(address: SocketAddr) -> Self {
        if address.ip().is_multicast() {
            Self::Anybody
        } else if services::answers_from(address.port()) == AnswersFrom::AnyPort {
            Self::AnyPort
        } else {
            Self::Peer
        }
    }

    fn accepts(self, asked: SocketAddr, from: Option<SocketAddr>) -> bool {
        match self {
            Self::Peer | Self::Anybody => true,
            Self::AnyPort => {
                from.is_some_and(|from| canonical(from).ip() == destination(asked.ip()))
            }
        }
    }
}

/// Sends a datagram.
pub(super) fn begin(address: SocketAddr, payload: &[u8], reactor: &mut Reactor) -> Result<Begun> {
    let socket = match socket::open_plain(address, Protocol::Udp) {
        Ok(socket) => socket,
        Err(cause) => return refused(address, "open", &cause),
    };
    let to = SockAddr::from(address);
    let is_connected = Hearing::of(address) == Hearing::Peer;
    if is_connected && let Err(cause) = socket.connect(&to) {
        return refused(address, "connect", &cause);
    }
    if is_connected && socket::is_its_own_peer(&socket, address) {
        // While this one has the port, another gets another.
        return begin(address, payload, reactor);
    }
    // Without these, ICMP messages say "port unreachable" only, and arrivals are timed by us.
    let _ = sys::hear_icmp(&socket, address);
    let _ = sys::stamp_arrivals(&socket);
    let latch = watch(&socket, Interest::READABLE, reactor)?;
    let left = Departure::now();
    let sent = if is_connected { socket.send(payload) } else { socket.send_to(payload, &to) };
    match sent {
        Ok(_) => Ok(Begun::Attempt(Attempt { socket, latch, address, left })),
        Err(cause) => {
            reactor.forget(&socket, &latch);
            refused(address, "send", &cause)
        }
    }
}

/// What it means that a probe could not leave.
fn refused(address: SocketAddr, what: &str, cause: &io::Error) -> Result<Begun> {
    if let Some(answer) = told_by(address, cause) {
        return Ok(Begun::Told(answer, None));
    }
    let error = Error::network(what, socket::name(&address.into(), Protocol::Udp), cause);
    let error = socket::failure::explained(error, address, 0, cause);
    match said::of_error(address, cause) {
        Said::NoRoom => Ok(Begun::NoRoom(error)),
        _ => Err(error),
    }
}

/// Looks whether the datagram was answered.
pub(super) fn check(attempt: &Attempt) -> Result<Step> {
    for _ in 0..MOST_PASSED_OVER {
        if let Some(step) = step(&attempt.socket, attempt.address, attempt.left)? {
            return Ok(step);
        }
    }
    Ok(Step::Waiting)
}

/// The next datagram or error; `None` when it says nothing about the probe.
fn step(socket: &Socket, address: SocketAddr, left: Departure) -> Result<Option<Step>> {
    let received = sys::receive_stamped(socket, &mut [0; ROOM]);
    let read = Instant::now();
    match received {
        Ok(stamped) if Hearing::of(address).accepts(address, stamped.from) => {
            let took = left.took(read, stamped.arrived);
            Ok(Some(Step::Told(Answer::Answered(stamped.length), Some(took))))
        }
        Ok(_) => Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(Some(Step::Waiting)),
        // The datagram was too long for the path: the system cuts the next ones.
        Err(cause) if cause.raw_os_error() == Some(libc::EMSGSIZE) => Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(cause) => match told_by(address, &cause) {
            Some(answer) => {
                let took = (answer == Answer::Refused).then(|| left.took(read, None));
                Ok(Some(Step::Told(answer, took)))
            }
            None => {
                let name = socket::name(&address.into(), Protocol::Udp);
                Err(Error::network("receive", name, &cause))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_from_where_the_kernel_has_sent_the_probe() {
        let accepts = |asked: &str, from: &str| {
            let [asked, from] = [asked, from].map(|text| text.parse().unwrap());
            Hearing::of(asked).accepts(asked, Some(from))
        };
        // A server of TFTP answers from another port.
        assert!(accepts("192.0.2.1:69", "192.0.2.1:5000"));
        assert!(!accepts("192.0.2.1:69", "192.0.2.2:5000"));
        assert!(accepts("0.0.0.0:69", "127.0.0.1:5000"));
        assert!(accepts("[::]:69", "[::1]:5000"));
        assert!(accepts("[::ffff:192.0.2.1]:69", "[::ffff:192.0.2.1]:5000"));
    }
}
