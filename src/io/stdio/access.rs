//! Ways to read and write a descriptor without blocking.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::Interest;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;

use crate::sys;

/// How a descriptor is read or written without blocking.
#[derive(Debug)]
pub(super) enum Access {
    /// By read(2) and write(2): the file description is private and non-blocking, or a file that
    /// never blocks.
    Direct,
    /// By recv(2) and send(2) with MSG_DONTWAIT.
    Socket,
    /// A shared pipe: bytes are spliced from or to a pipe of this process.
    Detour(Detour),
    /// poll(2) is called before every read(2) and write(2), as nothing better is possible.
    Asked(Asked),
}

/// A pipe of this process, between it and a shared pipe.
#[derive(Debug)]
pub(super) struct Detour {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes inside the pipe.
    held: usize,
}

/// State of a descriptor that is polled before every call.
#[derive(Debug)]
pub(super) struct Asked {
    /// The most bytes that a write(2) takes without blocking once poll(2) says writable.
    piece: usize,
    /// Bytes left in a [`Detour`] when splice(2) was refused.
    rest: Vec<u8>,
}

impl Access {
    pub(super) fn detour() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self::Detour(Detour { reader, writer, held: 0 }))
    }

    /// For a terminal, which has room for at least one byte once it is writable.
    pub(super) fn asked_terminal() -> Self {
        Self::Asked(Asked { piece: 1, rest: Vec::new() })
    }

    /// For a pipe or a device. A pipe has room for `PIPE_BUF` bytes once it is writable (pipe(7)).
    pub(super) fn asked() -> Self {
        Self::Asked(Asked { piece: libc::PIPE_BUF, rest: Vec::new() })
    }

    /// Whether bytes that were accepted have not reached the descriptor yet.
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Direct | Self::Socket => false,
            Self::Detour(detour) => detour.held > 0,
            Self::Asked(asked) => !asked.rest.is_empty(),
        }
    }

    /// # Errors
    /// Those of read(2); `WouldBlock` when nothing is available.
    pub(super) fn read(&mut self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Direct => Ok(nix::unistd::read(fd, buffer)?),
            Self::Socket => {
                Ok(nix::sys::socket::recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
            }
            Self::Asked(_) => {
                ask(fd.as_fd(), Interest::READABLE)?;
                Ok(nix::unistd::read(fd, buffer)?)
            }
            Self::Detour(detour) => {
                if detour.held == 0 {
                    match sys::splice(fd.as_fd(), detour.writer.as_fd(), buffer.len()) {
                        Ok(0) => return Ok(0),
                        Ok(n) => detour.held = n,
                        Err(cause) if is_refusal(&cause) => {
                            *self = Self::asked();
                            return self.read(fd, buffer);
                        }
                        Err(cause) => return Err(cause),
                    }
                }
                let n = nix::unistd::read(&detour.reader, buffer)?;
                detour.held -= n;
                Ok(n)
            }
        }
    }

    /// Writes at most `most` bytes.
    ///
    /// # Errors
    /// Those of write(2); `WouldBlock` when there is no room.
    pub(super) fn write(&mut self, fd: &OwnedFd, bytes: &[u8], most: usize) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(most)];
        while self.holds_back() {
            self.flush(fd)?;
        }
        match self {
            Self::Direct => Ok(nix::unistd::write(fd, bytes)?),
            Self::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | sys::NO_SIGNAL;
                Ok(nix::sys::socket::send(fd.as_raw_fd(), bytes, flags)?)
            }
            Self::Asked(asked) => write_piece(fd, bytes, asked.piece),
            Self::Detour(detour) => {
                let n = nix::unistd::write(&detour.writer, bytes)?;
                detour.held = n;
                match self.flush(fd) {
                    Err(cause) if !is_for_now(&cause) => Err(cause),
                    // The bytes are in the pipe of this process: accepted, even if they cannot
                    // leave it yet.
                    _ => Ok(n),
                }
            }
        }
    }

    /// Writes some of the bytes that are [held back](Self::holds_back); returns how many.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub(super) fn flush(&mut self, fd: &OwnedFd) -> io::Result<usize> {
        match self {
            Self::Direct | Self::Socket => Ok(0),
            Self::Asked(Asked { piece, rest }) => {
                let n = write_piece(fd, rest, *piece)?;
                rest.drain(..n);
                Ok(n)
            }
            Self::Detour(detour) => {
                match sys::splice(detour.reader.as_fd(), fd.as_fd(), detour.held) {
                    Ok(n) => {
                        detour.held -= n;
                        Ok(n)
                    }
                    Err(cause) if is_refusal(&cause) => {
                        let rest = sys::take_from_pipe(&detour.reader, detour.held)?;
                        *self = Self::Asked(Asked { piece: libc::PIPE_BUF, rest });
                        self.flush(fd)
                    }
                    Err(cause) => Err(cause),
                }
            }
        }
    }
}

/// Whether the same call may succeed later.
fn is_for_now(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether an error may mean that splice(2) is not available, such as EPERM or ENOSYS in a sandbox.
/// If it means something else, read(2) and write(2) will fail with it as well.
fn is_refusal(cause: &io::Error) -> bool {
    !is_for_now(cause) && cause.kind() != io::ErrorKind::BrokenPipe
}

fn write_piece(fd: &OwnedFd, bytes: &[u8], piece: usize) -> io::Result<usize> {
    ask(fd.as_fd(), Interest::WRITABLE)?;
    Ok(nix::unistd::write(fd, &bytes[..bytes.len().min(piece)])?)
}

/// Fails with `EAGAIN` unless poll(2) finds the descriptor ready. poll(2) always reports files
/// ready whose driver has no poll operation.
pub(super) fn ask(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    let flags = if interest.is_readable() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
    match polled(fd, flags)?.is_empty() {
        true => Err(io::ErrorKind::WouldBlock.into()),
        false => Ok(()),
    }
}

/// The events that poll(2) reports now.
pub(super) fn polled(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<PollFlags> {
    let mut asked = [PollFd::new(fd, flags)];
    poll(&mut asked, PollTimeout::ZERO)?;
    Ok(asked[0].revents().unwrap_or(PollFlags::empty()))
}
