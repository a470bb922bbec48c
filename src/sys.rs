//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.
//!
//! `unix` is what all systems share; `linux` and `bsd` (macOS, FreeBSD) have the same functions for
//! what they do differently, and `system` is the one that is compiled.

mod datagrams;
pub(crate) mod descendants;
pub(crate) mod errno;
mod facts;
mod fragments;
mod links;
mod names;
mod retry;
pub(crate) mod segmented;
mod system;
mod tcp;
mod timer;
mod unix;

#[cfg(not(target_os = "linux"))]
mod bsd;
#[cfg(target_os = "linux")]
mod linux;

pub(crate) use datagrams::{Receiver, SendOutcome, Sender};
pub(crate) use facts::{
    Arrival, Fetch, Icmp, IcmpKind, Offload, Pieces, Received, Refusal, Stamped, TcpCounts,
    TcpState,
};
pub(crate) use fragments::{
    forbid_fragments, forbids_fragments, path_mtu, receive_telling, tell_fragments,
};
pub(crate) use links::{LinkEnd, descriptor_at, end_of_links};
pub(crate) use names::{local_name, unix_address};
pub(crate) use retry::again;
pub(crate) use system::PrivateNetwork;
pub(crate) use tcp::{
    congestion_control, forget_once_closed, set_congestion_control, stop_pacing, tcp_counts,
    tcp_peer_has_closed, tcp_state, tcp_unanswered_probes, unacknowledged,
};
pub(crate) use timer::Timer;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::MsgFlags;
use socket2::{Domain, Socket, Type};

use crate::peer::Address;

/// Makes a pipe: its reading and its writing end, both non-blocking and closed on exec.
///
/// # Errors
/// What pipe2(2) says, mostly that no descriptors are left.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    system::pipe()
}

/// A duplicate of the descriptor with this number, closed on exec.
///
/// # Errors
/// When there is none, or no descriptors are left.
pub(crate) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    unix::duplicate(number)
}

/// The size of pipes that carry bulk data: what an ordinary user may ask for
/// (`fs.pipe-max-size`, pipe(7)).
pub(crate) const BULK_PIPE: usize = 1 << 20;

/// The most bytes that are written to a file in one call. The page cache allocates memory in pieces as
/// large as the write. Free pieces of 1 MiB are rare, and their memory is seldom in the processor's
/// caches, which costs more time than the saved calls gain. With this size streams and dumps run more
/// evenly, and on the whole faster (measured on ext4, Linux 6.18).
pub(crate) const FILE_PIECE: usize = 256 * 1024;

/// Asks for a pipe to hold `bytes` (F_SETPIPE_SZ, fcntl(2)).
///
/// # Errors
/// When it is no pipe, or all pipes of this user together have reached their limit
/// (`fs.pipe-user-pages-soft`, pipe(7)).
pub(crate) fn enlarge_pipe(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    system::enlarge_pipe(fd.as_fd(), bytes)
}

/// How many bytes a pipe holds (F_GETPIPE_SZ, fcntl(2)).
///
/// # Errors
/// When it is no pipe.
pub(crate) fn pipe_size(fd: impl AsFd) -> io::Result<usize> {
    system::pipe_size(fd.as_fd())
}

/// Reads back exactly `bytes` bytes that splice(2) has left in a pipe of this process.
///
/// # Errors
/// When the pipe holds fewer, or cannot be read.
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

/// Moves up to `bytes` from one descriptor to the other inside the kernel; how many were moved, 0 at
/// the end of `from`. One of the two must be a pipe; the call does not wait for that one. It may wait
/// for the other one unless that is non-blocking.
///
/// # Errors
/// What splice(2) says: `WouldBlock` when nothing can be moved now, `InvalidInput` when these two
/// cannot be spliced.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    system::splice(from, to, bytes)
}

/// Whether reading `from` and writing `to` would return at once: with data or room, at the end, or
/// with an error (poll(2)).
#[must_use]
pub(crate) fn ready(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> (bool, bool) {
    let mut both = [PollFd::new(from, PollFlags::POLLIN), PollFd::new(to, PollFlags::POLLOUT)];
    match poll(&mut both, PollTimeout::ZERO) {
        Ok(_) => (both[0].any() == Some(true), both[1].any() == Some(true)),
        // When poll(2) itself fails, trying to read and write is what finds out.
        Err(_) => (true, true),
    }
}

/// Whether reading from this descriptor, or accepting at it, would find something now (poll(2)).
#[must_use]
pub(crate) fn is_readable(fd: impl AsFd) -> bool {
    let mut one = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut one, PollTimeout::ZERO).is_ok() && one[0].any() == Some(true)
}

