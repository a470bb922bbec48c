//! Local sockets: a path in the file system instead of a host and a port (unix(7)).

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::Protocol;
use crate::error::{Error, Result, Status};

/// A socket's name that we made; it is removed with this value.
#[derive(Debug)]
pub struct Name {
    path: PathBuf,
    /// Device and inode: what somebody else puts in its place is not ours.
    identity: Option<(u64, u64)>,
}

impl Name {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn is_socket(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
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
            error
        } else if is_socket(path) {
            error.hint("another program listens there")
        } else {
            error.hint("there is a file of that name, and it is no socket")
        }
    };
    let address = SockAddr::unix(path).map_err(failed)?;
    let socket = open(protocol).map_err(failed)?;
    match socket.bind(&address) {
        Err(cause) if cause.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path).map_err(failed)?;
            socket.bind(&address).map_err(failed)?;
        }
        result => result.map_err(failed)?,
    }
    Ok((socket, Name::new(path)))
}

/// Whether there is a socket of that name that nobody serves. A socket of a kind that is never
/// served here asks: it is told "wrong type" by one that is, and takes nobody's place.
fn is_abandoned(path: &Path) -> bool {
    let ask = || -> io::Result<()> {
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.connect(&SockAddr::unix(path)?)
    };
    is_socket(path) && ask().is_err_and(|cause| cause.kind() == io::ErrorKind::ConnectionRefused)
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
