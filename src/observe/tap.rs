//! Counters and observers of the traffic of a run.
//!
//! The ends of connections report to a [`Tap`] what they moved and what happened, and must not know
//! which observers there are. Bytes that the kernel moves by itself (splice(2)) cannot be observed,
//! so that is done only while [`Tap::is_watched`] is false.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::net::address::{Address, Protocol};
pub(crate) use crate::observe::activity::Activity;
use crate::observe::connections::Connections;
pub(crate) use crate::observe::course::Side;
use crate::observe::handshake::Handshake;
use crate::observe::hits::Hits;
pub(crate) use crate::observe::link::{Forwarded, Link};

/// The direction of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From us to the peer; of a forwarded link from the client to TO.
    Sent,
    /// From the peer to us; of a forwarded link from TO to the client.
    Received,
}

/// One write or read of a stream, or one datagram.
#[derive(Debug)]
pub(crate) struct Transfer<'a> {
    /// Its direction.
    pub direction: Direction,
    /// The link it belongs to.
    pub link: &'a Link,
    /// The payload.
    pub bytes: &'a [u8],
    /// Payload bytes that passed in this direction on this link before it.
    pub offset: u64,
    /// Its number among the transfers in this direction on this link, from 1.
    pub number: u64,
    /// The full length in bytes of a datagram that was truncated to the buffer.
    pub cut_from: Option<usize>,
}

