//! One peer of one socket, and how much has passed between them and us.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use socket2::Socket;

use crate::net::address::{Address, Protocol, transport};
use crate::net::socket;
use crate::observe::activity::Activity;
use crate::observe::course::{Course, Side};

/// One peer of one socket, and what has passed between them.
#[derive(Debug)]
pub(crate) struct Link {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Our end.
    pub local: Address,
    /// The peer's end.
    pub peer: Address,
    pub(super) sent: DirectionCount,
    pub(super) received: DirectionCount,
    pub(super) reset: Cell<Option<Side>>,
    is_counted: Cell<bool>,
    /// The number of the client whose connection it is one end of; 0 where there is no forwarder.
    client: u64,
    /// How the connection went.
    pub course: Course,
    /// What a forwarder adds; `None` where this program is one of the two ends.
    pub forwarded: Option<Forwarded>,
}

/// What passes between a client and TO by way of a forwarder. Its [`Link`] is seen from the client:
/// `local` is the client, `peer` is TO, and what is sent goes from the one to the other.
#[derive(Debug)]
pub(crate) struct Forwarded {
    /// The number of the client, from 1.
    pub client: u64,
    /// When the client came, since the start of the run.
    pub came: Duration,
    /// Our address that the client has reached.
    pub near: Address,
    /// Our address towards TO; [`near`](Self::near) while there is no connection to it.
    pub far: Address,
}

/// One direction of a link.
#[derive(Debug, Default)]
pub(super) struct DirectionCount {
    pub(super) bytes: Cell<u64>,
    pub(super) messages: Cell<u64>,
}

impl DirectionCount {
    pub(super) fn count(&self, bytes: usize, messages: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.messages.set(self.messages.get() + messages as u64);
    }
}

impl Link {
    /// A link on which nothing has passed yet.
    #[must_use]
    pub(crate) fn new(
        protocol: Protocol,
        local: impl Into<Address>,
        peer: impl Into<Address>,
    ) -> Self {
        let (sent, received) = (DirectionCount::default(), DirectionCount::default());
        Self {
            protocol,
            local: local.into(),
            peer: peer.into(),
            sent,
            received,
            reset: Cell::new(None),
            course: Course::default(),
            client: 0,
            forwarded: None,
            is_counted: Cell::new(true),
        }
    }

    /// A link between this socket and its peer.
    #[must_use]
    pub(crate) fn of(socket: &Socket, protocol: Protocol, peer: Address) -> Self {
        let local = socket::local_address(socket).unwrap_or_else(|| peer.clone());
        Self::new(protocol, local, peer)
    }

    /// The same link, of a client of a forwarder.
    #[must_use]
    pub(crate) fn of_client(self, forwarded: Forwarded) -> Self {
        Self { client: forwarded.client, forwarded: Some(forwarded), ..self }
    }

    /// The same link as one side of a forwarder, for the client with this number: this program is one of its two
    /// ends.
    #[must_use]
    pub(crate) fn numbered(self, client: u64) -> Self {
        Self { client, ..self }
    }

    /// The number of a forwarder's client, from 1; 0 where there is no forwarder.
    #[must_use]
    pub(crate) fn client_number(&self) -> u64 {
        self.client
    }

    /// How long it has been there at this time of the run: a forwarder's client since it came, as it came before it
    /// was connected to anything.
    #[must_use]
    pub(crate) fn duration(&self, at: Duration) -> Duration {
        match &self.forwarded {
            Some(forwarded) => at.saturating_sub(forwarded.came),
            None => self.course.duration(at),
        }
    }

    /// The name of a forwarder's client in lines for people: `#1 127.0.0.1:53412`.
    #[must_use]
    pub(crate) fn client_name(&self) -> String {
        format!("#{} {}", self.client_number(), self.local)
    }

    /// What has passed on another link counts here.
    pub(crate) fn continue_from(&self, before: &Self) {
        for (own, earlier) in [(&self.sent, &before.sent), (&self.received, &before.received)] {
            own.bytes.set(earlier.bytes.get());
            own.messages.set(earlier.messages.get());
        }
        if let Some(side) = before.course.closed_first() {
            self.course.closed_by(side);
        }
    }

    /// The same link, where what passes does not pass here, and nobody has counted it yet.
    #[must_use]
    pub(crate) fn uncounted(self) -> Self {
        self.is_counted.set(false);
        self
    }

    /// Payload bytes that have passed, as somebody else has counted them.
    pub(crate) fn set_bytes(&self, sent: u64, received: u64) {
        self.is_counted.set(true);
        self.sent.bytes.set(sent);
        self.received.bytes.set(received);
    }

    /// Whether it is known how much has passed.
    #[must_use]
    pub(crate) fn is_counted(&self) -> bool {
        self.is_counted.get()
    }

    /// The protocol as people name it: `tcp`, `udp`, or `unix` for both kinds of local sockets.
    #[must_use]
    pub(crate) fn transport(&self) -> &'static str {
        transport(self.protocol, &self.local)
    }

    /// Whether it is a TCP connection.
    #[must_use]
    pub(crate) fn is_tcp(&self) -> bool {
        self.protocol == Protocol::Tcp && matches!(self.peer, Address::Internet(_))
    }

    /// How much has passed.
    #[must_use]
    pub(crate) fn activity(&self) -> Activity {
        let arrived = self.received.messages.get();
        Activity { arrived, moved: arrived + self.sent.messages.get() }
    }

    /// Payload bytes that have been sent so far.
    #[must_use]
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent.bytes.get()
    }

    /// Payload bytes that have been received so far.
    #[must_use]
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received.bytes.get()
    }

    /// One side has reset the connection.
    pub(super) fn broke(&self, side: Side) {
        self.reset.set(Some(side));
        self.course.closed_by(side);
    }

    /// Whether the connection broke.
    #[must_use]
    pub(crate) fn reset_by(&self) -> Option<Side> {
        self.reset.get()
    }
}

impl fmt::Display for Link {
    /// `ADDR:PORT (tcp)`, the peer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.peer, self.transport())
    }
}
