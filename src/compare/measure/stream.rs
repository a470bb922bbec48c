//! Messages over TCP: the echo is a byte stream, which is cut again where the messages ended.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use socket2::Socket;

use crate::compare::measure::account::{At, Condition};
use crate::compare::measure::carrier::Carrier;
use crate::compare::measure::flow::Delivery;
use crate::compare::measure::ledger::Ledger;
use crate::compare::measure::wire::{self, WireTraffic};
use crate::engine::stream::Transport;
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::observe::tap::{Event, Link, Tap};
use crate::sys::{self, TcpCounts};

/// The most bytes read in one call.
const READ: usize = 64 * 1024;

/// How many reads are made before messages may be sent again.
const BUDGET: usize = 16;

/// A message whose echo has not arrived completely.
#[derive(Debug)]
struct ExpectedEcho {
    number: u64,
    length: usize,
    condition: Condition,
}

/// The client's end of the connection.
pub(crate) struct TcpCarrier {
    transport: Transport,
    peer: SocketAddr,
    link: Link,
    tap: Rc<Tap>,
    /// The part of the last message that has not been sent yet.
    unsent: Vec<u8>,
    /// The bytes whose echo has not arrived, and the messages they belong to.
    bytes: VecDeque<u8>,
    expected: VecDeque<ExpectedEcho>,
    /// Bytes of the first of `expected` that have come.
    come: usize,
    buffer: Vec<u8>,
    /// How many reads have returned data, and how many bytes in all.
    reads: u64,
    bytes_read: u64,
    /// How many messages arrived in one read with nothing else in it.
    boundaries: u64,
    finished: bool,
}

impl TcpCarrier {
    /// Takes a connected socket.
    #[must_use]
    pub(crate) fn new(socket: Socket, latch: Rc<Latch>, peer: SocketAddr, tap: Rc<Tap>) -> Self {
        let link = Link::of(&socket, Protocol::Tcp, peer.into());
        tap.event(&Event::Connected(&link));
        Self {
            transport: Transport::new(socket, latch),
            peer,
            link,
            tap,
            unsent: Vec::new(),
            bytes: VecDeque::new(),
            expected: VecDeque::new(),
            come: 0,
            buffer: vec![0; READ],
            reads: 0,
            bytes_read: 0,
            boundaries: 0,
            finished: false,
        }
    }

    fn failed(&self, what: &str, cause: &io::Error) -> Error {
        let error = Error::connection(what, socket::name(&self.peer.into(), Protocol::Tcp), cause);
        if error.status == Status::Broken {
            self.tap.event(&Event::Reset(&self.link));
        }
        error
    }

