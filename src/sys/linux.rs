//! Linux: what the kernel tells about sockets, processes and terminals that no crate in use offers.
#![allow(unsafe_code)]

mod datagrams;
mod descendants;
mod fragments;
mod icmp;
mod private_network;
mod splice;
mod stamps;
mod tcp;
mod timer;

pub(super) use datagrams::{BatchReceiver, BatchSender, RECEIVE_BATCH, tell_destinations};
pub(super) use descendants::{adopt_orphans, is_held};
pub(super) use fragments::{
    forbid_fragments, forbids_fragments, path_mtu, receive_telling, tell_fragments,
};
pub(super) use icmp::{hear_icmp, next_icmp};
pub(crate) use private_network::PrivateNetwork;
pub(super) use splice::{CAN_SPLICE, enlarge_pipe, pipe_size, splice};
pub(super) use stamps::{receive_stamped, stamp_arrivals};
pub(super) use tcp::{
    congestion_control, forget_once_closed, set_congestion_control, stop_pacing, tcp_counts,
    tcp_peer_has_closed, tcp_state, tcp_unanswered_probes, unacknowledged,
};
pub(super) use timer::Timer;

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::stat::Mode;
use socket2::{Domain, Socket, Type};

use super::unix::{self, address_of, get_option};
use crate::peer::Address;

/// A call that finds a connection broken says so, instead of a signal (send(2)).
pub(super) const NO_SIGNAL: MsgFlags = MsgFlags::MSG_NOSIGNAL;

/// A kind of local socket that this program has none of, as anybody may connect it to find out
/// whether a path is in use: one in use refuses it, and no place in a listener's queue is taken.
pub(super) const NO_SUCH_LOCAL: Type = Type::SEQPACKET;

/// The device `/dev/null` (null(4)): major 1, minor 3.
pub(super) fn null_device() -> Option<u64> {
    Some(libc::makedev(1, 3))
}

/// Opens what a descriptor of ours is, by its name in /proc (proc(5)).
pub(super) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(nix::fcntl::open(path.as_str(), flags, Mode::empty())?)
}

pub(super) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    Socket::new(domain, kind.nonblocking(), None)
}

pub(super) fn bind_device(socket: &Socket, device: &str, _: Domain) -> io::Result<()> {
    socket.bind_device(Some(device.as_bytes()))
}

pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?)
}

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

pub(super) fn terminal(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the descriptor is open, and TIOCGDEV writes one unsigned int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV, &raw mut number) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(number)
}

pub(super) fn name_by_itself(fd: BorrowedFd<'_>) -> io::Result<()> {
    let unnamed = nix::sys::socket::UnixAddr::new_unnamed();
    Ok(nix::sys::socket::bind(fd.as_raw_fd(), &unnamed)?)
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
    setsockopt(&fd, sockopt::RcvBufForce, &bytes).or_else(|_| unix::raise_receive_buffer(fd, bytes))
}
