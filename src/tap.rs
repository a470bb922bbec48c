//! What passed a socket: counters, for the summary and for everything that must know of traffic.
//!
//! The socket ends tell a tap what they moved; they do not know who listens.

use std::cell::Cell;

/// Counters of one run. Bytes are payload bytes.
#[derive(Debug, Default)]
pub struct Tap {
    /// Payload bytes sent.
    pub sent_bytes: Cell<u64>,
    /// Datagrams or writes sent.
    pub sent_messages: Cell<u64>,
    /// Payload bytes received.
    pub received_bytes: Cell<u64>,
    /// Datagrams or reads received.
    pub received_messages: Cell<u64>,
    /// Datagrams longer than the buffer they were received into.
    pub cut: Cell<u64>,
    /// Datagrams the kernel dropped because the receive buffer was full (SO_RXQ_OVFL, socket(7)).
    pub kernel_drops: Cell<u64>,
    /// UDP peers heard.
    pub peers: Cell<u64>,
}

impl Tap {
    /// One message, or one write, of `bytes` left.
    pub fn sent(&self, bytes: usize) {
        self.sent_many(bytes, 1);
    }

    /// `messages` of together `bytes` left.
    pub fn sent_many(&self, bytes: usize, messages: usize) {
        self.sent_bytes.set(self.sent_bytes.get() + bytes as u64);
        self.sent_messages
            .set(self.sent_messages.get() + messages as u64);
    }

    /// One message, or one read, of `bytes` came.
    pub fn received(&self, bytes: usize) {
        self.received_bytes
            .set(self.received_bytes.get() + bytes as u64);
        self.received_messages.set(self.received_messages.get() + 1);
    }

    /// A number that changes with every transfer.
    #[must_use]
    pub fn activity(&self) -> u64 {
        self.sent_messages.get() + self.received_messages.get()
    }
}
