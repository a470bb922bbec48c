//! Errors of binding and connecting, with hints on what to do about them.
//!
//! One errno often has several reasons, so a hint is given only after its reason was checked.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::error::{Error, Status};
use crate::net::address::Protocol;
use crate::net::socket::ends::{local_address, name, probe};
use crate::sys;

/// The error of bind(2) on this address. `what` is `listen`, or `bind` for the source address of a
/// connection.
#[must_use]
pub(crate) fn binding(
    what: &str,
    address: SocketAddr,
    protocol: Protocol,
    cause: &io::Error,
) -> Error {
    let error = Error::network(what, name(&address.into(), protocol), cause);
    let error = error.with_status(Status::Failure);
    match (cause.raw_os_error(), address.port()) {
        (Some(libc::EADDRINUSE), 0) => error.hint("no port is free"),
        (Some(libc::EADDRINUSE), _) if what == "listen" => {
            error.hint("another program has this port; port 0 takes a free one")
        }
        (Some(libc::EADDRINUSE), _) => error.hint("another program has this port"),
        (Some(libc::EADDRNOTAVAIL), _) => error.hint("it is no address of this machine"),
        (Some(libc::EACCES), port) => match sys::privileged_ports() {
            Some(ports) if ports.contains(&port) => error.hint(format!(
                "ports below {} need root or CAP_NET_BIND_SERVICE: \
                 net.ipv4.ip_unprivileged_port_start",
                ports.end
            )),
            _ => error,
        },
        _ => without_interface(error, address, cause),
    }
}

/// The error of a connection attempt that failed after connect(2) had returned EINPROGRESS.
#[must_use]
pub(crate) fn answered(peer: SocketAddr, cause: &io::Error) -> Error {
    let error = Error::connection("connect", name(&peer.into(), Protocol::Tcp), cause);
    match cause.raw_os_error().and_then(icmp) {
        Some(says) => error.with_status(Status::Unreachable).hint(says),
        None => explained(error, peer, 0, cause),
    }
}

/// The ICMP message behind an error of a connection attempt whose words do not say that the network has answered.
fn icmp(code: i32) -> Option<&'static str> {
    match code {
        libc::ENOPROTOOPT => Some("ICMP protocol unreachable"),
        libc::EPROTO => Some("ICMP parameter problem"),
        libc::EOPNOTSUPP => Some("ICMP source route failed"),
        _ => None,
    }
}

/// The error of connect(2) itself, before a packet was sent. `port` is the source port that was
/// asked for, or 0. The socket must not be used afterwards: it may now allow broadcasts or be
/// connected.
#[must_use]
pub(crate) fn refused_here(
    socket: &Socket,
    peer: SocketAddr,
    protocol: Protocol,
    port: u16,
    cause: &io::Error,
) -> Error {
    let error = Error::network("connect", name(&peer.into(), protocol), cause);
    let local = local_address(socket).and_then(|local| local.internet());
    match cause.raw_os_error() {
        Some(libc::EINVAL) if lacks_interface(peer) => explained(error, peer, port, cause),
        Some(libc::EINVAL) if local.is_some_and(|local| local.ip().is_loopback()) => {
            error.hint("from a loopback address nothing leaves this machine")
        }
        Some(libc::EACCES) if is_broadcast(socket, peer) => {
            error.hint("a broadcast address: --broadcast allows it")
        }
        _ => by_route(error, peer, port, cause),
    }
}

/// The error of looking up the route to `peer`, for a command that cannot broadcast.
#[must_use]
pub(crate) fn unrouted(error: Error, peer: SocketAddr, cause: &io::Error) -> Error {
    let broadcasts = || {
        Socket::new(Domain::for_address(peer), Type::DGRAM, None)
            .is_ok_and(|socket| is_broadcast(&socket, peer))
    };
    match cause.raw_os_error() {
        Some(libc::EINVAL) if lacks_interface(peer) => explained(error, peer, 0, cause),
        Some(libc::EACCES) if broadcasts() => error.hint("a broadcast address"),
        _ => by_route(error, peer, 0, cause),
    }
}

/// What the cause says of the route to `peer`. The words are those of ip-route(8).
fn by_route(error: Error, peer: SocketAddr, port: u16, cause: &io::Error) -> Error {
    match cause.raw_os_error() {
        Some(libc::EINVAL) => error.with_status(Status::Unreachable).hint("a blackhole route"),
        Some(libc::EACCES) => error.with_status(Status::Unreachable).hint("a prohibit route"),
        Some(libc::EHOSTUNREACH) => error.hint("an unreachable route"),
        _ => explained(error, peer, port, cause),
    }
}

/// Whether datagrams to this address need SO_BROADCAST (socket(7)).
#[must_use]
pub(crate) fn needs_broadcast(peer: SocketAddr) -> bool {
    let Ok(socket) = Socket::new(Domain::for_address(peer), Type::DGRAM, None) else {
        return false;
    };
    let refused = socket.connect(&peer.into());
    let is_refused = refused.is_err_and(|cause| cause.raw_os_error() == Some(libc::EACCES));
    is_refused && is_broadcast(&socket, peer)
}

/// Whether connecting succeeds once SO_BROADCAST is set (socket(7)).
fn is_broadcast(socket: &Socket, peer: SocketAddr) -> bool {
    socket.set_broadcast(true).and_then(|()| socket.connect(&peer.into())).is_ok()
}

/// Adds a hint to an error of connecting to `peer`. `port` is the source port that was asked for,
/// or 0.
#[must_use]
pub(crate) fn explained(error: Error, peer: SocketAddr, port: u16, cause: &io::Error) -> Error {
    match cause.raw_os_error() {
        // IPv6 also says so when this machine has no source address for the peer.
        Some(libc::EADDRNOTAVAIL) if is_out_of_reach(peer) => error
            .with_status(Status::Unreachable)
            .hint("no address of this machine can be sent from"),
        Some(libc::EADDRNOTAVAIL) if port != 0 => {
            error.hint(format!("source port {port} has a connection to it already"))
        }
        // For a datagram socket the kernel says EAGAIN instead.
        Some(libc::EADDRNOTAVAIL | libc::EAGAIN) => {
            error.hint("no source port is free: net.ipv4.ip_local_port_range")
        }
        _ => without_interface(error, peer, cause),
    }
}

/// Whether the kernel has no source address for this peer.
pub(super) fn is_out_of_reach(peer: SocketAddr) -> bool {
    probe(peer).is_err_and(|cause| cause.raw_os_error() == Some(libc::EADDRNOTAVAIL))
}

/// Link-local addresses are ambiguous without an interface (RFC 4007).
fn without_interface(error: Error, address: SocketAddr, cause: &io::Error) -> Error {
    if !lacks_interface(address) || cause.raw_os_error() != Some(libc::EINVAL) {
        return error;
    }
    let IpAddr::V6(ip) = address.ip() else { return error };
    error.hint(format!("a link-local address needs its interface: {ip}%IF"))
}

pub(super) fn lacks_interface(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6)
        if v6.ip().is_unicast_link_local() && v6.scope_id() == 0)
}
