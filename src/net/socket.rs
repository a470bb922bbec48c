//! Sockets by name: made, bound and set up the way this program uses them.

mod ends;
pub mod failure;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::error::{Error, PROHIBITED, Result, Status};
use crate::net::address::{Address, Family, Protocol, canonical};
use crate::net::options::Options;
use crate::sys::{self, Icmp, IcmpKind};
use ends::stays_here;

pub use ends::{local_address, local_port, local_towards, name, peer_address};

/// As long a queue of connections not yet accepted as the system allows; the kernel cuts it to
/// net.core.somaxconn (listen(2)).
const BACKLOG: i32 = i32::MAX;

/// A non-blocking socket for an address's family, with the options set.
///
/// # Errors
/// When the machine has no such protocol or no descriptors left, or refuses an option.
pub fn open(
    what: &str,
    address: SocketAddr,
    protocol: Protocol,
    options: &Options,
) -> Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), None)
        .map_err(|cause| Error::network(what, name(&address.into(), protocol), &cause))?;
    options.apply(&socket, address.is_ipv6(), protocol)?;
    if protocol == Protocol::Tcp && canonical(address).ip().is_loopback() {
        // Where it is refused connections are only slower. Those to a listening socket inherit it.
        let _ = sys::stop_pacing(&socket);
    }
    Ok(socket)
}

/// A socket bound to one of `addresses`: the first that can be bound.
///
/// # Errors
/// When none can; the first one's cause.
pub fn bind_first(
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
        // One socket for both families, whatever net.ipv6.bindv6only says (ipv6(7)).
        let only = family == Family::V6 || !address.ip().is_unspecified();
        socket.set_only_v6(only)?;
    }
    if protocol == Protocol::Tcp {
        // A port whose last connections are in TIME-WAIT can be taken again (socket(7)).
        socket.set_reuse_address(true)?;
    }
    if protocol == Protocol::Udp && address.port() != 0 {
        options.share_port(socket, address)?;
    }
    if protocol == Protocol::Udp && address.ip().is_unspecified() {
        // Where it is not told answers come from where the system chooses.
        let _ = sys::tell_destinations(socket, address.is_ipv6());
    }
    socket.bind(&address.into())?;
    match protocol {
        Protocol::Tcp => socket.listen(BACKLOG)?,
        // A port that the system chose is nobody else's, and others may join us there from now on.
        Protocol::Udp => options.share_port(socket, address)?,
    }
    Ok(())
}

/// Connections passed over in one go because they were gone before they could be taken. Where an
/// error stays, as that of a sandbox does, there is no end of them.
const MOST_PASSED_OVER: usize = 64;

/// The next connection of a listening socket, without those that are already gone.
///
/// # Errors
/// `WouldBlock` when nobody waits; [a cause that may pass](may_pass) when there is no room for
/// another connection, or every one that was tried was gone; else the listening socket itself
/// has failed.
pub fn accept(listener: &Socket) -> io::Result<(Socket, Option<Address>)> {
    let mut passed_over = 0;
    loop {
        match sys::accept(listener) {
            Err(cause) if is_gone(&cause) && passed_over < MOST_PASSED_OVER => passed_over += 1,
            result => return result,
        }
    }
}

/// Whether [accepting](accept) may succeed later though it failed with this cause now.
#[must_use]
pub fn may_pass(cause: &io::Error) -> bool {
    is_exhaustion(cause) || is_gone(cause)
}

/// Limits of this process or of the system that pass when somebody leaves (accept(2)).
#[must_use]
pub fn is_exhaustion(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Errors of accept(2) that concern a connection that is already gone, not the listener.
fn is_gone(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}

/// Closing this stream socket will be a reset, where the protocol knows resets: what was sent on it
/// is not all that was to be sent (SO_LINGER of zero, socket(7)).
///
/// # Errors
/// When the system refuses.
pub fn reset_on_close(socket: &Socket) -> io::Result<()> {
    socket.set_linger(Some(Duration::ZERO))
}

/// Much is about to be sent over this stream socket: what would only slow it down is turned off, as
/// far as that was not clear [before](open). Timers once in use stay, but are in the way no more.
pub fn expect_bulk(socket: &Socket) {
    let (local, peer) = (local_address(socket), peer_address(socket));
    if let (Some(local), Some(peer)) = (local, peer)
        && stays_here(&local, &peer)
    {
        // Where it is refused the connection is only slower.
        let _ = sys::stop_pacing(socket);
    }
}

/// Why a call on a connected datagram socket failed, in the words of the ICMP message that made it
/// fail, if one did. `None` when that is nothing to end for: a datagram was too long for the path, and
/// the system cuts those to come.
pub fn datagram_failed(
    socket: &Socket,
    what: &str,
    peer: &Address,
    cause: &io::Error,
) -> Option<Error> {
    // All of them are taken: the rest would make the next calls fail for what is already known.
    let mut heard: Option<Icmp> = None;
    if peer.internet().is_some() {
        while let Ok(Some(icmp)) = sys::next_icmp(socket) {
            if heard.is_none_or(|heard| heard.kind == IcmpKind::TooLong) {
                heard = Some(icmp);
            }
        }
    }
    let name = name(peer, Protocol::Udp);
    let Some(Icmp { kind, from, .. }) = heard else {
        return Some(Error::network(what, name, cause));
    };
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
        IcmpKind::TooLong => return None,
    };
    let error = Error::network(what, name, &io::Error::from_raw_os_error(code));
    Some(match from {
        Some(from) => error.hint(format!("{says}, from {from}")),
        None => error.hint(says),
    })
}
