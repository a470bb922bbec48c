//! A connected byte stream: TCP.
//!
//! TCP's urgent data is no part of what is received: SO_OOBINLINE is off, as it is by default, so
//! that the urgent byte stands outside the stream and nobody asks for it (tcp(7), "urgent data").
//! What comes before and after it is received like everything else. That is what other netcats do;
//! with SO_OOBINLINE the kernel's idea of which byte is meant would be in the payload (RFC 6093,
//! section 3).

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::socket::MsgFlags;
use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::ends::Standing;
use crate::engine::flow::{Allowance, Sink, Source};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::io::reactor::Latch;
use crate::io::splice_end::{SpliceEnd, SpliceKind};
use crate::net::socket;
use crate::observe::tap::{Activity, Event, Link, Tap};
use crate::sys::{self, TcpState};

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    latch: Rc<Latch>,
    link: Rc<Link>,
    tap: Rc<Tap>,
}

impl Stream {
    /// Takes a connected, non-blocking socket that the reactor already watches.
    #[must_use]
    pub fn new(socket: Socket, latch: Rc<Latch>, link: Rc<Link>, tap: Rc<Tap>) -> Self {
        Self { socket, latch, link, tap }
    }

    /// How much has passed.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.link.activity()
    }

    /// Sends a FIN: the peer reads an end, receiving goes on.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn close_write(&mut self) -> Result<()> {
        self.socket.shutdown(Shutdown::Write).map_err(|cause| match cause.raw_os_error() {
            // What is no longer connected has been reset, and a read has met that already.
            Some(libc::ENOTCONN) => {
                self.broken("send", &io::Error::from_raw_os_error(libc::ECONNRESET))
            }
            _ => self.broken("send", &cause),
        })?;
        self.tap.event(&Event::WeClosed(&self.link));
        Ok(())
    }

    /// Closing it will be a reset: a stream that is cut off must not look like one that is whole.
    /// (A local socket knows no resets.)
    pub fn abort(&self) {
        if self.socket.set_linger(Some(Duration::ZERO)).is_ok() && self.link.is_tcp() {
            self.tap.event(&Event::WeReset(&self.link));
        }
    }

    /// The connection is over, however it ended.
    pub fn over(&self) {
        self.tap.event(&Event::Closed(&self.link));
    }

    fn broken(&self, what: &str, cause: &io::Error) -> Error {
        let error = Error::connection(what, &self.link, cause);
        if error.status == Status::Broken {
            self.tap.event(&Event::Reset(&self.link));
        }
        error
    }

    /// The socket as a splice_end, unless somebody wants to see the bytes.
    fn as_splice_end(&self) -> Option<SpliceEnd<'_>> {
        (!self.tap.is_watched()).then(|| SpliceEnd {
            fd: self.socket.as_fd(),
            latch: &self.latch,
            kind: SpliceKind::Socket,
        })
    }

    /// Whether reading has met nothing more for now.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        !self.latch.readable()
    }

    /// Whether the connection still stands. The socket may know more than the last wake-up told.
    fn standing(&self) -> Result<()> {
        match self.socket.take_error() {
            Ok(Some(cause)) => Err(self.broken("send", &cause)),
            _ => Ok(()),
        }
    }
}

impl Standing for Stream {
    /// After the peer's FIN everything is acknowledged when the connection is closed (RFC 9293, 3.3.2);
    /// before, when our FIN is acknowledged.
    fn has_settled(&self) -> Result<bool> {
        let state = sys::tcp_state(&self.socket);
        self.standing()?;
        Ok(!matches!(state, Ok(TcpState::Open | TcpState::FinSent)))
    }

    fn has_acknowledged(&self) -> Result<bool> {
        let waiting = sys::unacknowledged(&self.socket);
        self.standing()?;
        Ok(!matches!(waiting, Ok(1..)))
    }

    fn check(&self) -> Result<()> {
        if self.latch.failed() { self.standing() } else { Ok(()) }
    }
}

impl Source for Stream {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if !self.latch.readable() {
            return Ok(Progress::Blocked);
        }
        let result =
            nix::sys::socket::recv(self.socket.as_raw_fd(), batch.spare(), MsgFlags::empty());
        let progress = Progress::of_read(result.map_err(Into::into))
            .map_err(|cause| self.broken("receive", &cause))?;
        match progress {
            Progress::Moved(n) if n > 0 => {
                batch.filled(n);
                batch.cut(n, n);
                if let Some((_, bytes)) = batch.front() {
                    self.tap.received(&self.link, bytes, None);
                }
            }
            Progress::Blocked => self.latch.not_readable(),
            Progress::End => self.tap.event(&Event::PeerClosed(&self.link)),
            Progress::Moved(_) => {}
        }
        Ok(progress)
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        self.as_splice_end()
    }

    fn moved(&mut self, bytes: usize) {
        self.tap.received_unseen(Some(&self.link), bytes, 1);
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Error {
        self.broken("receive", cause)
    }
}

impl Sink for Stream {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let mut moved = 0;
        let mut messages = 0;
        while let Some((_, bytes)) = batch.front() {
            if bytes.is_empty() {
                // A byte stream has no empty messages to send.
                batch.pop();
                continue;
            }
            if messages == allowed.messages || moved >= allowed.bytes || !self.latch.writable() {
                break;
            }
            let some = allowed.front(bytes, moved);
            let result =
                nix::sys::socket::send(self.socket.as_raw_fd(), some, MsgFlags::MSG_NOSIGNAL);
            let progress = Progress::of_write(result.map_err(Into::into))
                .map_err(|cause| self.broken("send", &cause))?;
            match progress {
                // Interrupted: the loop comes round again at once.
                Progress::Moved(0) => return Ok(Progress::Moved(moved)),
                Progress::Moved(n) => {
                    messages += usize::from(n == bytes.len());
                    self.tap.sent(&self.link, &some[..n]);
                    moved += n;
                    batch.consume(n);
                }
                _ => self.latch.not_writable(),
            }
        }
        Ok(if moved == 0 && !batch.is_empty() { Progress::Blocked } else { Progress::Moved(moved) })
    }

    fn widen(&mut self) {
        socket::expect_bulk(&self.socket);
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        self.as_splice_end()
    }

    fn moved(&mut self, bytes: usize) {
        self.tap.sent_unseen(Some(&self.link), bytes, 1);
    }

    fn splice_failed(&mut self, cause: &io::Error) -> Option<Error> {
        Some(self.broken("send", cause))
    }
}
