//! ICMP messages about datagrams of ours, from the error queue of their socket (IP_RECVERR in
//! ip(7), IPV6_RECVERR in ipv6(7)).

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};

/// What a host or router on the way says about a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpKind {
    /// The host itself: nobody is at this port.
    PortUnreachable,
    /// The datagram will not arrive: no route, no such host, not permitted.
    Unreachable,
}

/// An ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// Where the datagram was going that it is about.
    pub about: SocketAddr,
}

/// Has a socket for addresses of this one's family keep the ICMP messages about its datagrams.
///
/// # Errors
/// When the system cannot do that.
pub fn hear_icmp(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    let socket = socket.as_fd();
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    }
    .map_err(io::Error::from)
}

/// Takes the next ICMP message that says that a datagram has not arrived; `None` when there is
/// none.
///
/// # Errors
/// What recvmsg(2) says.
pub fn next_icmp(socket: impl AsFd) -> io::Result<Option<Icmp>> {
    let raw = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    loop {
        let mut control = nix::cmsg_space!((libc::sock_extended_err, libc::sockaddr_in6));
        // The beginning of the datagram comes along, but where it went is all one needs to know.
        let mut payload = [0; 1];
        let mut slices = [IoSliceMut::new(&mut payload)];
        let result = recvmsg::<SockaddrStorage>(raw, &mut slices, Some(&mut control), flags);
        let message = match result {
            Ok(message) => message,
            Err(nix::Error::EAGAIN) => return Ok(None),
            Err(nix::Error::EINTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let about = message.address.as_ref().and_then(internet);
        let kind = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _)
            | ControlMessageOwned::Ipv6RecvErr(error, _) => kind_of(&error),
            _ => None,
        });
        if let (Some(about), Some(kind)) = (about, kind) {
            return Ok(Some(Icmp { kind, about }));
        }
    }
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}

/// What the message means for the datagram; `None` when it may have arrived all the same.
fn kind_of(error: &libc::sock_extended_err) -> Option<IcmpKind> {
    match (error.ee_origin, error.ee_type, error.ee_code) {
        // RFC 792, destination unreachable; code 4 only says that it was too long for a hop.
        (libc::SO_EE_ORIGIN_ICMP, 3, 3) => Some(IcmpKind::PortUnreachable),
        (libc::SO_EE_ORIGIN_ICMP, 3, 4) => None,
        (libc::SO_EE_ORIGIN_ICMP, 3, _) => Some(IcmpKind::Unreachable),
        // RFC 4443, 3.1.
        (libc::SO_EE_ORIGIN_ICMP6, 1, 4) => Some(IcmpKind::PortUnreachable),
        (libc::SO_EE_ORIGIN_ICMP6, 1, _) => Some(IcmpKind::Unreachable),
        _ => None,
    }
}
