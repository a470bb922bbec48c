//! Connecting over TCP: every address of a name, several at a time when the first is slow.
//!
//! The order and the pause follow RFC 8305 ("Happy Eyeballs"): families take turns, and the next
//! address is tried when the one before has failed or has been silent for 250 ms.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::address::{Address, Protocol};
use crate::error::{Error, Result, Status};
use crate::options::Options;
use crate::reactor::Latch;
use crate::session::Session;
use crate::socket;

/// "Connection Attempt Delay" (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Where to send from, and through what kind of socket.
#[derive(Debug, Clone, Default)]
pub struct From {
    /// Addresses of this machine; the first of the target's family is used. Empty: any.
    pub addresses: Vec<SocketAddr>,
    /// Port; 0 is any.
    pub port: u16,
    /// Options of the socket.
    pub options: Options,
}

impl From {
    /// Binds a socket that will connect to `target`.
    fn bind(&self, socket: &Socket, target: SocketAddr, protocol: Protocol) -> Result<()> {
        let Some(mut from) = self.pick(target, protocol)? else {
            return Ok(());
        };
        from.set_port(self.port);
        if self.port != 0 && protocol == Protocol::Tcp {
            // The port may still be in TIME-WAIT from the last run.
            let _ = socket.set_reuse_address(true);
        }
        socket.bind(&from.into()).map_err(|cause| {
            Error::network("bind", socket::name(&from.into(), protocol), &cause)
                .with_status(Status::Failure)
        })
    }

    fn pick(&self, target: SocketAddr, protocol: Protocol) -> Result<Option<SocketAddr>> {
        let same = |from: &&SocketAddr| from.is_ipv4() == target.is_ipv4();
        match (self.addresses.iter().find(same), self.addresses.first()) {
            (Some(from), _) => Ok(Some(*from)),
            (None, Some(other)) => Err(Error::new(
                Status::Failure,
                "bind",
                socket::name(&(*other).into(), protocol),
                "the source and the target are of different families",
            )),
            (None, None) if self.port != 0 => Ok(Some(match target {
                SocketAddr::V4(_) => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).into(),
                SocketAddr::V6(_) => (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0).into(),
            })),
            (None, None) => Ok(None),
        }
    }
}

/// A connection that was made.
pub struct Connected {
    /// The socket, non-blocking.
    pub socket: Socket,
    /// Its readiness.
    pub latch: Rc<Latch>,
    /// Who answered.
    pub peer: Address,
}

struct Attempt {
    socket: Socket,
    latch: Rc<Latch>,
    peer: SocketAddr,
}

/// Connects to the first of `addresses` that answers, within `limit`.
///
/// # Errors
/// When none answers; the most telling cause. When a signal or the run's own limit comes first.
pub fn connect(
    session: &mut Session,
    addresses: &[SocketAddr],
    from: &From,
    limit: Option<Duration>,
) -> Result<Connected> {
    let end = limit.map(|limit| (Instant::now() + limit, limit));
    // Within a short limit every address has its turn too.
    let share =
        limit.map(|limit| limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1));
    let delay = share.unwrap_or(ATTEMPT_DELAY).min(ATTEMPT_DELAY);
    let mut queue = interleaved(addresses).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failures = Failures::default();
    let mut next_at = Instant::now();
    loop {
        let now = Instant::now();
        if (attempts.is_empty() || now >= next_at)
            && let Some(peer) = queue.next()
        {
            match start(session, peer, from) {
                Ok(attempt) => attempts.push(attempt),
                Err(error) => failures.add(error),
            }
            next_at = now + delay;
        }
        let mut at = 0;
        while at < attempts.len() {
            match check(&attempts[at]) {
                None => at += 1,
                Some(result) => {
                    let Attempt { socket, latch, peer } = attempts.swap_remove(at);
                    match result {
                        Ok(()) => {
                            for other in attempts {
                                session.reactor.forget(&other.socket, &other.latch);
                            }
                            return Ok(Connected { socket, latch, peer: peer.into() });
                        }
                        Err(error) => {
                            session.reactor.forget(&socket, &latch);
                            failures.add(error);
                        }
                    }
                }
            }
        }
        if attempts.is_empty() {
            if queue.len() == 0 {
                return Err(failures.most_telling());
            }
            continue;
        }
        if let Some((end, limit)) = end
            && now >= end
        {
            let peers: Vec<_> =
                attempts.iter().map(|a| socket::name(&a.peer.into(), Protocol::Tcp)).collect();
            let why = format!("no answer within {}", humantime::format_duration(limit));
            return Err(Error::new(Status::TimedOut, "connect", peers.join(", "), why)
                .hint("-w sets the limit"));
        }
        let next = (queue.len() > 0).then_some(next_at);
        let deadline = [next, end.map(|(end, _)| end)].into_iter().flatten().min();
        session.wait(deadline)?;
    }
}

