//! The fields that say between whom something happened.

use serde::Serialize;

use super::line::Host;
use crate::net::address::Address;
use crate::observe::tap::Link;

/// The fields that identify a link: protocol and both addresses.
#[derive(Serialize)]
pub(super) struct LinkFields {
    /// The number of a forwarder's client.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<u64>,
    protocol: &'static str,
    local_address: Host,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_port: Option<u16>,
    peer_address: Host,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_port: Option<u16>,
}

/// The port of an internet address.
pub(super) fn port(address: &Address) -> Option<u16> {
    address.internet().map(|address| address.port())
}

impl LinkFields {
    /// Our end and the peer's; of a forwarder its end towards the client, and the client's.
    pub(super) fn of(link: &Link) -> Self {
        match &link.forwarded {
            None => Self::between(link, &link.local, &link.peer),
            Some(forwarded) => Self::between(link, &forwarded.near, &link.local),
        }
    }

    /// The two ends of a connection that was made: a forwarder's is that to TO.
    pub(super) fn connected(link: &Link) -> Self {
        match &link.forwarded {
            None => Self::of(link),
            Some(forwarded) => Self::between(link, &forwarded.far, &link.peer),
        }
    }

    fn between(link: &Link, local: &Address, peer: &Address) -> Self {
        Self {
            client: Some(link.client_number()).filter(|number| *number > 0),
            protocol: link.transport(),
            local_address: Host(local.clone()),
            local_port: port(local),
            peer_address: Host(peer.clone()),
            peer_port: port(peer),
        }
    }
}
