//! Linux: many datagrams in one system call, and the local address that each was sent to.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use nix::sys::socket::{
    self, ControlMessage, MsgFlags, SockaddrLike as _, SockaddrStorage, setsockopt, sockopt,
};

use super::address_of;
use crate::peer::Route;
use crate::sys::facts::Received;

/// The most datagrams in one call with UDP_SEGMENT: the kernel's UDP_MAX_SEGMENTS, since Linux 6.9
/// and before that.
pub(crate) const MOST_SEGMENTS: usize = 128;
pub(crate) const MOST_SEGMENTS_BEFORE: usize = 64;

/// The most bytes of one call with UDP_SEGMENT: inside the kernel they are one IPv4 packet until they
/// are cut (udp(7)).
pub(crate) const LONGEST_SEGMENTED: usize = 65_507;

/// See [`tell_destinations`](crate::sys::tell_destinations). A dual-stack socket needs both options.
pub(crate) fn tell_destinations(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?)
}

/// The destination of a datagram, and the local address to send it from if that matters, as the
/// kernel wants them.
#[derive(Debug)]
pub(crate) struct Recipient {
    address: SockaddrStorage,
    from: Option<PacketInfo>,
}

/// The local address that a datagram is sent from.
#[derive(Debug)]
enum PacketInfo {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Recipient {
    pub(crate) fn new(to: SocketAddr, from: Option<SocketAddr>) -> Self {
        Self { address: to.into(), from: from.map(PacketInfo::new) }
    }

    /// Whether the local address to send from is given.
    pub(crate) fn has_source(&self) -> bool {
        self.from.is_some()
    }
}

impl PacketInfo {
    fn new(from: SocketAddr) -> Self {
        match from {
            SocketAddr::V4(from) => Self::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(*from.ip()).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            SocketAddr::V6(from) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: from.ip().octets() },
                ipi6_ifindex: from.scope_id(),
            }),
        }
    }
}

/// Sends one datagram, or with `segment` several: the kernel cuts `bytes` into datagrams of that many
/// bytes (UDP_SEGMENT, udp(7)).
pub(crate) fn send(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    segment: Option<usize>,
    to: Option<&Recipient>,
) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    if segment.is_none() {
        match to {
            None => return Ok(socket::send(raw, bytes, MsgFlags::empty()).map(drop)?),
            Some(Recipient { address, from: None }) => {
                return Ok(socket::sendto(raw, bytes, address, MsgFlags::empty()).map(drop)?);
            }
            Some(_) => {}
        }
    }
    let segment =
        segment.map(u16::try_from).transpose().map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut control = Vec::with_capacity(2);
    control.extend(segment.as_ref().map(ControlMessage::UdpGsoSegments));
    control.extend(to.and_then(|to| to.from.as_ref()).map(|from| match from {
        PacketInfo::V4(info) => ControlMessage::Ipv4PacketInfo(info),
        PacketInfo::V6(info) => ControlMessage::Ipv6PacketInfo(info),
    }));
    let to = to.map(|to| &to.address);
    Ok(socket::sendmsg(raw, &[IoSlice::new(bytes)], &control, MsgFlags::empty(), to).map(drop)?)
}

/// The most datagrams in one sendmmsg(2).
const SEND_BATCH: usize = 64;

/// Sends up to [`SEND_BATCH`] datagrams in one sendmmsg(2); how many were sent. The kernel chooses the
/// local address they are sent from.
pub(crate) fn send_batched(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    segment: usize,
    to: Option<&Recipient>,
) -> io::Result<usize> {
    let (name, name_length) = match to {
        Some(to) => (to.address.as_ptr().cast_mut().cast(), to.address.len()),
        None => (ptr::null_mut(), 0),
    };
    // SAFETY: both are C structures for which all zeroes are a valid value.
    let mut slices: [libc::iovec; SEND_BATCH] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; SEND_BATCH] = unsafe { mem::zeroed() };
    let mut count = 0;
    for (message, (slice, header)) in
        bytes.chunks(segment).zip(slices.iter_mut().zip(headers.iter_mut()))
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

/// The most datagrams, or segmented buffers, in one recvmmsg(2).
pub(crate) const RECEIVE_BATCH: usize = 16;

/// Bytes for the control messages that may be asked for: an int (UDP_GRO), an `in_pktinfo` and an
/// `in6_pktinfo`, 96 bytes with their headers on 64-bit systems.
const CONTROL: usize = 128;

/// Memory for what the kernel says about one datagram besides its payload: the sender's name and the
/// control messages.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
struct NameAndControl {
    /// `struct cmsghdr` must be aligned (cmsg(3)).
    control: [u8; CONTROL],
    name: MaybeUninit<libc::sockaddr_storage>,
}

impl NameAndControl {
    const EMPTY: Self = Self { control: [0; CONTROL], name: MaybeUninit::uninit() };

    /// A header that points the kernel to this memory and to the payload's, which `slice` describes.
    /// Both must outlive the header.
    fn header(&mut self, slice: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: it is a C structure for which all zeroes are a valid value.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL;
        header
    }

