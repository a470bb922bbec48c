//! How a descriptor is read and written without ever waiting.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use mio::Interest;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;

use crate::sys;

/// How a descriptor is read or written without ever waiting.
#[derive(Debug)]
pub(super) enum Access {
    /// The description is ours and non-blocking, or a file that never blocks.
    Direct,
    /// A socket: every call says that it must not wait.
    Socket,
    /// Somebody else's pipe: bytes pass through one of ours.
    Detour(Detour),
    /// Nothing better is possible: poll(2) is asked before every call.
    Asked(Asked),
}

/// A pipe of our own between us and one that is not.
#[derive(Debug)]
pub(super) struct Detour {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes inside the pipe.
    held: usize,
}

/// What is read and written when poll(2) says so.
#[derive(Debug)]
pub(super) struct Asked {
    /// The most that may be written at once without waiting.
    piece: usize,
    /// Bytes that a detour had taken when it turned out to be no way.
    rest: Vec<u8>,
}

impl Access {
    pub(super) fn detour() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self::Detour(Detour { reader, writer, held: 0 }))
    }

    /// For a terminal: one that is ready for writing promises room for one byte.
    pub(super) fn asked_terminal() -> Self {
        Self::Asked(Asked { piece: 1, rest: Vec::new() })
    }

    /// For a pipe or a device: a pipe that is ready has room for `PIPE_BUF` bytes (pipe(7)).
    pub(super) fn asked() -> Self {
        Self::Asked(Asked { piece: libc::PIPE_BUF, rest: Vec::new() })
    }

    /// Whether bytes that were written have not left yet.
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Direct | Self::Socket => false,
            Self::Detour(detour) => detour.held > 0,
            Self::Asked(asked) => !asked.rest.is_empty(),
        }
    }

    /// # Errors
    /// What read(2) says, `WouldBlock` when nothing is there.
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
    /// What write(2) says, `WouldBlock` when there is no room.
    pub(super) fn write(&mut self, fd: &OwnedFd, bytes: &[u8], most: usize) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(most)];
        while self.holds_back() {
            self.flush(fd)?;
        }
        match self {
            Self::Direct => Ok(nix::unistd::write(fd, bytes)?),
            Self::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                Ok(nix::sys::socket::send(fd.as_raw_fd(), bytes, flags)?)
            }
            Self::Asked(asked) => write_piece(fd, bytes, asked.piece),
            Self::Detour(detour) => {
                let n = nix::unistd::write(&detour.writer, bytes)?;
                detour.held = n;
                match self.flush(fd) {
                    Err(cause) if !is_for_now(&cause) => Err(cause),
                    // The bytes are in our hands: taken, though perhaps they have not left yet.
                    _ => Ok(n),
                }
            }
        }
    }

    /// Lets some of what is [held back](Self::holds_back) out; how much.
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

/// Whether the same call may do better later.
fn is_for_now(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Whether an error of splice(2) may mean that it is not to be had, such as EPERM and ENOSYS of a
/// sandbox. If it means something else, read(2) and write(2) meet it again.
fn is_refusal(cause: &io::Error) -> bool {
    !is_for_now(cause) && cause.kind() != io::ErrorKind::BrokenPipe
}

fn write_piece(fd: &OwnedFd, bytes: &[u8], piece: usize) -> io::Result<usize> {
    ask(fd.as_fd(), Interest::WRITABLE)?;
    Ok(nix::unistd::write(fd, &bytes[..bytes.len().min(piece)])?)
}

/// `EAGAIN` unless poll(2) finds the descriptor ready. What has no poll of its own always is
/// (poll(2) cannot tell otherwise), like a regular file.
pub(super) fn ask(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    let flags = if interest.is_readable() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
    match polled(fd, flags)?.is_empty() {
        true => Err(io::ErrorKind::WouldBlock.into()),
        false => Ok(()),
    }
}

/// What poll(2) finds now.
pub(super) fn polled(fd: BorrowedFd<'_>, flags: PollFlags) -> io::Result<PollFlags> {
    let mut asked = [PollFd::new(fd, flags)];
    poll(&mut asked, PollTimeout::ZERO)?;
    Ok(asked[0].revents().unwrap_or(PollFlags::empty()))
}
