//! What a scan asks, in which order, and how fast.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::net::address::{Protocol, destination};
use crate::net::services;
use crate::net::socket;

/// An address of the host that is scanned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Where probes go; its port means nothing.
    pub address: SocketAddr,
    /// Where this machine's probes come from.
    pub local: IpAddr,
    /// Where answers come from: from the address itself, from a loopback address where it is the unspecified
    /// one, which stands for this machine (ip(7)), and from anywhere where it is a group.
    heard: Hearing,
}

/// Whose answers are a target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Those of this address.
    Host(IpAddr),
    /// Everybody's: a group was asked, whose members answer from their own addresses.
    Anybody,
}

impl Target {
    /// The address, if this machine has a route to it.
    ///
    /// # Errors
    /// Why it has none, in the system's words.
    pub(crate) fn new(mut address: SocketAddr) -> io::Result<Self> {
        // Connecting a datagram socket looks the route up and sends nothing. Any port will do.
        address.set_port(9);
        let socket = socket::open_plain(address, Protocol::Udp)?;
        socket.connect(&address.into())?;
        let local = socket::local_address(&socket)
            .and_then(|local| local.internet())
            .unwrap_or(address)
            .ip();
        let heard = match destination(address.ip()) {
            ip if ip.is_multicast() => Hearing::Anybody,
            ip => Hearing::Host(ip),
        };
        Ok(Self { address, local, heard })
    }

    /// Whether what comes from this address answers a probe.
    pub(super) fn hears(&self, from: IpAddr) -> bool {
        match self.heard {
            Hearing::Host(ip) => from.to_canonical() == ip,
            Hearing::Anybody => true,
        }
    }

    /// Whether a datagram to this address, as an ICMP message quotes it, was a probe.
    pub(super) fn is_asked_at(&self, quoted: IpAddr) -> bool {
        quoted.to_canonical() == destination(self.address.ip())
    }

    /// Whether probes go to the very address that they come from.
    pub(super) fn is_own(&self) -> bool {
        self.is_asked_at(self.local)
    }

    pub(super) fn at(&self, port: u16) -> SocketAddr {
        let mut address = self.address;
        address.set_port(port);
        address
    }
}

/// The order in which ports are asked and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// From the lowest up.
    Ascending,
    /// Asked at random, shown as the answers come (`--shuffle`).
    Shuffled,
}

/// What a UDP probe carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// What the service of the port answers; nothing, where none is known.
    ByService,
    /// These bytes (`--send`, `--send-hex`).
    Given(Vec<u8>),
}

impl Payload {
    /// The payload for a port.
    #[must_use]
    pub(crate) fn to(&self, port: u16) -> &[u8] {
        match self {
            Self::ByService => services::probe(port),
            Self::Given(payload) => payload,
        }
    }
}

/// What is asked, and how fast.
#[derive(Debug)]
pub(crate) struct Plan {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The addresses of one machine. A port is open if it is open at any of them; the next one
    /// is asked where the one before was not.
    pub targets: Vec<Target>,
    /// Ascending, without duplicates.
    pub ports: Vec<u16>,
    /// See [`Order`].
    pub order: Order,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Most probes in flight.
    pub concurrency: usize,
    /// Most probes a second, repeated ones included.
    pub rate: Option<u32>,
    /// What a UDP probe carries.
    pub payload: Payload,
}