    /// Reads what the kernel has written. The payload is in `room` of the caller's buffer; `whole` is
    /// the datagram's full length, which may be more than had room (MSG_TRUNC, recv(2)).
    fn read(&self, header: &libc::msghdr, whole: usize, room: Range<usize>) -> Received {
        let length = whole.min(room.len());
        let told = AncillaryData::read(header);
        let peer = address_of(&self.name, header.msg_namelen);
        Received {
            range: room.start..room.start + length,
            segment: told.segment.unwrap_or(length),
            cut_from: (whole > length).then_some(whole),
            from: peer.map(|peer| Route { peer, local: told.local }),
        }
    }
}

/// Receives one datagram into the range `room` of the buffer. nix's `recvmsg` is not used because it
/// does not return the names of local sockets.
pub(crate) fn receive_one(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    room: Range<usize>,
) -> io::Result<Received> {
    let bytes = &mut buffer[room.clone()];
    let mut slice = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut label = NameAndControl::EMPTY;
    let mut header = label.header(&mut slice);
    // SAFETY: the header describes part of the buffer and `label`, both of which are exclusively
    // borrowed and outlive the call.
    let whole = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut header, libc::MSG_TRUNC) };
    let whole = usize::try_from(whole).map_err(|_| io::Error::last_os_error())?;
    Ok(label.read(&header, whole, room))
}

/// Receives many datagrams in one recvmmsg(2), and those of one sender combined into segmented buffers
/// (UDP_GRO, udp(7)).
#[derive(Debug)]
pub(crate) struct BatchReceiver {
    labels: Box<[NameAndControl; RECEIVE_BATCH]>,
}

impl BatchReceiver {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Self {
        // A kernel without UDP_GRO delivers each datagram by itself: nothing is lost.
        let _ = setsockopt(&fd, sockopt::UdpGroSegment, &true);
        Self { labels: Box::new([NameAndControl::EMPTY; RECEIVE_BATCH]) }
    }

    /// Makes one recvmmsg(2), with one slot of `slot` bytes of the buffer for each datagram or
    /// segmented buffer.
    pub(crate) fn receive(
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
            headers[i].msg_hdr = self.labels[i].header(&mut slices[i]);
            count += 1;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        // SAFETY: the first `count` headers point to slots of the buffer and to elements of `labels`,
        // with their true lengths; both are exclusively borrowed and outlive the call.
        let got = unsafe {
            libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags, ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(got).enumerate() {
            let room = i * slot..(i + 1) * slot;
            into.push(self.labels[i].read(&header.msg_hdr, header.msg_len as usize, room));
        }
        Ok(())
    }
}

/// What the control messages of a datagram say (cmsg(3)).
#[derive(Debug, Default)]
struct AncillaryData {
    /// The length of each datagram, if the kernel has combined several.
    segment: Option<usize>,
    /// The local address to answer from.
    local: Option<SocketAddr>,
}

impl AncillaryData {
    fn read(header: &libc::msghdr) -> Self {
        let mut told = Self::default();
        // SAFETY: the kernel has filled in the control buffer that the header describes.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole, aligned header.
            let (level, kind) = unsafe { ((*control).cmsg_level, (*control).cmsg_type) };
            // SAFETY: as above; the data follows the header.
            let data = unsafe { libc::CMSG_DATA(control) };
            match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    // SAFETY: the data of this message is one int (udp(7)), perhaps unaligned.
                    let size: libc::c_int = unsafe { ptr::read_unaligned(data.cast()) };
                    told.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // SAFETY: the data of this message is an in_pktinfo (ip(7)), perhaps unaligned.
                    let info: libc::in_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                    // `ipi_addr` is where it was sent to, perhaps a multicast group; `ipi_spec_dst` is the
                    // local address to answer from.
                    told.local = answering(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    // SAFETY: the data of this message is an in6_pktinfo (ipv6(7)), perhaps unaligned.
                    let info: libc::in6_pktinfo = unsafe { ptr::read_unaligned(data.cast()) };
                    told.local = told.local.or_else(|| answering_v6(&info));
                }
                _ => {}
            }
            // SAFETY: as for CMSG_FIRSTHDR.
            control = unsafe { libc::CMSG_NXTHDR(header, control) };
        }
        told
    }
}

fn answering(ip: Ipv4Addr) -> Option<SocketAddr> {
    (!ip.is_unspecified()).then_some(SocketAddr::new(IpAddr::V4(ip), 0))
}

/// The local address to answer from. `None` for a multicast group, from which nothing can be sent, and
/// for an IPv4-mapped address, which IP_PKTINFO says more about.
fn answering_v6(info: &libc::in6_pktinfo) -> Option<SocketAddr> {
    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
    if ip.is_multicast() || ip.is_unspecified() || ip.to_ipv4_mapped().is_some() {
        return None;
    }
    let scope = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
    Some(SocketAddrV6::new(ip, 0, 0, scope).into())
}
