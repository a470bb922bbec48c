//! Hosts, ports and socket addresses: parsing, resolving and printing them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use dns_lookup::{AddrInfoHints, LookupErrorKind, getaddrinfo, getnameinfo};

use crate::error::{Error, Result, Status};
pub use crate::peer::{Address, DisplayAddress, Route, canonical};

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
    fn allows(self, ip: IpAddr) -> bool {
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

/// A host and a port as the user wrote them. No host means "this machine".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or numeric address, without brackets.
    pub host: Option<String>,
    /// Port number or service name.
    pub port: String,
}

impl HostPort {
    /// Reads `HOST PORT`, `HOST:PORT`, `[v6]:PORT`, `:PORT` or a bare `PORT`.
    ///
    /// # Errors
    /// Usage errors that say what is missing or ambiguous.
    pub fn parse(words: &[String]) -> Result<Self> {
        match words {
            [host, port] => {
                let host = match host.strip_prefix('[') {
                    Some(rest) => rest
                        .strip_suffix(']')
                        .ok_or_else(|| Error::usage(host, "the bracket is not closed"))?,
                    None => host,
                };
                if host.is_empty() {
                    return Err(Error::usage("host", "is empty"));
                }
                let address = host.split('%').next().unwrap_or_default();
                if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
                    return Err(Error::usage(host, "is no IPv6 address, and no name has a colon")
                        .hint("write HOST PORT or HOST:PORT"));
                }
                Ok(Self { host: Some(host.to_owned()), port: port.clone() })
            }
            [word] => Self::parse_one(word),
            _ => Err(Error::usage("address", "write HOST PORT or HOST:PORT")),
        }
    }

    fn parse_one(word: &str) -> Result<Self> {
        let bare = |port: &str| Self { host: None, port: port.to_owned() };
        if let Some(rest) = word.strip_prefix('[') {
            let Some((host, port)) = rest.split_once("]:") else {
                if !rest.contains(']') {
                    return Err(Error::usage(word, "the bracket is not closed"));
                }
                return Err(Error::usage(word, "an address in brackets needs a port: [HOST]:PORT"));
            };
            if host.is_empty() {
                return Err(Error::usage("host", "is empty"));
            }
            return Ok(Self { host: Some(host.to_owned()), port: port.to_owned() });
        }
        match word.split_once(':') {
            None => Ok(bare(word)),
            Some(("", port)) if !port.contains(':') => Ok(bare(port)),
            Some((host, port)) if !port.contains(':') => {
                Ok(Self { host: Some(host.to_owned()), port: port.to_owned() })
            }
            Some(_) => Err(Error::usage(word, "where does the address end?")
                .hint("an IPv6 address with a port is written [ADDRESS]:PORT")),
        }
    }

    /// The port's number, through the system's service list when it is a name.
    ///
    /// # Errors
    /// A usage error when it is neither a number up to 65535 nor a known service.
    pub fn port_number(&self, protocol: Protocol) -> Result<u16> {
        port_number(&self.port, protocol)
    }

    /// All addresses of the target, in the order in which they should be tried.
    ///
    /// # Errors
    /// When the name cannot be resolved, or the host is an address of the other family.
    pub fn resolve(&self, port: u16, family: Family, lookup: Lookup) -> Result<Vec<SocketAddr>> {
        let Some(host) = &self.host else {
            let loopback = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
            return Ok(loopback
                .into_iter()
                .filter(|ip| family.allows(*ip))
                .map(|ip| SocketAddr::new(ip, port))
                .collect());
        };
        resolve_host(host, port, family, lookup)
    }
}

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
    let unknown = || {
        let place = if word.is_empty() { "port".to_owned() } else { format!("port {word}") };
        Error::usage(place, "is neither a number nor a service this machine knows")
    };
    // getaddrinfo(3) reads such a word as a number: it skips blanks, accepts a sign and takes the
    // result modulo 65536.
    let is_odd = word.starts_with(['-', '+']) || word.contains(char::is_whitespace);
    if word.is_empty() || is_odd {
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
        if family.allows(address.ip()) {
            return Ok(Some(address));
        }
        let (is, flag) = if address.is_ipv4() { ("IPv4", "-6") } else { ("IPv6", "-4") };
        return Err(Error::usage(host, format!("is an {is} address, and {flag} was asked for")));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<HostPort> {
        HostPort::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    fn target(host: Option<&str>, port: &str) -> HostPort {
        HostPort { host: host.map(str::to_owned), port: port.to_owned() }
    }

    #[test]
    fn every_way_to_write_an_address() {
        for (words, want) in [
            (&["localhost", "80"][..], target(Some("localhost"), "80")),
            (&["localhost:80"], target(Some("localhost"), "80")),
            (&["[::1]:80"], target(Some("::1"), "80")),
            (&["[::1]", "80"], target(Some("::1"), "80")),
            (&["::1", "80"], target(Some("::1"), "80")),
            (&[":80"], target(None, "80")),
            (&["80"], target(None, "80")),
            (&["fe80::1%lo", "http"], target(Some("fe80::1%lo"), "http")),
            (&["[fe80::1%lo]:80"], target(Some("fe80::1%lo"), "80")),
        ] {
            assert_eq!(parse(words).unwrap(), want, "{words:?}");
        }
        for bad in [
            &["::1"][..],
            &["[::1]"],
            &["[]:80"],
            &["[::1", "80"],
            &["", "80"],
            &["a:1", "80"],
            &[],
        ] {
            assert_eq!(parse(bad).unwrap_err().status, Status::Usage, "{bad:?}");
        }
    }

    #[test]
    fn ports_are_numbers_or_services() {
        assert_eq!(port_number("0", Protocol::Tcp).unwrap(), 0);
        assert_eq!(port_number("65535", Protocol::Udp).unwrap(), 65535);
        for bad in [
            "65536",
            "99999",
            "",
            "-1",
            "+1",
            "no-such-service",
            "99999999999999999999",
            " 80",
            "80 ",
            "\t80",
            " 65617",
        ] {
            assert_eq!(port_number(bad, Protocol::Tcp).unwrap_err().status, Status::Usage, "{bad}");
        }
    }

    #[test]
    fn a_literal_of_the_other_family_is_a_usage_error() {
        let error = resolve_host("::1", 1, Family::V4, Lookup::Names).unwrap_err();
        assert_eq!(error.status, Status::Usage);
        let error = resolve_host("127.0.0.1", 1, Family::V6, Lookup::Names).unwrap_err();
        assert_eq!(error.status, Status::Usage);
    }

    #[test]
    fn mapped_addresses_are_shown_as_ipv4() {
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:9".parse().unwrap();
        assert_eq!(DisplayAddress(mapped).to_string(), "127.0.0.1:9");
        let lo = interface_index("lo").unwrap();
        let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 9, 0, lo);
        assert_eq!(DisplayAddress(scoped.into()).to_string(), "[fe80::1%lo]:9");
    }
}
