//! Local sockets: a path in the file system instead of a host and a port (unix(7)).

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::{Error, Result, Status};
use crate::net::address::Protocol;
use crate::sys;

/// The most bytes of a local socket's name: the field for it, less the zero at its end (unix(7)).
pub(crate) const LONGEST_NAME: usize =
    size_of::<libc::sockaddr_un>() - std::mem::offset_of!(libc::sockaddr_un, sun_path) - 1;

/// How long to wait for the lock of a directory. Its holder needs it for a few system calls only.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The path of a socket that this program bound. Dropping the value removes the path.
#[derive(Debug)]
pub(crate) struct Name {
    path: PathBuf,
    /// The file that was bound: another file at this path is not removed.
    identity: Option<Identity>,
}

impl Name {
    fn new(path: &Path) -> Self {
        // An abstract name goes with its socket.
        let identity = if is_abstract(path) { None } else { identity(path) };
        Self { path: path.to_owned(), identity }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        // When the directory stays locked, another program may be taking the path over right now. A
        // path that is left behind does no harm: the next program that wants it takes it over.
        if self.identity.is_none() {
            return;
        }
        let Ok(_lock) = lock_folder(&self.path) else { return };
        if identity(&self.path) == self.identity {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether this is not the path of a file, but an abstract name (unix(7)).
#[must_use]
pub(crate) fn is_abstract(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(b"@")
}

/// Identifies a file, as opposed to a later file at the same path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Creation time, if the file system records it: inode numbers are reused.
    made: Option<SystemTime>,
}

fn identity(path: &Path) -> Option<Identity> {
    let there = path.symlink_metadata().ok()?;
    Some(Identity { device: there.dev(), inode: there.ino(), made: there.created().ok() })
}

/// Locks the directory of a path (flock(2)), so that no other pktcat takes over or removes a
/// socket's path in it meanwhile. `None` when the directory cannot be locked; then the check and
/// the removal are two calls with a short gap between them.
///
/// # Errors
/// `EADDRINUSE` when another process still holds the lock after [`LONGEST_WAIT`].
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

/// What was found at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum There {
    /// A socket that a process has bound.
    Served,
    /// A socket that no process has open any more.
    Abandoned,
    /// A socket, and connecting does not tell whether a process has it open.
    Unknown,
    /// Another kind of file, or none.
    NoSocket,
}

/// Finds out what is at this path. It connects with a SOCK_SEQPACKET socket, which this program
/// never listens with: a stream or datagram socket that is in use refuses it with EPROTOTYPE, and
/// no place in the queue of a listener is taken.
fn there(path: &Path) -> There {
    if !path.symlink_metadata().is_ok_and(|there| there.file_type().is_socket()) {
        return There::NoSocket;
    }
    let ask = || -> io::Result<()> {
        let socket = sys::local_probe()?;
        socket.connect(&sys::unix_address(path)?)
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
    sys::socket(Domain::UNIX, kind)
}

/// A listening stream socket, or a bound datagram socket, at this path. An abandoned socket at the
/// path is replaced; a file that is no socket is never touched.
///
/// # Errors
/// When the path is in use or cannot be bound.
pub(crate) fn bind(path: &Path, protocol: Protocol) -> Result<(Socket, Name)> {
    let (socket, name) = bound("listen", path, protocol)?;
    if protocol == Protocol::Tcp {
        socket.listen(i32::MAX).map_err(|cause| failed("listen", path, &cause))?;
    }
    Ok((socket, name))
}

/// A socket bound to this path, not listening yet; an error says that `what` failed.
fn bound(what: &str, path: &Path, protocol: Protocol) -> Result<(Socket, Name)> {
    let failed = |cause: io::Error| {
        let error = failed(what, path, &cause).with_status(Status::Failure);
        if cause.kind() != io::ErrorKind::AddrInUse {
            return error;
        }
        match there(path) {
            _ if is_abstract(path) => error.hint("another program has it"),
            There::Served => error.hint("another program has it"),
            There::NoSocket if path.symlink_metadata().is_ok() => {
                error.hint("there is a file of that name, and it is no socket")
            }
            There::NoSocket | There::Abandoned | There::Unknown => error,
        }
    };
    let address = sys::unix_address(path).map_err(failed)?;
    let socket = open(protocol).map_err(failed)?;
    match socket.bind(&address) {
        Err(cause)
            if cause.kind() == io::ErrorKind::AddrInUse
                && !is_abstract(path)
                && there(path) == There::Abandoned =>
        {
            take_over(path, &socket, &address).map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    Ok((socket, Name::new(path)))
}

/// Replaces an abandoned socket. When several programs do so at once, one gets the path, and
/// bind(2) fails for the others.
fn take_over(path: &Path, socket: &Socket, address: &SockAddr) -> io::Result<()> {
    let _lock = lock_folder(path)?;
    let stale = identity(path);
    // Checked again under the lock, as another pktcat may have been quicker. The identity also
    // catches programs that do not use the lock.
    if there(path) == There::Abandoned && identity(path) == stale {
        fs::remove_file(path)?;
    }
    socket.bind(address)
}

/// A stream socket connected to this path, and bound to `own` if that is given. `None` when the listener's queue is
/// full (EAGAIN, connect(2)).
///
/// # Errors
/// When no process listens at the path, or `own` cannot be bound.
pub(crate) fn connect_stream(
    path: &Path,
    own: Option<&Path>,
) -> Result<Option<(Socket, Option<Name>)>> {
    let (socket, name) = unconnected(path, Protocol::Tcp, own)?;
    match connected(&socket, path) {
        Ok(()) => Ok(Some((socket, name))),
        Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(cause) => Err(not_connected(path, &cause)),
    }
}

/// A datagram socket connected to this path. It is bound to `own`, if given, so that it can be answered. A peer whose
/// queue is full makes nobody wait before something is sent to it (unix(7)).
///
/// # Errors
/// When no process has bound the path, or `own` cannot be bound.
pub(crate) fn connect_datagram(path: &Path, own: Option<&Path>) -> Result<(Socket, Option<Name>)> {
    let (socket, name) = unconnected(path, Protocol::Udp, own)?;
    connected(&socket, path).map_err(|cause| not_connected(path, &cause))?;
    Ok((socket, name))
}

/// A socket to be connected to `path`, bound to `own` if that is given.
fn unconnected(
    path: &Path,
    protocol: Protocol,
    own: Option<&Path>,
) -> Result<(Socket, Option<Name>)> {
    let Some(own) = own else {
        return Ok((open(protocol).map_err(|cause| failed("connect", path, &cause))?, None));
    };
    let (socket, name) = bound("bind", own, protocol)?;
    Ok((socket, Some(name)))
}

fn connected(socket: &Socket, path: &Path) -> io::Result<()> {
    socket.connect(&sys::unix_address(path)?)
}

fn not_connected(path: &Path, cause: &io::Error) -> Error {
    let error = failed("connect", path, cause);
    // The listener may be about to start.
    if cause.kind() == io::ErrorKind::NotFound { error.passing() } else { error }
}

/// A datagram socket connected to this path that has a name of the system's choice, so that it can be
/// answered ("autobind", unix(7)).
///
/// # Errors
/// When no process has bound the path.
pub(crate) fn connect_answerable(path: &Path) -> Result<Socket> {
    let connected = || {
        let socket = open(Protocol::Udp)?;
        sys::name_by_itself(&socket)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    connected().map_err(|cause: io::Error| failed("connect", path, &cause))
}
