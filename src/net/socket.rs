//! Creating, binding and accepting sockets, and what can be asked of a socket.

mod ends;
pub(crate) mod failure;
pub(crate) mod said;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::error::{Error, PROHIBITED, Result, Status};
use crate::net::address::{Address, Family, Protocol, canonical};
use crate::net::options::Options;
use crate::sys::{self, Icmp, IcmpKind, errno};
use ends::stays_here;

pub(crate) use ends::{
    is_its_own_peer, local_address, local_port, local_towards, name, peer_address,
};

/// Connections that may wait to be accepted: the most that the kernel allows, which cuts it to
/// net.core.somaxconn (listen(2)).
const BACKLOG: i32 = i32::MAX;

/// A non-blocking socket for an address's family, with the options set.
///
/// # Errors
/// When the kernel does not support the family, there are no descriptors left, or an option is
/// refused.
pub(crate) fn open(
    what: &str,
    address: SocketAddr,
    protocol: Protocol,
    options: &Options,
) -> Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = sys::socket(Domain::for_address(address), kind)
        .map_err(|cause| Error::network(what, name(&address.into(), protocol), &cause))?;
    options.apply(&socket, address.is_ipv6(), protocol)?;
    if protocol == Protocol::Tcp && canonical(address).ip().is_loopback() {
        // Accepted sockets inherit it. A failure costs only speed.
        let _ = sys::stop_pacing(&socket);
    }
    Ok(socket)
}

/// A non-blocking socket without options: it is to ask something, and not for data.
///
/// # Errors
/// When the kernel does not support the family, or there are no descriptors left.
pub(crate) fn open_plain(address: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    sys::socket(Domain::for_address(address), kind)
}

/// A socket bound to one of `addresses`: the first that can be bound.
///
/// # Errors
/// When none can be bound: the error of the first.
pub(crate) fn bind_first(
    addresses: &[SocketAddr],
    family: Family,
    protocol: Protocol,
    options: &Options,
) -> Result<Socket> {
    let mut first_error = None;
    for &address in addresses {
        let socket = match open("listen", address, protocol, options) {
            Ok(socket) => socket,
            Err(error) => {
                first_error.get_or_insert(error.with_status(Status::Failure));
                continue;
            }
        };
        match bind(&socket, address, family, protocol, options) {
            Ok(()) => {
                if protocol == Protocol::Udp {
                    options.join(&socket)?;
                }
                return Ok(socket);
            }
            Err(cause) => {
                let error = failure::binding("listen", address, protocol, &cause);
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| Error::usage("address", "nothing to listen on")))
}

fn bind(
    socket: &Socket,
    address: SocketAddr,
    family: Family,
    protocol: Protocol,
    options: &Options,
) -> io::Result<()> {
    if address.is_ipv6() {
        // One socket for `::` serves both families, whatever the default net.ipv6.bindv6only is
        // (ipv6(7)).
        let only = family == Family::V6 || !address.ip().is_unspecified();
        socket.set_only_v6(only)?;
    }
    if protocol == Protocol::Tcp {
        // Without it, binding fails while earlier connections of the port are in TIME-WAIT
        // (socket(7)).
        socket.set_reuse_address(true)?;
    }
    if protocol == Protocol::Udp && address.port() != 0 {
        options.share_port(socket, address)?;
    }
    if protocol == Protocol::Udp && address.ip().is_unspecified() {
        // On failure the kernel chooses the source address of answers.
        let _ = sys::tell_destinations(socket, address.is_ipv6());
    }
    socket.bind(&address.into())?;
    match protocol {
        Protocol::Tcp => socket.listen(BACKLOG)?,
        // Set after binding: with port 0, SO_REUSEADDR before it could give a port that another
        // process has.
        Protocol::Udp => options.share_port(socket, address)?,
    }
    Ok(())
}

/// How many connections that failed before they were accepted are skipped in one call. An error
/// that a sandbox returns would come back without end.
const MOST_PASSED_OVER: usize = 64;

/// Accepts the next connection of a listening socket and skips those that have already failed.
///
/// # Errors
/// `WouldBlock` when no connection waits; [a cause that may pass](may_pass) when descriptors or
/// memory have run out, or all skipped connections had failed; any other when the listening socket
/// itself failed.
pub(crate) fn accept(listener: &Socket) -> io::Result<(Socket, Option<Address>)> {
    let mut passed_over = 0;
    loop {
        match sys::accept(listener) {
            Err(cause) if is_gone(&cause) && passed_over < MOST_PASSED_OVER => passed_over += 1,
            result => return result,
        }
    }
}

/// Whether [accepting](accept) may succeed later after it failed with this error.
#[must_use]
pub(crate) fn may_pass(cause: &io::Error) -> bool {
    is_exhaustion(cause) || is_gone(cause)
}

/// Whether accept(2) ran out of descriptors or memory, which closing a connection frees.
#[must_use]
pub(crate) fn is_exhaustion(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Whether an error of accept(2) concerns the new connection, not the listening socket.
fn is_gone(cause: &io::Error) -> bool {
    let codes = [
        libc::ECONNABORTED,
        libc::EINTR,
        libc::EPERM,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EOPNOTSUPP,
    ];
    errno::is_unreachable(cause) || cause.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// Closing this stream socket will be a reset, where the protocol knows resets: what was sent on it
/// is not all that was to be sent (SO_LINGER of zero, socket(7)).
///
/// # Errors
/// When the system refuses.
pub(crate) fn reset_on_close(socket: &Socket) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))
}

