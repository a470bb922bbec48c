//! Linux: socket facts that no portable crate hands out.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;
use std::{ptr, slice};

use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrLike as _, SockaddrStorage, sendmsg, setsockopt, sockopt,
};

use socket2::{SockRef, Socket};

use super::{Received, TcpCounts, TcpState};
use crate::peer::Address;

pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, Option<Address>)> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the name and its length describe memory of ours that the kernel may fill in.
    let fd = unsafe {
        libc::accept4(listener.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut length, flags)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    let socket = unsafe { Socket::from_raw_fd(fd) };
    Ok((socket, address_of(&name, length)))
}

/// Receives one datagram: its whole length, of which as much as there is room for is in `room`
/// (MSG_TRUNC, recv(2)), and who sent it. (nix's `recvmsg` loses the names of local sockets.)
pub(super) fn receive_one(
    fd: BorrowedFd<'_>,
    room: &mut [u8],
) -> io::Result<(usize, Option<Address>)> {
    let mut name = MaybeUninit::<libc::sockaddr_storage>::uninit();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: room, name and its length describe memory of ours that the kernel may fill in; what
    // it says beyond the room's length is only a number.
    let whole = unsafe {
        libc::recvfrom(
            fd.as_raw_fd(),
            room.as_mut_ptr().cast(),
            room.len(),
            libc::MSG_TRUNC,
            name.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let whole = usize::try_from(whole).map_err(|_| io::Error::last_os_error())?;
    Ok((whole, address_of(&name, length)))
}

/// The address in a name that the kernel has filled in with `length` bytes.
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

pub(super) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the present one into our memory.
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

/// Words of `struct tcp_info` (`linux/tcp.h`), counted in 32-bit units; the structure only grows,
/// and older kernels fill in less of it.
mod tcp_info {
    /// The byte of options is the second of the second word.
    pub(super) const OPTIONS: usize = 1;
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
        timestamps: options & OPTION_TIMESTAMPS != 0,
    };
    // A connection has sent at least its SYN or SYN-ACK, if anybody counts.
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

/// What the names of the congestion controls that pace begin with; Linux has several BBR.
const PACES: &[u8] = b"bbr";

/// One that never paces by itself, is part of every kernel and allowed to everybody unless an
/// administrator says otherwise (`net.ipv4.tcp_allowed_congestion_control`, tcp(7)).
const NEVER_PACES: &[u8] = b"reno";

pub(super) fn stop_pacing(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    if socket.tcp_congestion()?.starts_with(PACES) {
        socket.set_tcp_congestion(NEVER_PACES)?;
    }
    Ok(())
}

/// `SO_MEMINFO` and the place of the drop count in it (`linux/sock_diag.h`).
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
    // With CAP_NET_ADMIN the limit of net.core.rmem_max does not count (socket(7)).
    setsockopt(&fd, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &bytes))
        .map_err(Into::into)
}

/// The most datagrams the kernel cuts out of one call: UDP_MAX_SEGMENTS of current kernels, and of
/// those before Linux 6.9.
pub(super) const MOST_SEGMENTS: usize = 128;
pub(super) const MOST_SEGMENTS_BEFORE: usize = 64;

/// The most bytes of one segmented call: it is one IPv4 packet until it is cut (udp(7)).
pub(super) const LONGEST_TRAIN: usize = 65_507;

/// Hands a train over whole; the kernel cuts it into datagrams of `segment` bytes.
pub(super) fn send_segmented(
    fd: BorrowedFd<'_>,
    train: &[u8],
    segment: usize,
    to: Option<&SockaddrStorage>,
) -> io::Result<()> {
    let segment = u16::try_from(segment).map_err(|_| io::ErrorKind::InvalidInput)?;
    let cut = [ControlMessage::UdpGsoSegments(&segment)];
    sendmsg(fd.as_raw_fd(), &[IoSlice::new(train)], &cut, MsgFlags::empty(), to)?;
    Ok(())
}

/// Datagrams in one sendmmsg(2).
const SEND_BATCH: usize = 64;