/// Whether a socket has an error that no call has told of yet (poll(2)). It stays there to be told.
#[must_use]
pub(crate) fn has_error(socket: impl AsFd) -> bool {
    let mut one = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let polled = poll(&mut one, PollTimeout::ZERO);
    polled.is_ok() && one[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

/// Accepts the next connection of a listening socket, as a socket that is non-blocking and closed on
/// exec, and the peer's address, if the kernel gives one that is known here.
///
/// # Errors
/// What accept4(2) says, `WouldBlock` when no connection is waiting.
pub(crate) fn accept(listener: impl AsFd) -> io::Result<(Socket, Option<Address>)> {
    system::accept(listener.as_fd())
}

/// Gives a local socket an abstract name of the system's choice ("autobind", unix(7)).
///
/// # Errors
/// When no name is left.
pub(crate) fn name_by_itself(socket: impl AsFd) -> io::Result<()> {
    system::name_by_itself(socket.as_fd())
}

/// Raises the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)), and
/// returns the limit that is then in force.
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

/// The ports that this process may not bind to (`net.ipv4.ip_unprivileged_port_start`, ip(7));
/// `None` when it may bind to all (CAP_NET_BIND_SERVICE, capabilities(7)) or when `/proc` cannot be
/// read.
#[must_use]
pub(crate) fn privileged_ports() -> Option<Range<u16>> {
    system::privileged_ports()
}

/// Whether the program was started with this signal ignored.
#[must_use]
pub(crate) fn is_ignored(signal: i32) -> bool {
    unix::is_ignored(signal)
}

/// Has the kernel note for each datagram of this socket when it arrived.
///
/// # Errors
/// When the system cannot do that.
pub(crate) fn stamp_arrivals(socket: impl AsFd) -> io::Result<()> {
    system::stamp_arrivals(socket.as_fd())
}

/// Receives the next datagram without waiting, with the time of its arrival if that [is
/// noted](stamp_arrivals).
///
/// # Errors
/// What recvmsg(2) says, `WouldBlock` when there is none.
pub(crate) fn receive_stamped(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Stamped> {
    again(|| system::receive_stamped(socket.as_fd(), buffer))
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full (SO_MEMINFO of `linux/sock_diag.h`).
///
/// # Errors
/// When the kernel does not know that option or this count.
pub(crate) fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    system::receive_drops(socket.as_fd())
}

/// Asks for a receive buffer of `bytes`, beyond `net.core.rmem_max` where this process may
/// (SO_RCVBUFFORCE, SO_RCVBUF, socket(7)).
///
/// # Errors
/// What setsockopt(2) says; that `bytes` is over the limit is none, the kernel then grants the
/// limit.
pub(crate) fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    system::raise_receive_buffer(socket.as_fd(), bytes)
}

/// Has the kernel report for each received datagram to which local address it was sent (IP_PKTINFO,
/// ip(7); IPV6_RECVPKTINFO, ipv6(7)). A socket that is bound to one address need not ask.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn tell_destinations(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    system::tell_destinations(socket.as_fd(), is_ipv6)
}

/// Has the kernel queue the ICMP errors about the datagrams of a socket, which sends to addresses of
/// the family of `address`. Calls on the socket then fail for every kind of ICMP error; without this a
/// connected socket reports few but port unreachable, and an unconnected one none (udp(7)).
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn hear_icmp(socket: impl AsFd, address: SocketAddr) -> io::Result<()> {
    system::hear_icmp(socket.as_fd(), address)
}

/// Takes the next ICMP error about a datagram that was not delivered from the socket's queue; `None`
/// when there is none, or the system keeps none.
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

/// The device number of a terminal. It is the same whichever name the terminal was opened by, also
/// `/dev/tty` (TIOCGDEV, ioctl_tty(2)).
///
/// # Errors
/// When it is no terminal.
pub(crate) fn terminal(terminal: impl AsFd) -> io::Result<u32> {
    system::terminal(terminal.as_fd())
}

/// Whether there is a terminal behind this descriptor that writes `^C` where it is typed (ECHO and
/// ECHOCTL, termios(3)).
pub(crate) fn echoes_control(terminal: impl AsFd) -> bool {
    use nix::sys::termios::{LocalFlags, tcgetattr};
    let both = LocalFlags::ECHO | LocalFlags::ECHOCTL;
    tcgetattr(terminal).is_ok_and(|settings| settings.local_flags.contains(both))
}

/// The width in columns of the terminal behind this descriptor; `None` when it is no terminal or
/// has no size set.
pub(crate) fn terminal_width(terminal: impl AsFd) -> Option<u16> {
    terminal_size::terminal_size_of(terminal).map(|(width, _)| width.0)
}
