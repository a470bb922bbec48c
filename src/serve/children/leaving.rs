//! A connection whose program has ended: its last bytes are on their way.
//!
//! Closing a socket that holds unread bytes sends a reset, and the client's system then throws away
//! what it has not received yet (RFC 9293, 3.10.4; RFC 1122, 4.2.2.13). So the connection is only
//! half-closed, and what the client still sends is read until its FIN.

use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::stream::Transport;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::observe::tap::{Event, Link};
use crate::run::session::Session;
use crate::sys::TcpState;

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
    transport: Transport,
    link: Link,
    /// When something last came.
    last: Instant,
    /// When the system is asked next whether the client has received everything.
    look_at: Instant,
    /// Since when the client is known to have received everything.
    delivered: Option<Instant>,
}

/// What has become of a connection.
pub(super) enum LeavingTurn {
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
        let leaving = Self { transport, link, last: now, look_at: now, delivered: None };
        if let Err(cause) = leaving.transport.close_write() {
            // Of one that was reset the system says no more than that it is not connected.
            let cause = leaving.transport.take_error().ok().flatten().unwrap_or(cause);
            let error = Error::network("send", &leaving.link, &cause);
            leaving.close(session);
            return Err(error);
        }
        Ok(leaving)
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// When the connection broke.
    pub(super) fn step(&mut self, buffer: &mut [u8]) -> Result<LeavingTurn> {
        let mut read = 0;
        let was_woken = !self.transport.is_drained();
        while read < TURN {
            let received = self.transport.receive(buffer);
            match received.map_err(|cause| Error::network("send", &self.link, &cause))? {
                Progress::Moved(n) => read += n,
                Progress::Blocked => break,
                Progress::End => return Ok(LeavingTurn::Over),
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
            end if end <= now => LeavingTurn::Over,
            _ if !self.transport.is_drained() => LeavingTurn::More,
            end => LeavingTurn::Until(end),
        })
    }

    /// Whether the client's system has acknowledged our FIN, and so everything before it.
    fn is_delivered(&self) -> bool {
        // A local socket hands everything over at once.
        self.transport
            .state()
            .is_none_or(|state| matches!(state, TcpState::FinAcknowledged | TcpState::Closed))
    }

    /// Closes the connection.
    pub(super) fn close(self, session: &mut Session) {
        session.reactor.forget(&self.transport, self.transport.latch());
        drop(self.transport);
        session.event(&Event::Closed(&self.link));
    }

    /// The connection, for messages.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }
}
