//! The built-in peer: an echo service for TCP and UDP on one port of this machine. It runs in the event
//! loop of the client that measures.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::impair::{Line, Message, Spec};
use crate::engine::stream::Transport;
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::net::address::{Family, Protocol, Route};
use crate::net::options::Options;
use crate::net::socket;
use crate::sys::{self, Fetch, Offload, Received, Receiver, Sender, TcpCounts, errno, segmented};

/// The most bytes of a stream that are read before they are written back.
const STREAM_BUFFER: usize = 64 * 1024;

/// How many ports are tried: one that is free for TCP may be taken for UDP.
const PORT_TRIES: usize = 50;

/// The most UDP replies that wait for room in the socket. While there are so many nothing more is
/// received, and the kernel drops what its receive buffer cannot hold, as with any echo service.
const MOST_WAITING: usize = 65_536;

/// When sending a reply is tried again after it has found no room. On loopback a datagram is delivered
/// by the call that sends it, so that there is nearly always room, and watching the socket for room
/// would only wake the loop after every reply.
const RETRY: Duration = Duration::from_millis(1);

/// A reply that was held back to be overtaken leaves after this and two intervals in any case.
const HOLD: Duration = Duration::from_millis(200);

/// A reply and where it goes.
#[derive(Debug, Clone)]
struct EchoReply {
    bytes: Vec<u8>,
    to: Route,
}

impl Message for EchoReply {
    fn length(&self) -> usize {
        self.bytes.length()
    }

    fn corrupt(&mut self, draw: u64) -> bool {
        self.bytes.corrupt(draw)
    }
}

/// The peer: a listener, at most one connection, a datagram socket.
pub(crate) struct BuiltInPeer {
    address: SocketAddr,
    listener: (Socket, Rc<Latch>),
    connection: Option<TcpEcho>,
    /// A connection whose end is on its way, or over: the system still tells what it has counted.
    ended: Option<Transport>,
    datagrams: UdpEcho,
}

/// Where a peer is that has loopback to itself. A machine may have only one of them.
#[must_use]
pub(crate) fn loopback(family: Family) -> Vec<SocketAddr> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    match family {
        Family::Any => vec![v4, v6],
        Family::V4 => vec![v4],
        Family::V6 => vec![v6],
    }
}

impl BuiltInPeer {
    /// A peer at the first of these addresses that there is, on a port that is free for both
    /// protocols. With `impairment` it spoils its replies to datagrams, which come `interval`
    /// apart.
    ///
    /// # Errors
    /// When there is none, or the system has no descriptors left.
    pub(crate) fn start(
        reactor: &mut Reactor,
        own: &[SocketAddr],
        family: Family,
        impairment: Option<Spec>,
        interval: Duration,
    ) -> Result<Self> {
        let options = Options::default();
        let mut tries = 0;
        let (listener, udp, address) = loop {
            let listener = socket::bind_first(own, family, Protocol::Tcp, &options)?;
            let address = socket::local_address(&listener).and_then(|local| local.internet());
            let Some(address) = address else {
                return Err(Error::usage("compare", "this machine has no address of its own"));
            };
            match socket::bind_first(&[address], family, Protocol::Udp, &options) {
                Ok(udp) => break (listener, udp, address),
                Err(_) if tries < PORT_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        };
        let failed = |cause: io::Error| Error::system("poll", &cause);
        let heard = reactor.watch(&listener, Interest::READABLE).map_err(failed)?;
        let latch = reactor.watch(&udp, Interest::READABLE | Interest::WRITABLE).map_err(failed)?;
        Ok(Self {
            address,
            listener: (listener, heard),
            connection: None,
            ended: None,
            datagrams: UdpEcho {
                receiver: Receiver::new(&udp, Offload::All, Fetch::Many),
                socket: Rc::new(udp),
                latch,
                buffer: vec![0; Receiver::ROOM],
                received: Vec::new(),
                sender: Sender::new(Offload::Portable),
                line: impairment.map(|spec| Line::new(&spec, 0, HOLD + interval * 2)),
                leaving: VecDeque::new(),
                retry_at: None,
            },
        })
    }

    /// The address and port that it listens on, for both protocols.
    #[must_use]
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its datagram socket, for counting the datagrams that the kernel has dropped there.
    #[must_use]
    pub(crate) fn datagram_socket(&self) -> Rc<Socket> {
        Rc::clone(&self.datagrams.socket)
    }

    /// When it has something to do next that no event of the reactor announces.
    #[must_use]
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let impaired = self.datagrams.line.as_ref().and_then(Line::deadline);
        impaired.into_iter().chain(self.datagrams.retry_at).min()
    }

    /// The socket that connections come to, for the options they inherit.
    #[must_use]
    pub(crate) fn listener(&self) -> &Socket {
        &self.listener.0
    }

    /// What the system counted on the last connection.
    #[must_use]
    pub(crate) fn counts(&self) -> Option<TcpCounts> {
        let open = self.connection.as_ref().map(|connection| &connection.transport);
        open.or(self.ended.as_ref()).and_then(|transport| sys::tcp_counts(transport).ok().flatten())
    }

