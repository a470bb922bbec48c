//! Datagrams one by one, and the local address that each was sent to: BSD sockets with the advanced
//! interface of RFC 3542 and its like for IPv4.

use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use nix::sys::socket::{self, ControlMessage, MsgFlags, SockaddrStorage};

use super::address_of;
use crate::peer::Route;
use crate::sys::facts::Received;

/// How IPv4 tells, and is told, which of our addresses a datagram goes to or comes from: an address
/// and an interface on Linux and macOS (IP_PKTINFO, ip(7)).
#[cfg(not(target_os = "freebsd"))]
mod own_address {
    use super::{ControlMessage, Ipv4Addr};

    pub(super) use libc::in_pktinfo as Control;
    pub(super) use libc::in_pktinfo as Told;

    pub(super) const KIND: i32 = libc::IP_PKTINFO;

    pub(super) fn control(from: libc::in_addr) -> Control {
        let nothing = libc::in_addr { s_addr: 0 };
        Control { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: nothing }
    }

    pub(super) fn message(control: &Control) -> ControlMessage<'_> {
        ControlMessage::Ipv4PacketInfo(control)
    }

    /// `ipi_addr` is where it was sent to, perhaps a multicast group; `ipi_spec_dst` is the local address
    /// to answer from.
    pub(super) fn answers_from(told: &Told) -> Ipv4Addr {
        Ipv4Addr::from(u32::from_be(told.ipi_spec_dst.s_addr))
    }
}

/// The same on FreeBSD: an address (IP_RECVDSTADDR and IP_SENDSRCADDR, ip(4)).
#[cfg(target_os = "freebsd")]
mod own_address {
    use super::{ControlMessage, Ipv4Addr};

    pub(super) use libc::in_addr as Control;
    pub(super) use libc::in_addr as Told;

    pub(super) const KIND: i32 = libc::IP_RECVDSTADDR;

    pub(super) fn control(from: libc::in_addr) -> Control {
        from
    }

    pub(super) fn message(control: &Control) -> ControlMessage<'_> {
        ControlMessage::Ipv4SendSrcAddr(control)
    }

    /// Where it went, unless that is an address that nothing can be sent from.
    pub(super) fn answers_from(told: &Told) -> Ipv4Addr {
        let went_to = Ipv4Addr::from(u32::from_be(told.s_addr));
        let is_ours = !went_to.is_multicast() && !went_to.is_broadcast();
        if is_ours { went_to } else { Ipv4Addr::UNSPECIFIED }
    }
}

/// The destination of a datagram, and the local address to send it from if that matters, as the
/// kernel wants them.
#[derive(Debug)]
pub(crate) struct Recipient {
    pub(crate) address: SockaddrStorage,
    from: Option<PacketInfo>,
}

/// The local address that a datagram is sent from.
#[derive(Debug)]
enum PacketInfo {
    V4(own_address::Control),
    V6(libc::in6_pktinfo),
}

impl Recipient {
    pub(crate) fn new(to: SocketAddr, from: Option<SocketAddr>) -> Self {
        Self { address: to.into(), from: from.map(PacketInfo::new) }
    }

    /// The control message that names the local address to send from, if one is given.
    pub(crate) fn control(&self) -> Option<ControlMessage<'_>> {
        self.from.as_ref().map(|from| match from {
            PacketInfo::V4(control) => own_address::message(control),
            PacketInfo::V6(info) => ControlMessage::Ipv6PacketInfo(info),
        })
    }
}

impl PacketInfo {
    fn new(from: SocketAddr) -> Self {
        match from {
            SocketAddr::V4(from) => {
                let from = libc::in_addr { s_addr: u32::from(*from.ip()).to_be() };
                Self::V4(own_address::control(from))
            }
            SocketAddr::V6(from) => Self::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: from.ip().octets() },
                ipi6_ifindex: from.scope_id() as _,
            }),
        }
    }
}

/// Sends one datagram.
pub(crate) fn send(fd: BorrowedFd<'_>, bytes: &[u8], to: Option<&Recipient>) -> io::Result<()> {
    let raw = fd.as_raw_fd();
    let sent = match to {
        None => socket::send(raw, bytes, MsgFlags::empty()),
        Some(to) => match to.control() {
            None => socket::sendto(raw, bytes, &to.address, MsgFlags::empty()),
            Some(control) => {
                let slices = [IoSlice::new(bytes)];
                let to = Some(&to.address);
                socket::sendmsg(raw, &slices, &[control], MsgFlags::empty(), to)
            }
        },
    };
    Ok(sent.map(drop)?)
}

/// Bytes for the control messages that may be asked for: an int (UDP_GRO), an `in_pktinfo` and an
/// `in6_pktinfo`, 96 bytes with their headers on 64-bit systems.
const CONTROL: usize = 128;

/// Memory for what the kernel says about one datagram besides its payload: the sender's name and the
/// control messages.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameAndControl {
    /// `struct cmsghdr` must be aligned (cmsg(3)).
    control: [u8; CONTROL],
    name: MaybeUninit<libc::sockaddr_storage>,
}

impl NameAndControl {
    pub(crate) const EMPTY: Self = Self { control: [0; CONTROL], name: MaybeUninit::uninit() };

    /// A header that points the kernel to this memory and to the payload's, which `slice` describes.
    /// Both must outlive the header.
    pub(crate) fn header(&mut self, slice: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: it is a C structure for which all zeroes are a valid value.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = self.name.as_mut_ptr().cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = self.control.as_mut_ptr().cast();
        header.msg_controllen = CONTROL as _;
        header
    }

    /// Reads what the kernel has written. The payload is in `room` of the caller's buffer; `whole` is
    /// the datagram's full length, which may be more than had room (MSG_TRUNC, recv(2)). `combined` is the level and type of the control
    /// message that says that the kernel has combined several datagrams, where there is one.
    pub(crate) fn read(
        &self,
        header: &libc::msghdr,
        whole: usize,
        room: Range<usize>,
        combined: Option<(i32, i32)>,
    ) -> Received {
        let length = whole.min(room.len());
        let told = AncillaryData::read(header, combined);
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
    Ok(label.read(&header, whole, room, None))
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
    fn read(header: &libc::msghdr, combined: Option<(i32, i32)>) -> Self {
        let mut told = Self::default();
        // SAFETY: the kernel has filled in the control buffer that the header describes.
        let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
        while !control.is_null() {
            // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole, aligned header.
            let (level, kind) = unsafe { ((*control).cmsg_level, (*control).cmsg_type) };
            // SAFETY: as above; the data follows the header.
            let data = unsafe { libc::CMSG_DATA(control) };
            match (level, kind) {
                _ if Some((level, kind)) == combined => {
                    // SAFETY: the data of this message is one int (udp(7)), perhaps unaligned.
                    let size: libc::c_int = unsafe { ptr::read_unaligned(data.cast()) };
                    told.segment = usize::try_from(size).ok().filter(|size| *size > 0);
                }
                (libc::IPPROTO_IP, own_address::KIND) => {
                    // SAFETY: the data of this message is of this type, perhaps unaligned.
                    let info: own_address::Told = unsafe { ptr::read_unaligned(data.cast()) };
                    told.local = answering(own_address::answers_from(&info));
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
    let scope = if ip.is_unicast_link_local() { info.ipi6_ifindex as _ } else { 0 };
    Some(SocketAddrV6::new(ip, 0, 0, scope).into())
}
