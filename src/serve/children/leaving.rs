//! A connection whose program has ended, until the client has received the last output.
//!
//! If a socket with unread bytes is closed, the kernel sends a reset, and the client's kernel then discards
//! output that the client has not read yet (RFC 9293, 3.10.4; RFC 1122, 4.2.2.13). So the connection is
//! only half-closed, and what the client still sends is read and discarded until its FIN.

use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::stream::Transport;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::observe::tap::{Event, Link, Side};
use crate::run::session::Session;
use crate::serve::children::counts::{self, ClientFin};
use crate::sys::TcpState;

/// The connection is closed if the client has received everything and sends nothing for this long.
const SILENCE: Duration = Duration::from_secs(5);

/// The connection is closed at the latest this long after the client has received everything, even if it
/// goes on sending.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the kernel is asked whether the client has received everything: there is no event for that.
const LOOK: Duration = Duration::from_millis(250);

/// The most bytes read from one connection before the others are served.
const TURN: usize = 1 << 20;

/// A connection that is half-closed and read to its end.
pub(super) struct Leaving {
    transport: Transport,
    link: Link,
    /// When the client last sent something.
    last: Instant,
    /// When the kernel is asked next whether the client has received everything.
    look_at: Instant,
    /// Since when the client is known to have received everything.
    delivered: Option<Instant>,
    client_fin: ClientFin,
}

/// What serving a half-closed connection has led to.
pub(super) enum LeavingTurn {
    /// There may be more to read at once.
    More,
    /// It is to be served again at this time, or at an event of its socket.
    Until(Instant),
    /// The client is done, or is not waited for any longer.
    Over,
}

impl Leaving {
    /// Half-closes a connection that no other process has open.
    ///
    /// # Errors
    /// When the connection is broken already, or cannot be watched.
    pub(super) fn new(socket: Socket, link: Link, session: &mut Session) -> Result<Self> {
        let watched = socket
            .set_nonblocking(true)
            .and_then(|()| session.reactor.watch(&socket, Interest::READABLE));
        let transport = match watched {
            Ok(latch) => Transport::new(socket, latch),
            Err(cause) => {
                session.event(&Event::Closed(&link));
                let cause = socket.take_error().ok().flatten().unwrap_or(cause);
                return Err(Error::network("send", &link, &cause));
            }
        };
        let now = Instant::now();
        let leaving = Self {
            transport,
            link,
            last: now,
            look_at: now,
            delivered: None,
            client_fin: ClientFin::NotRead,
        };
        counts::note_first(&leaving.transport, &leaving.link);
        if let Err(cause) = leaving.transport.close_write() {
            // After a reset shutdown(2) only says ENOTCONN; the pending error of the socket says more.
            let cause = leaving.transport.take_error().ok().flatten().unwrap_or(cause);
            let error = Error::network("send", &leaving.link, &cause);
            leaving.link.course.closed_by(Side::Peers);
            leaving.close(session);
            return Err(error);
        }
        leaving.link.course.closed_by(Side::Ours);
        Ok(leaving)
    }

    /// Reads and discards what the client has sent.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(super) fn step(&mut self, buffer: &mut [u8]) -> Result<LeavingTurn> {
        let mut read = 0;
        let was_woken = !self.transport.is_drained();
        while read < TURN {
            let received = self.transport.receive(buffer);
            match received.map_err(|cause| Error::network("send", &self.link, &cause))? {
                Progress::Moved(n) => read += n,
                Progress::Blocked => break,
                Progress::End => {
                    self.client_fin = ClientFin::Read;
                    return Ok(LeavingTurn::Over);
                }
            }
        }
        let now = Instant::now();
        if read > 0 {
            self.last = now;
        }
        // The kernel goes on sending by itself; here it is only found out whether it is done.
        if self.delivered.is_none() && (was_woken || now >= self.look_at) {
            self.delivered = self.is_delivered().then_some(now);
            self.look_at = now + LOOK;
        }
        let end = match self.delivered {
            None => self.look_at,
            Some(since) => (self.last.max(since) + SILENCE).min(since + PATIENCE),
        };
        Ok(match end {
            end if end <= now => LeavingTurn::Over,
            _ if !self.transport.is_drained() => LeavingTurn::More,
            end => LeavingTurn::Until(end),
        })
    }

    /// Whether the client's kernel has acknowledged the FIN, and so everything before it.
    fn is_delivered(&self) -> bool {
        // A local socket has no such state: what was written to it has been delivered.
        self.transport
            .state()
            .is_none_or(|state| matches!(state, TcpState::FinAcknowledged | TcpState::Closed))
    }

    /// Closes the connection.
    pub(super) fn close(self, session: &mut Session) {
        counts::note(&self.transport, &self.link, self.client_fin, &session.tap);
        session.reactor.forget(&self.transport, self.transport.latch());
        drop(self.transport);
        session.event(&Event::Closed(&self.link));
    }

    /// The connection, for messages.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}
