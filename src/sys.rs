//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.

mod linux;

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
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

/// A datagram that was received, or a train of them from one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where in the buffer its bytes are.
    pub range: Range<usize>,
    /// Bytes of each datagram of the train, the last may be shorter.
    pub segment: usize,
    /// The real length, if that is not all of it (MSG_TRUNC, recv(2)).
    pub cut_from: Option<usize>,
    /// Who sent it; not told for a connected socket.
    pub peer: Option<SocketAddr>,
}

impl Received {
    /// How many datagrams the train has.
    #[must_use]
    pub fn count(&self) -> usize {
        if self.range.is_empty() { 1 } else { self.range.len().div_ceil(self.segment) }
    }
}

/// What became of a train that was to be sent.
#[derive(Debug)]
pub struct Sent {
    /// Bytes that left.
    pub bytes: usize,
    /// Datagrams that left.
    pub messages: usize,
    /// Why no more left, if not all did.
    pub error: Option<io::Error>,
}

/// Receives datagrams, as many at a time as the system can.
#[derive(Debug)]
pub struct Receiver {}

impl Receiver {
    /// Room for the longest datagram.
    const SLOT: usize = 64 * 1024;

    /// Bytes that the buffer should have.
    pub const ROOM: usize = 8 * Self::SLOT;

    /// A receiver for this socket.
    #[must_use]
    pub fn new(_socket: impl AsFd) -> Self {
        Self {}
    }

    /// Receives what is there, as much as finds room.
    ///
    /// # Errors
    /// What recvmsg(2) says, `WouldBlock` when nothing is left. Datagrams received before the
    /// error are in `into` all the same.
    pub fn receive(
        &mut self,
        socket: impl AsFd,
        buffer: &mut [u8],
        into: &mut Vec<Received>,
    ) -> io::Result<()> {
        let raw = socket.as_fd().as_raw_fd();
        let mut at = 0;
        while at + Self::SLOT <= buffer.len() {
            let mut slices = [IoSliceMut::new(&mut buffer[at..at + Self::SLOT])];
            let message = recvmsg::<SockaddrStorage>(raw, &mut slices, None, MsgFlags::MSG_TRUNC)?;
            let peer = message.address.as_ref().and_then(internet_address);
            let length = message.bytes.min(Self::SLOT);
            let cut_from = (message.bytes > length).then_some(message.bytes);
            into.push(Received { range: at..at + length, segment: length, cut_from, peer });
            at += length;
        }
        Ok(())
    }
}

fn internet_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}

/// Sends datagrams, as many at a time as the system can.
#[derive(Debug)]
pub struct Sender {}

impl Sender {
    /// A sender that has yet to find out what the system can.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }

    /// Sends a train of datagrams of `segment` bytes; empty `bytes` are one empty datagram.
    pub fn send(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        segment: usize,
        to: Option<SocketAddr>,
    ) -> Sent {
        let raw = socket.as_fd().as_raw_fd();
        let to = to.map(SockaddrStorage::from);
        let mut sent = Sent { bytes: 0, messages: 0, error: None };
        loop {
            let end = bytes.len().min(sent.bytes + segment);
            let one = &bytes[sent.bytes..end];
            let result = match &to {
                None => nix::sys::socket::send(raw, one, MsgFlags::empty()),
                Some(to) => nix::sys::socket::sendto(raw, one, to, MsgFlags::empty()),
            };
            match result {
                Ok(_) => {
                    sent.bytes = end;
                    sent.messages += 1;
                    if end == bytes.len() {
                        return sent;
                    }
                }
                Err(cause) => {
                    sent.error = Some(cause.into());
                    return sent;
                }
            }
        }
    }
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}
