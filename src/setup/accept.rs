//! The listening side of TCP: who comes in, and when nobody can.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::reactor::Latch;
use crate::net::access::AccessList;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::Event;
use crate::run::session::Session;

/// How long to wait before trying again when accepting failed by a cause that may pass: descriptors
/// or memory of the whole system have run out, or every connection was gone before it was taken.
const RETRY: Duration = Duration::from_secs(1);

/// A listening socket.
pub struct Acceptor {
    socket: Socket,
    latch: Rc<Latch>,
    local: Address,
    access: AccessList,
    most: Option<usize>,
    /// Since accepting failed: when to try again, unless somebody leaves before.
    paused: Option<Pause>,
    /// The causes that the user was told of (errno(3)): each is told once.
    told: Vec<i32>,
}

/// Why nobody is accepted for a while.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    lacks: Lack,
}

/// What is missing for accepting the next client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Descriptors or memory, which whoever leaves gives back.
    Room,
    /// Nothing that anybody here could give.
    Nothing,
}

impl Acceptor {
    /// Watches a listening socket. At most `most` clients are let in at once.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn new(
        socket: Socket,
        access: AccessList,
        most: Option<usize>,
        session: &mut Session,
    ) -> Result<Self> {
        let latch = session
            .reactor
            .watch(&socket, Interest::READABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        let local = socket::local_address(&socket).unwrap_or(Address::Unix(None));
        Ok(Self { socket, latch, local, access, most, paused: None, told: Vec::new() })
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

    /// When accepting is to be tried again after it failed.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.paused.map(|pause| pause.until)
    }

    /// Whether somebody waits who can come in only when somebody else leaves.
    #[must_use]
    pub fn lacks_room(&self) -> bool {
        self.paused.is_some_and(|pause| pause.lacks == Lack::Room)
    }

    /// How many clients may be here at once.
    #[must_use]
    pub fn most(&self) -> Option<usize> {
        self.most
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
        while self.latch.readable() && self.deadline().is_none_or(|until| Instant::now() >= until) {
            self.paused = None;
            match socket::accept(&self.socket) {
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
                Err(cause) if socket::may_pass(&cause) => self.pause(&cause, session),
                Err(cause) => return Err(self.failed(&cause)),
            }
        }
        Ok(None)
    }

    fn refusal(&self, peer: &Address, present: usize) -> Option<&'static str> {
        self.access.refusal(peer).or_else(|| {
            self.most.is_some_and(|most| present >= most).then_some("turned away by --max-clients")
        })
    }

    fn failed(&self, cause: &io::Error) -> Error {
        Error::network("accept", socket::name(&self.local, Protocol::Tcp), cause)
    }

    fn pause(&mut self, cause: &io::Error, session: &mut Session) {
        let (lacks, hint) = if socket::is_exhaustion(cause) {
            (Lack::Room, "whoever comes waits until there is room")
        } else {
            (Lack::Nothing, "tried again every second")
        };
        self.paused = Some(Pause { until: Instant::now() + RETRY, lacks });
        let number = cause.raw_os_error().unwrap_or_default();
        if !self.told.contains(&number) {
            self.told.push(number);
            session.event(&Event::Error(&self.failed(cause).hint(hint)));
        }
    }
}
