//! Sending and receiving datagrams, as many in one system call as the system can.
//!
//! Several datagrams to or from one peer stand in one [segmented] buffer. That is the
//! form in which the kernel cuts them apart (UDP_SEGMENT) and puts them together (UDP_GRO, udp(7)).
//! Where it does not, the same buffers are sent datagram by datagram.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use socket2::SockRef;

use super::facts::{Fetch, Offload, Received};
use super::names::unix_address;
use super::retry::again;
use super::segmented;
use super::system;
use super::unix::datagrams::{self, Recipient};
use crate::peer::{Address, Route};

/// How much of a segmented buffer was sent.
#[derive(Debug)]
pub(crate) struct SendOutcome {
    /// Bytes handed to the kernel.
    pub bytes: usize,
    /// Datagrams handed to the kernel.
    pub messages: usize,
    /// Why the rest was not sent, if there is a rest.
    pub error: Option<io::Error>,
}

/// Receives datagrams: many in one call, or one by one.
#[derive(Debug)]
pub(crate) struct Receiver {
    batched: Option<system::BatchReceiver>,
    fetch: Fetch,
}

impl Receiver {
    /// Bytes of buffer for each datagram or segmented buffer: more than the longest can have.
    const SLOT: usize = 64 * 1024;

    /// The size in bytes of the buffer that [`receive`](Self::receive) is best given.
    pub(crate) const ROOM: usize = system::RECEIVE_BATCH * Self::SLOT;

    /// A receiver for this socket. Where it receives many at once, it lets the kernel combine
    /// datagrams (UDP_GRO, udp(7)).
    #[must_use]
    pub(crate) fn new(socket: impl AsFd, offload: Offload, fetch: Fetch) -> Self {
        let batched = (offload == Offload::All && fetch == Fetch::Many)
            .then(|| system::BatchReceiver::new(socket.as_fd()))
            .flatten();
        Self { batched, fetch }
    }

    /// Receives the datagrams that are there, as many as find room in `buffer`, and appends to `into`
    /// where in it they are.
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

/// Sends datagrams, as many at a time as the system can.
#[derive(Debug)]
pub(crate) struct Sender {
    /// Sends many at once, where the system can.
    batched: Option<system::BatchSender>,
}

impl Sender {
    /// A sender that begins with the fastest interface allowed; which ones the kernel, the route and
    /// the device support shows when they are used.
    #[must_use]
    pub(crate) fn new(offload: Offload) -> Self {
        let batched = match offload {
            Offload::All => system::BatchSender::new(),
            Offload::Portable => None,
        };
        Self { batched }
    }

    /// Sends a segmented buffer of datagrams of `segment` bytes each, to the socket's peer or to `to`;
    /// empty `bytes` are one empty datagram. `segment` must be at least 1.
    pub(crate) fn send(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        segment: usize,
        to: Option<&Route>,
    ) -> SendOutcome {
        let to = match to {
            // UDP_SEGMENT is an option of UDP, which local sockets are not.
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
                    sent.messages += segmented::count(n, segment);
                    if sent.bytes == bytes.len() {
                        return sent;
                    }
                }
                Err(cause)
                    if rest.len() > segment
                        && self
                            .batched
                            .as_mut()
                            .is_some_and(|batched| batched.fall_back(&cause)) => {}
                Err(cause) => {
                    sent.error = Some(cause);
                    return sent;
                }
            }
        }
    }

    /// Sends the front of a segmented buffer; how many of its bytes were sent, which are always whole
    /// datagrams.
    fn send_some(
        &self,
        fd: BorrowedFd<'_>,
        bytes: &[u8],
        segment: usize,
        to: Option<&Recipient>,
    ) -> io::Result<usize> {
        if let Some(batched) = &self.batched
            && bytes.len() > segment
        {
            return batched.send(fd, bytes, segment, to);
        }
        let one = &bytes[..bytes.len().min(segment)];
        datagrams::send(fd, one, to)?;
        Ok(one.len())
    }
}

/// Sends datagrams one by one to a local socket that is bound to a path.
fn send_each(socket: impl AsFd, bytes: &[u8], segment: usize, to: Option<&Path>) -> SendOutcome {
    let socket = SockRef::from(&socket);
    let mut sent = SendOutcome { bytes: 0, messages: 0, error: None };
    let to = match to {
        Some(path) => unix_address(path),
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
