//! How long a packet may be, datagrams that must not be fragmented, and whether one came in fragments.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use super::facts::Arrival;
use super::retry::again;
use super::system;

/// The path MTU in bytes, from a connected socket to its peer, as far as the kernel knows it
/// (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
///
/// # Errors
/// When the socket is not connected.
pub(crate) fn path_mtu(socket: impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    system::path_mtu(socket.as_fd(), peer)
}

/// Forbids that datagrams are fragmented, here or on the way (IP_MTU_DISCOVER, ip(7);
/// IPV6_MTU_DISCOVER, ipv6(7)). One that is longer than the path MTU is then EMSGSIZE.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn forbid_fragments(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    system::forbid_fragments(socket.as_fd(), is_ipv6)
}

/// Whether [`forbid_fragments`] was called for this socket.
#[must_use]
pub(crate) fn forbids_fragments(socket: impl AsFd, is_ipv6: bool) -> bool {
    system::forbids_fragments(socket.as_fd(), is_ipv6)
}

/// Has the kernel tell for each datagram of this socket whether it came in fragments (IP_RECVFRAGSIZE,
/// `linux/in.h`).
///
/// # Errors
/// When the system does not tell.
pub(crate) fn tell_fragments(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    system::tell_fragments(socket.as_fd(), is_ipv6)
}

/// Receives the next datagram without waiting, and in how many packets it came, which has to be [asked
/// for](tell_fragments) before.
///
/// # Errors
/// What recvmsg(2) says, `WouldBlock` when there is none.
pub(crate) fn receive_telling(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Arrival> {
    again(|| system::receive_telling(socket.as_fd(), buffer))
}
