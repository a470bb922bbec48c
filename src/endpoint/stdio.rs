//! Standard input, output and error without waiting and without touching what others share.
//!
//! `O_NONBLOCK` lives in the open file description, which the shell and the rest of the pipeline
//! share (fcntl(2)). It is never set there. Pipes and terminals are opened a second time through
//! `/proc/self/fd`, which gives a description of our own; where that is refused, bytes take a
//! detour through a pipe of our own (splice(2) with `SPLICE_F_NONBLOCK`), and sockets are asked
//! not to wait call by call (`MSG_DONTWAIT`).

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::rc::Rc;

use mio::Interest;
use nix::fcntl::{FcntlArg, OFlag};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::MsgFlags;
use nix::sys::stat::Mode;

use super::{Progress, Tube, TubeKind};
use crate::reactor::{Latch, Reactor};
use crate::sys;

/// How a descriptor is read or written without ever waiting.
#[derive(Debug)]
enum Access {
    /// The description is ours and non-blocking, or a file that never blocks.
    Direct,
    /// A socket: every call says that it must not wait.
    Socket,
    /// Somebody else's pipe: bytes pass through one of ours.
    Detour(Detour),
    /// Somebody else's terminal: ask poll(2) before every call.
    Asked,
}

#[derive(Debug)]
struct Detour {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes inside the pipe.
    held: usize,
}

impl Detour {
    fn new() -> io::Result<Self> {
        let (reader, writer) = sys::pipe()?;
        Ok(Self { reader, writer, held: 0 })
    }
}

/// What a standard descriptor is, as far as endings care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/dev/null`, which is also what a closed descriptor becomes when a program starts.
    Null,
    /// A terminal.
    Terminal,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file.
    File,
    /// Another device.
    Other,
}

/// The device that every terminal master is opened by (pts(4)).
const TERMINAL_MASTER: (u32, u32) = (5, 2);

/// Opening a terminal master again would make another terminal.
fn is_master(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| {
        let number = metadata.rdev();
        (libc::major(number), libc::minor(number)) == TERMINAL_MASTER
    })
}

/// In which directions a descriptor was opened.
fn directions(file: &File) -> OFlag {
    let flags = nix::fcntl::fcntl(file, FcntlArg::F_GETFL).unwrap_or(libc::O_RDWR);
    OFlag::from_bits_truncate(flags) & OFlag::O_ACCMODE
}

fn kind_of(file: &File) -> Kind {
    let Ok(metadata) = file.metadata() else {
        return Kind::Null;
    };
    let is = metadata.file_type();
    if is.is_char_device() {
        let number = metadata.rdev();
        if (libc::major(number), libc::minor(number)) == (1, 3) {
            Kind::Null
        } else if file.is_terminal() {
            Kind::Terminal
        } else {
            Kind::Other
        }
    } else if is.is_fifo() {
        Kind::Pipe
    } else if is.is_socket() {
        Kind::Socket
    } else {
        Kind::File
    }
}

/// Puts `/dev/null` in the place of a standard descriptor that has been taken over.
fn stand_in(which: Which) -> io::Result<()> {
    match which {
        Which::Stdin => nix::unistd::dup2_stdin(File::open("/dev/null")?)?,
        Which::Stdout => {
            nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        }
        Which::Stderr => {}
    }
    Ok(())
}

/// One of the three standard descriptors, ready to be used without waiting.
#[derive(Debug)]
pub struct Local {
    fd: OwnedFd,
    kind: Kind,
    access: Access,
    latch: Rc<Latch>,
    name: &'static str,
}

