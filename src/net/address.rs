//! Hosts, ports and socket addresses: parsing, resolving and printing them.

mod kinds;
mod lookup;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use kinds::{Family, Lookup, Protocol, transport};
pub use lookup::{ask, interface_index, port_number, resolve_host, service_name, without_server};

use crate::error::{Error, Result};
pub use crate::peer::{Address, DisplayAddress, Route, canonical};

/// A host and a port as the user wrote them. No host means "this machine".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// Name or numeric address, without brackets.
    pub host: Option<String>,
    /// Port number or service name.
    pub port: String,
}

/// Why an address is none that begins with a bracket.
const NOT_CLOSED: &str = "the bracket is not closed";

/// Whether one word is a host and a port: it has a single colon, or one behind a bracket.
fn has_port(word: &str) -> bool {
    let port = match word.strip_prefix('[') {
        Some(rest) => rest.split_once("]:").map(|(_, port)| port),
        None => word.split_once(':').map(|(_, port)| port).filter(|port| !port.contains(':')),
    };
    port.is_some_and(|port| !port.is_empty())
}

impl HostPort {
    /// Reads `HOST PORT`, `HOST:PORT`, `[v6]:PORT`, `:PORT` or a bare `PORT`.
    ///
    /// # Errors
    /// Usage errors that say what is missing or ambiguous.
    pub fn parse(words: &[String]) -> Result<Self> {
        match words {
            [host, port] => {
                if has_port(host) {
                    let why = format!("the port is given twice, here and as {port}");
                    return Err(Error::usage(host, why).hint("write HOST PORT or HOST:PORT"));
                }
                let host = match host.strip_prefix('[') {
                    Some(rest) => rest.strip_suffix(']').ok_or_else(|| {
                        let is_closed = rest.contains(']');
                        let why = "nothing can follow the bracket but :PORT";
                        Error::usage(host, if is_closed { why } else { NOT_CLOSED })
                    })?,
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
                    return Err(Error::usage(word, NOT_CLOSED));
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

/// Where the kernel sends what is addressed to `ip`, in the form of [`canonical`]: the unspecified address
/// stands for this machine (ip(7)), and what answers there has the loopback address.
#[must_use]
pub fn destination(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV6;

    use super::*;
    use crate::error::Status;

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
    fn what_is_sent_to_the_unspecified_address_goes_to_this_machine() {
        for (ip, want) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("::ffff:0.0.0.0", "127.0.0.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            let parsed = |text: &str| text.parse::<IpAddr>().unwrap();
            assert_eq!(destination(parsed(ip)), parsed(want), "{ip}");
        }
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
