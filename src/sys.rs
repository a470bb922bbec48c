//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.
//!
//! `unix` is what all systems share; `linux` and `bsd` (macOS, FreeBSD) have the same functions for
//! what they do differently, and `system` is the one that is compiled.

mod datagrams;
pub(crate) mod descendants;
pub(crate) mod errno;
mod facts;
mod retry;
mod system;
mod unix;

#[cfg(not(target_os = "linux"))]
mod bsd;
#[cfg(target_os = "linux")]
mod linux;

pub(crate) use datagrams::{Receiver, Sender};
pub(crate) use facts::{Fetch, Icmp, IcmpKind, Offload, Received, TcpCounts, TcpState};
pub(crate) use retry::again;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use socket2::{Domain, Socket, Type};

use crate::peer::Address;

/// A pipe of our own, (reader, writer), both non-blocking.
///
/// # Errors
/// When there are no descriptors left.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    system::pipe()
}

/// The size of pipes that carry bulk data: what an ordinary user may ask for
/// (`fs.pipe-max-size`, pipe(7)).
pub(crate) const BULK_PIPE: usize = 1 << 20;

/// The most that is written to a file at once. The page cache wants memory in pieces as large as the
/// write: of 1 MiB it finds few, and often cold ones, which takes longer than the calls that are
/// saved. Streams and dumps are steadier with this, and on the whole faster (ext4, Linux 6.18).
pub(crate) const FILE_PIECE: usize = 256 * 1024;

/// Asks for a pipe to hold `bytes` (F_SETPIPE_SZ, pipe(7)).
///
/// # Errors
/// When it is no pipe, or the user's pipes hold too much already.
pub(crate) fn enlarge_pipe(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    system::enlarge_pipe(fd.as_fd(), bytes)
}

/// Takes the `bytes` back that are in a pipe of our own.
///
/// # Errors
/// When it does not give them.
pub(crate) fn take_from_pipe(pipe: &OwnedFd, bytes: usize) -> io::Result<Vec<u8>> {
    let mut taken = vec![0; bytes];
    let mut length = 0;
    while length < bytes {
        match again(|| Ok(nix::unistd::read(pipe, &mut taken[length..])?))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => length += n,
        }
    }
    Ok(taken)
}

/// Whether this system moves bytes between descriptors without this program.
pub(crate) const CAN_SPLICE: bool = system::CAN_SPLICE;

/// A call that finds a connection broken says so; no signal comes.
pub(crate) const NO_SIGNAL: MsgFlags = system::NO_SIGNAL;

/// Moves up to `bytes` from one descriptor to the other inside the kernel, without waiting for
/// the pipe among them. A socket among them must be non-blocking.
///
/// # Errors
/// What splice(2) says; `InvalidInput` when the two cannot be spliced.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    system::splice(from, to, bytes)
}

/// Whether reading from the one and writing to the other would do something now: data, room, or
/// an error (poll(2)).
#[must_use]
pub(crate) fn ready(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> (bool, bool) {
    let mut both = [PollFd::new(from, PollFlags::POLLIN), PollFd::new(to, PollFlags::POLLOUT)];
    match poll(&mut both, PollTimeout::ZERO) {
        Ok(_) => (both[0].any() == Some(true), both[1].any() == Some(true)),
        // Nobody knows: trying again finds out.
        Err(_) => (true, true),
    }
}

/// Takes the next connection of a listening socket: non-blocking, closed on exec.
///
/// # Errors
/// What accept4(2) says, `WouldBlock` when nobody waits.
pub(crate) fn accept(listener: impl AsFd) -> io::Result<(Socket, Option<Address>)> {
    system::accept(listener.as_fd())
}

/// Raises the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)); the
/// limit that is in force then.
#[must_use]
pub(crate) fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    // No limit is a very large number.
    #[cfg_attr(
        not(target_os = "freebsd"),
        expect(clippy::useless_conversion, reason = "the type has a sign on FreeBSD")
    )]
    let count = |limit| u64::try_from(limit).unwrap_or(u64::MAX);
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return count(hard);
    }
    count(soft)
}

/// The ports that this process may not bind to: none where it has the privilege
/// (`net.ipv4.ip_unprivileged_port_start`, ip(7); CAP_NET_BIND_SERVICE, capabilities(7)).
#[must_use]
pub(crate) fn privileged_ports() -> Option<Range<u16>> {
    system::privileged_ports()
}

/// Whether the program was started with this signal ignored.
#[must_use]
pub(crate) fn is_ignored(signal: i32) -> bool {
    unix::is_ignored(signal)
}