/// What happened, other than transfers.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A listener is ready.
    Listening {
        /// The protocol.
        protocol: Protocol,
        /// The bound address.
        address: Address,
        /// Whether the user gave port 0, so that the chosen port must be reported.
        must_be_told: bool,
    },
    /// We connected.
    Connected(&'a Link),
    /// A client connected.
    Accepted(&'a Link),
    /// A TLS handshake is over, well or not.
    Tls(&'a Link, &'a Handshake),
    /// The certificate that was made for this run: its SHA-256, in hex digits.
    OwnCertificate(&'a str),
    /// The first datagram of a peer came.
    Peer(&'a Link),
    /// The peer closed its sending half: its FIN was received. Of a forwarded link TO's.
    PeerClosed(&'a Link),
    /// This program closed its sending half: it sent its FIN. Of a forwarded link the client's FIN
    /// was passed on.
    WeClosed(&'a Link),
    /// The connection is over.
    Closed(&'a Link),
    /// The peer reset the connection; reported once per link.
    Reset(&'a Link),
    /// This program resets the connection, because it could not send everything: a FIN would claim
    /// that the data is complete.
    WeReset(&'a Link),
    /// This program, as a forwarder, resets both ends though neither has reset anything.
    CutOff(&'a Link),
    /// An ICMP port unreachable message was received.
    Refused(&'a Link),
    /// The kernel dropped this many datagrams since the last such event.
    Dropped(u64),
    /// An error, which may or may not end the run.
    Error(&'a Error),
    /// A line for `-v`.
    Detail(&'a str),
    /// The counters so far.
    Summary(&'a Summary),
}

/// The counters of a run. Bytes are payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The protocol of the run.
    pub protocol: Protocol,
    /// Time since the run began.
    pub elapsed: Duration,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Datagrams or writes sent.
    pub sent_messages: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Datagrams or reads received.
    pub received_messages: u64,
    /// Datagrams the kernel dropped because the receive buffer was full. It is asked for the count (SO_MEMINFO), which
    /// is the one that SO_RXQ_OVFL (socket(7)) would send along with a later datagram, and is known without one.
    pub kernel_drops: u64,
    /// Datagrams longer than the buffer they were received into.
    pub cut: u64,
    /// UDP peers that have sent a datagram.
    pub peers: u64,
    /// Datagrams received from peers that the access list refuses (`--allow`, `--deny`).
    pub ignored: u64,
    /// Datagrams that could not be sent: the kernel refused them, or had no buffer for too long.
    pub unsent: u64,
    /// The TCP connections that are over.
    pub connections: Connections,
    /// What a bad network that was asked for has done, up and down.
    pub impaired: Option<[Hits; 2]>,
    /// Whether the run has ended; otherwise SIGUSR1 asked for it.
    pub last: bool,
    /// The exit status of a run that has ended.
    pub status: Option<u8>,
}

/// Receives the transfers and events of a run.
pub(crate) trait Observer {
    /// Called for every transfer; `at` is the time since the start of the run.
    fn transfer(&mut self, at: Duration, transfer: &Transfer<'_>);

    /// Called for every event; `at` is the time since the start of the run.
    fn event(&mut self, at: Duration, event: &Event<'_>);

    /// Whether [`transfer`](Self::transfer) is to be called. While no observer wants it, bytes may
    /// be spliced.
    fn wants_bytes(&self) -> bool {
        true
    }

    /// How often [`tick`](Self::tick) is to be called, if at all.
    fn period(&self) -> Option<Duration> {
        None
    }

    /// Called with the counters, at most once in a period; later when the loop is busy.
    fn tick(&mut self, _counters: &Summary) {}
}

/// The counters and the observers of one run.
pub(crate) struct Tap {
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
    impaired: Cell<Option<[Hits; 2]>>,
    connections: Cell<Connections>,
    observers: RefCell<Vec<Box<dyn Observer>>>,
    watched: Cell<bool>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("watched", &self.watched).finish_non_exhaustive()
    }
}

impl Tap {
    /// A tap without observers.
    #[must_use]
    pub(crate) fn new(started: Instant) -> Self {
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
            impaired: Cell::default(),
            connections: Cell::default(),
            observers: RefCell::default(),
            watched: Cell::default(),
        }
    }

    /// Adds an observer.
    pub(crate) fn add(&self, observer: Box<dyn Observer>) {
        self.watched.set(self.watched.get() || observer.wants_bytes());
        self.observers.borrow_mut().push(observer);
    }

    /// Whether an observer wants to see the bytes.
    #[must_use]
    pub(crate) fn is_watched(&self) -> bool {
        self.watched.get()
    }

    /// Reports one datagram or one write that was sent.
    pub(crate) fn sent(&self, link: &Link, bytes: &[u8]) {
        self.sent_unseen(Some(link), bytes.len(), 1);
        if self.is_watched() {
            self.show(Direction::Sent, link, bytes, None);
        }
    }

    /// Counts datagrams or writes whose bytes no observer sees.
    pub(crate) fn sent_unseen(&self, link: Option<&Link>, bytes: usize, messages: usize) {
        add(&self.sent_bytes, bytes as u64);
        add(&self.sent_messages, messages as u64);
        if let Some(link) = link {
            link.sent.count(bytes, messages);
        }
    }

    /// Reports one datagram or one read; `cut_from` is the full length of a truncated datagram.
    pub(crate) fn received(&self, link: &Link, bytes: &[u8], cut_from: Option<usize>) {
        self.received_unseen(Some(link), bytes.len(), 1);
        add(&self.cut, u64::from(cut_from.is_some()));
        if self.is_watched() {
            self.show(Direction::Received, link, bytes, cut_from);
        }
    }

    /// Counts datagrams or reads whose bytes no observer sees.
    pub(crate) fn received_unseen(&self, link: Option<&Link>, bytes: usize, messages: usize) {
        add(&self.received_bytes, bytes as u64);
        add(&self.received_messages, messages as u64);
        if let Some(link) = link {
            link.received.count(bytes, messages);
        }
    }

    /// Counts what has passed over a connection that others used, once it is over. In how many calls is not known.
    pub(crate) fn passed_elsewhere(&self, link: &Link) {
        add(&self.sent_bytes, link.sent_bytes());
        add(&self.received_bytes, link.received_bytes());
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

    /// Counts datagrams received from peers that the access list refuses.
    pub(crate) fn ignored(&self, messages: usize) {
        add(&self.ignored, messages as u64);
    }

    /// Counts datagrams that could not be sent and are lost.
    pub(crate) fn unsent(&self, messages: usize) {
        add(&self.unsent, messages as u64);
    }

    /// Takes the counts of datagrams that were ignored and that could not be sent.
    #[must_use]
    pub(crate) fn take_losses(&self) -> (usize, usize) {
        let take = |counter: &Cell<u64>| usize::try_from(counter.take()).unwrap_or(usize::MAX);
        (take(&self.ignored), take(&self.unsent))
    }

    /// A bad network was asked for: the summary says what it has done.
    pub(crate) fn begin_impairing(&self) {
        self.impaired.set(Some([Hits::default(); 2]));
    }

    /// Counts what the bad network has done more, up and down.
    pub(crate) fn impaired(&self, more: [Hits; 2]) {
        let [up, down] = self.impaired.get().unwrap_or_default();
        self.impaired.set(Some([up + more[0], down + more[1]]));
    }

    /// Reports an event to all observers.
    pub(crate) fn event(&self, event: &Event<'_>) {
        let at = self.started.elapsed();
        match event {
            Event::Peer(_) => add(&self.peers, 1),
            // Reading and writing both meet the reset; it is reported once.
            Event::Reset(link) | Event::WeReset(link) | Event::CutOff(link)
                if link.reset.get().is_some() =>
            {
                return;
            }
            Event::Reset(link) => link.broke(Side::Peers),
            Event::WeReset(link) => link.broke(Side::Ours),
            Event::CutOff(link) => link.broke(Side::Between),
            Event::Connected(link) | Event::Accepted(link) => link.course.begin(at),
            Event::PeerClosed(link) => link.course.peer_closed(at),
            Event::WeClosed(link) => link.course.closed_by(Side::Ours),
            Event::Closed(link) => self.connections.set(self.connections.get().and(link)),
            _ => {}
        }
        for observer in self.observers.borrow_mut().iter_mut() {
            observer.event(at, event);
        }
    }

    /// Gives the counters to the observers.
    pub(crate) fn tick(&self, counters: &Summary) {
        for observer in self.observers.borrow_mut().iter_mut() {
            observer.tick(counters);
        }
    }

    /// Time since the start of the run.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes how many datagrams the kernel has dropped in total, and reports the new ones.
    pub(crate) fn dropped(&self, total: u64) {
        let more = total.saturating_sub(self.kernel_drops.replace(total));
        if more > 0 {
            self.event(&Event::Dropped(more));
        }
    }

    /// The counters so far; `last` when the run has ended.
    #[must_use]
    pub(crate) fn summary(&self, protocol: Protocol, last: bool) -> Summary {
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
            impaired: self.impaired.get(),
            connections: self.connections.get(),
            last,
            status: None,
        }
    }

    /// Payload bytes sent and received.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.sent_bytes.get() + self.received_bytes.get()
    }
}

fn add(counter: &Cell<u64>, more: u64) {
    counter.set(counter.get() + more);
}
