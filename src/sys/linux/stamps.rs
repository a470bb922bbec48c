//! Linux: datagrams with the time at which the kernel received them (SO_TIMESTAMPNS, socket(7)).

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::{Duration, SystemTime};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};

use crate::sys::facts::Stamped;

pub(crate) fn stamp_arrivals(fd: BorrowedFd<'_>) -> io::Result<()> {
    Ok(setsockopt(&fd, sockopt::ReceiveTimestampns, &true)?)
}

pub(crate) fn receive_stamped(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Stamped> {
    let mut control = nix::cmsg_space!(libc::timespec);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let message =
        recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let arrived = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(at) => {
            Some(SystemTime::UNIX_EPOCH + Duration::from(at))
        }
        _ => None,
    });
    let from = message.address.as_ref().and_then(internet);
    Ok(Stamped { length: message.bytes, from, arrived })
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
}
