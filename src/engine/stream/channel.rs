//! What a stream's bytes pass through on their way to the socket: nothing, or TLS.
//!
//! Both speak of the payload: what is received and sent here is what the two programs say to each
//! other. How the connection stands is a matter of the socket below, of which [`transport`] gives it.
//!
//! [`transport`]: Channel::transport

use std::io;

use crate::engine::stream::tls::{Ending, Session};
use crate::engine::stream::transport::Transport;
use crate::io::progress::Progress;
use crate::io::splice_end::SpliceEnd;
use crate::sys::TcpState;

/// A connected stream socket, and what protects what passes it.
#[derive(Debug)]
pub(crate) enum Channel {
    /// The payload passes as it is.
    Plain(Transport),
    /// The payload passes inside TLS records.
    Tls(Box<Session>),
}

impl Channel {
    /// The socket below.
    #[must_use]
    pub(crate) fn transport(&self) -> &Transport {
        match self {
            Self::Plain(transport) => transport,
            Self::Tls(session) => session.transport(),
        }
    }

    /// Receives payload that has come; `End` at the peer's end.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        match self {
            Self::Plain(transport) => transport.receive(buffer),
            Self::Tls(session) => session.receive(buffer),
        }
    }

    /// Sends payload that there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        match self {
            Self::Plain(transport) => transport.send(bytes),
            Self::Tls(session) => session.send(bytes),
        }
    }

    /// Hands what has been taken and not yet sent to the system; `End` once that is done.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn flush(&mut self) -> io::Result<Progress> {
        match self {
            Self::Plain(_) => Ok(Progress::End),
            Self::Tls(session) => session.flush(),
        }
    }

    /// Bytes that have been taken and not yet handed to the system.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(session) => session.held(),
        }
    }

    /// Whether receiving has met nothing more for now.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        match self {
            Self::Plain(transport) => transport.is_drained(),
            Self::Tls(session) => session.is_drained(),
        }
    }

    /// Ends our half; as [`Transport::close_write`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn close_write(&mut self) -> io::Result<Progress> {
        match self {
            Self::Plain(transport) => transport.close_write(),
            Self::Tls(session) => session.close_write(),
        }
    }

    /// How the peer's half ended, as far as it has.
    #[must_use]
    pub(crate) fn ending(&self) -> Ending {
        match self {
            Self::Plain(_) => Ending::Whole,
            Self::Tls(session) => session.ending(),
        }
    }

    /// Whether the payload is known to be whole both ways, whatever becomes of the connection.
    #[must_use]
    pub(crate) fn is_concluded(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(session) => session.is_concluded(),
        }
    }

    /// Bytes of ours that the peer's system has not acknowledged; `None` when ours does not tell.
    #[must_use]
    pub(crate) fn unacknowledged(&self) -> Option<u32> {
        let held = u32::try_from(self.held()).unwrap_or(u32::MAX);
        self.transport().unacknowledged().map(|sent| sent.saturating_add(held))
    }

    /// How far the connection has come towards its end; `None` where that is no TCP connection.
    #[must_use]
    pub(crate) fn state(&self) -> Option<TcpState> {
        self.transport().state()
    }

    /// What bytes may be spliced through: the kernel knows nothing of TLS.
    #[must_use]
    pub(crate) fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        match self {
            Self::Plain(transport) => Some(transport.splice_end()),
            Self::Tls(_) => None,
        }
    }
}
