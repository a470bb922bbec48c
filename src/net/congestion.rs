//! TCP's congestion control: what decides how fast a connection sends (TCP_CONGESTION, tcp(7)).

use std::fs;
use std::io;

use socket2::{Domain, Socket, Type};

use crate::error::{Error, Result, Status};
use crate::sys;

/// The names that the system knows, apart by spaces.
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// Has a socket use the one of this name. Accepted connections have that of their listener.
///
/// # Errors
/// A usage error when the system has none of this name; another one when this user may not use it.
pub(crate) fn set(socket: &Socket, name: &str) -> Result<()> {
    let refused = |cause: io::Error| {
        let place = format!("--cc {name}");
        if cause.raw_os_error() == Some(libc::EPERM) {
            let error = Error::new(Status::Failure, "congestion control", place, "not permitted");
            return error.hint("net.ipv4.tcp_allowed_congestion_control names those that are");
        }
        if cause.kind() == io::ErrorKind::Unsupported {
            return Error::usage(place, "this system has no choice of congestion controls");
        }
        let error = Error::usage(place, "the system has no congestion control of this name");
        match fs::read_to_string(AVAILABLE) {
            Ok(names) => error.hint(format!("it has {}", names.trim().replace(' ', ", "))),
            Err(_) => error,
        }
    };
    // The kernel cuts longer names, to one that may exist (TCP_CA_NAME_MAX).
    if name.len() > 15 {
        return Err(refused(io::ErrorKind::NotFound.into()));
    }
    sys::set_congestion_control(socket, name).map_err(refused)
}

/// Whether sockets may use it.
///
/// # Errors
/// As of [`set`].
pub(crate) fn check(name: &str) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)
        .map_err(|cause| Error::system("socket", &cause))?;
    set(&socket, name)
}
