//! What passes the sockets, for everything that must know of it: counters and observers.
//!
//! The socket ends tell a [`Tap`] what they moved and what happened; they do not know who
//! listens. Observers see every byte, so the fast ways that move bytes unseen are open only
//! while [`Tap::is_watched`] is false.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::error::Error;
use crate::net::address::{Address, Protocol, transport};
use crate::net::socket;

/// One peer of one socket, and what has passed between them.
#[derive(Debug)]
pub struct Link {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Our end.
    pub local: Address,
    /// The peer's end.
    pub peer: Address,
    sent: DirectionCount,
    received: DirectionCount,
    reset: Cell<Option<Side>>,
}

/// One of the two ends of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This program.
    Ours,
    /// The peer, or the network in its place.
    Peers,
}

/// One direction of a link.
#[derive(Debug, Default)]
struct DirectionCount {
    bytes: Cell<u64>,
    messages: Cell<u64>,
}

impl DirectionCount {
    fn count(&self, bytes: usize, messages: usize) {
        add(&self.bytes, bytes as u64);
        add(&self.messages, messages as u64);
    }
}

/// How much has passed at one connection or service. Both numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Reads or datagrams that came.
    pub arrived: u64,
    /// Reads, writes and datagrams, both ways together.
    pub moved: u64,
}

impl Activity {
    /// So many reads or datagrams came.
    pub fn received(&mut self, messages: usize) {
        self.arrived += messages as u64;
        self.moved += messages as u64;
    }

    /// So many writes or datagrams left.
    pub fn sent(&mut self, messages: usize) {
        self.moved += messages as u64;
    }
}

impl Add for Activity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { arrived: self.arrived + other.arrived, moved: self.moved + other.moved }
    }
}

impl Sub for Activity {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { arrived: self.arrived - before.arrived, moved: self.moved - before.moved }
    }
}

impl Link {
    /// A link on which nothing has passed yet.
    #[must_use]
    pub fn new(protocol: Protocol, local: impl Into<Address>, peer: impl Into<Address>) -> Self {
        let (sent, received) = (DirectionCount::default(), DirectionCount::default());
        Self {
            protocol,
            local: local.into(),
            peer: peer.into(),
            sent,
            received,
            reset: Cell::new(None),
        }
    }

    /// A link between this socket and its peer.
    #[must_use]
    pub fn of(socket: &Socket, protocol: Protocol, peer: Address) -> Self {
        let local = socket::local_address(socket).unwrap_or_else(|| peer.clone());
        Self::new(protocol, local, peer)
    }

    /// The protocol as people name it: `tcp`, `udp`, or `unix` for both kinds of local sockets.
    #[must_use]
    pub fn transport(&self) -> &'static str {
        transport(self.protocol, &self.local)
    }

    /// Whether it is a TCP connection.
    #[must_use]
    pub fn is_tcp(&self) -> bool {
        self.protocol == Protocol::Tcp && matches!(self.peer, Address::Internet(_))
    }

    /// How much has passed.
    #[must_use]
    pub fn activity(&self) -> Activity {
        let arrived = self.received.messages.get();
        Activity { arrived, moved: arrived + self.sent.messages.get() }
    }

    /// Payload bytes that have been sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent.bytes.get()
    }

    /// Payload bytes that have been received so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        self.received.bytes.get()
    }

    /// Whether the connection broke.
    #[must_use]
    pub fn reset_by(&self) -> Option<Side> {
        self.reset.get()
    }
}

impl fmt::Display for Link {
    /// `ADDR:PORT (tcp)`, the peer's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.peer, self.transport())
    }
}

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From us to the peer.
    Sent,
    /// From the peer to us.
    Received,
}

/// One write or read of a stream, or one datagram.
#[derive(Debug)]
pub struct Transfer<'a> {
    /// Which way.
    pub direction: Direction,
    /// Between whom.
    pub link: &'a Link,
    /// The payload.
    pub bytes: &'a [u8],
    /// Payload bytes that went this way on this link before.
    pub offset: u64,
    /// Counts the transfers this way on this link, from 1.
    pub number: u64,
    /// The length of a datagram that did not fit the buffer.
    pub cut_from: Option<usize>,
}

