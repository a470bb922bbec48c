//! Linux: many datagrams in one system call.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use nix::sys::socket::{self, ControlMessage, MsgFlags, SockaddrLike as _, setsockopt, sockopt};

use crate::sys::facts::Received;
use crate::sys::unix::datagrams::{Label, Recipient, send};

/// The most datagrams the kernel cuts out of one call: UDP_MAX_SEGMENTS of current kernels, and of
/// those before Linux 6.9.
const MOST_SEGMENTS: usize = 128;
const MOST_SEGMENTS_BEFORE: usize = 64;

/// The most bytes of one segmented call: it is one IPv4 packet until it is cut (udp(7)).
const LONGEST_TRAIN: usize = 65_507;

/// What a control message says that tells of a train (UDP_GRO, udp(7)).
const TRAIN: (i32, i32) = (libc::SOL_UDP, libc::UDP_GRO);

/// Asks for the address that each datagram was sent to (IP_PKTINFO, ip(7); IPV6_RECVPKTINFO,
/// ipv6(7)). A socket for both families wants both.
pub(crate) fn tell_destinations(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?)
}

/// How a train of datagrams is handed to the system; what is refused is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// The whole train at once, at most so many datagrams: the kernel cuts it (UDP_SEGMENT).
    Segmented(usize),
    /// Many datagrams in one call (sendmmsg(2)).
    Batched,
    /// One by one.
    Single,
}

/// Hands over many datagrams at a time.
#[derive(Debug)]
pub(crate) struct Trains {
    handover: Handover,
}

impl Trains {
    /// It has yet to find out what the kernel and the route can.
    pub(crate) fn new() -> Option<Self> {
        Some(Self { handover: Handover::Segmented(MOST_SEGMENTS) })
    }

    /// Sends the front of a train of more than one datagram; how many of its bytes left, always whole
    /// datagrams.
    pub(crate) fn send(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        segment: usize,
        to: Option<&Recipient>,
    ) -> io::Result<usize> {
        match self.handover {
            Handover::Segmented(most) => {
                let most = most.min(LONGEST_TRAIN / segment).max(1);
                let train = &bytes[..bytes.len().min(most * segment)];
                if train.len() > segment {
                    send_segmented(fd, train, segment, to)?;
                    return Ok(train.len());
                }
            }
            Handover::Batched if to.and_then(Recipient::control).is_none() => {
                let messages = send_batched(fd, bytes, segment, to)?;
                return Ok(bytes.len().min(messages * segment));
            }
            Handover::Batched | Handover::Single => {}
        }
        let one = &bytes[..bytes.len().min(segment)];
        send(fd, one, to)?;
        Ok(one.len())
    }

    /// Whether an error may be a refusal of the way a train was handed over, so that the next
    /// way is worth a try: old kernels cut fewer segments, some routes and devices none.
    pub(crate) fn lower(&mut self, cause: &io::Error) -> bool {
        let refusal = matches!(
            cause.raw_os_error(),
            Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOSYS)
        );
        if !refusal {
            return false;
        }
        self.handover = match self.handover {
            Handover::Segmented(MOST_SEGMENTS) => Handover::Segmented(MOST_SEGMENTS_BEFORE),
            Handover::Segmented(_) => Handover::Batched,
            Handover::Batched => Handover::Single,
            Handover::Single => return false,
        };
        true
    }
}

/// Sends a train of datagrams at once: the kernel cuts it into those of `segment` bytes
/// (UDP_SEGMENT, udp(7)).
fn send_segmented(
    fd: BorrowedFd<'_>,
    bytes: &[u8],
    segment: usize,
    to: Option<&Recipient>,
) -> io::Result<()> {
    let segment = u16::try_from(segment).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut control = Vec::with_capacity(2);
    control.push(ControlMessage::UdpGsoSegments(&segment));
    control.extend(to.and_then(Recipient::control));
    let to = to.map(|to| &to.address);
    let slices = [IoSlice::new(bytes)];
    let raw = fd.as_raw_fd();
    Ok(socket::sendmsg(raw, &slices, &control, MsgFlags::empty(), to).map(drop)?)
}

/// Datagrams in one sendmmsg(2).
const SEND_BATCH: usize = 64;

/// Hands over many datagrams in one call; how many of them left. They come from where the system
/// chooses.
fn send_batched(
    fd: BorrowedFd<'_>,
    train: &[u8],
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
pub(crate) const RECEIVE_BATCH: usize = 16;

/// Receives many datagrams in one call, trains of them unseparated (UDP_GRO, udp(7)).
#[derive(Debug)]
pub(crate) struct BatchReceiver {
    labels: Box<[Label; RECEIVE_BATCH]>,
}

impl BatchReceiver {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Option<Self> {
        // A kernel that knows no trains delivers one datagram at a time: nothing is lost.
        let _ = setsockopt(&fd, sockopt::UdpGroSegment, &true);
        Some(Self { labels: Box::new([Label::EMPTY; RECEIVE_BATCH]) })
    }

    /// Receives until the socket is empty or the buffer's slots are used.
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
        // SAFETY: the first `count` headers point to rooms of the buffer and labels that are
        // exclusively borrowed and outlive the call, with their true lengths.
        let got = unsafe {
            libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags as _, ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(got).enumerate() {
            let room = i * slot..(i + 1) * slot;
            into.push(self.labels[i].read(
                &header.msg_hdr,
                header.msg_len as usize,
                room,
                Some(TRAIN),
            ));
        }
        Ok(())
    }
}