/// Families in turn, each in the resolver's order (RFC 8305, section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while order.len() < addresses.len() {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

fn failed(peer: SocketAddr, cause: &io::Error) -> Error {
    Error::network("connect", socket::name(&peer.into(), Protocol::Tcp), cause)
}

fn start(session: &mut Session, peer: SocketAddr, from: &From) -> Result<Attempt> {
    let socket = socket::open("connect", peer, Protocol::Tcp, &from.options)?;
    from.bind(&socket, peer, Protocol::Tcp)?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(cause) if cause.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(cause) => return Err(failed(peer, &cause)),
    }
    let latch = session
        .reactor
        .watch(&socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    Ok(Attempt { socket, latch, peer })
}

/// What has become of an attempt; `None` while it is under way.
fn check(attempt: &Attempt) -> Option<Result<()>> {
    if !attempt.latch.writable() {
        return None;
    }
    // Looking at what has arrived tells an error without taking it away from what arrived before
    // it: a peer may answer and reset at once.
    let mut first = [MaybeUninit::uninit()];
    let looked = loop {
        match attempt.socket.peek(&mut first) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            looked => break looked,
        }
    };
    match looked {
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
            if socket::peer_address(&attempt.socket).is_none() {
                attempt.latch.not_writable();
                return None;
            }
        }
        // An unanswered SYN is refused; what is reset was a connection.
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => {
            let name = socket::name(&attempt.peer.into(), Protocol::Tcp);
            return Some(Err(Error::network("receive", name, &cause)));
        }
        Err(cause) => return Some(Err(failed(attempt.peer, &cause))),
    }
    // Without a listener, a connection to a port of the own machine can meet itself, when the
    // kernel picks that very port to send from (simultaneous open, RFC 9293, 3.5).
    if socket::local_address(&attempt.socket) == Some(attempt.peer.into()) {
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        return Some(Err(failed(attempt.peer, &cause)));
    }
    Some(Ok(()))
}

/// Connects a datagram socket: to the first address the machine has a route to.
///
/// # Errors
/// When there is none; the first one's cause.
pub fn connect_datagram(addresses: &[SocketAddr], from: &From) -> Result<(Socket, SocketAddr)> {
    let mut failures = Failures::default();
    for &peer in addresses {
        let failed = |cause: io::Error| {
            Error::network("connect", socket::name(&peer.into(), Protocol::Udp), &cause)
        };
        let opened = socket::open("connect", peer, Protocol::Udp, &from.options);
        let result = opened.and_then(|socket| {
            from.options.join(&socket)?;
            from.bind(&socket, peer, Protocol::Udp)?;
            socket.connect(&peer.into()).map_err(failed)?;
            Ok(socket)
        });
        match result {
            Ok(socket) => return Ok((socket, peer)),
            Err(error) => failures.add(error),
        }
    }
    Err(failures.most_telling())
}

/// Why each address failed.
#[derive(Default)]
struct Failures(Vec<Error>);

impl Failures {
    fn add(&mut self, error: Error) {
        self.0.push(error);
    }

    /// A refusal tells more than silence, and silence more than a missing route.
    fn most_telling(self) -> Error {
        let tried = self.0.len();
        let telling = self.0.into_iter().min_by_key(|error| match error.status {
            Status::Refused => 0,
            Status::TimedOut => 1,
            Status::Broken => 2,
            Status::Failure => 3,
            _ => 4,
        });
        match telling {
            Some(error) if tried > 1 => error.hint(format!("{tried} addresses tried")),
            Some(error) => error,
            None => Error::usage("address", "nothing to connect to"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let all: Vec<SocketAddr> = ["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1", "127.0.0.2:1"]
            .iter()
            .map(|a| a.parse().unwrap())
            .collect();
        let order: Vec<String> = interleaved(&all).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "127.0.0.1:1", "[::2]:1", "127.0.0.2:1", "[::3]:1"]);
    }
}
