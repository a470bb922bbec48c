//! Where connections and datagrams are sent from, and whose datagrams are heard there.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::Socket;

use crate::error::{Error, Result};
use crate::net::address::{Family, Protocol};
use crate::net::options::Options;
use crate::net::socket;
use crate::setup::resolve::Addresses;

/// The source of a connection, and its socket options.
#[derive(Debug, Clone, Default)]
pub(crate) struct From {
    /// Source addresses; the first of the target's family is used. If empty, the kernel chooses.
    pub addresses: Vec<SocketAddr>,
    /// Source port; with 0 the kernel chooses.
    pub port: u16,
    /// Socket options.
    pub options: Options,
    /// Whose datagrams are heard.
    pub hears: Hears,
}

/// Whose datagrams a socket hears that sends to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Hears {
    /// Those of the peer; where that is a broadcast or multicast address, everybody's, as others answer.
    #[default]
    Peer,
    /// Everybody's (`--any-peer`).
    Anybody,
}

impl From {
    /// Binds a socket that is to connect to `target`.
    pub(super) fn bind(
        &self,
        socket: &Socket,
        target: SocketAddr,
        protocol: Protocol,
    ) -> Result<()> {
        let Some(mut from) = self.pick(target) else {
            return Ok(());
        };
        from.set_port(self.port);
        let shared = match protocol {
            _ if self.port == 0 => Ok(()),
            // The port may still be in TIME-WAIT from an earlier run.
            Protocol::Tcp => socket.set_reuse_address(true),
            Protocol::Udp => self.options.share_port(socket, from),
        };
        // If this fails and matters, bind(2) fails too.
        drop(shared);
        socket
            .bind(&from.into())
            .map_err(|cause| socket::failure::binding("bind", from, protocol, &cause))
    }

    /// The `targets` that have the family of a source address.
    ///
    /// # Errors
    /// A usage error when there are none, and none can follow.
    pub(crate) fn reachable(&self, targets: Addresses) -> Result<Addresses> {
        let Some(first) = self.addresses.first() else { return Ok(targets) };
        let is_mixed = self.addresses.iter().any(|from| from.is_ipv4() != first.is_ipv4());
        let family = match (is_mixed, first) {
            (true, _) => Family::Any,
            (false, SocketAddr::V4(_)) => Family::V4,
            (false, SocketAddr::V6(_)) => Family::V6,
        };
        let near = targets.of_family(family);
        if near.known().is_empty() && near.is_complete() {
            let family = if first.is_ipv4() { "IPv4" } else { "IPv6" };
            let why = format!("is an {family} address, and HOST has none");
            return Err(Error::usage(format!("--source {}", first.ip()), why));
        }
        Ok(near)
    }

    /// The address to bind to; `None` leaves it to the kernel.
    fn pick(&self, target: SocketAddr) -> Option<SocketAddr> {
        let same = |from: &&SocketAddr| from.is_ipv4() == target.is_ipv4();
        let any = || any_address(target);
        self.addresses.iter().find(same).copied().or_else(|| (self.port != 0).then(any))
    }
}

/// Every address of this machine, in the family of `peer`, and any port.
pub(super) fn any_address(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