/// The three standard descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Descriptor 0.
    Stdin,
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Local {
    /// Takes a standard descriptor over. Standard input and output are replaced by `/dev/null` (where there is one),
    /// so that closing this one really closes it for the other end of a pipe.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn take(which: Which, reactor: &mut Reactor) -> io::Result<Self> {
        let (shared, path, mode, interest, name) = match which {
            Which::Stdin => (
                io::stdin().as_fd().try_clone_to_owned()?,
                "/proc/self/fd/0",
                OFlag::O_RDONLY,
                Interest::READABLE,
                "stdin",
            ),
            Which::Stdout => (
                io::stdout().as_fd().try_clone_to_owned()?,
                "/proc/self/fd/1",
                OFlag::O_WRONLY,
                Interest::WRITABLE,
                "stdout",
            ),
            Which::Stderr => (
                io::stderr().as_fd().try_clone_to_owned()?,
                "/proc/self/fd/2",
                OFlag::O_WRONLY,
                Interest::WRITABLE,
                "stderr",
            ),
        };
        let shared = File::from(shared);
        let kind = kind_of(&shared);
        if kind == Kind::Terminal && which == Which::Stdin {
            // A background job that reads its terminal is stopped by SIGTTIN; with the signal
            // blocked, read(2) says EIO instead (termios(3)).
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTIN);
            stop.thread_block()?;
        }
        let opened = directions(&shared);
        let (fd, access) = match kind {
            // Reading or writing says that it was not opened for that.
            _ if opened != mode && opened != OFlag::O_RDWR => (shared.into(), Access::Direct),
            Kind::Terminal if is_master(&shared) => (shared.into(), Access::Asked),
            Kind::Pipe | Kind::Terminal => {
                // A FIFO opened for both (`<>`) has no end and no reader that goes away.
                let both = kind == Kind::Pipe && opened == OFlag::O_RDWR;
                let mode = if both { OFlag::O_RDWR } else { mode };
                let flags = mode | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
                match nix::fcntl::open(path, flags, Mode::empty()) {
                    Ok(private) => (private, Access::Direct),
                    Err(_) if kind == Kind::Pipe => (shared.into(), Access::Detour(Detour::new()?)),
                    Err(_) => (shared.into(), Access::Asked),
                }
            }
            Kind::Socket => (shared.into(), Access::Socket),
            Kind::Null | Kind::File | Kind::Other => (shared.into(), Access::Direct),
        };
        if kind != Kind::Null {
            // Where there is no /dev/null, as in a bare chroot, the descriptor stays what it was: the
            // other end of a pipe then sees it closed when the program ends, and not before.
            let _ = stand_in(which);
        }
        let latch = reactor.watch(&fd, interest)?;
        if kind == Kind::Terminal && which == Which::Stdin {
            reactor.look_after(&latch);
        }
        Ok(Self { fd, kind, access, latch, name })
    }

    /// Takes a file that the program opened for itself, not to wait, and writes to it.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub fn opened(file: File, reactor: &mut Reactor) -> io::Result<Self> {
        let kind = kind_of(&file);
        let latch = reactor.watch(&file, Interest::WRITABLE)?;
        Ok(Self { fd: file.into(), kind, access: Access::Direct, latch, name: "file" })
    }

    /// What kind of file it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// `stdin`, `stdout` or `stderr`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the other end of a pipe, socket or terminal is gone.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.latch.failed()
    }

    /// Whether a detour still holds bytes that were written.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        matches!(&self.access, Access::Detour(detour) if detour.held > 0)
    }

    /// Lets a pipe hold much, so that both its ends work in large pieces.
    pub fn widen(&self) {
        if self.kind == Kind::Pipe {
            // Refused when the user's pipes hold much already (pipe-user-pages-soft, pipe(7)).
            let _ = sys::enlarge_pipe(&self.fd, sys::BULK_PIPE);
        }
    }

    /// The descriptor, if bytes may be spliced from or to it.
    #[must_use]
    pub fn tube(&self) -> Option<Tube<'_>> {
        let kind = match (&self.access, self.kind) {
            (Access::Direct, Kind::Pipe) => TubeKind::Pipe,
            (Access::Direct, Kind::File | Kind::Null) => TubeKind::File,
            _ => return None,
        };
        Some(Tube { fd: self.fd.as_fd(), latch: &self.latch, kind })
    }

    /// Closes the descriptor: a reader of the pipe now sees its end.
    pub fn close(self, reactor: &mut Reactor) {
        if self.kind == Kind::Socket && self.name == "stdout" {
            // Standard input may be the same socket, so that closing would end nothing.
            let _ =
                nix::sys::socket::shutdown(self.fd.as_raw_fd(), nix::sys::socket::Shutdown::Write);
        }
        reactor.forget(&self.fd, &self.latch);
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// What read(2) says, except that a background job finds its terminal empty.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        if self.kind == Kind::Null {
            // Also where it was opened for writing only, as nohup(1) does.
            return Ok(Progress::End);
        }
        if !self.latch.readable() {
            return Ok(Progress::Blocked);
        }
        let result = match &mut self.access {
            Access::Direct => nix::unistd::read(&self.fd, buffer).map_err(io::Error::from),
            Access::Socket => {
                nix::sys::socket::recv(self.fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)
                    .map_err(io::Error::from)
            }
            Access::Asked => asked(self.fd.as_fd(), Interest::READABLE)
                .and_then(|()| Ok(nix::unistd::read(&self.fd, buffer)?)),
            Access::Detour(detour) => detour_read(&self.fd, detour, buffer),
        };
        let progress = match result {
            Err(cause) if cause.raw_os_error() == Some(libc::EIO) && self.in_background() => {
                self.latch.not_readable_for_now();
                return Ok(Progress::Blocked);
            }
            other => Progress::of_read(other)?,
        };
        if progress == Progress::Blocked {
            self.latch.not_readable();
        }
        Ok(progress)
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// What write(2) says; `BrokenPipe` when nobody reads any more.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        if !self.latch.writable() {
            return Ok(Progress::Blocked);
        }
        let result = match &mut self.access {
            Access::Direct => {
                let most = if self.kind == Kind::File { sys::FILE_PIECE } else { usize::MAX };
                let some = &bytes[..bytes.len().min(most)];
                nix::unistd::write(&self.fd, some).map_err(io::Error::from)
            }
            Access::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                nix::sys::socket::send(self.fd.as_raw_fd(), bytes, flags).map_err(io::Error::from)
            }
            Access::Asked => {
                // A terminal that is ready for writing promises no more.
                let some = &bytes[..bytes.len().min(1)];
                asked(self.fd.as_fd(), Interest::WRITABLE)
                    .and_then(|()| Ok(nix::unistd::write(&self.fd, some)?))
            }
            Access::Detour(detour) => detour_write(&self.fd, detour, bytes),
        };
        let progress = Progress::of_write(result)?;
        if progress == Progress::Blocked {
            self.latch.not_writable();
        }
        Ok(progress)
    }

    /// Lets out what a detour still holds; `End` when nothing is held.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<Progress> {
        let Access::Detour(detour) = &mut self.access else {
            return Ok(Progress::End);
        };
        if detour.held == 0 {
            return Ok(Progress::End);
        }
        if !self.latch.writable() {
            return Ok(Progress::Blocked);
        }
        let progress = Progress::of_write(detour_push(&self.fd, detour))?;
        if progress == Progress::Blocked {
            self.latch.not_writable();
        }
        Ok(progress)
    }

    fn in_background(&self) -> bool {
        self.kind == Kind::Terminal
            && nix::unistd::tcgetpgrp(&self.fd).is_ok_and(|front| front != nix::unistd::getpgrp())
    }
}

