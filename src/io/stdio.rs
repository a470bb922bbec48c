//! Standard input, output and error without waiting and without touching what others share.
//!
//! `O_NONBLOCK` lives in the open file description, which the shell and the rest of the pipeline
//! share (fcntl(2)). It is never set there. Pipes and terminals are opened a second time through
//! `/proc/self/fd`, which gives a description of our own; where that is refused, bytes take a
//! detour through a pipe of our own (splice(2) with `SPLICE_F_NONBLOCK`), and sockets are asked
//! not to wait call by call (`MSG_DONTWAIT`).
//!
//! Everything else that can keep a reader waiting (an eventfd, `/dev/kmsg`, the other devices) can
//! be opened again by no name or would then be another one. There, and where splice(2) is refused
//! too, poll(2) is asked before every call. That leaves a gap that only others can fall into: when
//! somebody else reads from the same description between the two calls, ours waits. What has no
//! poll of its own, as epoll(7) tells, is read like a regular file: the kernel offers nothing else.

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
use nix::sys::stat::Mode;
use nix::unistd::Whence;

use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::reactor::{Latch, Reactor};
use crate::io::splice_end::{SpliceEnd, SpliceKind};
use crate::sys;

use access::{Access, ask};
use kind::Facts;

pub use kind::Kind;

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

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// A second descriptor of it.
    fn share(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdin => io::stdin().as_fd().try_clone_to_owned(),
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    /// Opens what is behind it a second time, not to wait.
    fn reopen(self, directions: OFlag) -> io::Result<OwnedFd> {
        let path = match self {
            Self::Stdin => "/proc/self/fd/0",
            Self::Stdout => "/proc/self/fd/1",
            Self::Stderr => "/proc/self/fd/2",
        };
        let flags = directions | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        Ok(nix::fcntl::open(path, flags, Mode::empty())?)
    }

    /// Puts `/dev/null` into its place, except for standard error.
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

impl Local {
    /// Takes a standard descriptor over. Standard input and output are replaced by `/dev/null` (where there is one),
    /// so that closing this one really closes it for the other end of a pipe.
    ///
    /// # Errors
    /// When the system does not tell what it is, or there are no descriptors left.
    pub fn take(which: Which, reactor: &mut Reactor) -> Result<Self> {
        let failed = |cause: io::Error| Error::system("open", &cause);
        let shared = File::from(which.share().map_err(failed)?);
        // What it is decides about the end of the run: no guess will do.
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
        let (kind, (direction, interest)) = (facts.kind, which.direction());
        if kind == Kind::Terminal && which == Which::Stdin {
            // A background job that reads its terminal is stopped by SIGTTIN; with the signal
            // blocked, read(2) says EIO instead (termios(3)).
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTIN);
            stop.thread_block()?;
        }
        let (fd, mut access) = match kind {
            // Reading or writing says that it was not opened for that.
            _ if facts.opened != direction && facts.opened != OFlag::O_RDWR => {
                (shared.into(), Access::Direct)
            }
            Kind::Terminal if facts.is_master() => (shared.into(), Access::asked_terminal()),
            Kind::Pipe | Kind::Terminal => {
                // A FIFO opened for both (`<>`) has no end and no reader that goes away.
                let both = kind == Kind::Pipe && facts.opened == OFlag::O_RDWR;
                match which.reopen(if both { OFlag::O_RDWR } else { direction }) {
                    Ok(private) => (private, Access::Direct),
                    Err(_) if kind == Kind::Pipe => (shared.into(), Access::detour()?),
                    Err(_) => (shared.into(), Access::asked_terminal()),
                }
            }
            Kind::Socket => (shared.into(), Access::Socket),
            Kind::Null | Kind::File | Kind::Other => (shared.into(), Access::Direct),
        };
        if kind != Kind::Null {
            // Where there is no /dev/null, as in a bare chroot, the descriptor stays what it was: the
            // other end of a pipe then sees it closed when the program ends, and not before.
            let _ = which.vacate();
        }
        let latch = reactor.watch(&fd, interest)?;
        if kind == Kind::Terminal && which == Which::Stdin {
            reactor.look_after(&latch);
        }
        let can_be_asked = match which {
            Which::Stdin => facts.may_wait(),
            // Some never say that they are ready for writing, and never wait either: /dev/kmsg.
            Which::Stdout | Which::Stderr => {
                kind == Kind::Other && ask(fd.as_fd(), interest).is_ok()
            }
        };
        if can_be_asked && latch.is_watched() {
            access = Access::asked();
        }
        Ok(Self { fd, kind, access, latch, name: which.name() })
    }

    /// Takes a file that the program opened for itself, not to wait, and writes to it.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub fn opened(file: File, reactor: &mut Reactor) -> io::Result<Self> {
        let kind = Facts::of(&file)?.kind;
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

    /// Whether bytes that were written have not left yet.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.access.holds_back()
    }

    /// Lets a pipe hold much, so that both its ends work in large pieces.
    pub fn widen(&self) {
        if self.kind == Kind::Pipe {
            // Refused when the user's pipes hold much already (pipe-user-pages-soft, pipe(7)).
            let _ = sys::enlarge_pipe(&self.fd, sys::BULK_PIPE);
        }
    }

    /// Whether there is something to be read now. An end is nothing.
    #[must_use]
    pub fn has_more(&self) -> bool {
        match (self.kind, &self.access) {
            (Kind::Null, _) => false,
            (_, access) if access.holds_back() => true,
            // A file can always be read, also at its end.
            (Kind::File, _) => {
                let at = nix::unistd::lseek(&self.fd, 0, Whence::SeekCur);
                let size = nix::sys::stat::fstat(&self.fd).map(|stat| stat.st_size);
                matches!((at, size), (Ok(at), Ok(size)) if at < size)
            }
            (Kind::Socket, _) => {
                let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
                nix::sys::socket::recv(self.fd.as_raw_fd(), &mut [0], flags).is_ok_and(|n| n > 0)
            }
            // A hang-up alone, the end of a pipe, is not POLLIN (poll(2)).
            _ => access::polled(self.fd.as_fd(), PollFlags::POLLIN)
                .is_ok_and(|found| found.contains(PollFlags::POLLIN)),
        }
    }

    /// The descriptor, if bytes may be spliced from or to it.
    #[must_use]
    pub fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        let kind = match (&self.access, self.kind) {
            (Access::Direct, Kind::Pipe) => SpliceKind::Pipe,
            (Access::Direct, Kind::File | Kind::Null) => SpliceKind::File,
            _ => return None,
        };
        Some(SpliceEnd { fd: self.fd.as_fd(), latch: &self.latch, kind })
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
        let result = sys::again(|| self.access.read(&self.fd, buffer));
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
        let most = if self.kind == Kind::File { sys::FILE_PIECE } else { usize::MAX };
        let result = sys::again(|| self.access.write(&self.fd, bytes, most));
        let progress = Progress::of_write(result)?;
        if progress == Progress::Blocked {
            self.latch.not_writable();
        }
        Ok(progress)
    }

    /// Lets out what is [held back](Self::holds_back); `End` when nothing is.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn flush(&mut self) -> io::Result<Progress> {
        if !self.holds_back() {
            return Ok(Progress::End);
        }
        if !self.latch.writable() {
            return Ok(Progress::Blocked);
        }
        let result = sys::again(|| self.access.flush(&self.fd));
        let progress = Progress::of_write(result)?;
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