/// Prepares a stream socket for bulk data: turns pacing off when the connection never leaves this
/// machine. [`open`] has done so for loopback addresses. Pacing that has begun stays in use, but no
/// longer limits the rate.
pub(crate) fn expect_bulk(socket: &Socket) {
    let (local, peer) = (local_address(socket), peer_address(socket));
    if let (Some(local), Some(peer)) = (local, peer)
        && stays_here(&local, &peer)
    {
        // A failure costs only speed.
        let _ = sys::stop_pacing(socket);
    }
}

/// The error of a datagram to this peer that was not sent. One that is too long names the path MTU, as far as the
/// kernel knows it.
pub(crate) fn sending_failed(what: &str, peer: &Address, cause: &io::Error) -> Error {
    let error = Error::network(what, name(peer, Protocol::Udp), cause);
    match (cause.raw_os_error(), peer.internet().map(canonical)) {
        (Some(libc::EMSGSIZE), Some(peer)) => match ends::path_mtu(peer) {
            Some(mtu) => {
                // The headers of IPv4 (RFC 791) or IPv6 (RFC 8200), and of UDP (RFC 768).
                let headers = if peer.is_ipv4() { 20 + 8 } else { 40 + 8 };
                let payload = mtu.saturating_sub(headers);
                error.hint(format!("the path MTU is {mtu}: at most {payload} bytes of payload"))
            }
            None => error,
        },
        _ => error,
    }
}

/// Why a call on a connected datagram socket failed, in the words of the ICMP message that made it
/// fail, if one did. `None` when that is nothing to end for: a datagram was too long for the path, and
/// the system cuts those to come.
pub(crate) fn datagram_failed(
    socket: &Socket,
    what: &str,
    peer: &Address,
    cause: &io::Error,
) -> Option<Error> {
    // All queued messages are taken, because each one left would make a later call fail for the
    // same reason.
    let mut heard: Option<Icmp> = None;
    if peer.internet().is_some() {
        while let Ok(Some(icmp)) = sys::next_icmp(socket) {
            if heard.is_none_or(|heard| heard.kind == IcmpKind::TooLong) {
                heard = Some(icmp);
            }
        }
    }
    let is_df = |peer: SocketAddr| sys::forbids_fragments(socket, peer.is_ipv6());
    let error = |cause: &io::Error| sending_failed(what, peer, cause);
    let Some(Icmp { kind, from, .. }) = heard else { return Some(error(cause)) };
    let name = name(peer, Protocol::Udp);
    let (code, says) = match kind {
        IcmpKind::PortUnreachable => {
            let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
            let hint = "ICMP port unreachable: nobody listens there";
            return Some(Error::network(what, name, &error).hint(hint));
        }
        IcmpKind::HostUnreachable => (libc::EHOSTUNREACH, "ICMP host unreachable"),
        IcmpKind::NetworkUnreachable => (libc::ENETUNREACH, "ICMP network unreachable"),
        IcmpKind::Prohibited => (libc::EHOSTUNREACH, PROHIBITED),
        IcmpKind::TimeExceeded => (libc::EHOSTUNREACH, "ICMP time exceeded"),
        IcmpKind::ParameterProblem => (libc::EHOSTUNREACH, "ICMP parameter problem"),
        IcmpKind::TooLong if peer.internet().is_some_and(is_df) => {
            return Some(error(&io::Error::from_raw_os_error(libc::EMSGSIZE)));
        }
        IcmpKind::TooLong => return None,
    };
    let error = Error::network(what, name, &io::Error::from_raw_os_error(code));
    Some(match from {
        Some(from) => error.hint(format!("{says}, from {from}")),
        None => error.hint(says),
    })
}