    /// Whether replies to datagrams are still to come.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        !self.datagrams.leaving.is_empty() || self.next_due().is_some()
    }

    /// Accepts, receives and answers as far as possible without waiting; whether it did anything.
    ///
    /// # Errors
    /// When the system fails; a connection that breaks only ends.
    pub(crate) fn step(&mut self, reactor: &mut Reactor, now: Instant) -> Result<bool> {
        let mut did = self.accept(reactor)?;
        if let Some(connection) = &mut self.connection {
            match connection.step() {
                Ok(EchoStep::Going(moved)) => did |= moved,
                Ok(EchoStep::Over) | Err(_) => {
                    if let Some(connection) = self.connection.take() {
                        let transport = connection.transport;
                        // Of a connection that is broken nothing more can be had.
                        let _ = transport.close_write();
                        reactor.forget(&transport, transport.latch());
                        self.ended = Some(transport);
                    }
                    did = true;
                }
            }
        }
        Ok(self.datagrams.step(now)? | did)
    }

    fn accept(&mut self, reactor: &mut Reactor) -> Result<bool> {
        let (listener, latch) = &self.listener;
        if self.connection.is_some() || !latch.readable() {
            return Ok(false);
        }
        match socket::accept(listener) {
            Ok((socket, _)) => {
                let latch = reactor
                    .watch(&socket, Interest::READABLE | Interest::WRITABLE)
                    .map_err(|cause| Error::system("poll", &cause))?;
                let buffer = vec![0; STREAM_BUFFER];
                self.connection = Some(TcpEcho {
                    transport: Transport::new(socket, latch),
                    buffer,
                    unsent: 0..0,
                });
                Ok(true)
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                latch.not_readable();
                Ok(false)
            }
            Err(cause) => Err(Error::system("accept", &cause)),
        }
    }
}

enum EchoStep {
    /// Whether anything moved.
    Going(bool),
    /// The client has closed it.
    Over,
}

struct TcpEcho {
    transport: Transport,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not yet written back.
    unsent: std::ops::Range<usize>,
}

impl TcpEcho {
    fn step(&mut self) -> io::Result<EchoStep> {
        let mut moved = false;
        loop {
            if self.unsent.is_empty() {
                match self.transport.receive(&mut self.buffer)? {
                    Progress::Moved(n) => self.unsent = 0..n,
                    Progress::Blocked => return Ok(EchoStep::Going(moved)),
                    Progress::End => return Ok(EchoStep::Over),
                }
            }
            match self.transport.send(&self.buffer[self.unsent.clone()])? {
                Progress::Moved(n) => {
                    self.unsent.start += n;
                    moved = true;
                }
                Progress::Blocked | Progress::End => return Ok(EchoStep::Going(moved)),
            }
        }
    }
}

struct UdpEcho {
    socket: Rc<Socket>,
    latch: Rc<Latch>,
    receiver: Receiver,
    buffer: Vec<u8>,
    received: Vec<Received>,
    sender: Sender,
    line: Option<Line<EchoReply>>,
    leaving: VecDeque<EchoReply>,
    /// The last reply found no room; the next try is then.
    retry_at: Option<Instant>,
}

impl UdpEcho {
    fn step(&mut self, now: Instant) -> Result<bool> {
        let mut did = self.receive(now)?;
        if let Some(line) = &mut self.line {
            while let Some(reply) = line.pop_due(now) {
                self.leaving.push_back(reply);
            }
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return Ok(did);
        }
        self.retry_at = None;
        while let Some(EchoReply { bytes, to }) = self.leaving.front() {
            let sent = self.sender.send(&*self.socket, bytes, bytes.len().max(1), Some(to));
            match sent.error {
                Some(cause)
                    if cause.kind() == io::ErrorKind::WouldBlock || errno::is_full(&cause) =>
                {
                    self.retry_at = Some(now + RETRY);
                    break;
                }
                // Other errors say that the client is gone. A UDP service ignores that.
                Some(_) | None => self.leaving.pop_front(),
            };
            did = true;
        }
        Ok(did)
    }

    fn receive(&mut self, now: Instant) -> Result<bool> {
        if !self.latch.readable() || self.leaving.len() >= MOST_WAITING {
            return Ok(false);
        }
        self.received.clear();
        match self.receiver.receive(&*self.socket, &mut self.buffer, &mut self.received) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => self.latch.not_readable(),
            // The kernel reports an ICMP error about an earlier reply: the client is gone.
            Err(cause) if cause.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(cause) => return Err(Error::system("receive", &cause)),
        }
        let did = !self.received.is_empty();
        for received in self.received.drain(..) {
            let Some(from) = received.from else { continue };
            let bytes = &self.buffer[received.range.clone()];
            for message in segmented::messages(bytes, received.segment) {
                let reply = EchoReply { bytes: message.to_vec(), to: from.clone() };
                match &mut self.line {
                    Some(line) => line.push(reply, now),
                    None => self.leaving.push_back(reply),
                }
            }
        }
        Ok(did)
    }
}
