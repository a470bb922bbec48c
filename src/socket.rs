//! Sockets by name: made, bound and set up the way this program uses them.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::{Family, Protocol, Shown, canonical};
use crate::error::{Error, Result, Status};
use crate::sys;
use crate::tap::Link;

/// As long a queue of connections not yet accepted as the system allows; the kernel cuts it to
/// net.core.somaxconn (listen(2)).
const BACKLOG: i32 = i32::MAX;

/// What a UDP socket asks for as receive buffer: a burst must find room while we write.
const UDP_RECEIVE_BUFFER: usize = 64 << 20;

/// `ADDR:PORT (tcp)`, as errors and lines for people name an end.
#[must_use]
pub fn name(address: SocketAddr, protocol: Protocol) -> String {
    format!("{} ({protocol})", Shown(address))
}

/// A non-blocking socket for an address's family.
///
/// # Errors
/// When the machine has no such protocol or no descriptors left.
pub fn open(address: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let kind = match protocol {
        Protocol::Tcp => Type::STREAM,
        Protocol::Udp => Type::DGRAM,
    };
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), None)?;
    if protocol == Protocol::Udp {
        // What the system does not grant is no error: -v and the drop count tell.
        let _ = sys::raise_receive_buffer(&socket, UDP_RECEIVE_BUFFER);
    }
    Ok(socket)
}

/// Small writes leave at once (TCP_NODELAY, tcp(7)): a person types, a script waits.
pub fn set_up_stream(socket: &Socket) {
    // Only an optimisation, and no TCP socket refuses it.
    let _ = socket.set_tcp_nodelay(true);
}

/// A socket bound to one of `addresses`: the first that can be bound.
///
/// # Errors
/// When none can; the first one's cause.
pub fn bind_first(
    addresses: &[SocketAddr],
    family: Family,
    protocol: Protocol,
) -> Result<(Socket, SocketAddr)> {
    let mut first_error = None;
    for &address in addresses {
        match bind(address, family, protocol) {
            Ok(socket) => {
                let bound = local_address(&socket).unwrap_or(address);
                return Ok((socket, bound));
            }
            Err(cause) => {
                let mut error = Error::network("listen", name(address, protocol), &cause)
                    .with_status(Status::Failure);
                if cause.kind() == io::ErrorKind::AddrInUse {
                    error = error.hint("another program has this port; port 0 takes a free one");
                } else if cause.kind() == io::ErrorKind::PermissionDenied {
                    error = error.hint("ports below 1024 need a privilege");
                }
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| Error::usage("address", "nothing to listen on")))
}

fn bind(address: SocketAddr, family: Family, protocol: Protocol) -> io::Result<Socket> {
    let socket = open(address, protocol)?;
    if address.is_ipv6() {
        // One socket for both families, whatever net.ipv6.bindv6only says (ipv6(7)).
        let only = family == Family::V6 || !address.ip().is_unspecified();
        socket.set_only_v6(only)?;
    }
    if protocol == Protocol::Tcp {
        // A port whose last connections are in TIME-WAIT can be taken again (socket(7)).
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if protocol == Protocol::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

/// The address a socket is bound to.
#[must_use]
pub fn local_address(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok().as_ref().and_then(SockAddr::as_socket)
}

/// The address a socket is connected to.
#[must_use]
pub fn peer_address(socket: &Socket) -> Option<SocketAddr> {
    socket.peer_addr().ok().as_ref().and_then(SockAddr::as_socket)
}

/// The address from which a peer is reached by a socket that is bound to `local`: where that is
/// every address of the machine, the one the system would choose.
#[must_use]
pub fn local_towards(local: SocketAddr, peer: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let peer = canonical(peer);
    let probe = || -> io::Result<Option<SocketAddr>> {
        // Connecting a datagram socket sends nothing.
        let probe = Socket::new(Domain::for_address(peer), Type::DGRAM, None)?;
        probe.connect(&peer.into())?;
        Ok(local_address(&probe))
    };
    let ip = probe().ok().flatten().map_or(local.ip(), |address| address.ip());
    SocketAddr::new(ip, local.port())
}

/// A link between this socket and its peer.
#[must_use]
pub fn link(socket: &Socket, protocol: Protocol, peer: SocketAddr) -> Link {
    Link::new(protocol, local_address(socket).unwrap_or(peer), peer)
}
