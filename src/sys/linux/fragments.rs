//! Linux: how long a packet may be, datagrams that must not be fragmented, and whether one came in fragments.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

use crate::sys::facts::{Arrival, Pieces};
use crate::sys::unix::get_option;

pub(crate) fn path_mtu(fd: BorrowedFd<'_>, peer: SocketAddr) -> io::Result<usize> {
    let (level, name) = match peer {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let (mtu, _) = get_option::<libc::c_int>(fd, level, name)?;
    usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The level, the name and the value of the option that forbids fragments of this family's packets.
fn mtu_discovery(is_ipv6: bool) -> (i32, i32, i32) {
    match is_ipv6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO),
        false => (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
    }
}

/// IP_RECVFRAGSIZE and IPV6_RECVFRAGSIZE (`linux/in.h` and `linux/in6.h`, since Linux 4.12).
fn fragment_sizes(is_ipv6: bool) -> (i32, i32, i32) {
    match is_ipv6 {
        true => (libc::IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE, 1),
        false => (libc::IPPROTO_IP, libc::IP_RECVFRAGSIZE, 1),
    }
}

/// Sets an option of the socket's family. An IPv6 socket may have packets of IPv4, too, and gets the
/// option of both; one for IPv6 alone may refuse that of IPv4, where it does not matter.
fn set_for_family(
    fd: BorrowedFd<'_>,
    is_ipv6: bool,
    option: fn(bool) -> (i32, i32, i32),
) -> io::Result<()> {
    let set = |is_ipv6: bool| {
        let (level, name, value) = option(is_ipv6);
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open, and the pointer and the length describe an int.
        let result = unsafe {
            libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), length)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    if is_ipv6 {
        let _ = set(false);
    }
    set(is_ipv6)
}

pub(crate) fn forbid_fragments(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    set_for_family(fd, is_ipv6, mtu_discovery)
}

pub(crate) fn forbids_fragments(fd: BorrowedFd<'_>, is_ipv6: bool) -> bool {
    let (level, name, value) = mtu_discovery(is_ipv6);
    get_option::<libc::c_int>(fd, level, name).is_ok_and(|(set, _)| set == value)
}

pub(crate) fn tell_fragments(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    set_for_family(fd, is_ipv6, fragment_sizes)
}

pub(crate) fn receive_telling(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Arrival> {
    let mut control = nix::cmsg_space!(libc::c_int, libc::c_int);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(fd.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let longest = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Unknown(told) => {
            let option = (told.cmsg_header.cmsg_level, told.cmsg_header.cmsg_type);
            let known = [true, false].map(fragment_sizes).map(|(level, name, _)| (level, name));
            let size = told.data_bytes.first_chunk().filter(|_| known.contains(&option))?;
            usize::try_from(libc::c_int::from_ne_bytes(*size)).ok()
        }
        _ => None,
    });
    // The kernel says nothing of a datagram that came in one packet.
    let pieces = longest.map_or(Pieces::One, |longest| Pieces::Fragments { longest });
    Ok(Arrival { length: message.bytes, pieces })
}