/// Asks the kernel how far a TCP connection has come.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    system::tcp_state(socket.as_fd())
}

/// Asks the kernel what a TCP connection has sent and received (TCP_INFO, tcp(7)); `None` when
/// this system does not count segments.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_counts(socket: impl AsFd) -> io::Result<Option<TcpCounts>> {
    system::tcp_counts(socket.as_fd())
}

/// Bytes of the longest packet on the way to a connected socket's peer, as far as is known
/// (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
///
/// # Errors
/// When the socket is not connected.
pub(crate) fn path_mtu(socket: impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    system::path_mtu(socket.as_fd(), peer)
}

/// Bytes sent on a stream that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    system::unacknowledged(socket.as_fd())
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
pub(crate) fn stop_pacing(socket: impl AsFd) -> io::Result<()> {
    system::stop_pacing(socket.as_fd())
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    system::receive_drops(socket.as_fd())
}

/// Raises the receive buffer as far as the system allows, up to `bytes`.
///
/// # Errors
/// When even an ordinary size is refused.
pub(crate) fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    system::raise_receive_buffer(socket.as_fd(), bytes)
}

/// Asks the system to tell of each datagram which of our addresses it was sent to. Sockets bound
/// to one address need not ask.
///
/// # Errors
/// When it does not tell.
pub(crate) fn tell_destinations(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    system::tell_destinations(socket.as_fd(), is_ipv6)
}

/// Has a socket for addresses of this one's family keep the ICMP messages about its datagrams. Its
/// calls then fail with whatever such a message says, not only that nobody is at the port.
///
/// # Errors
/// When the system cannot do that.
pub(crate) fn hear_icmp(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    system::hear_icmp(socket.as_fd(), address)
}

/// Takes the next ICMP message about a datagram that has not arrived; `None` when there is none, or
/// the system keeps none.
///
/// # Errors
/// What recvmsg(2) says.
pub(crate) fn next_icmp(socket: impl AsFd) -> io::Result<Option<Icmp>> {
    system::next_icmp(socket.as_fd())
}

/// A non-blocking socket that is closed on exec.
///
/// # Errors
/// What socket(2) says.
pub(crate) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    system::socket(domain, kind)
}

/// A local socket of a kind that finds out who has a path by connecting to it: it takes no place in a
/// listener's queue, and is refused with EPROTOTYPE where somebody is.
///
/// # Errors
/// What socket(2) says.
pub(crate) fn local_probe() -> io::Result<Socket> {
    system::socket(Domain::UNIX, system::NO_SUCH_LOCAL)
}

/// Has a socket of this domain send and receive by one network interface only.
///
/// # Errors
/// When there is no such interface, or the system cannot do that.
pub(crate) fn bind_device(socket: &Socket, device: &str, domain: Domain) -> io::Result<()> {
    system::bind_device(socket, device, domain)
}

/// Opens a pipe or terminal once more, so that flags set on it are nobody else's.
///
/// # Errors
/// When the system has no name for it, or does not allow that.
pub(crate) fn reopen(fd: impl AsFd, flags: OFlag) -> io::Result<OwnedFd> {
    system::reopen(fd.as_fd(), flags)
}

/// The number (`st_rdev`) of the device `/dev/null`; `None` where there is none.
pub(crate) fn null_device() -> Option<u64> {
    system::null_device()
}

/// Whether it is the master side of a pseudoterminal.
#[must_use]
pub(crate) fn is_terminal_master(fd: impl AsFd) -> bool {
    unix::is_terminal_master(fd.as_fd())
}

/// A timer that a poller can watch: readable once its time has come.
pub(crate) struct Timer(system::Timer);

impl Timer {
    /// A timer that is not set.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        system::Timer::new().map(Self)
    }

    /// It rings once after this time, to the nanosecond as far as the system knows it, and no more at
    /// the time it was set to before. A timer of no length never rings.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn set(&self, after: Duration) -> io::Result<()> {
        self.0.set(after)
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The number of a terminal, the same by whichever name it was opened (`/dev/tty`).
///
/// # Errors
/// When it is no terminal.
pub(crate) fn terminal(terminal: impl AsFd) -> io::Result<u32> {
    system::terminal(terminal.as_fd())
}

/// How many columns the terminal has behind this descriptor, if it is one that knows.
pub(crate) fn terminal_width(terminal: impl AsFd) -> Option<u16> {
    terminal_size::terminal_size_of(terminal).map(|(width, _)| width.0)
}
