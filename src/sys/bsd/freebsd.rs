//! FreeBSD alone.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use socket2::{Domain, Socket};

/// A call that finds a connection broken says so, instead of a signal (send(2)).
pub(crate) const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;

/// The state is the first byte of struct tcp_info (tcp(4)).
pub(crate) const TCP_INFO: i32 = libc::TCP_INFO;

/// Bytes in the send buffer, which keeps them until they are acknowledged (FIONWRITE,
/// `sys/filio.h`).
pub(crate) fn in_send_buffer(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and FIONWRITE writes one int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONWRITE, &raw mut bytes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes)
}

/// Sockets cannot be bound to an interface here.
pub(crate) fn bind_device(_: &Socket, _: &str, _: Domain) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// IP_RECVDSTADDR (ip(4)).
pub(crate) fn tell_ipv4_destinations(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&fd, sockopt::Ipv4RecvDstAddr, &true)?)
}