/// What happened besides bytes passing.
#[derive(Debug)]
pub enum Event<'a> {
    /// A listener is ready.
    Listening {
        /// The protocol.
        protocol: Protocol,
        /// The bound address.
        address: Address,
        /// Whether the user left the port to the system and so must be told.
        must_be_told: bool,
    },
    /// We connected.
    Connected(&'a Link),
    /// A client connected.
    Accepted(&'a Link),
    /// The first datagram of a peer came.
    Peer(&'a Link),
    /// The peer closed its half: its FIN came.
    PeerClosed(&'a Link),
    /// We closed our half: our FIN is sent.
    WeClosed(&'a Link),
    /// The connection is over.
    Closed(&'a Link),
    /// The connection broke; told once.
    Reset(&'a Link),
    /// We end the connection with a reset: what was sent is not all that was to be sent.
    WeReset(&'a Link),
    /// The network said that nobody is there (ICMP port unreachable).
    Refused(&'a Link),
    /// This many more datagrams were dropped by the kernel since the last word of it.
    Dropped(u64),
    /// Something went wrong; the run may go on.
    Error(&'a Error),
    /// Worth a line with `-v`.
    Detail(&'a str),
    /// The counters so far.
    Summary(&'a Summary),
}

/// The counters of a run. Bytes are payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// What the run is about.
    pub protocol: Protocol,
    /// Since the run began.
    pub elapsed: Duration,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Datagrams or writes sent.
    pub sent_messages: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Datagrams or reads received.
    pub received_messages: u64,
    /// Datagrams the kernel dropped because the receive buffer was full (SO_RXQ_OVFL, socket(7)).
    pub kernel_drops: u64,
    /// Datagrams longer than the buffer they were received into.
    pub cut: u64,
    /// UDP peers heard.
    pub peers: u64,
    /// Datagrams of peers that may not come in (`--allow`, `--deny`).
    pub ignored: u64,
    /// Datagrams that could not be sent: the system refused them, or had no room for too long.
    pub unsent: u64,
    /// Whether it is printed because the run has ended.
    pub last: bool,
}

/// Somebody who wants to know.
pub trait Observer {
    /// Bytes passed, `at` after the start of the run.
    fn transfer(&mut self, at: Duration, transfer: &Transfer<'_>);

    /// Something happened, `at` after the start of the run.
    fn event(&mut self, at: Duration, event: &Event<'_>);

    /// Whether it wants to see bytes, or only events.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// How often it wants to hear of the counters, if at all.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// The counters now. Comes late when the loop is busy, and never twice within a period.
    fn tick(&mut self, _counters: &Summary) {}
}

/// Counters and observers of one run.
pub struct Tap {
    started: Instant,
    sent_bytes: Cell<u64>,
    sent_messages: Cell<u64>,
    received_bytes: Cell<u64>,
    received_messages: Cell<u64>,
    cut: Cell<u64>,
    kernel_drops: Cell<u64>,
    peers: Cell<u64>,
    ignored: Cell<u64>,
    unsent: Cell<u64>,
    observers: RefCell<Vec<Box<dyn Observer>>>,
    watched: Cell<bool>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Tap {
    /// A tap that nobody listens to yet.
    #[must_use]
    pub fn new(started: Instant) -> Self {
        Self {
            started,
            sent_bytes: Cell::default(),
            sent_messages: Cell::default(),
            received_bytes: Cell::default(),
            received_messages: Cell::default(),
            cut: Cell::default(),
            kernel_drops: Cell::default(),
            peers: Cell::default(),
            ignored: Cell::default(),
            unsent: Cell::default(),
            observers: RefCell::default(),
            watched: Cell::default(),
        }
    }

    /// Adds somebody who wants to know.
    pub fn add(&self, observer: Box<dyn Observer>) {
        self.watched.set(self.watched.get() || observer.wants_bytes());
        self.observers.borrow_mut().push(observer);
    }

    /// Whether somebody wants to see the bytes that pass.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watched.get()
    }

    /// One message, or one write, left.
    pub fn sent(&self, link: &Link, bytes: &[u8]) {
        self.sent_unseen(Some(link), bytes.len(), 1);
        if self.is_watched() {
            self.show(Direction::Sent, link, bytes, None);
        }
    }

    /// Messages or writes left that nobody wanted to see.
    pub fn sent_unseen(&self, link: Option<&Link>, bytes: usize, messages: usize) {
        add(&self.sent_bytes, bytes as u64);
        add(&self.sent_messages, messages as u64);
        if let Some(link) = link {
            link.sent.count(bytes, messages);
        }
    }

    /// One message, or one read, came; `cut_from` is the length of a datagram that was cut.
    pub fn received(&self, link: &Link, bytes: &[u8], cut_from: Option<usize>) {
        self.received_unseen(Some(link), bytes.len(), 1);
        add(&self.cut, u64::from(cut_from.is_some()));
        if self.is_watched() {
            self.show(Direction::Received, link, bytes, cut_from);
        }
    }

    /// Messages or reads came that nobody wanted to see.
    pub fn received_unseen(&self, link: Option<&Link>, bytes: usize, messages: usize) {
        add(&self.received_bytes, bytes as u64);
        add(&self.received_messages, messages as u64);
        if let Some(link) = link {
            link.received.count(bytes, messages);
        }
    }

    fn show(&self, direction: Direction, link: &Link, bytes: &[u8], cut_from: Option<usize>) {
        let flow = match direction {
            Direction::Sent => &link.sent,
            Direction::Received => &link.received,
        };
        let offset = flow.bytes.get() - bytes.len() as u64;
        let number = flow.messages.get();
        let transfer = Transfer { direction, link, bytes, offset, number, cut_from };
        let at = self.started.elapsed();
        for observer in self.observers.borrow_mut().iter_mut().filter(|o| o.wants_bytes()) {
            observer.transfer(at, &transfer);
        }
    }

    /// Datagrams came whose sender may not come in.
    pub fn ignored(&self, messages: usize) {
        add(&self.ignored, messages as u64);
    }

    /// Datagrams are lost that could not be sent.
    pub fn unsent(&self, messages: usize) {
        add(&self.unsent, messages as u64);
    }

    /// Something happened.
    pub fn event(&self, event: &Event<'_>) {
        match event {
            Event::Peer(_) => add(&self.peers, 1),
            // Both directions of a connection notice that it broke.
            Event::Reset(link) | Event::WeReset(link) if link.reset.get().is_some() => return,
            Event::Reset(link) => link.reset.set(Some(Side::Peers)),
            Event::WeReset(link) => link.reset.set(Some(Side::Ours)),
            _ => {}
        }
        let at = self.started.elapsed();
        for observer in self.observers.borrow_mut().iter_mut() {
            observer.event(at, event);
        }
    }

    /// Tells the counters to those who asked for them regularly.
    pub fn tick(&self, counters: &Summary) {
        for observer in self.observers.borrow_mut().iter_mut() {
            observer.tick(counters);
        }
    }

    /// Time since the start of the run.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The kernel has dropped this many datagrams in all.
    pub fn dropped(&self, total: u64) {
        let more = total.saturating_sub(self.kernel_drops.replace(total));
        if more > 0 {
            self.event(&Event::Dropped(more));
        }
    }

    /// The counters so far; `last` when the run has ended.
    #[must_use]
    pub fn summary(&self, protocol: Protocol, last: bool) -> Summary {
        Summary {
            protocol,
            elapsed: self.started.elapsed(),
            sent_bytes: self.sent_bytes.get(),
            sent_messages: self.sent_messages.get(),
            received_bytes: self.received_bytes.get(),
            received_messages: self.received_messages.get(),
            kernel_drops: self.kernel_drops.get(),
            cut: self.cut.get(),
            peers: self.peers.get(),
            ignored: self.ignored.get(),
            unsent: self.unsent.get(),
            last,
        }
    }

    /// Payload bytes that have passed, both ways together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent_bytes.get() + self.received_bytes.get()
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}
