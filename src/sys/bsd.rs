//! macOS and FreeBSD: what BSD sockets have, and what is missing beside Linux. Both are compiled with
//! every change; nobody here has run them, see "Where it runs" in pktcat(1).
#![allow(unsafe_code)]

#[cfg(target_os = "freebsd")]
mod freebsd;
#[cfg(target_os = "macos")]
mod macos;
mod timer;

#[cfg(target_os = "freebsd")]
use freebsd as own;
#[cfg(target_os = "macos")]
use macos as own;

pub(super) use own::{NO_SIGNAL, bind_device};
pub(super) use timer::Timer;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::socket::{SockaddrStorage, setsockopt, sockopt};
use nix::sys::stat::Mode;
use socket2::{Domain, SockRef, Socket, Type};

use super::facts::{Arrival, Icmp, Received, Refusal, Stamped, TcpCounts, TcpState};
use super::unix::datagrams::Recipient;
use super::unix::{self, get_option};
use crate::peer::Address;

/// There is no call that moves bytes between any two descriptors.
pub(super) const CAN_SPLICE: bool = false;

/// Datagrams that are received in a turn, each by a call of its own.
pub(super) const RECEIVE_BATCH: usize = 16;

/// A local socket for datagrams: a stream's listener refuses it, and one for datagrams does not
/// notice. macOS has no SOCK_SEQPACKET.
pub(super) const NO_SUCH_LOCAL: Type = Type::DGRAM;

/// What this system has no call for.
fn missing<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Receives many datagrams in one call: there is no such call.
#[derive(Debug)]
pub(crate) enum BatchReceiver {}

impl BatchReceiver {
    pub(crate) fn new(_: BorrowedFd<'_>) -> Option<Self> {
        None
    }

    pub(crate) fn receive(
        &mut self,
        _: BorrowedFd<'_>,
        _: &mut [u8],
        _: usize,
        _: &mut Vec<Received>,
    ) -> io::Result<()> {
        match *self {}
    }
}

/// Sends many datagrams in one call: there is no such call.
#[derive(Debug)]
pub(crate) enum BatchSender {}

impl BatchSender {
    pub(crate) fn new() -> Option<Self> {
        None
    }

    pub(crate) fn send(
        &self,
        _: BorrowedFd<'_>,
        _: &[u8],
        _: usize,
        _: Option<&Recipient>,
    ) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn fall_back(&mut self, _: &io::Error) -> bool {
        match *self {}
    }
}

/// accept4(2) is FreeBSD's alone.
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, Option<Address>)> {
    let (socket, name) = SockRef::from(&listener).accept()?;
    socket.set_nonblocking(true)?;
    let address = match name.as_socket() {
        Some(internet) => Some(internet.into()),
        None if name.is_unix() => Some(Address::Unix(name.as_pathname().map(Into::into))),
        None => None,
    };
    Ok((socket, address))
}

