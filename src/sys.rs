//! The system layer: what the operating system offers beyond the portable crates, behind plain
//! functions. `unsafe` and platform differences live below this module and nowhere else.

mod datagrams;
pub(crate) mod descendants;
mod facts;
mod icmp;
mod linux;
mod retry;
mod stamps;

pub(crate) use datagrams::{Receiver, Sender};
pub(crate) use facts::{Fetch, Offload, Received, TcpCounts, TcpState};
pub(crate) use icmp::{Icmp, IcmpKind, hear_icmp, next_icmp};
pub(crate) use retry::again;
pub(crate) use stamps::{receive_stamped, stamp_arrivals};

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::Socket;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::peer::Address;

/// A pipe of our own, (reader, writer), both non-blocking.
///
/// # Errors
/// When there are no descriptors left.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?)
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
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    nix::fcntl::fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
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

/// Moves up to `bytes` from one descriptor to the other inside the kernel, without waiting for
/// the pipe among them. A socket among them must be non-blocking.
///
/// # Errors
/// What splice(2) says; `InvalidInput` when the two cannot be spliced.
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    Ok(nix::fcntl::splice(from, None, to, None, bytes, SpliceFFlags::SPLICE_F_NONBLOCK)?)
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
    linux::accept(listener.as_fd())
}

/// Raises the soft limit of open descriptors to the hard one (RLIMIT_NOFILE, getrlimit(2)); the
/// limit that is in force then.
#[must_use]
pub(crate) fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

/// The ports that this process may not bind to: none where it has the privilege
/// (`net.ipv4.ip_unprivileged_port_start`, ip(7); CAP_NET_BIND_SERVICE, capabilities(7)).
#[must_use]
pub(crate) fn privileged_ports() -> Option<Range<u16>> {
    linux::privileged_ports()
}

/// Whether the program was started with this signal ignored.
#[must_use]
pub(crate) fn is_ignored(signal: i32) -> bool {
    linux::is_ignored(signal)
}

/// Asks the kernel how far a TCP connection has come.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    linux::tcp_state(socket.as_fd())
}

/// Asks the kernel what a TCP connection has sent and received (TCP_INFO, tcp(7)); `None` when
/// this system does not count segments.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_counts(socket: impl AsFd) -> io::Result<Option<TcpCounts>> {
    linux::tcp_counts(socket.as_fd())
}

/// Bytes of the longest packet on the way to a connected socket's peer, as far as is known
/// (IP_MTU, ip(7); IPV6_MTU, ipv6(7)).
///
/// # Errors
/// When the socket is not connected.
pub(crate) fn path_mtu(socket: impl AsFd, peer: SocketAddr) -> io::Result<usize> {
    linux::path_mtu(socket.as_fd(), peer)
}

/// Bytes sent on a stream that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
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
pub(crate) fn stop_pacing(socket: impl AsFd) -> io::Result<()> {
    linux::stop_pacing(socket.as_fd())
}

/// How many datagrams the kernel has dropped at this socket since it was made, because its
/// receive buffer was full.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn receive_drops(socket: impl AsFd) -> io::Result<u64> {
    linux::receive_drops(socket.as_fd())
}

/// Raises the receive buffer as far as the system allows, up to `bytes`.
///
/// # Errors
/// When even an ordinary size is refused.
pub(crate) fn raise_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    linux::raise_receive_buffer(socket.as_fd(), bytes)
}

/// Asks the system to tell of each datagram which of our addresses it was sent to. Sockets bound
/// to one address need not ask.
///
/// # Errors
/// When it does not tell.
pub(crate) fn tell_destinations(socket: impl AsFd, is_ipv6: bool) -> io::Result<()> {
    linux::datagrams::tell_destinations(socket.as_fd(), is_ipv6)
}

/// The number of a terminal, the same by whichever name it was opened (`/dev/tty`).
///
/// # Errors
/// When it is no terminal.
pub(crate) fn terminal(terminal: impl AsFd) -> io::Result<u32> {
    linux::terminal(terminal.as_fd())
}

/// How many columns the terminal has behind this descriptor, if it is one that knows.
pub(crate) fn terminal_width(terminal: impl AsFd) -> Option<u16> {
    terminal_size::terminal_size_of(terminal).map(|(width, _)| width.0)
}
