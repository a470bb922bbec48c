//! Linux: many datagrams in one system call.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use nix::sys::socket::{self, ControlMessage, MsgFlags, SockaddrLike as _, setsockopt, sockopt};

use crate::sys::facts::Received;
use crate::sys::unix::datagrams::{NameAndControl, Recipient, send};

/// The most datagrams in one call with UDP_SEGMENT: the kernel's UDP_MAX_SEGMENTS, since Linux 6.9
/// and before that.
const MOST_SEGMENTS: usize = 128;
const MOST_SEGMENTS_BEFORE: usize = 64;

/// The most bytes of one call with UDP_SEGMENT: inside the kernel they are one IPv4 packet until they
/// are cut (udp(7)).
const LONGEST_SEGMENTED: usize = 65_507;

/// The control message that says that the kernel has combined several datagrams (UDP_GRO, udp(7)).
const COMBINED: (i32, i32) = (libc::SOL_UDP, libc::UDP_GRO);

/// See [`tell_destinations`](crate::sys::tell_destinations). A dual-stack socket needs both options.
pub(crate) fn tell_destinations(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    Ok(setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?)
}

/// The interface by which a segmented buffer is sent. One that the kernel has refused is not tried
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handover {
    /// At most this many datagrams in one sendmsg(2); the kernel cuts them apart (UDP_SEGMENT, udp(7)).
    Segmented(usize),
    /// Many datagrams in one sendmmsg(2).
    Batched,
    /// One sendmsg(2) for each datagram.
    Single,
}

/// Sends segmented buffers, as many datagrams in one call as the kernel, the route and the device
/// support.
#[derive(Debug)]
pub(crate) struct BatchSender {
    handover: Handover,
}

impl BatchSender {
    pub(crate) fn new() -> Option<Self> {
        Some(Self { handover: Handover::Segmented(MOST_SEGMENTS) })
    }

    /// Sends the front of a segmented buffer of more than one datagram; how many of its bytes were sent,
    /// which are always whole datagrams.
    pub(crate) fn send(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        segment: usize,
        to: Option<&Recipient>,
    ) -> io::Result<usize> {
        match self.handover {
            Handover::Segmented(most) => {
                let most = most.min(LONGEST_SEGMENTED / segment).max(1);
                let front = &bytes[..bytes.len().min(most * segment)];
                if front.len() > segment {
                    send_segmented(fd, front, segment, to)?;
                    return Ok(front.len());
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

    /// Changes to the next slower interface if this error may mean that the present one is not
    /// supported; whether it did. Older kernels cut fewer segments, some routes and devices none.
    ///
    /// Nor is it used for a device that is too slow: the queue of one that cuts a segmented buffer, as tc-tbf(8)
    /// does, says that it is full only when it has dropped all of the datagrams, not some.
    pub(crate) fn fall_back(&mut self, cause: &io::Error) -> bool {
        if let (Handover::Segmented(_), Some(libc::ENOBUFS)) = (self.handover, cause.raw_os_error())
        {
            self.handover = Handover::Batched;
            return true;
        }
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

/// Sends several datagrams at once: the kernel cuts `bytes` into datagrams of `segment` bytes
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

/// The most datagrams in one sendmmsg(2).
const SEND_BATCH: usize = 64;

/// Sends up to [`SEND_BATCH`] datagrams in one sendmmsg(2); how many were sent. The kernel chooses the
/// local address they are sent from.
fn send_batched(
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

/// Receives many datagrams in one recvmmsg(2), and those of one sender combined into segmented buffers
/// (UDP_GRO, udp(7)).
#[derive(Debug)]
pub(crate) struct BatchReceiver {
    labels: Box<[NameAndControl; RECEIVE_BATCH]>,
}

impl BatchReceiver {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Option<Self> {
        // A kernel without UDP_GRO delivers each datagram by itself: nothing is lost.
        let _ = setsockopt(&fd, sockopt::UdpGroSegment, &true);
        Some(Self { labels: Box::new([NameAndControl::EMPTY; RECEIVE_BATCH]) })
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
            libc::recvmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, flags as _, ptr::null_mut())
        };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(got).enumerate() {
            let room = i * slot..(i + 1) * slot;
            into.push(self.labels[i].read(
                &header.msg_hdr,
                header.msg_len as usize,
                room,
                Some(COMBINED),
            ));
        }
        Ok(())
    }
}
