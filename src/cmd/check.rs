//! Checks of the command line that need no look-up and no socket. They come before anything else, so that
//! a usage error leaves all files as they were.

use std::net::IpAddr;

use crate::config::compare::{self, Compare};
use crate::config::{Connect, Forward, Listen, Place};
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::error::{Error, Result};
use crate::net::address::{self, Family, HostPort, Lookup, Protocol, port_number};

/// Checks the ports, hosts and datagram sizes of `connect`.
///
/// # Errors
/// Usage errors, and host names with `--numeric`.
pub(super) fn connect(config: &Connect) -> Result<()> {
    let common = &config.common;
    if let Some(word) = &config.source_port {
        port_number(word, common.protocol)?;
    }
    if let Place::Internet(target) = &config.place {
        peer_port(target, common.protocol)?;
        let proxy = config.proxy.as_ref().map(|proxy| &proxy.place);
        if let Some(place) = proxy {
            peer_port(place, common.protocol)?;
        }
        let proxy = proxy.and_then(|place| place.host.as_ref());
        for host in target.host.iter().chain(&config.source).chain(proxy) {
            host_alone(host, common.names())?;
        }
    }
    match (common.protocol, longest_to_peer(config)?) {
        (Protocol::Udp, Some(longest)) => common.datagrams(longest).map(drop),
        _ => Ok(()),
    }
}

/// Checks the port, host and datagram size of `listen`, but not `--allow` and `--deny`.
///
/// # Errors
/// Usage errors, and host names with `--numeric`.
pub(super) fn listen(config: &Listen) -> Result<()> {
    let common = &config.common;
    if let Place::Internet(target) = &config.place {
        target.port_number(common.protocol)?;
        if let Some(host) = &target.host {
            host_alone(host, common.names())?;
        }
    }
    match longest_datagram(config)? {
        Some(longest) => common.datagrams(longest).map(drop),
        None => Ok(()),
    }
}

/// Checks the ports and hosts of `forward`, but not `--allow` and `--deny`. TO is checked as written, though a
/// proxy may look it up.
///
/// # Errors
/// Usage errors, and host names with `--numeric`.
pub(super) fn forward(config: &Forward) -> Result<()> {
    let proxy = config.proxy.as_ref().map(|proxy| &proxy.place);
    let mut hosts: Vec<&String> = proxy.and_then(|place| place.host.as_ref()).into_iter().collect();
    if let Some(place) = proxy {
        peer_port(place, config.to.protocol)?;
    }
    if let Place::Internet(target) = &config.to.place {
        peer_port(target, config.to.protocol)?;
        hosts.extend(&target.host);
    }
    if let Place::Internet(target) = &config.from.place {
        target.port_number(config.from.protocol)?;
        hosts.extend(&target.host);
    }
    for host in hosts {
        host_alone(host, config.names())?;
    }
    Ok(())
}

/// Checks the port and host of `compare`.
///
/// # Errors
/// Usage errors, and host names with `--numeric`.
pub(super) fn compare(config: &Compare) -> Result<()> {
    if let compare::Peer::Other(target) = &config.peer {
        peer_port(target, Protocol::Tcp)?;
        if let Some(host) = &target.host {
            host_alone(host, (config.family, config.lookup))?;
        }
    }
    Ok(())
}

/// The number of a port to connect or send to.
///
/// # Errors
/// A usage error when it is no port number or service name, or 0.
pub(super) fn peer_port(target: &HostPort, protocol: Protocol) -> Result<u16> {
    match target.port_number(protocol)? {
        0 => Err(Error::usage("port 0", "nobody can be reached there")),
        port => Ok(port),
    }
}

/// The most payload bytes of a datagram that this listener sends; `None` for one without UDP. For a
/// host name, whose address is not known yet, it is the higher limit, that of IPv6.
///
/// # Errors
/// As for [`listen`].
pub(super) fn longest_datagram(config: &Listen) -> Result<Option<usize>> {
    let common = &config.common;
    if common.protocol != Protocol::Udp && !config.both {
        return Ok(None);
    }
    let is_v6 = match &config.place {
        Place::Unix(_) => false,
        // A dual-stack socket has IPv4 peers too, for which the limit is lower.
        Place::Internet(HostPort { host: None, .. }) => common.family == Family::V6,
        Place::Internet(HostPort { host: Some(host), .. }) => host_alone(host, common.names())?
            .is_none_or(|ip| ip.is_ipv6() && (common.family == Family::V6 || !ip.is_unspecified())),
    };
    Ok(Some(if is_v6 { LONGEST_IPV6 } else { LONGEST_IPV4 }))
}

/// The most payload bytes of a datagram to the peer; `None` if only a look-up can tell.
fn longest_to_peer(config: &Connect) -> Result<Option<usize>> {
    let common = &config.common;
    let of_family = match common.family {
        Family::Any => None,
        Family::V4 => Some(LONGEST_IPV4),
        Family::V6 => Some(LONGEST_IPV6),
    };
    Ok(match &config.place {
        Place::Unix(_) => Some(LONGEST_IPV4),
        Place::Internet(target) => match &target.host {
            None => of_family,
            Some(host) => match host_alone(host, common.names())? {
                None => of_family,
                Some(ip) if ip.is_ipv6() => Some(LONGEST_IPV6),
                Some(_) => Some(LONGEST_IPV4),
            },
        },
    })
}

/// The address of a host that is written as an address; `None` for a name.
fn host_alone(host: &str, (family, lookup): (Family, Lookup)) -> Result<Option<IpAddr>> {
    let address = address::without_server(host, 0, family, lookup)?;
    Ok(address.map(|address| address.ip()))
}
