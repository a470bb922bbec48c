//! Which proxy, and where it is to connect to.

use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};
use crate::net::address::HostPort;

/// Which protocol a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// SOCKS version 5.
    Socks5,
    /// HTTP/1.1 with CONNECT.
    Http,
}

/// A proxy, as `--proxy` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its protocol.
    pub kind: Kind,
    /// Where it is.
    pub place: HostPort,
    /// User and password, if it wants them.
    pub credentials: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where the proxy is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// A name, which the proxy resolves, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Destination {
    /// `HOST:PORT`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The longest user name, password and host that SOCKS5 has room for, in bytes.
const LONGEST: usize = 255;

impl Proxy {
    /// Reads `socks5://[USER:PASS@]HOST:PORT` or `http://...`; user and password may have
    /// %-escapes (RFC 3986).
    ///
    /// # Errors
    /// Usage errors.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::usage(format!("--proxy {}", without_password(text)), why);
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(wrong("is no socks5://HOST:PORT and no http://HOST:PORT"));
        };
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "socks5" => Kind::Socks5,
            "http" => Kind::Http,
            "socks5h" => {
                let error = wrong("is written socks5:// here");
                return Err(error.hint("the proxy resolves the name unless -n is given"));
            }
            "https" => return Err(wrong("TLS to the proxy itself is not supported")),
            _ => return Err(wrong("is neither socks5:// nor http://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((both, place)) => {
                let (user, password) = both.split_once(':').unwrap_or((both, ""));
                let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
                (Some((decode(user), decode(password))), place)
            }
        };
        let place = HostPort::parse(&[place.to_owned()])?;
        if place.host.is_none() || place.port.contains('/') {
            return Err(wrong("must end in HOST:PORT"));
        }
        if let (Kind::Socks5, Some((user, password))) = (kind, &credentials)
            && (user.is_empty() || user.len() > LONGEST || password.len() > LONGEST)
        {
            return Err(wrong(
                "SOCKS5 takes a user of 1 to 255 bytes and a password of at most 255",
            ));
        }
        // They end at a colon in the header (RFC 7617, 2).
        if let (Kind::Http, Some((user, _))) = (kind, &credentials)
            && user.contains(&b':')
        {
            return Err(wrong("the user of an HTTP proxy cannot have a colon"));
        }
        Ok(Self { kind, place, credentials })
    }
}

/// The text for an error: a password is nobody's business.
fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://...@{place}"),
        _ => text.to_owned(),
    }
}

impl Destination {
    /// Where a proxy can be told to connect to.
    ///
    /// # Errors
    /// A usage error for what no proxy can be told.
    pub fn new(host: &str, port: u16) -> Result<Self> {
        if host.contains('%') {
            return Err(Error::usage(
                host,
                "an interface of this machine means nothing to a proxy",
            ));
        }
        if host.len() > LONGEST || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Error::usage(host, "is no name that a proxy can be asked for"));
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The address, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_with_its_credentials() {
        let proxy = Proxy::parse("socks5://us%40er:pa%3Ass:@[::1]:1080").unwrap();
        assert_eq!(proxy.kind, Kind::Socks5);
        assert_eq!(proxy.place.host.as_deref(), Some("::1"));
        assert_eq!(proxy.credentials, Some((b"us@er".to_vec(), b"pa:ss:".to_vec())));
        let proxy = Proxy::parse("HTTP://localhost:3128/").unwrap();
        assert_eq!((proxy.kind, proxy.credentials), (Kind::Http, None));
        for wrong in [
            "localhost:1080",
            "socks4://a:1",
            "https://a:1",
            "http://a",
            "http://a:1/x",
            "socks5://:x@a:1",
        ] {
            assert!(Proxy::parse(wrong).is_err(), "{wrong}");
        }
        let told = Proxy::parse("socks9://user:secret@host:1").unwrap_err().to_string();
        assert!(!told.contains("secret"), "{told}");
    }
}
