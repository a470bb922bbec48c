//! The two ends of a socket: their names, and the way between them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::net::address::{Address, Protocol, canonical, destination, transport};
use crate::sys;

/// `ADDR:PORT (tcp)`, as errors and lines for people name an end.
#[must_use]
pub(crate) fn name(address: &Address, protocol: Protocol) -> String {
    format!("{address} ({})", transport(protocol, address))
}

/// The address a socket is bound to.
#[must_use]
pub(crate) fn local_address(socket: &Socket) -> Option<Address> {
    socket.local_addr().ok().as_ref().and_then(address)
}

fn address(raw: &SockAddr) -> Option<Address> {
    if raw.is_unix() {
        return Some(Address::Unix(sys::local_name(raw).map(Rc::from)));
    }
    raw.as_socket().map(Address::Internet)
}

/// Whether a socket that has connected to `peer` is its own peer. On this machine the kernel may choose
/// the port that is connected to as the source port; with no listener there, the socket then connects to
/// itself (simultaneous open, RFC 9293, 3.5), and what a datagram socket sends comes back to it.
#[must_use]
pub(crate) fn is_its_own_peer(socket: &Socket, peer: SocketAddr) -> bool {
    let local = local_address(socket).and_then(|local| local.internet());
    local.is_some_and(|local| {
        (canonical(local).ip(), local.port()) == (destination(peer.ip()), peer.port())
    })
}

/// The port a socket is bound to; 0 for one without.
#[must_use]
pub(crate) fn local_port(socket: &Socket) -> u16 {
    local_address(socket).and_then(|local| local.internet()).map_or(0, |local| local.port())
}

/// The address a socket is connected to.
#[must_use]
pub(crate) fn peer_address(socket: &Socket) -> Option<Address> {
    socket.peer_addr().ok().as_ref().and_then(address)
}

/// The address from which a peer is reached by a socket that is bound to `local`: where that is
/// every address of the machine, the one the system would choose.
#[must_use]
pub(crate) fn local_towards(local: Address, peer: &Address) -> Address {
    match (local.internet(), peer.internet()) {
        (Some(from), Some(to)) if from.ip().is_unspecified() => {
            let ip = chosen_local(canonical(to)).unwrap_or(from.ip());
            SocketAddr::new(ip, from.port()).into()
        }
        _ => local,
    }
}

/// The address from which the system would reach a peer.
fn chosen_local(peer: SocketAddr) -> Option<IpAddr> {
    local_address(&probe(peer).ok()?)?.internet().map(|local| canonical(local).ip())
}

/// Bytes of the longest packet on the way to a peer, as far as the kernel knows.
pub(super) fn path_mtu(peer: SocketAddr) -> Option<usize> {
    sys::path_mtu(probe(peer).ok()?, peer).ok()
}

/// A socket connected to a peer without a packet: connecting a datagram socket sends nothing.
pub(super) fn probe(peer: SocketAddr) -> io::Result<Socket> {
    let probe = Socket::new(Domain::for_address(peer), Type::DGRAM, None)?;
    probe.connect(&peer.into())?;
    Ok(probe)
}

/// Whether packets between the two ends never leave this machine: one of them is a loopback
/// address, or the peer's is one of our own.
pub(super) fn stays_here(local: &Address, peer: &Address) -> bool {
    let (Some(local), Some(peer)) = (local.internet(), peer.internet()) else {
        return false;
    };
    let (local, peer) = (canonical(local).ip(), canonical(peer));
    local.is_loopback()
        || peer.ip().is_loopback()
        || local == peer.ip()
        // What goes to an address of our own comes from it.
        || chosen_local(peer).is_some_and(|ip| ip == peer.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_to_ourselves_stays_here() {
        let ends = |local: &str, peer: &str| {
            let end = |text: &str| Address::from(text.parse::<SocketAddr>().unwrap());
            stays_here(&end(local), &end(peer))
        };
        assert!(ends("127.0.0.1:1", "127.0.0.1:2"));
        assert!(ends("127.0.0.1:1", "127.9.9.9:2"));
        assert!(ends("[::1]:1", "[::1]:2"));
        assert!(ends("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]:2"));
        assert!(ends("192.0.2.1:1", "192.0.2.1:2"));
        assert!(ends("[2001:db8::1]:1", "[2001:db8::1]:2"));
        assert!(ends("127.0.0.1:1", "192.0.2.1:2"));
        assert!(!ends("198.51.100.1:1", "198.51.100.2:2"));
        assert!(!ends("[fe80::1]:1", "[fe80::2]:2"));
        assert!(!stays_here(&Address::Unix(None), &Address::Unix(None)));
    }
}