    /// Sends the rest of the last message, as far as there is room.
    fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let written = self.write(&unsent)?;
            self.unsent = unsent;
            self.unsent.drain(..written);
        }
        Ok(())
    }

    /// Sends as much as there is room for; how many bytes that was.
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            let sent = self.transport.send(&bytes[written..]);
            match sent.map_err(|cause| self.failed("send", &cause))? {
                Progress::Moved(n) if n > 0 => {
                    self.tap.sent(&self.link, &bytes[written..written + n]);
                    written += n;
                }
                // Interrupted: once more.
                Progress::Moved(_) => {}
                Progress::Blocked | Progress::End => break,
            }
        }
        Ok(written)
    }

    /// Reads what has arrived and records each complete message in the ledger; whether anything has
    /// arrived.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn read(&mut self, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool> {
        let mut any = self.skip_empty(ledger);
        for _ in 0..BUDGET {
            if self.finished {
                break;
            }
            let received = self.transport.receive(&mut self.buffer);
            match received.map_err(|cause| self.failed("receive", &cause))? {
                Progress::End => {
                    self.finished = true;
                    self.tap.event(&Event::PeerClosed(&self.link));
                }
                Progress::Moved(n) if n > 0 => {
                    let buffer = std::mem::take(&mut self.buffer);
                    self.tap.received(&self.link, &buffer[..n], None);
                    self.reads += 1;
                    self.bytes_read += n as u64;
                    self.take(&buffer[..n], now(), ledger);
                    self.buffer = buffer;
                    any = true;
                }
                // Interrupted: once more.
                Progress::Moved(_) => {}
                Progress::Blocked => break,
            }
        }
        Ok(any)
    }

    /// Divides the bytes of one read among the expected messages.
    fn take(&mut self, mut read: &[u8], at: At, ledger: &mut Ledger) {
        let whole = read.len();
        while let Some(first) = self.expected.front_mut() {
            let some = read.len().min(first.length - self.come);
            if some == 0 && first.length > 0 {
                return;
            }
            let (now, later) = read.split_at(some);
            let is_kept = some == whole && some == first.length;
            if !now.iter().eq(self.bytes.iter().take(some)) {
                first.condition = Condition::Changed;
            }
            self.bytes.drain(..some);
            self.come += some;
            read = later;
            if self.come < first.length {
                return;
            }
            self.boundaries += u64::from(is_kept);
            let (number, condition) = (first.number, first.condition);
            self.expected.pop_front();
            self.come = 0;
            ledger.reply(Some(number), at, condition);
            self.skip_empty(ledger);
        }
        if !read.is_empty() {
            // More bytes have arrived than were sent.
            ledger.reply(None, at, Condition::Changed);
        }
    }

    /// Records messages without bytes as answered once everything before them has arrived: a stream carries
    /// nothing of them. Whether there were any.
    fn skip_empty(&mut self, ledger: &mut Ledger) -> bool {
        let mut any = false;
        while self.come == 0
            && let Some(first) = self.expected.front().filter(|first| first.length == 0)
        {
            ledger.empty_reply(first.number);
            self.expected.pop_front();
            any = true;
        }
        any
    }

    /// Whether the peer's FIN has been received.
    #[must_use]
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// The error for a FIN of the peer while echoes are missing.
    fn ended_early(&self) -> Error {
        let missing = self.expected.len();
        let why = format!("the peer ended the connection with {missing} echoes still to come");
        Error::new(Status::Broken, "receive", socket::name(&self.peer.into(), Protocol::Tcp), why)
            .hint("does this port echo?")
    }

    /// Half-closes the connection: sends a FIN. Returns `End` once that is done; otherwise it must be
    /// called again.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn close_write(&mut self) -> Result<Progress> {
        match self.transport.close_write() {
            // The connection was reset; the next read returns the error.
            Err(cause) if cause.kind() == io::ErrorKind::NotConnected => Ok(Progress::End),
            Err(cause) => Err(self.failed("shutdown", &cause)),
            Ok(progress) => {
                if progress == Progress::End {
                    self.tap.event(&Event::WeClosed(&self.link));
                }
                Ok(progress)
            }
        }
    }

    /// The kernel's counts for this connection; `None` where it does not count.
    #[must_use]
    pub(crate) fn counts(&self) -> Option<TcpCounts> {
        sys::tcp_counts(&self.transport).ok().flatten()
    }

    /// The packets and bytes sent and received; `None` where the kernel does not count them.
    #[must_use]
    pub(crate) fn wire(&self) -> Option<WireTraffic> {
        self.counts().map(|counts| wire::of_tcp(&counts, self.bytes_read, self.peer))
    }

    /// The other end.
    #[must_use]
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What decides about the rate of sending, if the system tells.
    #[must_use]
    pub(crate) fn congestion_control(&self) -> Option<String> {
        sys::congestion_control(&self.transport).ok()
    }

    /// Reads that found something.
    #[must_use]
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    /// How many messages arrived in one read with nothing else in it.
    #[must_use]
    pub(crate) fn boundaries(&self) -> u64 {
        self.boundaries
    }

    /// The socket, which the reactor must stop watching before this is dropped.
    #[must_use]
    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }
}

/// However the run has ended, the connection ends with it.
impl Drop for TcpCarrier {
    fn drop(&mut self) {
        self.tap.event(&Event::Closed(&self.link));
    }
}

impl Carrier for TcpCarrier {
    fn is_writable(&self) -> bool {
        self.unsent.is_empty() && self.transport.latch().writable()
    }

    fn send(&mut self, number: u64, message: &[u8]) -> Result<bool> {
        let written = self.write(message)?;
        if written == 0 && !message.is_empty() {
            return Ok(false);
        }
        self.unsent.extend_from_slice(&message[written..]);
        self.bytes.extend(message);
        let condition = Condition::Intact;
        self.expected.push_back(ExpectedEcho { number, length: message.len(), condition });
        Ok(true)
    }

    fn receive(&mut self, now: &dyn Fn() -> At, ledger: &mut Ledger) -> Result<bool> {
        self.flush()?;
        let any = self.read(now, ledger)?;
        if self.finished && !self.expected.is_empty() { Err(self.ended_early()) } else { Ok(any) }
    }

    fn is_readable(&self) -> bool {
        !self.transport.is_drained()
    }

    fn delivery(&self) -> Delivery {
        Delivery::InOrder
    }
}
