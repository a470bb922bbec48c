//! The settings of TLS, checked as far as words alone can be: no file is opened here.

use std::path::PathBuf;

use rustls::pki_types::ServerName;

use crate::cli::{AdmitArgs, TlsArgs, TrustArgs};
use crate::engine::stream::tls::BareFin;
use crate::error::{Error, Result};
use crate::setup::tls::server_name;

/// What both roles of TLS have in common.
#[derive(Debug)]
pub(crate) struct Tls {
    /// Our own certificates, and the file of their key, which may be the same.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Names of protocols, the best first.
    pub alpn: Vec<Vec<u8>>,
    /// The file that secrets are added to.
    pub keylog: Option<PathBuf>,
    /// What a FIN without a close_notify is.
    pub bare_fin: BareFin,
}

/// TLS as a client.
#[derive(Debug)]
pub(crate) struct TlsClient {
    /// What it shares with a listener.
    pub tls: Tls,
    /// What is asked for and verified.
    pub name: ServerName<'static>,
    /// Whom it trusts.
    pub trust: Trust,
}

/// TLS as a listener.
#[derive(Debug)]
pub(crate) struct TlsListener {
    /// What it shares with a client.
    pub tls: Tls,
    /// The file of the roots that clients need a certificate from.
    pub client_ca: Option<PathBuf>,
}

/// Whom a client trusts.
#[derive(Debug)]
pub(crate) enum Trust {
    /// Whoever the system's roots vouch for.
    System,
    /// Whoever those in this file vouch for (`--ca`).
    Roots(PathBuf),
    /// The certificate with this SHA-256 (`--pin`).
    Pin([u8; 32]),
    /// Anybody (`--insecure`).
    Anybody,
}

/// The file for secrets that the environment names, as it does for other programs with TLS.
#[must_use]
pub(crate) fn secrets_of_environment() -> Option<PathBuf> {
    std::env::var_os("SSLKEYLOGFILE").filter(|name| !name.is_empty()).map(PathBuf::from)
}

/// The longest name of a protocol (RFC 7301, 3.1).
const LONGEST_ALPN: usize = 255;

impl Tls {
    /// Checks the words that both roles have.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(args: TlsArgs) -> Result<Self> {
        let identity = match (args.cert, args.key) {
            (None, None) => None,
            (None, Some(_)) => {
                return Err(
                    Error::usage("--key", "is of no use without a certificate").hint("--cert")
                );
            }
            (Some(cert), key) => Some((cert.clone(), key.unwrap_or(cert))),
        };
        if let Some(name) = args.alpn.iter().find(|name| !(1..=LONGEST_ALPN).contains(&name.len()))
        {
            return Err(Error::usage(format!("--alpn {name}"), "must be 1 to 255 bytes"));
        }
        Ok(Self {
            identity,
            alpn: args.alpn.into_iter().map(String::into_bytes).collect(),
            keylog: args.keylog,
            bare_fin: if args.accept_fin { BareFin::Ends } else { BareFin::CutsOff },
        })
    }
}

impl TlsClient {
    /// Checks the words of a client of `host`.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(args: TlsArgs, trust: TrustArgs, host: Option<&str>) -> Result<Self> {
        let name = match (&trust.server_name, host) {
            (Some(name), _) => server_name("--server-name", name)?,
            (None, Some(host)) => server_name("HOST", host)?,
            // No host is this machine.
            (None, None) => server_name("HOST", "localhost")?,
        };
        Ok(Self {
            tls: Tls::new(args)?,
            name,
            trust: match (trust.ca, trust.pin, trust.insecure) {
                (Some(file), _, _) => Trust::Roots(file),
                (_, Some(pin), _) => Trust::Pin(sha256(&pin)?),
                (_, _, true) => Trust::Anybody,
                _ => Trust::System,
            },
        })
    }
}

impl TlsListener {
    /// Checks the words of a listener.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(args: TlsArgs, admit: AdmitArgs) -> Result<Self> {
        Ok(Self { tls: Tls::new(args)?, client_ca: admit.client_ca })
    }
}

/// 32 bytes in hex digits, as they are printed here or with the colons of others.
fn sha256(text: &str) -> Result<[u8; 32]> {
    let digits: String = text.chars().filter(|&c| c != ':' && !c.is_whitespace()).collect();
    let mut sha256 = [0; 32];
    match hex::decode_to_slice(digits, &mut sha256) {
        Ok(()) => Ok(sha256),
        Err(_) => {
            Err(Error::usage(format!("--pin {text}"), "must be the 64 hex digits of a SHA-256")
                .hint("-v prints that of a certificate"))
        }
    }
}

/// Which transport TLS would have to run over, as far as that is none for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Under {
    pub udp: bool,
    pub unix: bool,
    pub command: bool,
}

/// Whether TLS is asked for, and over something that it can run over.
///
/// # Errors
/// A usage error when it cannot, or when one of its options is given without it.
pub(super) fn wanted(tls: bool, given: Option<&str>, under: Under) -> Result<bool> {
    match (tls, given) {
        (false, None) => Ok(false),
        (false, Some(option)) => Err(Error::usage(option, "is an option of TLS").hint("--tls")),
        (true, _) if under.udp => Err(Error::usage("--tls", "runs over TCP, not over UDP")),
        (true, _) if under.unix => Err(Error::usage("--tls", "runs over TCP, not over --unix")),
        (true, _) if under.command => {
            Err(Error::usage("--tls", "does not go with a command, which has the socket itself"))
        }
        (true, _) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_it_is_printed_here_and_elsewhere() {
        let plain = "00".repeat(31) + "fe";
        let colons = "00:".repeat(31) + "FE";
        assert_eq!(sha256(&plain).unwrap()[31], 0xfe);
        assert_eq!(sha256(&plain).unwrap(), sha256(&colons).unwrap());
        for wrong in ["", "00", "zz", &"0".repeat(63), &"0".repeat(66)] {
            assert!(sha256(wrong).is_err(), "{wrong}");
        }
    }
}
