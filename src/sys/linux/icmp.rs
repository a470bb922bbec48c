//! Linux: ICMP errors about datagrams that a socket has sent, read from that socket's error queue
//! (IP_RECVERR, ip(7); IPV6_RECVERR, ipv6(7)).

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};

use crate::peer::canonical;
use crate::sys::facts::{Icmp, IcmpKind};

pub(crate) fn hear_icmp(socket: BorrowedFd<'_>, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        if canonical(address).is_ipv6() {
            return Ok(());
        }
        // Datagrams to an IPv4-mapped address are IPv4 packets, and so are the errors about them.
    }
    Ok(setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?)
}

pub(crate) fn next_icmp(socket: BorrowedFd<'_>) -> io::Result<Option<Icmp>> {
    let raw = socket.as_raw_fd();
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    loop {
        let mut control = nix::cmsg_space!((libc::sock_extended_err, libc::sockaddr_in6));
        // The beginning of the datagram comes with the error, but only its destination is of use.
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
        let said = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, from) => {
                Some((kind_of(&error)?, from.map(|from| ipv4(&from))))
            }
            ControlMessageOwned::Ipv6RecvErr(error, from) => Some((
                kind_of(&error)?,
                from.map(|from| Ipv6Addr::from(from.sin6_addr.s6_addr).into()),
            )),
            _ => None,
        });
        if let (Some(about), Some((kind, from))) = (about, said) {
            return Ok(Some(Icmp { kind, about, from }));
        }
    }
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}

fn ipv4(address: &libc::sockaddr_in) -> IpAddr {
    Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)).into()
}

/// What an ICMP error means for the datagram; `None` for one that does not say that the datagram was
/// not delivered.
fn kind_of(error: &libc::sock_extended_err) -> Option<IcmpKind> {
    match (error.ee_origin, error.ee_type, error.ee_code) {
        // RFC 792 and RFC 1812, 5.2.7.1: destination unreachable, time exceeded.
        (libc::SO_EE_ORIGIN_ICMP, 3, 3) => Some(IcmpKind::PortUnreachable),
        (libc::SO_EE_ORIGIN_ICMP, 3, 4) => Some(IcmpKind::TooLong),
        (libc::SO_EE_ORIGIN_ICMP, 3, 0 | 6 | 11) => Some(IcmpKind::NetworkUnreachable),
        (libc::SO_EE_ORIGIN_ICMP, 3, 9 | 10 | 13) => Some(IcmpKind::Prohibited),
        (libc::SO_EE_ORIGIN_ICMP, 3, _) => Some(IcmpKind::HostUnreachable),
        (libc::SO_EE_ORIGIN_ICMP, 11, _) => Some(IcmpKind::TimeExceeded),
        (libc::SO_EE_ORIGIN_ICMP, 12, _) => Some(IcmpKind::ParameterProblem),
        // RFC 4443, 3.1 to 3.4.
        (libc::SO_EE_ORIGIN_ICMP6, 1, 4) => Some(IcmpKind::PortUnreachable),
        (libc::SO_EE_ORIGIN_ICMP6, 1, 0 | 2) => Some(IcmpKind::NetworkUnreachable),
        (libc::SO_EE_ORIGIN_ICMP6, 1, 1 | 5 | 6) => Some(IcmpKind::Prohibited),
        (libc::SO_EE_ORIGIN_ICMP6, 1, _) => Some(IcmpKind::HostUnreachable),
        (libc::SO_EE_ORIGIN_ICMP6, 2, _) => Some(IcmpKind::TooLong),
        (libc::SO_EE_ORIGIN_ICMP6, 3, _) => Some(IcmpKind::TimeExceeded),
        (libc::SO_EE_ORIGIN_ICMP6, 4, _) => Some(IcmpKind::ParameterProblem),
        _ => None,
    }
}
