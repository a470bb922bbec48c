//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.

mod icmp;
mod linux;

pub use icmp::{Icmp, IcmpKind, hear_icmp, next_icmp};

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use std::path::Path;

use socket2::{SockAddr, SockRef, Socket};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, SockaddrStorage};

use crate::peer::Address;

/// A pipe of our own, (reader, writer), both non-blocking.
///
/// # Errors
/// When there are no descriptors left.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?)
}

/// The size of pipes that carry bulk data: what an ordinary user may ask for
/// (`fs.pipe-max-size`, pipe(7)).
pub const BULK_PIPE: usize = 1 << 20;

/// The most that is written to a file at once. The page cache wants memory in pieces as large as the
/// write: of 1 MiB it finds few, and often cold ones, which takes longer than the calls that are
/// saved. Streams and dumps are steadier with this, and on the whole faster (ext4, Linux 6.18).
pub const FILE_PIECE: usize = 256 * 1024;

/// Asks for a pipe to hold `bytes` (F_SETPIPE_SZ, pipe(7)).
///
/// # Errors
/// When it is no pipe, or the user's pipes hold too much already.
pub fn enlarge_pipe(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    nix::fcntl::fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
}

/// Moves up to `bytes` from one descriptor to the other inside the kernel, without waiting for
/// the pipe among them. A socket among them must be non-blocking.
///
/// # Errors
/// What splice(2) says; `InvalidInput` when the two cannot be spliced.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    Ok(nix::fcntl::splice(from, None, to, None, bytes, SpliceFFlags::SPLICE_F_NONBLOCK)?)
}

/// Whether reading from the one and writing to the other would do something now: data, room, or
/// an error (poll(2)).
#[must_use]
pub fn ready(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> (bool, bool) {
    let mut both = [PollFd::new(from, PollFlags::POLLIN), PollFd::new(to, PollFlags::POLLOUT)];
    match poll(&mut both, PollTimeout::ZERO) {
        Ok(_) => (both[0].any() == Some(true), both[1].any() == Some(true)),
        // Nobody knows: trying again finds out.
        Err(_) => (true, true),
    }
}

/// How far a TCP connection has come towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpState {
    /// We have not sent a FIN.
    Open,
    /// Our FIN is sent and not acknowledged: FIN-WAIT-1, CLOSING, LAST-ACK.
    FinSent,
    /// Our FIN, and so all our data, is acknowledged: FIN-WAIT-2.
    FinAcknowledged,
    /// Both ends are done: TIME-WAIT, CLOSED.
    Closed,
}

/// Takes the next connection of a listening socket: non-blocking, closed on exec.
///
/// # Errors
/// What accept4(2) says, `WouldBlock` when nobody waits.
pub fn accept(listener: impl AsFd) -> io::Result<(Socket, Option<Address>)> {
    linux::accept(listener.as_fd())
}

/// Raises the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)); the
/// limit that is in force then.
#[must_use]
pub fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// Whether the program was started with this signal ignored.
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    linux::is_ignored(signal)
}

/// Asks the kernel how far a TCP connection has come.
///
/// # Errors
/// When the socket is no TCP socket.
pub fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    linux::tcp_state(socket.as_fd())
}

/// What a TCP connection has put on the wire and taken from it, as the kernel counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpCounts {
    /// Segments sent, with SYN, FIN, pure acknowledgments and retransmissions.
    pub segments_out: u64,
    /// Segments received, with SYN, FIN and pure acknowledgments.
    pub segments_in: u64,
    /// Payload bytes sent, the retransmitted ones each time.
    pub bytes_out: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Whether segments carry timestamps (RFC 7323), 12 bytes each.
    pub timestamps: bool,
}

/// Asks the kernel what a TCP connection has sent and received (TCP_INFO, tcp(7)); `None` when
/// this system does not count segments.
///
/// # Errors
/// When the socket is no TCP socket.
pub fn tcp_counts(socket: impl AsFd) -> io::Result<Option<TcpCounts>> {
    linux::tcp_counts(socket.as_fd())
}

/// Bytes of the longest packet on the way to a connected socket's peer, as far as is known
/// (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
///
/// # Errors
/// When the socket is not connected.
pub fn path_mtu(socket: impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    linux::path_mtu(socket.as_fd(), peer)
}

/// Bytes sent on a stream that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the kernel does not tell.
pub fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    linux::unacknowledged(socket.as_fd())
}

/// Takes a TCP socket whose packets never leave this machine off a congestion control that paces
/// (BBR; `net.ipv4.tcp_congestion_control`, tcp(7)), to one that does not. Best before it is
/// connected: the kernel does not give up pacing once it has begun, only the low rate.
///
/// Pacing spreads packets over time so that they do not queue up on a path whose rate has to be
/// found. Here there is no path, and a timer interrupt for every packet is all it does.
///
/// # Errors
/// When the system does not tell, or does not allow another one.
pub fn stop_pacing(socket: impl AsFd) -> io::Result<()> {
    linux::stop_pacing(socket.as_fd())
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full.
///
/// # Errors
/// When the kernel does not tell.
pub fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    linux::receive_drops(socket.as_fd())
}

/// Raises the receive buffer as far as the system allows, up to `bytes`.
///
/// # Errors
/// When even an ordinary size is refused.
pub fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    linux::raise_receive_buffer(socket.as_fd(), bytes)
}

/// How many columns the terminal has behind this descriptor, if it is one that knows.
pub fn terminal_width(terminal: impl AsFd) -> Option<u16> {
    terminal_size::terminal_size_of(terminal).map(|(width, _)| width.0)
}

