//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.

mod linux;

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg};

/// How far a TCP connection has come towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// We have not sent a FIN.
    Open,
    /// Our FIN is sent and not acknowledged: FIN-WAIT-1, CLOSING, LAST-ACK.
    FinSent,
    /// Our FIN, and so all our data, is acknowledged: FIN-WAIT-2.
    FinAcknowledged,
    /// Both ends are done: TIME-WAIT, CLOSED.
    Closed,
}

/// Asks the kernel how far a TCP connection has come.
///
/// # Errors
/// When the socket is no TCP socket.
pub fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    linux::tcp_state(socket.as_fd())
}

/// Bytes sent on a stream that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the kernel does not tell.
pub fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    linux::unacknowledged(socket.as_fd())
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full.
///
/// # Errors
/// When the kernel does not tell.
pub fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    linux::receive_drops(socket.as_fd())
}

/// Raises the receive buffer as far as the system allows, up to `bytes`.
///
/// # Errors
/// When even an ordinary size is refused.
pub fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    linux::raise_receive_buffer(socket.as_fd(), bytes)
}

/// A datagram that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes of it in the buffer.
    pub length: usize,
    /// Whether that is all of it (not MSG_TRUNC, recvmsg(2)).
    pub whole: bool,
    /// Who sent it; a connected socket may not say.
    pub peer: Option<SocketAddr>,
}

/// Receives one datagram.
///
/// # Errors
/// What recvmsg(2) says, `WouldBlock` when there is none.
pub fn receive_datagram(socket: impl AsFd, room: &mut [u8]) -> io::Result<Received> {
    let raw = socket.as_fd().as_raw_fd();
    let mut slices = [IoSliceMut::new(room)];
    let message = recvmsg::<SockaddrStorage>(raw, &mut slices, None, MsgFlags::empty())?;
    let peer = message.address.and_then(|address| {
        let v4 = address
            .as_sockaddr_in()
            .map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
        v4.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|a| SocketAddrV6::from(*a).into())
        })
    });
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    Ok(Received {
        length: message.bytes,
        whole,
        peer,
    })
}
