//! The listening side of TCP: who comes in, and when nobody can.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::address::{Address, Protocol};
use crate::error::{Error, Result, Status};
use crate::gate::Gate;
use crate::reactor::Latch;
use crate::session::Session;
use crate::socket;
use crate::sys;
use crate::tap::Event;

/// How long to wait before trying again when the whole system, not this program, has run out of
/// descriptors or memory.
const RETRY: Duration = Duration::from_secs(1);

/// A listening socket.
pub struct Door {
    socket: Socket,
    latch: Rc<Latch>,
    local: Address,
    gate: Gate,
    most: Option<usize>,
    /// Since accepting met a limit: when to try again, whoever leaves before.
    paused: Option<Instant>,
    told: bool,
}

impl Door {
    /// Watches a listening socket. At most `most` clients are let in at once.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn new(
        socket: Socket,
        gate: Gate,
        most: Option<usize>,
        session: &mut Session,
    ) -> Result<Self> {
        let latch = session
            .reactor
            .watch(&socket, Interest::READABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        let local = socket::local_address(&socket).unwrap_or(Address::Unix(None));
        Ok(Self { socket, latch, local, gate, most, paused: None, told: false })
    }

    /// Our end of a connection to `peer`, as far as it need not be asked for.
    #[must_use]
    pub fn local(&self) -> Address {
        self.local.clone()
    }

    /// Closes the listening socket.
    pub fn close(self, session: &mut Session) {
        session.reactor.forget(&self.socket, &self.latch);
    }

    /// When accepting is to be tried again after it met a limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.paused
    }

    /// A client has left: there may be room for another.
    pub fn resume(&mut self) {
        self.paused = None;
    }

    /// The next client that may come in, `present` being here already; `None` when nobody waits,
    /// or nobody can be let in now.
    ///
    /// # Errors
    /// When the listening socket itself failed.
    pub fn next(
        &mut self,
        present: usize,
        session: &mut Session,
    ) -> Result<Option<(Socket, Address)>> {
        while self.latch.readable() && self.paused.is_none_or(|until| Instant::now() >= until) {
            self.paused = None;
            match sys::accept(&self.socket) {
                Ok((socket, peer)) => {
                    let peer = peer.unwrap_or_else(|| self.local.clone());
                    match self.refusal(&peer, present) {
                        None => return Ok(Some((socket, peer))),
                        Some(why) => {
                            let place = socket::name(&peer, Protocol::Tcp);
                            let error = Error::new(Status::Failure, "accept", place, why);
                            session.event(&Event::Error(&error));
                        }
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                }
                Err(cause) if is_exhaustion(&cause) => self.pause(&cause, session),
                Err(cause) if is_gone(&cause) => {}
                Err(cause) => return Err(self.failed(&cause)),
            }
        }
        Ok(None)
    }

    fn refusal(&self, peer: &Address, present: usize) -> Option<&'static str> {
        self.gate.refusal(peer).or_else(|| {
            self.most.is_some_and(|most| present >= most).then_some("turned away by --max-clients")
        })
    }

    fn failed(&self, cause: &io::Error) -> Error {
        Error::network("accept", socket::name(&self.local, Protocol::Tcp), cause)
    }

    fn pause(&mut self, cause: &io::Error, session: &mut Session) {
        self.paused = Some(Instant::now() + RETRY);
        if !self.told {
            self.told = true;
            let error = self.failed(cause).hint("others wait until a client leaves");
            session.event(&Event::Error(&error));
        }
    }
}

/// Limits of this process or of the system that pass when somebody leaves (accept(2)).
fn is_exhaustion(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Errors of accept(2) that concern a connection that is already gone, not the listener.
fn is_gone(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}
