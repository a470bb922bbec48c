//! Datagrams, as many in one system call as the system can, behind one signature whatever is used.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use socket2::{SockAddr, SockRef};

use super::facts::{Fetch, Offload, Received};
use super::retry::again;
use super::system;
use super::unix::datagrams::{self, Recipient};
use crate::peer::{Address, Route};

/// What became of a train that was to be sent.
#[derive(Debug)]
pub(crate) struct Sent {
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
    batched: Option<system::BatchReceiver>,
    fetch: Fetch,
}

impl Receiver {
    /// Room for the longest datagram, or the longest train.
    const SLOT: usize = 64 * 1024;

    /// Bytes that the buffer should have.
    pub(crate) const ROOM: usize = system::RECEIVE_BATCH * Self::SLOT;

    /// A receiver for this socket.
    #[must_use]
    pub(crate) fn new(socket: impl AsFd, offload: Offload, fetch: Fetch) -> Self {
        let batched = (offload == Offload::All && fetch == Fetch::Many)
            .then(|| system::BatchReceiver::new(socket.as_fd()))
            .flatten();
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

/// Sends datagrams, as many at a time as the system can.
#[derive(Debug)]
pub(crate) struct Sender {
    /// The way to hand over many at once, where there is one.
    trains: Option<system::Trains>,
}

impl Sender {
    /// A sender that has yet to find out what the system and the route can.
    #[must_use]
    pub(crate) fn new(offload: Offload) -> Self {
        let trains = match offload {
            Offload::All => system::Trains::new(),
            Offload::Portable => None,
        };
        Self { trains }
    }

    /// Sends a train of datagrams of `segment` bytes; empty `bytes` are one empty datagram.
    pub(crate) fn send(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        segment: usize,
        to: Option<&Route>,
    ) -> Sent {
        let to = match to {
            // The kernel cuts no trains for local sockets.
            Some(Route { peer: Address::Unix(path), .. }) => {
                return send_each(socket, bytes, segment, path.as_deref());
            }
            Some(Route { peer: Address::Internet(to), local }) => Some(Recipient::new(*to, *local)),
            None => None,
        };
        let fd = socket.as_fd();
        let mut sent = Sent { bytes: 0, messages: 0, error: None };
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
                Err(cause)
                    if rest.len() > segment
                        && self.trains.as_mut().is_some_and(|trains| trains.lower(&cause)) => {}
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
        if let Some(trains) = &self.trains
            && bytes.len() > segment
        {
            return trains.send(fd, bytes, segment, to);
        }
        let one = &bytes[..bytes.len().min(segment)];
        datagrams::send(fd, one, to)?;
        Ok(one.len())
    }
}

/// Sends datagrams one by one to a local socket with a name.
fn send_each(socket: impl AsFd, bytes: &[u8], segment: usize, to: Option<&Path>) -> Sent {
    let socket = SockRef::from(&socket);
    let mut sent = Sent { bytes: 0, messages: 0, error: None };
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
