//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.

mod datagrams;
pub(crate) mod descendants;
mod facts;
mod icmp;
mod linux;
mod retry;

pub(crate) use datagrams::{Receiver, SendOutcome, Sender};
pub(crate) use facts::{Fetch, Offload, Received, TcpCounts, TcpState};
pub(crate) use icmp::{Icmp, IcmpKind, hear_icmp, next_icmp};
pub(crate) use retry::again;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::Socket;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::peer::Address;

/// Makes a pipe: its reading and its writing end, both non-blocking and closed on exec.
///
/// # Errors
/// What pipe2(2) says, mostly that no descriptors are left.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?)
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
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    nix::fcntl::fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
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

/// Moves up to `bytes` from one descriptor to the other inside the kernel; how many were moved, 0 at
/// the end of `from`. One of the two must be a pipe; the call does not wait for that one. It may wait
/// for the other one unless that is non-blocking.
///
/// # Errors
/// What splice(2) says: `WouldBlock` when nothing can be moved now, `InvalidInput` when these two
/// cannot be spliced.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    Ok(nix::fcntl::splice(from, None, to, None, bytes, SpliceFFlags::SPLICE_F_NONBLOCK)?)
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

/// Accepts the next connection of a listening socket, as a socket that is non-blocking and closed on
/// exec, and the peer's address, if the kernel gives one that is known here.
///
/// # Errors
/// What accept4(2) says, `WouldBlock` when no connection is waiting.
pub(crate) fn accept(listener: impl AsFd) -> io::Result<(Socket, Option<Address>)> {
    linux::accept(listener.as_fd())
}

/// Raises the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)), and
/// returns the limit that is then in force.
#[must_use]
pub(crate) fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// The ports that this process may not bind to (`net.ipv4.ip_unprivileged_port_start`, ip(7));
/// `None` when it may bind to all (CAP_NET_BIND_SERVICE, capabilities(7)) or when `/proc` cannot be
/// read.
#[must_use]
pub(crate) fn privileged_ports() -> Option<Range<u16>> {
    linux::privileged_ports()
}

/// Whether the program was started with this signal ignored.
#[must_use]
pub(crate) fn is_ignored(signal: i32) -> bool {
    linux::is_ignored(signal)
}

/// Asks the kernel how far a TCP connection has come towards its end (`tcpi_state` of TCP_INFO,
/// tcp(7)).
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    linux::tcp_state(socket.as_fd())
}

/// Asks the kernel whether the peer's FIN has come, before ours was sent (CLOSE-WAIT).
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_peer_has_closed(socket: impl AsFd) -> io::Result<bool> {
    linux::tcp_peer_has_closed(socket.as_fd())
}

/// Asks the kernel what a TCP connection has sent and received (TCP_INFO, tcp(7)); `None` when
/// this system does not count segments.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_counts(socket: impl AsFd) -> io::Result<Option<TcpCounts>> {
    linux::tcp_counts(socket.as_fd())
}

/// The path MTU in bytes, from a connected socket to its peer, as far as the kernel knows it
/// (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
///
/// # Errors
/// When the socket is not connected.
pub(crate) fn path_mtu(socket: impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    linux::path_mtu(socket.as_fd(), peer)
}

/// Bytes written to a stream socket that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the socket does not know that request.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    linux::unacknowledged(socket.as_fd())
}

/// Gives a TCP socket whose packets never leave this machine a congestion control without pacing, if
/// its own one paces (BBR; `net.ipv4.tcp_congestion_control`, tcp(7)). It is best called before the
/// socket is connected: once the kernel has begun to pace a socket it goes on, though at a higher
/// rate.
///
/// Pacing spreads packets over time so that they do not queue up in a network whose rate has yet to
/// be found. On one machine there is no such network, and pacing only costs a timer interrupt for
/// every packet.
///
/// # Errors
/// When the socket has no congestion control, or the system does not allow another one.
pub(crate) fn stop_pacing(socket: impl AsFd) -> io::Result<()> {
    linux::stop_pacing(socket.as_fd())
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full (SO_MEMINFO of `linux/sock_diag.h`).
///
/// # Errors
/// When the kernel does not know that option or this count.
pub(crate) fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    linux::receive_drops(socket.as_fd())
}

/// Asks for a receive buffer of `bytes`, beyond `net.core.rmem_max` where this process may
/// (SO_RCVBUFFORCE, SO_RCVBUF, socket(7)).
///
/// # Errors
/// What setsockopt(2) says; that `bytes` is over the limit is none, the kernel then grants the
/// limit.
pub(crate) fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    linux::raise_receive_buffer(socket.as_fd(), bytes)
}

/// Has the kernel report for each received datagram to which local address it was sent (IP_PKTINFO,
/// ip(7); IPV6_RECVPKTINFO, ipv6(7)). A socket that is bound to one address need not ask.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn tell_destinations(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    linux::datagrams::tell_destinations(socket.as_fd(), is_ipv6)
}

/// The device number of a terminal. It is the same whichever name the terminal was opened by, also
/// `/dev/tty` (TIOCGDEV, ioctl_tty(2)).
///
/// # Errors
/// When it is no terminal.
pub(crate) fn terminal(terminal: impl AsFd) -> io::Result<u32> {
    linux::terminal(terminal.as_fd())
}

/// The width in columns of the terminal behind this descriptor; `None` when it is no terminal or
/// has no size set.
pub(crate) fn terminal_width(terminal: impl AsFd) -> Option<u16> {
    terminal_size::terminal_size_of(terminal).map(|(width, _)| width.0)
}
