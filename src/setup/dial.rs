//! Connecting over TCP: tries all addresses of a name, several at a time if the first is slow.
//!
//! Order and delay follow RFC 8305 ("Happy Eyeballs"): families alternate, and the next address is
//! tried when all before it have failed or 250 ms after the last one. Addresses that a name server
//! returns late are added to those that wait.

mod datagrams;
mod failures;

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::resolve::Addresses;
use crate::sys;

pub(crate) use crate::setup::source::{From, Hears};
pub(crate) use datagrams::connect_datagram;

use failures::Failures;

/// "Connection Attempt Delay" (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// An established connection.
pub(crate) struct Connected {
    /// The socket, non-blocking.
    pub socket: Socket,
    /// Its readiness.
    pub latch: Rc<Latch>,
    /// The address that was connected to.
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
/// When all addresses fail: the most telling error. When `limit`, a signal or the limit of the run
/// comes first.
pub(crate) fn connect(
    session: &mut Session,
    addresses: Addresses,
    from: &From,
    limit: Option<Limit>,
) -> Result<Connected> {
    let mut dialing = Dialing::new(addresses, Rc::new(from.clone()), limit, Instant::now());
    loop {
        if let Some(result) = dialing.step(session) {
            return result;
        }
        session.wait(dialing.deadline())?;
    }
}

/// A connection that is being made. It never waits: whoever has it calls [`step`](Self::step) when
/// one of its attempts may have got somewhere, or its deadline has come.
pub(crate) struct Dialing {
    addresses: Addresses,
    /// Addresses that have not been tried.
    queue: VecDeque<SocketAddr>,
    attempts: Vec<Attempt>,
    failures: Failures,
    from: Rc<From>,
    limit: Option<Limit>,
    /// How long after one attempt the next begins, while none has failed.
    delay: Duration,
    next_at: Instant,
}

impl Dialing {
    /// Nothing has been tried yet.
    #[must_use]
    pub(crate) fn new(
        mut addresses: Addresses,
        from: Rc<From>,
        limit: Option<Limit>,
        now: Instant,
    ) -> Self {
        let mut found = addresses.known().to_vec();
        found.extend(addresses.news());
        let queue: VecDeque<SocketAddr> = interleaved(&found).into();
        // With a short limit the delay is shorter, so that every address is tried within it.
        let left = |limit: Limit| limit.at().saturating_duration_since(now);
        let number = u32::try_from(queue.len()).unwrap_or(u32::MAX).max(1);
        let share = limit.map(|limit| left(limit) / number);
        let delay = share.unwrap_or(ATTEMPT_DELAY).min(ATTEMPT_DELAY);
        let (attempts, failures) = (Vec::new(), Failures::default());
        Self { addresses, queue, attempts, failures, from, limit, delay, next_at: now }
    }

    /// Begins what is due and looks at what is under way; `None` while nothing is decided.
    ///
    /// # Errors
    /// When all addresses fail: the most telling error. When the limit has passed.
    pub(crate) fn step(&mut self, session: &mut Session) -> Option<Result<Connected>> {
        loop {
            self.begin_next(session);
            if let Some(connected) = self.first_done(session) {
                return Some(Ok(connected));
            }
            if !self.attempts.is_empty() {
                break;
            }
            if self.queue.is_empty() {
                if self.addresses.is_complete() {
                    return Some(Err(self.failures.most_telling()));
                }
                break;
            }
        }
        let limit = self.limit.filter(|limit| limit.is_over(session.looked_at()))?;
        let error = match self.attempts.is_empty() {
            true => self.failures.most_telling(),
            false => unanswered(&self.attempts, limit.given()),
        };
        self.give_up(session);
        Some(Err(error))
    }

    /// When to call [`step`](Self::step) though nothing happens.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let next = (!self.queue.is_empty()).then_some(self.next_at);
        [next, self.limit.map(|limit| limit.at())].into_iter().flatten().min()
    }

    /// The [`id`](Latch::id)s of the attempts under way.
    pub(crate) fn ids(&self) -> impl Iterator<Item = usize> {
        self.attempts.iter().map(|attempt| attempt.latch.id())
    }

    /// Whoever wanted the connection is gone: should it have been made, it is reset.
    pub(crate) fn abort(&mut self, session: &mut Session) {
        for attempt in &self.attempts {
            // Where that fails, closing it is an ordinary end.
            let _ = socket::reset_on_close(&attempt.socket);
        }
        self.give_up(session);
    }

