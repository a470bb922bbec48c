//! Non-blocking standard input, output and error that leave shared file descriptions as they are.
//!
//! `O_NONBLOCK` belongs to the open file description, which the shell and the rest of the pipeline
//! share (fcntl(2)), so it is never set there. Pipes and terminals are opened once more, by their
//! names in `/proc/self/fd` on Linux, which gives a private file description. Where that is refused, a
//! pipe of this process is put in between and filled or emptied by splice(2) with
//! `SPLICE_F_NONBLOCK`. Sockets are used with `MSG_DONTWAIT` in every call.
//!
//! Other descriptors that can block a reader (an eventfd, `/dev/kmsg`, other devices) cannot be
//! reopened, or reopening gives a different object. For these, and where splice(2) is refused or
//! unknown, poll(2) is called before every read or write. One race is left: if another process reads from
//! the same description between the two calls, this process blocks. What epoll(7) refuses to watch
//! is read like a regular file, as the kernel offers nothing better.

mod access;
mod kind;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use mio::Interest;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::MsgFlags;
use nix::unistd::Whence;

use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::splice_end::{SpliceEnd, SpliceKind};
use crate::sys;

use access::{Access, ask};
use kind::Facts;

pub(crate) use kind::Kind;

/// A standard descriptor, or a file that the program opened, for non-blocking use.
#[derive(Debug)]
pub(crate) struct Local {
    fd: OwnedFd,
    kind: Kind,
    access: Access,
    latch: Rc<Latch>,
    name: &'static str,
}

/// The three standard descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// Descriptor 0.
    Stdin,
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Duplicates the descriptor.
    fn share(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdin => io::stdin().as_fd().try_clone_to_owned(),
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    /// Opens the same file again, with a private, non-blocking file description.
    fn reopen(self, directions: OFlag) -> io::Result<OwnedFd> {
        let flags = directions | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        match self {
            Self::Stdin => sys::reopen(io::stdin(), flags),
            Self::Stdout => sys::reopen(io::stdout(), flags),
            Self::Stderr => sys::reopen(io::stderr(), flags),
        }
    }

    /// Replaces the descriptor by `/dev/null`. Standard error stays, as the last resort for
    /// messages.
    fn vacate(self) -> io::Result<()> {
        match self {
            Self::Stdin => nix::unistd::dup2_stdin(File::open("/dev/null")?)?,
            Self::Stdout => {
                nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
            }
            Self::Stderr => {}
        }
        Ok(())
    }

    fn direction(self) -> (OFlag, Interest) {
        match self {
            Self::Stdin => (OFlag::O_RDONLY, Interest::READABLE),
            Self::Stdout | Self::Stderr => (OFlag::O_WRONLY, Interest::WRITABLE),
        }
    }
}

/// The descriptor to use for a shared one of this kind, and how to use it without setting flags on what is shared.
fn access_for(which: Which, shared: File, facts: Facts) -> io::Result<(OwnedFd, Access)> {
    let (kind, (direction, _)) = (facts.kind, which.direction());
    Ok(match kind {
        // Opened for the other direction only: reading or writing it then fails with EBADF, which says so.
        _ if facts.opened != direction && facts.opened != OFlag::O_RDWR => {
            (shared.into(), Access::Direct)
        }
        Kind::Terminal if sys::is_terminal_master(&shared) => {
            (shared.into(), Access::asked_terminal())
        }
        Kind::Pipe | Kind::Terminal => {
            // A FIFO opened for reading and writing (`<>`) never reaches its end; reopening it for one direction
            // would change that.
            let both = kind == Kind::Pipe && facts.opened == OFlag::O_RDWR;
            match which.reopen(if both { OFlag::O_RDWR } else { direction }) {
                Ok(private) => (private, Access::Direct),
                Err(_) if kind == Kind::Pipe && sys::CAN_SPLICE => {
                    (shared.into(), Access::detour()?)
                }
                Err(_) if kind == Kind::Pipe => (shared.into(), Access::asked()),
                Err(_) => (shared.into(), Access::asked_terminal()),
            }
        }
        Kind::Socket => (shared.into(), Access::Socket),
        Kind::Null | Kind::File | Kind::Other => (shared.into(), Access::Direct),
    })
}

