//! Names of hosts and services become numbers, by what is written or by the system's resolver.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use dns_lookup::{AddrInfoHints, LookupErrorKind, getaddrinfo, getnameinfo};

use super::kinds::{Family, Lookup, Protocol};
use crate::error::{Error, Result, Status};

/// The number of a port given as a number or a service name.
///
/// # Errors
/// A usage error when it is neither.
pub fn port_number(word: &str, protocol: Protocol) -> Result<u16> {
    if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
        return word
            .parse()
            .map_err(|_| Error::usage(format!("port {word}"), "must be between 0 and 65535"));
    }
    if word.is_empty() {
        return Err(Error::usage("port", "is empty"));
    }
    let unknown = || {
        let why = "is neither a number nor a service this machine knows";
        Error::usage(format!("port {word}"), why)
    };
    // getaddrinfo(3) reads such a word as a number: it skips blanks, accepts a sign and takes the
    // result modulo 65536.
    let is_odd = word.starts_with(['-', '+']) || word.contains(char::is_whitespace);
    if is_odd {
        return Err(unknown());
    }
    let hints =
        AddrInfoHints { flags: 0, address: 0, socktype: socket_type(protocol), protocol: 0 };
    let found = getaddrinfo(None, Some(word), Some(hints)).map_err(|_| unknown())?;
    let port = found.flatten().map(|info| info.sockaddr.port()).next();
    port.ok_or_else(unknown)
}

/// The name that the system's service list has for a port (services(5)); `None` when it has none.
#[must_use]
pub fn service_name(port: u16, protocol: Protocol) -> Option<String> {
    let flags = libc::NI_NUMERICHOST
        | match protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => libc::NI_DGRAM,
        };
    // getnameinfo(3) wants an address as well; with NI_NUMERICHOST it is not looked up.
    let anywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let (_, service) = getnameinfo(&anywhere, flags).ok()?;
    // For a port without a name, getnameinfo(3) returns the number.
    (service != port.to_string()).then_some(service)
}

fn socket_type(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Tcp => libc::SOCK_STREAM,
        Protocol::Udp => libc::SOCK_DGRAM,
    }
}

/// All addresses of a host, in the resolver's order (RFC 6724).
///
/// # Errors
/// When the name cannot be resolved, or the host is an address of the other family.
pub fn resolve_host(
    host: &str,
    port: u16,
    family: Family,
    lookup: Lookup,
) -> Result<Vec<SocketAddr>> {
    match without_server(host, port, family, lookup)? {
        Some(address) => Ok(vec![address]),
        None => look_up(host, port, family, 0),
    }
}

/// Looks a name up on a thread of its own. The receiver gets the result; `wake` is called once it
/// is there.
pub fn ask(
    name: &str,
    port: u16,
    family: Family,
    wake: impl FnOnce() + Send + 'static,
) -> Receiver<Result<Vec<SocketAddr>>> {
    let (sender, receiver) = mpsc::channel();
    let (own, name) = (sender.clone(), name.to_owned());
    let asked = name.clone();
    // Sending fails when the receiver was dropped: nobody wants the answer any more.
    let thread = thread::Builder::new().spawn(move || {
        let _ = sender.send(look_up(&asked, port, family, 0));
        wake();
    });
    if thread.is_err() {
        // Without another thread the look-up has to block this one.
        let _ = own.send(look_up(&name, port, family, 0));
    }
    receiver
}

/// The address of a host that is written as one; `None` for a name, which has to be looked up.
///
/// # Errors
/// When the address is of the other family, or the host is a name and [`Lookup::Numeric`] forbids
/// looking it up.
pub fn without_server(
    host: &str,
    port: u16,
    family: Family,
    lookup: Lookup,
) -> Result<Option<SocketAddr>> {
    if let Some(address) = literal(host, port)? {
        // What counts is how it is written: a mapped address is an IPv6 address, whose packets are
        // those of IPv4 (RFC 4291, 2.5.5.2).
        let is_v6 = host.contains(':');
        let (is, flag) = match family {
            Family::V4 if is_v6 => ("IPv6", "-4"),
            Family::V6 if !is_v6 => ("IPv4", "-6"),
            _ => return Ok(Some(address)),
        };
        let error = Error::usage(host, format!("is an {is} address, and {flag} was asked for"));
        return Err(match address {
            SocketAddr::V4(v4) if is_v6 => error.hint(format!("in IPv4 it is {}", v4.ip())),
            _ => error,
        });
    }
    if lookup == Lookup::Names {
        return Ok(None);
    }
    // This also accepts the short forms of inet_aton(3), such as `127.1`.
    let found = look_up(host, port, family, libc::AI_NUMERICHOST);
    found.map(|found| found.first().copied()).map_err(|_| {
        Error::new(Status::Unresolved, "resolve", host, "not a numeric address")
            .hint("-n allows no look-ups")
    })
}

/// Parses a numeric address; the interface after `%` becomes the scope ID (RFC 4007, 11).
fn literal(host: &str, port: u16) -> Result<Option<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        // An IPv4-mapped address counts as IPv4.
        return Ok(Some(SocketAddr::new(ip.to_canonical(), port)));
    }
    let Some((address, interface)) = host.split_once('%') else {
        return Ok(None);
    };
    let Ok(address) = address.parse::<Ipv6Addr>() else {
        return Ok(None);
    };
    let scope = interface_index(interface)
        .ok_or_else(|| Error::usage(host, format!("there is no interface {interface}")))?;
    Ok(Some(SocketAddrV6::new(address, port, 0, scope).into()))
}

/// The index of a network interface given by name or number.
#[must_use]
pub fn interface_index(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok().or_else(|| name.parse().ok())
}

fn look_up(host: &str, port: u16, family: Family, flags: i32) -> Result<Vec<SocketAddr>> {
    let hints = AddrInfoHints {
        flags,
        address: match family {
            Family::Any => libc::AF_UNSPEC,
            Family::V4 => libc::AF_INET,
            Family::V6 => libc::AF_INET6,
        },
        socktype: libc::SOCK_STREAM,
        protocol: 0,
    };
    let failed = |why: &str| Error::new(Status::Unresolved, "resolve", host, why);
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(|error| match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => {
            failed("no such host name").hint(match family {
                Family::Any => "check the spelling",
                Family::V4 => "check the spelling; -4 hides its IPv6 addresses",
                Family::V6 => "check the spelling; -6 hides its IPv4 addresses",
            })
        }
        LookupErrorKind::Again => failed("the name server does not answer"),
        _ => failed(&io::Error::from(error).to_string()),
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for info in found.flatten() {
        let mut address = info.sockaddr;
        address.set_port(port);
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed("the name has no address"));
    }
    Ok(addresses)
}
