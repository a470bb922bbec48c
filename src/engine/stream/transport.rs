//! A connected stream socket and what is known of its readiness: the only place that receives from
//! one, sends to it, shuts it down or resets it.
//!
//! It reports to no observer and returns the errors of the system as they are; both are the concern of
//! its user. No call waits, and none is made while the socket is known not to be ready.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;

use nix::sys::socket::{self as calls, MsgFlags};
use socket2::Socket;

use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::splice_end::{SpliceEnd, SpliceKind};
use crate::net::{keepalive, socket};
use crate::sys::{self, TcpCounts, TcpState};

/// A connected, non-blocking stream socket that the reactor watches.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: Socket,
    latch: Rc<Latch>,
}

impl Transport {
    /// Takes a connected, non-blocking socket and its latch.
    #[must_use]
    pub(crate) fn new(socket: Socket, latch: Rc<Latch>) -> Self {
        Self { socket, latch }
    }

    /// Its readiness.
    #[must_use]
    pub(crate) fn latch(&self) -> &Rc<Latch> {
        &self.latch
    }

    /// Receives what has come; `End` at the peer's FIN.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Progress> {
        self.receive_by(buffer, MsgFlags::empty())
    }

    /// Shows what has come and leaves it to be received; `End` at the peer's FIN.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<Progress> {
        self.receive_by(buffer, MsgFlags::MSG_PEEK)
    }

    fn receive_by(&self, buffer: &mut [u8], flags: MsgFlags) -> io::Result<Progress> {
        let fd = self.socket.as_raw_fd();
        self.latch.reading(|| Progress::of_read(sys::again(|| Ok(calls::recv(fd, buffer, flags)?))))
    }

    /// Sends what there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<Progress> {
        let fd = self.socket.as_raw_fd();
        // A broken connection is reported by the error, so SIGPIPE is not wanted.
        let send = || Ok(calls::send(fd, bytes, sys::NO_SIGNAL)?);
        self.latch.writing(|| Progress::of_write(sys::again(send)))
    }

    /// Sends of these pieces, in their order, what there is room for.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send_pieces(&self, pieces: &[IoSlice<'_>]) -> io::Result<Progress> {
        let fd = self.socket.as_raw_fd();
        let send = || Ok(calls::sendmsg::<()>(fd, pieces, &[], sys::NO_SIGNAL, None)?);
        self.latch.writing(|| Progress::of_write(sys::again(send)))
    }

    /// Whether receiving has met nothing more for now.
    #[must_use]
    pub(crate) fn is_drained(&self) -> bool {
        !self.latch.readable()
    }

    /// Closes the sending half: the peer reads an end, receiving goes on. `End` once that is done;
    /// anything else means that data has to be sent before, and that this has to be called again.
    ///
    /// # Errors
    /// When the connection is broken. For one that was reset it is only `ENOTCONN`.
    pub(crate) fn close_write(&self) -> io::Result<Progress> {
        self.socket.shutdown(Shutdown::Write)?;
        Ok(Progress::End)
    }

    /// Closing it will be a reset, where the protocol knows resets.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn abort(&self) -> io::Result<()> {
        socket::reset_on_close(&self.socket)
    }

    /// Bytes sent that the peer's system has not acknowledged; `None` when ours does not tell.
    #[must_use]
    pub(crate) fn unacknowledged(&self) -> Option<u32> {
        sys::unacknowledged(&self.socket).ok()
    }

    /// How far the connection has come towards its end; `None` where that is no TCP connection.
    #[must_use]
    pub(crate) fn state(&self) -> Option<TcpState> {
        sys::tcp_state(&self.socket).ok()
    }

    /// Whether the peer's FIN has come, read or not; `false` where that is no TCP connection.
    #[must_use]
    pub(crate) fn peer_has_closed(&self) -> bool {
        sys::tcp_peer_has_closed(&self.socket).unwrap_or(false)
    }

    /// From now on the system asks the peer from time to time whether it is still there.
    pub(crate) fn probe_peer(&self) {
        keepalive::probe(&self.socket);
    }

    /// Whether the connection has an end other than ours; a TCP connection that was reset has none.
    #[must_use]
    pub(crate) fn is_connected(&self) -> bool {
        !matches!(self.state(), Some(TcpState::Closed) | None)
    }

    /// Whether a connection that is [gone](Self::is_connected) is so by an answer to a probe, or by none. A
    /// local socket needs no probe: its system knows, and tells of an error when something was not read.
    #[must_use]
    pub(crate) fn has_been_asked(&self) -> bool {
        match sys::tcp_unanswered_probes(&self.socket) {
            Ok(probes) => probes > 0,
            Err(_) => !sys::has_error(&self.socket),
        }
    }

    /// What the kernel has counted and measured; `None` where it does not tell.
    #[must_use]
    pub(crate) fn counts(&self) -> Option<TcpCounts> {
        sys::tcp_counts(&self.socket).ok().flatten()
    }

    /// An error of the connection that no call has returned yet (SO_ERROR, socket(7)). The socket may
    /// know of one before an event reports it.
    ///
    /// # Errors
    /// When the system cannot say.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Much is about to be sent: what would only slow it down is turned off.
    pub(crate) fn expect_bulk(&self) {
        socket::expect_bulk(&self.socket);
    }

    /// What bytes may be spliced through.
    #[must_use]
    pub(crate) fn splice_end(&self) -> SpliceEnd<'_> {
        SpliceEnd { fd: self.socket.as_fd(), latch: &self.latch, kind: SpliceKind::Socket }
    }
}

/// For what is asked of the socket besides moving bytes, and for the reactor to forget it.
impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
