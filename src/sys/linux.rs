//! Linux: what the kernel tells about sockets, processes and terminals that no crate in use offers.
#![allow(unsafe_code)]

mod datagrams;
mod descendants;
mod fragments;
mod icmp;
mod private_network;
mod splice;
mod stamps;
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
pub(super) use timer::Timer;

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use nix::sys::stat::Mode;
use socket2::{Domain, SockRef, Socket, Type};

use super::facts::{TcpCounts, TcpState};
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
    const LAST_ACK: u8 = 9;
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(matches!(state, CLOSE_WAIT | LAST_ACK))
}

pub(super) fn tcp_unanswered_probes(fd: BorrowedFd<'_>) -> io::Result<u8> {
    // The fourth byte of struct tcp_info.
    let ([.., probes], _) = get_option::<[u8; 4]>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(probes)
}

/// Words of `struct tcp_info` (`linux/tcp.h`), counted in 32-bit units; the structure only grows,
/// and older kernels fill in less of it.
mod tcp_info {
    /// The byte of options is the second of the second word.
    pub(super) const OPTIONS: usize = 1;
    pub(super) const SND_MSS: usize = 4;
    pub(super) const RCV_MSS: usize = 5;
    /// In microseconds.
    pub(super) const RTT: usize = 17;
    pub(super) const ADVMSS: usize = 21;
    pub(super) const TOTAL_RETRANS: usize = 25;
    pub(super) const BYTES_RECEIVED: usize = 32;
    pub(super) const SEGS_OUT: usize = 34;
    pub(super) const SEGS_IN: usize = 35;
    /// Since Linux 4.19.
    pub(super) const BYTES_SENT: usize = 50;
    pub(super) const BYTES_RETRANS: usize = 52;
    pub(super) const LENGTH: usize = 54;
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
        payload_out: long(tcp_info::BYTES_SENT) - long(tcp_info::BYTES_RETRANS),
        bytes_in: long(tcp_info::BYTES_RECEIVED),
        retransmissions: word(tcp_info::TOTAL_RETRANS),
        round_trip: match word(tcp_info::RTT) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        },
        timestamps: options & OPTION_TIMESTAMPS != 0,
        segment_out: word(tcp_info::SND_MSS),
        segment_in: word(tcp_info::ADVMSS)
            .min(word(tcp_info::SND_MSS))
            .max(word(tcp_info::RCV_MSS)),
    };
    // Every connection has sent a SYN or SYN-ACK: a count of 0 means that this kernel does not count.
    Ok((counts.segments_out > 0).then_some(counts))
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

pub(super) fn congestion_control(fd: BorrowedFd<'_>) -> io::Result<String> {
    let name = SockRef::from(&fd).tcp_congestion()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(super) fn set_congestion_control(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_congestion(name.as_bytes())
}

pub(super) fn name_by_itself(fd: BorrowedFd<'_>) -> io::Result<()> {
    let unnamed = nix::sys::socket::UnixAddr::new_unnamed();
    Ok(nix::sys::socket::bind(fd.as_raw_fd(), &unnamed)?)
}

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

/// With a negative time `tcp_rcv_state_process` drops an orphaned socket in FIN-WAIT-1 when the FIN is
/// acknowledged, and `__tcp_close` resets one in FIN-WAIT-2 (Linux, `net/ipv4`).
pub(super) fn forget_once_closed(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seconds: libc::c_int = -1;
    // SAFETY: the pointer and the length describe `seconds`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_LINGER2,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn raise_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    // SO_RCVBUFFORCE needs CAP_NET_ADMIN, and is not limited by net.core.rmem_max (socket(7)).
    setsockopt(&fd, sockopt::RcvBufForce, &bytes).or_else(|_| unix::raise_receive_buffer(fd, bytes))
}
