//! Local sockets: a path in the file system instead of a host and a port (unix(7)).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, Result, Status};
use crate::net::address::Protocol;

/// How long a folder's lock is waited for; it is held for a few system calls.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A socket's name that we made; it is removed with this value.
#[derive(Debug)]
pub struct Name {
    path: PathBuf,
    /// What somebody else puts in its place is not ours.
    identity: Option<Identity>,
}

impl Name {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // Where the folder is busy, somebody may be taking the name over at this moment. One that is
        // left behind harms nobody: the next who wants it takes it over.
        let Ok(_lock) = lock_folder(&self.path) else { return };
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What tells a file from another one that has its path later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// When it was made, where the file system knows: numbers of inodes are used again.
    made: Option<SystemTime>,
}

fn identity(path: &Path) -> Option<Identity> {
    let there = path.symlink_metadata().ok()?;
    Some(Identity { device: there.dev(), inode: there.ino(), made: there.created().ok() })
}

/// The folder of a path, locked against others that take over or remove a socket's name in it
/// (flock(2)); `None` where it cannot be locked: they only have the moment between two calls then.
///
/// # Errors
/// When somebody else holds the lock.
fn lock_folder(path: &Path) -> io::Result<Option<Flock<File>>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(mut folder) = File::open(folder.unwrap_or(Path::new("."))) else { return Ok(None) };
    let end = Instant::now() + LONGEST_WAIT;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((again, Errno::EWOULDBLOCK)) if Instant::now() < end => folder = again,
            Err((_, Errno::EWOULDBLOCK)) => {
                return Err(io::Error::from_raw_os_error(libc::EADDRINUSE));
            }
            Err(_) => return Ok(None),
        }
        std::thread::yield_now();
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// A socket that a program has.
    Served,
    /// A socket that nobody has any more.
    Abandoned,
    /// A socket, and the system does not say whether somebody has it.
    Unknown,
    /// Something else, or nothing.
    NoSocket,
}

/// What is at this path. A socket of a kind that is never served here asks: it is told "wrong
/// type" by one that is, and takes nobody's place.
fn there(path: &Path) -> There {
    if !path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket()) {
        return There::NoSocket;
    }
    let ask = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    match ask().map_err(|cause| cause.raw_os_error()) {
        Ok(()) | Err(Some(libc::EPROTOTYPE | libc::EAGAIN)) => There::Served,
        Err(Some(libc::ECONNREFUSED)) => There::Abandoned,
        Err(_) => There::Unknown,
    }
}

fn failed(what: &str, path: &Path, cause: &io::Error) -> Error {
    Error::network(what, format_args!("{} (unix)", path.display()), cause)
}

fn open(protocol: Protocol) -> io::Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    Socket::new(Domain::UNIX, kind.nonblocking(), None)
}

/// A listening stream socket, or a bound datagram socket, with this name. A socket that a
/// program left behind without listening any more gives its name up; a file that is no socket
/// is never touched.
///
/// # Errors
/// When the name is taken, or cannot be made.
pub fn bind(path: &Path, protocol: Protocol) -> Result<(Socket, Name)> {
    let (socket, name) = bound(path, protocol)?;
    if protocol == Protocol::Tcp {
        socket.listen(i32::MAX).map_err(|cause| failed("listen", path, &cause))?;
    }
    Ok((socket, name))
}

/// A socket with this name.
fn bound(path: &Path, protocol: Protocol) -> Result<(Socket, Name)> {
    let failed = |cause: io::Error| {
        let error = failed("listen", path, &cause).with_status(Status::Failure);
        if cause.kind() != io::ErrorKind::AddrInUse {
            return error;
        }
        match there(path) {
            There::Served => error.hint("another program has it"),
            There::NoSocket if path.symlink_metadata().is_ok() => {
                error.hint("there is a file of that name, and it is no socket")
            }
            There::NoSocket | There::Abandoned | There::Unknown => error,
        }
    };
    let address = SockAddr::unix(path).map_err(failed)?;
    let socket = open(protocol).map_err(failed)?;
    match socket.bind(&address) {
        Err(cause)
            if cause.kind() == io::ErrorKind::AddrInUse && there(path) == There::Abandoned =>
        {
            take_over(path, &socket, &address).map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    Ok((socket, Name::new(path)))
}

/// Binds in the place of an abandoned socket. Of several that do so at once, one gets it: the
/// others find it served.
fn take_over(path: &Path, socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let _lock = lock_folder(path)?;
    let stale = identity(path);
    // Somebody may have been quicker. The identity is for those who know nothing of the lock.
    if there(path) == There::Abandoned && identity(path) == stale {
        fs::remove_file(path)?;
    }
    socket.bind(address)
}

/// A socket connected to this name; `own` is a name for itself, so that it can be answered. `None`
/// when the listener has no room for another client now (EAGAIN, connect(2)).
///
/// # Errors
/// When nobody serves the name.
pub fn connect(
    path: &Path,
    protocol: Protocol,
    own: Option<&Path>,
) -> Result<Option<(Socket, Option<Name>)>> {
    let (socket, name) = match own {
        Some(own) => {
            let (socket, name) = bound(own, protocol)?;
            (socket, Some(name))
        }
        None => (open(protocol).map_err(|cause| failed("connect", path, &cause))?, None),
    };
    match SockAddr::unix(path).and_then(|address| socket.connect(&address)) {
        Ok(()) => Ok(Some((socket, name))),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // The listener may not have come yet.
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            Err(failed("connect", path, &cause).passing())
        }
        Err(cause) => Err(failed("connect", path, &cause)),
    }
}
