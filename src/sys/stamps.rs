//! Datagrams with the time at which the kernel received them (SO_TIMESTAMPNS, socket(7)).

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};

use super::retry::again;

/// A datagram, and what the kernel says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped {
    /// Its whole length in bytes, also of what found no room in the buffer (MSG_TRUNC, recv(2)).
    pub length: usize,
    /// Who sent it; `None` when the kernel does not tell.
    pub from: Option<SocketAddr>,
    /// When the kernel received it, by the wall clock; `None` when it keeps no time.
    pub arrived: Option<SystemTime>,
}

/// Has the kernel note for each datagram of this socket when it arrived.
///
/// # Errors
/// When the system cannot do that.
pub(crate) fn stamp_arrivals(socket: impl AsFd) -> io::Result<()> {
    Ok(setsockopt(&socket.as_fd(), sockopt::ReceiveTimestampns, &true)?)
}

/// Receives the next datagram.
///
/// # Errors
/// What recvmsg(2) says, `WouldBlock` when there is none.
pub(crate) fn receive_stamped(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Stamped> {
    let raw = socket.as_fd().as_raw_fd();
    let mut control = nix::cmsg_space!(libc::timespec);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = again(|| {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let message = recvmsg::<SockaddrStorage>(raw, &mut slices, Some(&mut control), flags)?;
        let arrived = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(at) => {
                Some(SystemTime::UNIX_EPOCH + Duration::from(at))
            }
            _ => None,
        });
        let from = message.address.as_ref().and_then(internet);
        Ok(Stamped { length: message.bytes, from, arrived })
    })?;
    Ok(message)
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}