impl Local {
    /// Takes a standard descriptor over. Descriptors 0 and 1 are replaced by `/dev/null` (if it
    /// exists), so that closing the returned one closes the pipe for its other end.
    ///
    /// # Errors
    /// When fstat(2) or fcntl(2) fails on it, or there are no descriptors left.
    pub(crate) fn take(which: Which, reactor: &mut Reactor) -> Result<Self> {
        let failed = |cause: io::Error| Error::system("open", &cause);
        let shared = File::from(which.share().map_err(failed)?);
        // The kind of file decides how the run ends, so it must not be guessed.
        let facts =
            Facts::of(&shared).map_err(|cause| Error::local("stat", which.name(), &cause))?;
        Self::take_known(which, shared, facts, reactor).map_err(failed)
    }

    fn take_known(
        which: Which,
        shared: File,
        facts: Facts,
        reactor: &mut Reactor,
    ) -> io::Result<Self> {
        let (kind, (_, interest)) = (facts.kind, which.direction());
        if kind == Kind::Terminal && which == Which::Stdin {
            // A background job that reads its terminal is stopped by SIGTTIN; with the signal
            // blocked, read(2) says EIO instead (termios(3)).
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTIN);
            stop.thread_block()?;
        }
        let (fd, mut access) = access_for(which, shared, facts)?;
        if kind != Kind::Null {
            // Without a /dev/null, as in a bare chroot, the descriptor stays: then the other end of
            // a pipe sees it closed only when the program ends.
            let _ = which.vacate();
        }
        let latch = reactor.watch(&fd, interest)?;
        if kind == Kind::Terminal && which == Which::Stdin {
            reactor.retry(&latch);
        }
        let can_be_asked = match which {
            Which::Stdin => facts.may_wait(),
            // Some devices never report that they are writable and never block either, such as
            // /dev/kmsg.
            Which::Stdout | Which::Stderr => {
                kind == Kind::Other && ask(fd.as_fd(), interest).is_ok()
            }
        };
        if can_be_asked && latch.is_watched() {
            access = Access::asked();
        }
        Ok(Self { fd, kind, access, latch, name: which.name() })
    }

    /// Takes over a file or socket for writing. Where writing to it can block, the program itself has opened
    /// it, as non-blocking.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub(crate) fn opened(file: File, reactor: &mut Reactor) -> io::Result<Self> {
        let kind = Facts::of(&file)?.kind;
        let latch = reactor.watch(&file, Interest::WRITABLE)?;
        let access = if kind == Kind::Socket { Access::Socket } else { Access::Direct };
        Ok(Self { fd: file.into(), kind, access, latch, name: "file" })
    }

    /// What kind of file it is.
    #[must_use]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// `stdin`, `stdout` or `stderr`.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the other end of a pipe, socket or terminal is gone.
    #[must_use]
    pub(crate) fn hung_up(&self) -> bool {
        self.latch.failed()
    }

    /// Whether bytes that [`write`](Self::write) accepted have not reached the descriptor yet.
    #[must_use]
    pub(crate) fn holds_back(&self) -> bool {
        self.access.holds_back()
    }

    /// Enlarges the buffer of a pipe, so that both ends need fewer calls for bulk data.
    pub(crate) fn widen(&self) {
        if self.kind == Kind::Pipe {
            // Refused beyond the user's limit (pipe-user-pages-soft, pipe(7)); the old size will
            // do.
            let _ = sys::enlarge_pipe(&self.fd, sys::BULK_PIPE);
        }
    }

    /// Whether bytes can be read now. At end of file there are none.
    #[must_use]
    pub(crate) fn has_more(&self) -> bool {
        match (self.kind, &self.access) {
            (Kind::Null, _) => false,
            (_, access) if access.holds_back() => true,
            // poll(2) reports a file as readable even at its end.
            (Kind::File, _) => {
                let at = nix::unistd::lseek(&self.fd, 0, Whence::SeekCur);
                let size = nix::sys::stat::fstat(&self.fd).map(|stat| stat.st_size);
                matches!((at, size), (Ok(at), Ok(size)) if at < size)
            }
            (Kind::Socket, _) => {
                let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
                nix::sys::socket::recv(self.fd.as_raw_fd(), &mut [0], flags).is_ok_and(|n| n > 0)
            }
            // At the end of a pipe poll(2) reports POLLHUP without POLLIN.
            _ => access::polled(self.fd.as_fd(), PollFlags::POLLIN)
                .is_ok_and(|found| found.contains(PollFlags::POLLIN)),
        }
    }

    /// The descriptor, if bytes may be spliced from or to it.
    #[must_use]
    pub(crate) fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        let kind = match (&self.access, self.kind) {
            (Access::Direct, Kind::Pipe) => SpliceKind::Pipe,
            (Access::Direct, Kind::File | Kind::Null) => SpliceKind::File,
            _ => return None,
        };
        Some(SpliceEnd { fd: self.fd.as_fd(), latch: &self.latch, kind })
    }

    /// Closes the descriptor: the reader of a pipe now sees end of file.
    pub(crate) fn close(self, reactor: &mut Reactor) {
        if self.kind == Kind::Socket && self.name == "stdout" {
            // Standard input may be the same socket; closing one of two descriptors would send no
            // FIN.
            let _ =
                nix::sys::socket::shutdown(self.fd.as_raw_fd(), nix::sys::socket::Shutdown::Write);
        }
        reactor.forget(&self.fd, &self.latch);
    }

    /// Reads what is available.
    ///
    /// # Errors
    /// Those of read(2), but not EIO from the terminal of a background job: that is `Blocked`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Progress> {
        if self.kind == Kind::Null {
            // It may be open for writing only: nohup(1) does that to standard input.
            return Ok(Progress::End);
        }
        if !self.latch.readable() {
            return Ok(Progress::Blocked);
        }
        let is_refused = |result: &io::Result<usize>| {
            result.as_ref().is_err_and(|cause| cause.raw_os_error() == Some(libc::EIO))
        };
        let mut result = sys::again(|| self.access.read(&self.fd, buffer));
        // A job that has come to the front since it was refused reads again. Where it is, is asked once for each
        // refusal: it may come to the front between two questions.
        for _ in 0..2 {
            if self.kind != Kind::Terminal || !is_refused(&result) {
                break;
            }
            if self.in_background() {
                self.latch.not_readable_for_now();
                return Ok(Progress::Blocked);
            }
            result = sys::again(|| self.access.read(&self.fd, buffer));
        }
        let progress = Progress::of_read(result)?;
        if progress == Progress::Blocked {
            self.latch.not_readable();
        }
        Ok(progress)
    }

    /// Writes as many bytes as fit.
    ///
    /// # Errors
    /// Those of write(2); `BrokenPipe` when the reader has closed its end.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<Progress> {
        let most = if self.kind == Kind::File { sys::FILE_PIECE } else { usize::MAX };
        let write = || self.access.write(&self.fd, bytes, most);
        self.latch.writing(|| Progress::of_write(sys::again(write)))
    }

    /// Writes bytes that are [held back](Self::holds_back); `End` when there are none.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub(crate) fn flush(&mut self) -> io::Result<Progress> {
        if !self.holds_back() {
            return Ok(Progress::End);
        }
        let flush = || self.access.flush(&self.fd);
        self.latch.writing(|| Progress::of_write(sys::again(flush)))
    }

    fn in_background(&self) -> bool {
        self.kind == Kind::Terminal
            && nix::unistd::tcgetpgrp(&self.fd).is_ok_and(|front| front != nix::unistd::getpgrp())
    }
}
