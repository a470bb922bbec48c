//! Datagram sockets for a peer: nothing is sent, and nobody is waited for.

use std::net::SocketAddr;

use socket2::Socket;

use super::failures::Failures;
use crate::error::Result;
use crate::net::address::Protocol;
use crate::net::socket;
use crate::run::session::Session;
use crate::setup::source::{From, Hears, any_address};
use crate::sys;

/// A datagram socket for the first address that this machine has a route to: connected to it, unless
/// [others are to be heard](Hears).
///
/// # Errors
/// When there is none: the most telling error.
pub(crate) fn connect_datagram(
    addresses: &[SocketAddr],
    from: &From,
    session: &mut Session,
) -> Result<(Socket, SocketAddr)> {
    let mut failures = Failures::default();
    for &peer in addresses {
        let is_group = peer.ip().is_multicast()
            || from.options.broadcast && socket::failure::needs_broadcast(peer);
        let result = match from.hears {
            Hears::Peer if !is_group => connected(peer, from),
            Hears::Peer | Hears::Anybody => unconnected(peer, from),
        };
        match result {
            Ok(socket) => return Ok((socket, peer)),
            Err(error) => {
                if addresses.len() > 1 {
                    session.tell_tried(&error);
                }
                failures.add(error);
            }
        }
    }
    Err(failures.most_telling())
}

/// A datagram socket that is connected to this address.
fn connected(peer: SocketAddr, from: &From) -> Result<Socket> {
    let socket = socket::open("connect", peer, Protocol::Udp, &from.options)?;
    from.options.join(&socket)?;
    from.bind(&socket, peer, Protocol::Udp)?;
    socket.connect(&peer.into()).map_err(|cause| {
        socket::failure::refused_here(&socket, peer, Protocol::Udp, from.port, &cause)
    })?;
    if from.port == 0 && socket::is_its_own_peer(&socket, peer) {
        // While this one has the port, another gets another.
        return connected(peer, from);
    }
    // If this fails, the kernel reports "port unreachable" only.
    let _ = sys::hear_icmp(&socket, peer);
    Ok(socket)
}

/// A datagram socket that anybody can send to, if there is a route to this address.
fn unconnected(peer: SocketAddr, from: &From) -> Result<Socket> {
    // The route is looked up by another socket: what is connected once hears nobody else.
    let other_port = From { port: 0, ..from.clone() };
    drop(connected(peer, &other_port)?);
    let socket = socket::open("connect", peer, Protocol::Udp, &from.options)?;
    from.options.join(&socket)?;
    from.bind(&socket, peer, Protocol::Udp)?;
    if socket::local_port(&socket) == 0 {
        // Its port is to be known before the first datagram.
        let own = any_address(peer);
        socket
            .bind(&own.into())
            .map_err(|cause| socket::failure::binding("bind", own, Protocol::Udp, &cause))?;
    }
    // If this fails, nothing is reported.
    let _ = sys::hear_icmp(&socket, peer);
    Ok(socket)
}
