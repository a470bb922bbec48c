//! A connection that is being made, inside a loop that has more to do meanwhile.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::Protocol;
use crate::net::options::Options;
use crate::net::socket;

/// A socket whose handshake is on its way.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub socket: Socket,
    pub latch: Rc<Latch>,
    pub peer: SocketAddr,
}

impl Attempt {
    /// Begins to connect. `prepare` sets what a socket must have before its SYN leaves.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn begin(
        reactor: &mut Reactor,
        peer: SocketAddr,
        prepare: impl FnOnce(&Socket) -> Result<()>,
    ) -> Result<Self> {
        let socket = socket::open("connect", peer, Protocol::Tcp, &Options::default())?;
        prepare(&socket)?;
        match socket.connect(&peer.into()) {
            Ok(()) => {}
            Err(cause) if cause.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(cause) => return Err(socket::failure::answered(peer, &cause)),
        }
        let latch = reactor
            .watch(&socket, Interest::READABLE | Interest::WRITABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        Ok(Self { socket, latch, peer })
    }

    /// What has become of it; `None` while it is on its way.
    #[must_use]
    pub(crate) fn check(&self) -> Option<Result<()>> {
        if !self.latch.writable() {
            return None;
        }
        match self.socket.take_error() {
            Ok(None) if socket::peer_address(&self.socket).is_some() => Some(Ok(())),
            Ok(None) => {
                self.latch.not_writable();
                None
            }
            Ok(Some(cause)) | Err(cause) => Some(Err(socket::failure::answered(self.peer, &cause))),
        }
    }

    /// The error when nobody has answered for so long.
    #[must_use]
    pub(crate) fn unanswered(&self, limit: Duration) -> Error {
        let name = socket::name(&self.peer.into(), Protocol::Tcp);
        let why = format!("no answer within {}", humantime::format_duration(limit));
        Error::new(Status::TimedOut, "connect", name, why)
    }
}
