//! A connected byte stream: TCP.

use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use nix::sys::socket::MsgFlags;
use socket2::Socket;

use super::{Allowance, Progress, Sink, Source};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::reactor::Latch;
use crate::sys::{self, TcpState};
use crate::tap::Tap;

/// How far the peer's kernel has confirmed what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Everything, the FIN included.
    Yes,
    /// Not yet everything.
    NotYet,
}

/// A connected, non-blocking stream socket.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
    latch: Rc<Latch>,
    /// `ADDR:PORT (tcp)`, for errors.
    name: String,
    tap: Rc<Tap>,
}

impl Stream {
    /// Takes a connected, non-blocking socket that the reactor already watches.
    #[must_use]
    pub fn new(socket: Socket, latch: Rc<Latch>, name: String, tap: Rc<Tap>) -> Self {
        Self {
            socket,
            latch,
            name,
            tap,
        }
    }

    /// Sends a FIN: the peer reads an end, receiving goes on.
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn shutdown(&mut self) -> Result<()> {
        self.socket
            .shutdown(Shutdown::Write)
            .map_err(|cause| Error::network("send", &self.name, &cause))
    }

    /// Whether the peer's kernel has acknowledged all that was sent. After the peer's FIN that
    /// is when the connection is closed (RFC 9293, 3.3.2); before, when our FIN is acknowledged.
    ///
    /// # Errors
    /// When the connection broke before that.
    pub fn settled(&self) -> Result<Settled> {
        let state = sys::tcp_state(&self.socket);
        self.check()?;
        Ok(match state {
            Ok(TcpState::Open | TcpState::FinSent) => Settled::NotYet,
            Ok(TcpState::FinAcknowledged | TcpState::Closed) | Err(_) => Settled::Yes,
        })
    }

    /// Whether the peer's kernel has acknowledged all data that was sent, FIN or not.
    ///
    /// # Errors
    /// When the connection broke before that.
    pub fn acknowledged(&self) -> Result<Settled> {
        let waiting = sys::unacknowledged(&self.socket);
        self.check()?;
        Ok(match waiting {
            Ok(1..) => Settled::NotYet,
            Ok(0) | Err(_) => Settled::Yes,
        })
    }

    fn check(&self) -> Result<()> {
        match self.socket.take_error() {
            Ok(Some(cause)) => Err(Error::network("send", &self.name, &cause)),
            _ => Ok(()),
        }
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
            .map_err(|cause| Error::network("receive", &self.name, &cause))?;
        match progress {
            Progress::Moved(n) if n > 0 => {
                batch.filled(n);
                batch.cut(0..n, n);
                self.tap.received(n);
            }
            Progress::Blocked => self.latch.not_readable(),
            Progress::Moved(_) | Progress::End => {}
        }
        Ok(progress)
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
            let some = &bytes[..bytes.len().min(allowed.bytes - moved)];
            let result =
                nix::sys::socket::send(self.socket.as_raw_fd(), some, MsgFlags::MSG_NOSIGNAL);
            let progress = Progress::of_write(result.map_err(Into::into))
                .map_err(|cause| Error::network("send", &self.name, &cause))?;
            match progress {
                Progress::Moved(n) => {
                    let whole = n == bytes.len();
                    self.tap.sent(n);
                    moved += n;
                    batch.consume(n);
                    if whole {
                        batch.pop();
                        messages += 1;
                    }
                }
                _ => self.latch.not_writable(),
            }
        }
        Ok(if moved == 0 && !batch.is_empty() {
            Progress::Blocked
        } else {
            Progress::Moved(moved)
        })
    }
}
