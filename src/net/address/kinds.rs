//! Which protocols, and whether names may be looked up.

use std::fmt;
use std::net::IpAddr;

use crate::peer::Address;

/// Which internet protocol may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// IPv4 and IPv6.
    #[default]
    Any,
    /// IPv4 only (`-4`).
    V4,
    /// IPv6 only (`-6`).
    V6,
}

impl Family {
    pub(super) fn allows(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// The transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A connection and a byte stream (RFC 9293).
    Tcp,
    /// Datagrams (RFC 768).
    Udp,
}

impl Protocol {
    /// As people name it: `tcp`, `udp`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The protocol of a socket with this address: `tcp`, `udp`, or `unix` for both kinds of local
/// sockets.
#[must_use]
pub fn transport(protocol: Protocol, address: &Address) -> &'static str {
    match (address, protocol) {
        (Address::Unix(_), _) => "unix",
        (Address::Internet(_), protocol) => protocol.name(),
    }
}

/// Whether names may be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The system's resolver is asked (getaddrinfo(3)).
    Names,
    /// Only numeric addresses are accepted (`-n`).
    Numeric,
}