    /// Forgets all attempts.
    fn give_up(&mut self, session: &mut Session) {
        for attempt in self.attempts.drain(..) {
            session.reactor.forget(&attempt.socket, &attempt.latch);
        }
    }

    fn begin_next(&mut self, session: &mut Session) {
        let now = Instant::now();
        let mut late = self.addresses.news();
        if !late.is_empty() {
            late.extend(&self.queue);
            self.queue = interleaved(&late).into();
        }
        if (self.attempts.is_empty() || now >= self.next_at)
            && let Some(peer) = self.queue.pop_front()
        {
            match start(session, peer, &self.from) {
                Ok(attempt) => self.attempts.push(attempt),
                Err(error) => self.failed(error, session),
            }
            self.next_at = now + self.delay;
        }
    }

    /// An address has failed. Where there are others the error at the end, if any, names one of them only.
    fn failed(&mut self, error: Error, session: &mut Session) {
        if self.addresses.known().len() > 1 || !self.addresses.is_complete() {
            session.tell_tried(&error);
        }
        self.failures.add(error);
    }

    /// The first attempt that has succeeded; those that have failed are forgotten.
    fn first_done(&mut self, session: &mut Session) -> Option<Connected> {
        let mut at = 0;
        while at < self.attempts.len() {
            let Some(result) = check(&self.attempts[at]) else {
                at += 1;
                continue;
            };
            let Attempt { socket, latch, peer } = self.attempts.swap_remove(at);
            match result {
                Ok(()) => {
                    self.give_up(session);
                    return Some(Connected { socket, latch, peer: peer.into() });
                }
                Err(error) => {
                    session.reactor.forget(&socket, &latch);
                    self.failed(error, session);
                }
            }
        }
        None
    }
}

/// How many addresses an error lists; a name may have very many.
const NAMED: usize = 3;

/// The error for the attempts that had no answer when the limit passed.
fn unanswered(attempts: &[Attempt], limit: Duration) -> Error {
    let name = |attempt: &Attempt| socket::name(&attempt.peer.into(), Protocol::Tcp);
    let mut peers = attempts.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    if attempts.len() > NAMED {
        peers += &format!(" and {} more addresses", attempts.len() - NAMED);
    }
    let why = format!("no answer within {}", humantime::format_duration(limit));
    Error::new(Status::TimedOut, "connect", peers, why).hint("-w sets the limit")
}

/// Alternates the families; each keeps the resolver's order (RFC 8305, 4).
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
    socket::failure::answered(peer, cause)
}

fn start(session: &mut Session, peer: SocketAddr, from: &From) -> Result<Attempt> {
    let socket = socket::open("connect", peer, Protocol::Tcp, &from.options)?;
    from.bind(&socket, peer, Protocol::Tcp)?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(cause) if cause.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(cause) => {
            let port = from.port;
            return Err(socket::failure::refused_here(&socket, peer, Protocol::Tcp, port, &cause));
        }
    }
    let latch = session
        .reactor
        .watch(&socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    Ok(Attempt { socket, latch, peer })
}

/// The result of an attempt; `None` while it is in progress.
fn check(attempt: &Attempt) -> Option<Result<()>> {
    if !attempt.latch.writable() {
        return None;
    }
    // A peer may send data and reset the connection at once. Peeking returns that data if there is
    // any, and leaves it to be read; SO_ERROR would return the reset and lose it.
    let mut first = [MaybeUninit::uninit()];
    match sys::again(|| attempt.socket.peek(&mut first)) {
        Ok(_) => {}
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
            if socket::peer_address(&attempt.socket).is_none() {
                attempt.latch.not_writable();
                return None;
            }
        }
        // A SYN that is answered by a reset gives ECONNREFUSED, so ECONNRESET is the reset of an
        // established connection.
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => {
            let name = socket::name(&attempt.peer.into(), Protocol::Tcp);
            return Some(Err(Error::network("receive", name, &cause)));
        }
        Err(cause) => return Some(Err(failed(attempt.peer, &cause))),
    }
    if socket::is_its_own_peer(&attempt.socket, attempt.peer) {
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        return Some(Err(failed(attempt.peer, &cause)));
    }
    Some(Ok(()))
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