/// `EAGAIN` unless poll(2) finds the descriptor ready.
fn asked(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let flags = if interest.is_readable() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
    match poll(&mut [PollFd::new(fd, flags)], PollTimeout::ZERO)? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}

fn detour_read(fd: &OwnedFd, detour: &mut Detour, buffer: &mut [u8]) -> io::Result<usize> {
    if detour.held == 0 {
        detour.held = sys::splice(fd.as_fd(), detour.writer.as_fd(), buffer.len())?;
        if detour.held == 0 {
            return Ok(0);
        }
    }
    let n = nix::unistd::read(&detour.reader, buffer)?;
    detour.held -= n;
    Ok(n)
}

fn detour_write(fd: &OwnedFd, detour: &mut Detour, bytes: &[u8]) -> io::Result<usize> {
    if detour.held > 0 {
        detour_push(fd, detour)?;
        return Ok(0);
    }
    let n = nix::unistd::write(&detour.writer, bytes)?;
    detour.held = n;
    match detour_push(fd, detour) {
        // The bytes are in our own pipe: taken, though they have not left yet.
        Ok(_) => Ok(n),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(n),
        Err(cause) => Err(cause),
    }
}

fn detour_push(fd: &OwnedFd, detour: &mut Detour) -> io::Result<usize> {
    let n = sys::splice(detour.reader.as_fd(), fd.as_fd(), detour.held)?;
    detour.held -= n;
    Ok(n)
}