pub(super) fn socket(domain: Domain, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// pipe2(2) is FreeBSD's alone.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe()?;
    for end in [&reader, &writer] {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((reader, writer))
}

pub(super) fn enlarge_pipe(_: BorrowedFd<'_>, _: usize) -> io::Result<()> {
    missing()
}

pub(super) fn pipe_size(_: BorrowedFd<'_>) -> io::Result<usize> {
    missing()
}

pub(super) fn splice(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: usize) -> io::Result<usize> {
    missing()
}

/// SO_TIMESTAMP has other units and names there; times are those of reading.
pub(super) fn stamp_arrivals(_: BorrowedFd<'_>) -> io::Result<()> {
    missing()
}

/// There is no MSG_TRUNC for receiving: a datagram that is longer than the buffer counts as long as that.
pub(super) fn receive_stamped(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Stamped> {
    let (length, from) = nix::sys::socket::recvfrom::<SockaddrStorage>(fd.as_raw_fd(), buffer)?;
    let from = from.and_then(|from| {
        let v4 = from.as_sockaddr_in().map(|a| SocketAddr::from(SocketAddrV4::from(*a)));
        v4.or_else(|| from.as_sockaddr_in6().map(|a| SocketAddrV6::from(*a).into()))
    });
    Ok(Stamped { length, from, arrived: None })
}

/// There is no TCP_LINGER2.
pub(super) fn forget_once_closed(_: BorrowedFd<'_>) -> io::Result<()> {
    missing()
}

/// The ports below 1024 (IPPORT_RESERVED, `netinet/in.h`), unless the process is root's.
pub(super) fn privileged_ports() -> Option<Range<u16>> {
    // SAFETY: the call only tells who the process is.
    (unsafe { libc::geteuid() } != 0).then_some(1..1024)
}

/// Opens a terminal by its name (ttyname(3)). `/dev/fd` would only duplicate the descriptor.
pub(super) fn reopen(fd: BorrowedFd<'_>, flags: OFlag) -> io::Result<OwnedFd> {
    let path = nix::unistd::ttyname(fd)?;
    Ok(nix::fcntl::open(&path, flags, Mode::empty())?)
}

pub(super) fn null_device() -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/dev/null").ok().map(|metadata| metadata.rdev())
}

/// The session that a terminal controls (tcgetsid(3)): a session has one terminal at most. The device
/// has another number when it is opened as `/dev/tty`.
pub(super) fn terminal(fd: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: the call only asks about an open descriptor.
    let session = unsafe { libc::tcgetsid(fd.as_raw_fd()) };
    u32::try_from(session).map_err(|_| io::Error::last_os_error())
}

/// The numbers are those of `netinet/tcp_fsm.h`, which are not those of Linux.
pub(super) fn tcp_state(fd: BorrowedFd<'_>) -> io::Result<TcpState> {
    match get_option::<u8>(fd, libc::IPPROTO_TCP, own::TCP_INFO) {
        Ok((6..=8, _)) => Ok(TcpState::FinSent),
        Ok((9, _)) => Ok(TcpState::FinAcknowledged),
        Ok((0 | 10, _)) => Ok(TcpState::Closed),
        Ok(_) => Ok(TcpState::Open),
        // The system has forgotten the connection, and the socket is left.
        Err(cause) if cause.raw_os_error() == Some(libc::ECONNRESET) => Ok(TcpState::Closed),
        Err(cause) => Err(cause),
    }
}

/// Neither system counts segments without data.
pub(super) fn tcp_counts(_: BorrowedFd<'_>) -> io::Result<Option<TcpCounts>> {
    Ok(None)
}

pub(super) fn path_mtu(_: BorrowedFd<'_>, _: SocketAddr) -> io::Result<usize> {
    missing()
}

pub(super) fn forbid_fragments(_: BorrowedFd<'_>, _: bool) -> io::Result<()> {
    missing()
}

pub(super) fn forbids_fragments(_: BorrowedFd<'_>, _: bool) -> bool {
    false
}

pub(super) fn tell_fragments(_: BorrowedFd<'_>, _: bool) -> io::Result<()> {
    missing()
}

pub(super) fn receive_telling(_: BorrowedFd<'_>, _: &mut [u8]) -> io::Result<Arrival> {
    missing()
}

pub(super) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(own::in_send_buffer(fd)?.unsigned_abs())
}

/// No congestion control that paces is the system's own choice here.
pub(super) fn congestion_control(_: BorrowedFd<'_>) -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(super) fn set_congestion_control(_: BorrowedFd<'_>, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A name of the system's choice is Linux's.
pub(super) fn name_by_itself(_: BorrowedFd<'_>) -> io::Result<()> {
    missing()
}

/// The state of a connection does not tell apart who has closed first.
pub(super) fn tcp_peer_has_closed(_: BorrowedFd<'_>) -> io::Result<bool> {
    missing()
}

pub(super) fn tcp_unanswered_probes(_: BorrowedFd<'_>) -> io::Result<u8> {
    missing()
}

pub(super) fn stop_pacing(_: BorrowedFd<'_>) -> io::Result<()> {
    Ok(())
}

pub(super) fn receive_drops(_: BorrowedFd<'_>) -> io::Result<u64> {
    missing()
}

pub(super) fn raise_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    unix::raise_receive_buffer(fd, bytes)
}

/// A socket for both families is not told of IPv4: its answers to IPv4 peers come from where the
/// system chooses.
pub(super) fn tell_destinations(fd: BorrowedFd<'_>, is_ipv6: bool) -> io::Result<()> {
    if is_ipv6 {
        return Ok(setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?);
    }
    own::tell_ipv4_destinations(fd)
}

/// A connected socket hears of refusals without being asked, others never do.
pub(super) fn hear_icmp(_: BorrowedFd<'_>, _: SocketAddr) -> io::Result<()> {
    Ok(())
}

/// There is no queue of ICMP messages: the error of a call is all that is told.
pub(super) fn next_icmp(_: BorrowedFd<'_>) -> io::Result<Option<Icmp>> {
    Ok(None)
}

pub(super) fn adopt_orphans() -> io::Result<()> {
    missing()
}

pub(super) fn is_held(_: BorrowedFd<'_>, _: &[i32]) -> io::Result<bool> {
    missing()
}

/// A network of this process's own: there is no such thing.
#[derive(Debug)]
pub(crate) enum PrivateNetwork {}

impl PrivateNetwork {
    pub(crate) fn enter(_: IpAddr, _: u32) -> Result<Self, Refusal> {
        Err(Refusal { what: "network of our own", cause: io::ErrorKind::Unsupported.into() })
    }

    pub(crate) fn take(&self, _: &mut [u8]) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn give(&self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }
}

impl AsFd for PrivateNetwork {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}
