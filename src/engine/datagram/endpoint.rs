//! The socket itself: what is sent and received through it, and whether it may be ready.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::patience::Patience;
use crate::io::latch::Latch;
use crate::net::address::{Address, Route};
use crate::net::socket;
use crate::sys::{Fetch, Offload, Received, Receiver, SendOutcome, Sender, errno};

/// A non-blocking datagram socket that the reactor watches. It knows nothing of peers.
pub(super) struct Endpoint {
    pub socket: Rc<Socket>,
    pub latch: Rc<Latch>,
    /// Its address.
    pub local: Address,
    receiver: Receiver,
    sender: Sender,
    /// For a place in the queue of the device.
    patience: Patience,
    offload: Offload,
    fetch: Fetch,
}

impl Endpoint {
    /// Takes a socket; `offload` and `fetch` say how datagrams pass it.
    pub(super) fn new(
        socket: Rc<Socket>,
        latch: Rc<Latch>,
        offload: Offload,
        fetch: Fetch,
    ) -> Self {
        let local = socket::local_address(&socket).unwrap_or(Address::Unix(None));
        // To a local socket, several datagrams in one call would be one datagram.
        let sending = if local.internet().is_some() { offload } else { Offload::Portable };
        Self {
            receiver: Receiver::new(&*socket, offload, fetch),
            sender: Sender::new(sending),
            patience: Patience::default(),
            socket,
            latch,
            local,
            offload,
            fetch,
        }
    }

    /// Another socket, used in the same way.
    pub(super) fn like(&self, socket: Rc<Socket>, latch: Rc<Latch>) -> Self {
        Self::new(socket, latch, self.offload, self.fetch)
    }

    /// Receives what has come into `room`, and says in `received` what it is.
    ///
    /// # Errors
    /// Those of recvmsg(2). What came before is received all the same.
    pub(super) fn receive(
        &mut self,
        room: &mut [u8],
        received: &mut Vec<Received>,
    ) -> io::Result<()> {
        let result = self.receiver.receive(&*self.socket, room, received);
        if result.as_ref().is_err_and(|cause| cause.kind() == io::ErrorKind::WouldBlock) {
            self.latch.not_readable();
        }
        result
    }

    /// Sends datagrams of `segment` bytes each, the last one possibly shorter; a socket that is
    /// connected needs no `to`.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize, to: Option<&Route>) -> SendOutcome {
        let sent = self.sender.send(&*self.socket, bytes, segment, to);
        if sent.messages > 0 {
            self.patience.found_room();
        }
        match &sent.error {
            Some(cause) if cause.kind() == io::ErrorKind::WouldBlock => self.latch.not_writable(),
            Some(cause) if self.is_full(cause, bytes, segment) => {
                self.patience.found_none(Instant::now());
            }
            Some(_) | None => {}
        }
        sent
    }

    /// Whether sending is worth a try.
    pub(super) fn has_room(&self) -> bool {
        self.latch.writable() && self.again_at().is_none_or(|at| Instant::now() >= at)
    }

    /// When it is worth a try though no event tells; that may have passed.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.patience.again_at().filter(|_| self.latch.writable())
    }

    /// Whether what met this error is to be sent again: the queue of the device is full, and not yet for so
    /// long that what waits is lost.
    pub(super) fn finds_room_soon(&self, cause: &io::Error, bytes: &[u8], segment: usize) -> bool {
        self.is_full(cause, bytes, segment) && !self.patience.is_over(Instant::now())
    }

    /// Whether the queue of the device is full. Linux says the same of a datagram whose fragments are more
    /// than the send buffer takes at once (`__ip_append_data`), for which no waiting helps.
    fn is_full(&self, cause: &io::Error, bytes: &[u8], segment: usize) -> bool {
        errno::is_full(cause)
            && self.socket.send_buffer_size().is_ok_and(|size| bytes.len().min(segment) <= size)
    }
}
