//! macOS alone.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::BorrowedFd;

use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use socket2::{Domain, Socket};

use crate::sys::unix::get_option;

/// Sockets have SO_NOSIGPIPE instead, which socket2 sets on those that it makes or accepts. For an
/// inherited one the runtime of Rust has SIGPIPE ignored.
pub(crate) const NO_SIGNAL: MsgFlags = MsgFlags::empty();

/// The state is the first byte of struct tcp_connection_info, too.
pub(crate) const TCP_INFO: i32 = libc::TCP_CONNECTION_INFO;

/// Bytes in the send buffer, which keeps them until they are acknowledged (SO_NWRITE,
/// `sys/socket.h`).
pub(crate) fn in_send_buffer(fd: BorrowedFd<'_>) -> io::Result<libc::c_int> {
    Ok(get_option(fd, libc::SOL_SOCKET, libc::SO_NWRITE)?.0)
}

/// IP_BOUND_IF and IPV6_BOUND_IF (`netinet/in.h`).
pub(crate) fn bind_device(socket: &Socket, device: &str, domain: Domain) -> io::Result<()> {
    let index = NonZeroU32::new(nix::net::if_::if_nametoindex(device)?);
    match domain {
        Domain::IPV6 => socket.bind_device_by_index_v6(index),
        _ => socket.bind_device_by_index_v4(index),
    }
}

/// IP_RECVPKTINFO, the same number as IP_PKTINFO (`netinet/in.h`).
pub(crate) fn tell_ipv4_destinations(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?)
}
