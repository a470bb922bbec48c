//! Datagrams, as many in one system call as the system can, behind one signature whatever is used.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use socket2::{SockAddr, SockRef};

use super::facts::{Fetch, Offload, Received};
use super::linux::datagrams::{self, Recipient};
use super::retry::again;
use crate::peer::{Address, Route};

/// What became of a train that was to be sent.
#[derive(Debug)]
pub(crate) struct SendOutcome {
    /// Bytes that left.
    pub bytes: usize,
    /// Datagrams that left.
    pub messages: usize,
    /// Why no more left, if not all did.
    pub error: Option<io::Error>,
}

/// Receives datagrams, as many at a time as the system can and the user wants.
#[derive(Debug)]
pub(crate) struct Receiver {
    batched: Option<datagrams::BatchReceiver>,
    fetch: Fetch,
}

impl Receiver {
    /// Room for the longest datagram, or the longest train.
    const SLOT: usize = 64 * 1024;

    /// Bytes that the buffer should have.
    pub(crate) const ROOM: usize = datagrams::RECEIVE_BATCH * Self::SLOT;

    /// A receiver for this socket.
    #[must_use]
    pub(crate) fn new(socket: impl AsFd, offload: Offload, fetch: Fetch) -> Self {
        let batched = (offload == Offload::All && fetch == Fetch::Many)
            .then(|| datagrams::BatchReceiver::new(socket.as_fd()));
        Self { batched, fetch }
    }

    /// Receives what is there, as much as finds room.
    ///
    /// # Errors
    /// What recvmsg(2) says, `WouldBlock` when nothing is left. Datagrams received before the
    /// error are in `into` all the same.
    pub(crate) fn receive(
        &mut self,
        socket: impl AsFd,
        buffer: &mut [u8],
        into: &mut Vec<Received>,
    ) -> io::Result<()> {
        if let Some(batched) = &mut self.batched {
            return again(|| batched.receive(socket.as_fd(), buffer, Self::SLOT, into));
        }
        let mut at = 0;
        while at + Self::SLOT <= buffer.len() {
            let room = at..at + Self::SLOT;
            let one = again(|| datagrams::receive_one(socket.as_fd(), buffer, room.clone()))?;
            at = one.range.end;
            into.push(one);
            if self.fetch == Fetch::One {
                break;
            }
        }
        Ok(())
    }
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

/// Sends datagrams, as many at a time as the system can.
#[derive(Debug)]
pub(crate) struct Sender {
    handover: Handover,
}

impl Sender {
    /// A sender that has yet to find out what the system and the route can.
    #[must_use]
    pub(crate) fn new(offload: Offload) -> Self {
        let handover = match offload {
            Offload::All => Handover::Segmented(datagrams::MOST_SEGMENTS),
            Offload::Portable => Handover::Single,
        };
        Self { handover }
    }

    /// Sends a train of datagrams of `segment` bytes; empty `bytes` are one empty datagram.
    pub(crate) fn send(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        segment: usize,
        to: Option<&Route>,
    ) -> SendOutcome {
        let to = match to {
            // The kernel cuts no trains for local sockets.
            Some(Route { peer: Address::Unix(path), .. }) => {
                return send_each(socket, bytes, segment, path.as_deref());
            }
            Some(Route { peer: Address::Internet(to), local }) => Some(Recipient::new(*to, *local)),
            None => None,
        };
        let fd = socket.as_fd();
        let mut sent = SendOutcome { bytes: 0, messages: 0, error: None };
        loop {
            let rest = &bytes[sent.bytes..];
            match again(|| self.send_some(fd, rest, segment, to.as_ref())) {
                Ok(n) => {
                    sent.bytes += n;
                    sent.messages += if n == 0 { 1 } else { n.div_ceil(segment) };
                    if sent.bytes == bytes.len() {
                        return sent;
                    }
                }
                Err(cause) if self.lower(&cause, rest.len() > segment) => {}
                Err(cause) => {
                    sent.error = Some(cause);
                    return sent;
                }
            }
        }
    }

    /// Sends the front of a train; how many of its bytes left, always whole datagrams.
    fn send_some(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        segment: usize,
        to: Option<&Recipient>,
    ) -> io::Result<usize> {
        if bytes.len() > segment {
            match self.handover {
                Handover::Segmented(most) => {
                    let most = most.min(datagrams::LONGEST_TRAIN / segment).max(1);
                    let train = &bytes[..bytes.len().min(most * segment)];
                    if train.len() > segment {
                        datagrams::send(fd, train, Some(segment), to)?;
                        return Ok(train.len());
                    }
                }
                Handover::Batched if !to.is_some_and(Recipient::is_picky) => {
                    let messages = datagrams::send_batched(fd, bytes, segment, to)?;
                    return Ok(bytes.len().min(messages * segment));
                }
                Handover::Batched | Handover::Single => {}
            }
        }
        let one = &bytes[..bytes.len().min(segment)];
        datagrams::send(fd, one, None, to)?;
        Ok(one.len())
    }

    /// Whether an error may be a refusal of the way a train was handed over, so that the next
    /// way is worth a try: old kernels cut fewer segments, some routes and devices none.
    fn lower(&mut self, cause: &io::Error, is_train: bool) -> bool {
        let refusal = matches!(
            cause.raw_os_error(),
            Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOSYS)
        );
        if !refusal || !is_train {
            return false;
        }
        self.handover = match self.handover {
            Handover::Segmented(datagrams::MOST_SEGMENTS) => {
                Handover::Segmented(datagrams::MOST_SEGMENTS_BEFORE)
            }
            Handover::Segmented(_) => Handover::Batched,
            Handover::Batched => Handover::Single,
            Handover::Single => return false,
        };
        true
    }
}

/// Sends datagrams one by one to a local socket with a name.
fn send_each(socket: impl AsFd, bytes: &[u8], segment: usize, to: Option<&Path>) -> SendOutcome {
    let socket = SockRef::from(&socket);
    let mut sent = SendOutcome { bytes: 0, messages: 0, error: None };
    let to = match to {
        Some(path) => SockAddr::unix(path),
        None => Err(io::Error::from_raw_os_error(libc::EDESTADDRREQ)),
    };
    loop {
        let end = bytes.len().min(sent.bytes + segment);
        let result = match &to {
            Ok(to) => again(|| socket.send_to(&bytes[sent.bytes..end], to)),
            Err(_) => Err(io::Error::from_raw_os_error(libc::EDESTADDRREQ)),
        };
        if let Err(cause) = result {
            sent.error = Some(cause);
            return sent;
        }
        sent.bytes = end;
        sent.messages += 1;
        if end == bytes.len() {
            return sent;
        }
    }
}
