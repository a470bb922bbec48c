//! Linux: what the kernel tells about sockets, processes and terminals that no crate in use offers.
#![allow(unsafe_code)]

pub(super) mod datagrams;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use std::{ptr, slice};

use nix::sys::socket::{setsockopt, sockopt};

use socket2::{SockRef, Socket};

use super::facts::{TcpCounts, TcpState};
use crate::peer::Address;

pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, Option<Address>)> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the pointer and the length describe `name`, which the kernel may fill in.
    let fd = unsafe {
        libc::accept4(listener.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut length, flags)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: accept4 has just returned this new descriptor, and nothing else owns it.
    let socket = unsafe { Socket::from_raw_fd(fd) };
    Ok((socket, address_of(&name, length)))
}

/// The address in a socket name of which the kernel has filled in `length` bytes; `None` for other
/// address families.
fn address_of(
    name: &MaybeUninit<libc::sockaddr_storage>,
    length: libc::socklen_t,
) -> Option<Address> {
    let name = name.as_ptr();
    if (length as usize) < size_of::<libc::sa_family_t>() {
        return None;
    }
    // SAFETY: the kernel has filled in `length` bytes, at least the family.
    let family = unsafe { (*name.cast::<libc::sockaddr>()).sa_family };
    match i32::from(family) {
        libc::AF_INET if length as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: for this family and length the kernel has filled in a sockaddr_in.
            let v4 = unsafe { *name.cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr).into();
            Some(SocketAddr::from(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))).into())
        }
        libc::AF_INET6 if length as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: for this family and length the kernel has filled in a sockaddr_in6.
            let v6 = unsafe { *name.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::from(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)).into())
        }
        libc::AF_UNIX => {
            // SAFETY: the storage is larger than a sockaddr_un, and the kernel has filled in
            // `length` bytes of it; only those are looked at.
            let path = unsafe { &(*name.cast::<libc::sockaddr_un>()).sun_path };
            let given = (length as usize).saturating_sub(size_of::<libc::sa_family_t>());
            // SAFETY: c_char and u8 have the same size and alignment.
            let path =
                unsafe { slice::from_raw_parts(path.as_ptr().cast::<u8>(), given.min(path.len())) };
            let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
            let path = Path::new(OsStr::from_bytes(path));
            Some(Address::Unix((!path.as_os_str().is_empty()).then(|| Rc::from(path))))
        }
        _ => None,
    }
}

/// CAP_NET_BIND_SERVICE (`linux/capability.h`).
const BIND_SERVICE: u64 = 1 << 10;

pub(super) fn privileged_ports() -> Option<Range<u16>> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    if u64::from_str_radix(capabilities.trim(), 16).ok()? & BIND_SERVICE != 0 {
        return None;
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    // Linux before 4.11 has no such setting, and a fixed limit.
    let first = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    Some(1..first)
}

pub(super) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the present one into `action`.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroes are a valid value, and the kernel has written over them if it succeeded.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Reads a socket option that is a plain C structure or array, together with how many bytes of
/// it the kernel filled in.
fn get_option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<(T, usize)> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open, the pointer and the length describe `value`, and the kernel
    // writes at most `length` bytes into it.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the memory was zeroed, and the callers' types (integers only) allow any bit pattern.
    Ok((unsafe { value.assume_init() }, length as usize))
}

/// `tcpi_state` of TCP_INFO (tcp(7)); the numbers are those of `enum` in `netinet/tcp.h`.
pub(super) fn tcp_state(fd: BorrowedFd<'_>) -> io::Result<TcpState> {
    // The state is the first byte of struct tcp_info.
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(match state {
        4 | 9 | 11 => TcpState::FinSent,
        5 => TcpState::FinAcknowledged,
        6 | 7 => TcpState::Closed,
        _ => TcpState::Open,
    })
}

pub(super) fn tcp_peer_has_closed(fd: BorrowedFd<'_>) -> io::Result<bool> {
    const CLOSE_WAIT: u8 = 8;
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(state == CLOSE_WAIT)
}

/// Words of `struct tcp_info` (`linux/tcp.h`), counted in 32-bit units; the structure only grows,
/// and older kernels fill in less of it.
mod tcp_info {
    /// The byte of options is the second of the second word.
    pub(super) const OPTIONS: usize = 1;
    /// In microseconds.
    pub(super) const RTT: usize = 17;
    pub(super) const TOTAL_RETRANS: usize = 25;
    pub(super) const SEGS_OUT: usize = 34;
    pub(super) const SEGS_IN: usize = 35;
    /// Since Linux 4.19.
    pub(super) const BYTES_SENT: usize = 50;
    pub(super) const LENGTH: usize = 52;
}

/// TCPI_OPT_TIMESTAMPS (`linux/tcp.h`).
const OPTION_TIMESTAMPS: u8 = 1;

pub(super) fn tcp_counts(fd: BorrowedFd<'_>) -> io::Result<Option<TcpCounts>> {
    let (info, length) =
        get_option::<[u32; tcp_info::LENGTH]>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    if length < size_of_val(&info) {
        return Ok(None);
    }
    let word = |at: usize| u64::from(info[at]);
    let long = |at: usize| {
        let ([a, b, c, d], [e, f, g, h]) = (info[at].to_ne_bytes(), info[at + 1].to_ne_bytes());
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    };
    let [_, options, ..] = info[tcp_info::OPTIONS].to_ne_bytes();
    let counts = TcpCounts {
        segments_out: word(tcp_info::SEGS_OUT),
        segments_in: word(tcp_info::SEGS_IN),
        bytes_out: long(tcp_info::BYTES_SENT),
        retransmissions: word(tcp_info::TOTAL_RETRANS),
        round_trip: match word(tcp_info::RTT) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        },
        timestamps: options & OPTION_TIMESTAMPS != 0,
    };
    // Every connection has sent a SYN or SYN-ACK: a count of 0 means that this kernel does not count.
    Ok((counts.segments_out > 0).then_some(counts))
}

pub(super) fn path_mtu(fd: BorrowedFd<'_>, peer: SocketAddr) -> io::Result<usize> {
    let (level, name) = match peer {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let (mtu, _) = get_option::<libc::c_int>(fd, level, name)?;
    usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

pub(super) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes.unsigned_abs())
}

pub(super) fn terminal(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the descriptor is open, and TIOCGDEV writes one unsigned int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV, &raw mut number) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(number)
}

/// The prefix of the names of congestion controls that pace: there are several versions of BBR.
const PACES: &[u8] = b"bbr";

/// A congestion control that does not pace. It is part of every kernel and allowed to every user by
/// default (`net.ipv4.tcp_allowed_congestion_control`, tcp(7)).
const NEVER_PACES: &[u8] = b"reno";

pub(super) fn stop_pacing(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    if socket.tcp_congestion()?.starts_with(PACES) {
        socket.set_tcp_congestion(NEVER_PACES)?;
    }
    Ok(())
}

/// `SO_MEMINFO`, and the index of the drop count in its array (`linux/sock_diag.h`).
const SO_MEMINFO: i32 = 55;
const SK_MEMINFO_DROPS: usize = 8;

pub(super) fn receive_drops(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let (info, length) = get_option::<[u32; 9]>(fd, libc::SOL_SOCKET, SO_MEMINFO)?;
    if length < size_of_val(&info) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(u64::from(info[SK_MEMINFO_DROPS]))
}

pub(super) fn raise_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    // SO_RCVBUFFORCE needs CAP_NET_ADMIN, and is not limited by net.core.rmem_max (socket(7)).
    setsockopt(&fd, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &bytes))
        .map_err(Into::into)
}
