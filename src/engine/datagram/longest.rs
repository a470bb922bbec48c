//! How much a datagram carries at most.

use crate::net::address::Address;

/// The most payload a UDP datagram carries over IPv4: 65,535 less 20 bytes of IPv4 header and 8
/// of UDP header (RFC 791, RFC 768).
pub(crate) const LONGEST_IPV4: usize = 65_507;

/// The same over IPv6, whose header is not counted in its length (RFC 8200).
pub(crate) const LONGEST_IPV6: usize = 65_527;

/// The most payload that a datagram to this peer carries.
#[must_use]
pub(crate) fn longest_to(peer: &Address) -> usize {
    match peer.internet() {
        Some(peer) if peer.is_ipv6() => LONGEST_IPV6,
        _ => LONGEST_IPV4,
    }
}