/// Hands over many datagrams in one call; how many of them left.
pub(super) fn send_batched(
    fd: BorrowedFd<'_>,
    train: &[u8],
    segment: usize,
    to: Option<&SockaddrStorage>,
) -> io::Result<usize> {
    let (name, name_length) = match to {
        Some(to) => (to.as_ptr().cast_mut().cast(), to.len()),
        None => (ptr::null_mut(), 0),
    };
    // SAFETY: both are C structures for which all zeroes are a valid value.
    let mut slices: [libc::iovec; SEND_BATCH] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut count = 0;
    for (message, (slice, header)) in
        train.chunks(segment).zip(slices.iter_mut().zip(headers.iter_mut()))
    {
        slice.iov_base = message.as_ptr().cast_mut().cast();
        slice.iov_len = message.len();
        header.msg_hdr.msg_name = name;
        header.msg_hdr.msg_namelen = name_length;
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    // SAFETY: the first `count` headers point to slices, payload and an address that all outlive
    // the call; the kernel reads the payload and writes only `msg_len` of the headers.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Datagrams or trains in one recvmmsg(2).
pub(super) const RECEIVE_BATCH: usize = 16;

/// Room for the one control message that is asked for: an int (UDP_GRO).
const CONTROL: usize = 64;

/// `struct cmsghdr` must be aligned (cmsg(3)).
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
struct Control([u8; CONTROL]);

/// Receives many datagrams in one call, trains of them unseparated (UDP_GRO, udp(7)).
#[derive(Debug)]
pub(super) struct BatchReceiver {
    names: Box<[MaybeUninit<libc::sockaddr_storage>; RECEIVE_BATCH]>,
    controls: Box<[Control; RECEIVE_BATCH]>,
}

impl BatchReceiver {
    pub(super) fn new(fd: BorrowedFd<'_>) -> Self {
        // A kernel that knows no trains delivers one datagram at a time: nothing is lost.
        let _ = setsockopt(&fd, sockopt::UdpGroSegment, &true);
        Self {
            names: Box::new([MaybeUninit::uninit(); RECEIVE_BATCH]),
            controls: Box::new([Control([0; CONTROL]); RECEIVE_BATCH]),
        }
    }

    /// Receives until the socket is empty or the buffer's slots are used.
    pub(super) fn receive(
        &mut self,
        fd: BorrowedFd<'_>,
        buffer: &mut [u8],
        slot: usize,
        into: &mut Vec<Received>,
    ) -> io::Result<()> {
        // SAFETY: both are C structures for which all zeroes are a valid value.
        let mut slices: [libc::iovec; RECEIVE_BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; RECEIVE_BATCH] = unsafe { mem::zeroed() };
        let mut count = 0;
        for (i, room) in buffer.chunks_exact_mut(slot).take(RECEIVE_BATCH).enumerate() {
            slices[i].iov_base = room.as_mut_ptr().cast();
            slices[i].iov_len = room.len();
            let header = &mut headers[i].msg_hdr;
            header.msg_name = self.names[i].as_mut_ptr().cast();
            header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &raw mut slices[i];
            header.msg_iovlen = 1;
            header.msg_control = (&raw mut self.controls[i]).cast();
            header.msg_controllen = CONTROL;
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `count` headers point to rooms of the buffer, names and controls that
        // are exclusively borrowed and outlive the call, with their true lengths.
        let got = unsafe {
            libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags, ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(got).enumerate() {
            let whole = header.msg_len as usize;
            let length = whole.min(slot);
            let peer = address_of(&self.names[i], header.msg_hdr.msg_namelen);
            let segment = train_segment(&header.msg_hdr).unwrap_or(length);
            let cut_from = (whole > slot).then_some(whole);
            into.push(Received { range: i * slot..i * slot + length, segment, cut_from, peer });
        }
        Ok(())
    }
}

/// The size of the datagrams in a train, if the kernel put a train together.
fn train_segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled in the control buffer that the header describes.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole, aligned header.
        let (level, kind) = unsafe { ((*control).cmsg_level, (*control).cmsg_type) };
        if (level, kind) == (libc::SOL_UDP, libc::UDP_GRO) {
            // SAFETY: the data of this message is one int (udp(7)), perhaps unaligned.
            let size: libc::c_int = unsafe { ptr::read_unaligned(libc::CMSG_DATA(control).cast()) };
            return usize::try_from(size).ok().filter(|size| *size > 0);
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    None
}
