//! A connection whose program has ended: its last bytes are on their way.
//!
//! Closing a socket that holds unread bytes sends a reset, and the client's system then throws away
//! what it has not received yet (RFC 9293, 3.10.4; RFC 1122, 4.2.2.13). So the connection is only
//! half-closed, and what the client still sends is read until its FIN.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result};
use crate::io::reactor::Latch;
use crate::observe::tap::{Event, Link};
use crate::run::session::Session;
use crate::sys::{self, TcpState};

/// A client that has everything and sends nothing for so long is not waited for any more.
const SILENCE: Duration = Duration::from_secs(5);

/// Nor is one that has everything and goes on sending for so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often the system is asked whether the client has everything: it does not tell by itself.
const LOOK: Duration = Duration::from_millis(250);

/// The most that is read before others have their turn.
const TURN: usize = 1 << 20;

/// A connection that is half-closed and read to its end.
pub(super) struct Leaving {
    socket: Socket,
    latch: Rc<Latch>,
    link: Link,
    /// When something last came.
    last: Instant,
    /// When the system is asked next whether the client has received everything.
    look_at: Instant,
    /// Since when the client is known to have received everything.
    delivered: Option<Instant>,
}

/// What has become of a connection.
pub(super) enum Turn {
    /// There may be more to read right away.
    More,
    /// Something may come until then.
    Until(Instant),
    /// Its client is done, or not waited for any more.
    Over,
}

impl Leaving {
    /// Half-closes a connection that no other process has open.
    ///
    /// # Errors
    /// When it broke before.
    pub(super) fn new(socket: Socket, link: Link, session: &mut Session) -> Result<Self> {
        let prepared = socket.shutdown(Shutdown::Write).and_then(|()| socket.set_nonblocking(true));
        let latch = prepared.and_then(|()| session.reactor.watch(&socket, Interest::READABLE));
        match latch {
            Ok(latch) => {
                let now = Instant::now();
                Ok(Self { socket, latch, link, last: now, look_at: now, delivered: None })
            }
            Err(cause) => {
                session.event(&Event::Closed(&link));
                // Of one that was reset the system says no more than that it is not connected.
                let cause = socket.take_error().ok().flatten().unwrap_or(cause);
                Err(Error::network("send", &link, &cause))
            }
        }
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) fn step(&mut self, buffer: &mut [u8]) -> Result<Turn> {
        let mut read = 0;
        let was_woken = self.latch.readable();
        while self.latch.readable() {
            match (&self.socket).read(buffer) {
                Ok(0) => return Ok(Turn::Over),
                Ok(n) => read += n,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable()
                }
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(Error::network("send", &self.link, &cause)),
            }
            if read >= TURN {
                break;
            }
        }
        let now = Instant::now();
        if read > 0 {
            self.last = now;
        }
        // The system goes on sending without us.
        if self.delivered.is_none() && (was_woken || now >= self.look_at) {
            self.delivered = self.is_delivered().then_some(now);
            self.look_at = now + LOOK;
        }
        let end = match self.delivered {
            None => self.look_at,
            Some(since) => (self.last.max(since) + SILENCE).min(since + PATIENCE),
        };
        Ok(match end {
            end if end <= now => Turn::Over,
            _ if self.latch.readable() => Turn::More,
            end => Turn::Until(end),
        })
    }

    /// Whether the client's system has acknowledged our FIN, and so everything before it.
    fn is_delivered(&self) -> bool {
        // A local socket hands everything over at once.
        sys::tcp_state(&self.socket)
            .map_or(true, |state| matches!(state, TcpState::FinAcknowledged | TcpState::Closed))
    }

    /// Closes the connection.
    pub(super) fn close(self, session: &mut Session) {
        session.reactor.forget(&self.socket, &self.latch);
        drop(self.socket);
        session.event(&Event::Closed(&self.link));
    }

    /// The connection, for messages.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}