/// A datagram that was received, or a train of them from one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where in the buffer its bytes are.
    pub range: Range<usize>,
    /// Bytes of each datagram of the train, the last may be shorter.
    pub segment: usize,
    /// The real length, if that is not all of it (MSG_TRUNC, recv(2)).
    pub cut_from: Option<usize>,
    /// Who sent it; not told for a connected socket.
    pub peer: Option<Address>,
}

impl Received {
    /// How many datagrams the train has.
    #[must_use]
    pub fn count(&self) -> usize {
        if self.range.is_empty() { 1 } else { self.range.len().div_ceil(self.segment) }
    }
}

/// What became of a train that was to be sent.
#[derive(Debug)]
pub struct Sent {
    /// Bytes that left.
    pub bytes: usize,
    /// Datagrams that left.
    pub messages: usize,
    /// Why no more left, if not all did.
    pub error: Option<io::Error>,
}

/// Which ways of moving data may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// Everything this system has.
    All,
    /// Only what every system has (`--portable`).
    Portable,
}

/// How many datagrams are fetched at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// As many as there are.
    Many,
    /// One, because nobody may want the next.
    One,
}

/// Receives datagrams, as many at a time as the system can and the user wants.
#[derive(Debug)]
pub struct Receiver {
    batched: Option<linux::BatchReceiver>,
    fetch: Fetch,
}

impl Receiver {
    /// Room for the longest datagram, or the longest train.
    const SLOT: usize = 64 * 1024;

    /// Bytes that the buffer should have.
    pub const ROOM: usize = linux::RECEIVE_BATCH * Self::SLOT;

    /// A receiver for this socket.
    #[must_use]
    pub fn new(socket: impl AsFd, ways: Ways, fetch: Fetch) -> Self {
        let batched = (ways == Ways::All && fetch == Fetch::Many)
            .then(|| linux::BatchReceiver::new(socket.as_fd()));
        Self { batched, fetch }
    }

    /// Receives what is there, as much as finds room.
    ///
    /// # Errors
    /// What recvmsg(2) says, `WouldBlock` when nothing is left. Datagrams received before the
    /// error are in `into` all the same.
    pub fn receive(
        &mut self,
        socket: impl AsFd,
        buffer: &mut [u8],
        into: &mut Vec<Received>,
    ) -> io::Result<()> {
        if let Some(batched) = &mut self.batched {
            return batched.receive(socket.as_fd(), buffer, Self::SLOT, into);
        }
        let mut at = 0;
        while at + Self::SLOT <= buffer.len() {
            let room = &mut buffer[at..at + Self::SLOT];
            let (whole, peer) = linux::receive_one(socket.as_fd(), room)?;
            let length = whole.min(Self::SLOT);
            let cut_from = (whole > length).then_some(whole);
            into.push(Received { range: at..at + length, segment: length, cut_from, peer });
            at += length;
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
pub struct Sender {
    handover: Handover,
}

impl Sender {
    /// A sender that has yet to find out what the system and the route can.
    #[must_use]
    pub fn new(ways: Ways) -> Self {
        let handover = match ways {
            Ways::All => Handover::Segmented(linux::MOST_SEGMENTS),
            Ways::Portable => Handover::Single,
        };
        Self { handover }
    }

    /// Sends a train of datagrams of `segment` bytes; empty `bytes` are one empty datagram.
    pub fn send(
        &mut self,
        socket: impl AsFd,
        bytes: &[u8],
        segment: usize,
        to: Option<&Address>,
    ) -> Sent {
        let to = match to {
            // The kernel cuts no trains for local sockets.
            Some(Address::Unix(path)) => return send_each(socket, bytes, segment, path.as_deref()),
            Some(Address::Internet(to)) => Some(SockaddrStorage::from(*to)),
            None => None,
        };
        let fd = socket.as_fd();
        let mut sent = Sent { bytes: 0, messages: 0, error: None };
        loop {
            let rest = &bytes[sent.bytes..];
            match self.send_some(fd, rest, segment, to.as_ref()) {
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
        to: Option<&SockaddrStorage>,
    ) -> io::Result<usize> {
        if bytes.len() > segment {
            match self.handover {
                Handover::Segmented(most) => {
                    let most = most.min(linux::LONGEST_TRAIN / segment).max(1);
                    let train = &bytes[..bytes.len().min(most * segment)];
                    if train.len() > segment {
                        linux::send_segmented(fd, train, segment, to)?;
                        return Ok(train.len());
                    }
                }
                Handover::Batched => {
                    let messages = linux::send_batched(fd, bytes, segment, to)?;
                    return Ok(bytes.len().min(messages * segment));
                }
                Handover::Single => {}
            }
        }
        let one = &bytes[..bytes.len().min(segment)];
        let raw = fd.as_raw_fd();
        match to {
            None => nix::sys::socket::send(raw, one, MsgFlags::empty())?,
            Some(to) => nix::sys::socket::sendto(raw, one, to, MsgFlags::empty())?,
        };
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
            Handover::Segmented(linux::MOST_SEGMENTS) => {
                Handover::Segmented(linux::MOST_SEGMENTS_BEFORE)
            }
            Handover::Segmented(_) => Handover::Batched,
            Handover::Batched => Handover::Single,
            Handover::Single => return false,
        };
        true
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
            Ok(to) => socket.send_to(&bytes[sent.bytes..end], to),
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
