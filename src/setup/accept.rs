//! Accepting connections: access list, limit of clients, and pausing when accept(2) fails.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::net::access::AccessList;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::sys;

/// How long to pause after accept(2) failed for a reason that may pass: descriptors or memory have
/// run out, or all waiting connections had failed already.
const RETRY: Duration = Duration::from_secs(1);

/// The most clients turned away in a row, before the loop hears signals and time limits again and looks
/// whether what is told about them finds a reader.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// A listening stream socket with its access list and limit of clients.
pub(crate) struct Acceptor {
    socket: Socket,
    latch: Rc<Latch>,
    local: Address,
    access: AccessList,
    most: Option<usize>,
    /// Set while accepting pauses, after a failure or after many were turned away.
    paused: Option<Pause>,
    /// The errors that were reported (errno(3)). Each is reported once.
    told: Vec<i32>,
}

/// A pause in accepting.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    lacks: Lack,
}

/// What has to change before the next connection can be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Descriptors or memory have to become free, which a client that leaves may do.
    Room,
    /// Nothing that this program could do.
    Nothing,
}

impl Acceptor {
    /// Watches a listening socket. At most `most` clients are accepted at the same time.
    ///
    /// # Errors
    /// When epoll cannot watch it.
    pub(crate) fn new(
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

    /// The address that the socket is bound to.
    #[must_use]
    pub(crate) fn local(&self) -> Address {
        self.local.clone()
    }

    /// Closes the listening socket.
    pub(crate) fn close(self, session: &mut Session) {
        session.reactor.forget(&self.socket, &self.latch);
    }

    /// When a pause in accepting ends.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.paused.map(|pause| pause.until)
    }

    /// Whether a connection waits for descriptors or memory.
    #[must_use]
    pub(crate) fn lacks_room(&self) -> bool {
        self.paused.is_some_and(|pause| pause.lacks == Lack::Room)
    }

    /// Whether there is a connection that waits for descriptors or memory. At a limit accept(2) fails before it
    /// looks whether somebody is there.
    #[must_use]
    pub(crate) fn has_somebody_without_room(&self) -> bool {
        self.lacks_room() && sys::is_readable(&self.socket)
    }

    /// The most clients at the same time, if limited.
    #[must_use]
    pub(crate) fn most(&self) -> Option<usize> {
        self.most
    }

    /// Ends a pause, because a client has left and may have made room.
    pub(crate) fn resume(&mut self) {
        self.paused = None;
    }

    /// Accepts the next client that is not refused; `present` is the number of clients now. `None`
    /// when no connection waits, or accepting pauses: see [`deadline`](Self::deadline).
    ///
    /// # Errors
    /// When the listening socket itself failed.
    pub(crate) fn next(
        &mut self,
        present: usize,
        session: &mut Session,
    ) -> Result<Option<(Socket, Address)>> {
        self.next_where(present, || false, session)
    }

    /// As [`next`](Self::next), where one of those present may give up its place for whoever comes, if `yields`
    /// says so: then nobody is refused because all places are taken, and it is up to the caller to free one.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub(crate) fn next_where(
        &mut self,
        present: usize,
        yields: impl Fn() -> bool,
        session: &mut Session,
    ) -> Result<Option<(Socket, Address)>> {
        let mut turned_away = 0;
        while self.latch.readable() && self.deadline().is_none_or(|until| Instant::now() >= until) {
            self.paused = None;
            match socket::accept(&self.socket) {
                Ok((socket, peer)) => {
                    let peer = peer.unwrap_or_else(|| self.local.clone());
                    match self.refusal(&peer, present, &yields) {
                        None => return Ok(Some((socket, peer))),
                        Some(why) => {
                            let place = socket::name(&peer, Protocol::Tcp);
                            let error = Error::new(Status::Failure, "accept", place, why);
                            session.event(&Event::Error(&error));
                            turned_away += 1;
                        }
                    }
                    if turned_away == TURNED_AWAY_AT_ONCE {
                        // Over at once: no event would tell of those who wait already.
                        let until = Instant::now();
                        self.paused = Some(Pause { until, lacks: Lack::Nothing });
                        break;
                    }
                }
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                }
                Err(cause) if socket::may_pass(&cause) => self.pause(&cause, &yields, session),
                Err(cause) => return Err(self.failed(&cause)),
            }
        }
        Ok(None)
    }

    fn refusal(
        &self,
        peer: &Address,
        present: usize,
        yields: impl Fn() -> bool,
    ) -> Option<&'static str> {
        self.access.refusal(peer).or_else(|| {
            let is_full = self.most.is_some_and(|most| present >= most);
            (is_full && !yields()).then_some("turned away by --max-clients")
        })
    }

    fn failed(&self, cause: &io::Error) -> Error {
        Error::network("accept", socket::name(&self.local, Protocol::Tcp), cause)
    }

    fn pause(&mut self, cause: &io::Error, yields: impl Fn() -> bool, session: &mut Session) {
        let (lacks, hint) = if socket::is_exhaustion(cause) {
            (Lack::Room, "whoever comes waits until there is room")
        } else {
            (Lack::Nothing, "tried again every second")
        };
        self.paused = Some(Pause { until: Instant::now() + RETRY, lacks });
        if lacks == Lack::Room && yields() {
            return;
        }
        let number = cause.raw_os_error().unwrap_or_default();
        if !self.told.contains(&number) {
            self.told.push(number);
            session.event(&Event::Error(&self.failed(cause).hint(hint)));
        }
    }
}
