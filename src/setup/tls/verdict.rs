//! Why a handshake failed, with what is known of the certificates: the line that a user reads.

use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, Error as Cause};

use super::certificate::{facts, is_self_signed};
use crate::engine::stream::tls::{advice, reason};
use crate::error::{Error, Status};
use crate::observe::handshake::{Certificate, Trust};
use crate::units;

/// Names of a certificate that an error lists.
const NAMED: usize = 5;

/// Who is at the other end.
#[derive(Debug)]
pub(super) enum Expected {
    /// A server of this name, whose certificate is taken for this.
    Server(ServerName<'static>, Trust),
    /// A client whose certificate has to be known.
    KnownClient,
    /// A client that nobody asks who it is.
    AnyClient,
}

/// The error of a handshake with `place` that failed.
pub(super) fn error(
    place: &str,
    cause: &Cause,
    expected: &Expected,
    chain: &[CertificateDer<'static>],
) -> Error {
    let own = chain.first().map(facts);
    let (mut why, hint) = match (cause, &own) {
        (Cause::InvalidCertificate(error), Some(own)) => distrust(error, own, expected, chain),
        _ => (reason(cause), hint(cause, expected)),
    };
    if let (Cause::InvalidCertificate(_), Some(own)) = (cause, &own) {
        why += &format!("; certificate {}, SHA-256 {}", own.subject, own.sha256);
    }
    let error = Error::new(Status::Tls, "tls", place, why);
    if hint.is_empty() { error } else { error.hint(hint) }
}

fn hint(cause: &Cause, expected: &Expected) -> &'static str {
    match cause {
        Cause::InvalidMessage(_) if matches!(expected, Expected::Server(..)) => {
            "does the port speak TLS?"
        }
        Cause::NoCertificatesPresented => "--client-ca asks for one",
        other => advice(other).unwrap_or_default(),
    }
}

/// Why a certificate is not trusted, and what to do about it.
fn distrust(
    error: &CertificateError,
    own: &Certificate,
    expected: &Expected,
    chain: &[CertificateDer<'static>],
) -> (String, &'static str) {
    let is_server = matches!(expected, Expected::Server(..));
    let (why, hint) = match error {
        CertificateError::ApplicationVerificationFailure => {
            ("it is not the certificate of --pin".to_owned(), "")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let name = match expected {
                Expected::Server(name, _) => shown(name),
                _ => "this peer".to_owned(),
            };
            (
                format!("it is for {}, not for {name}", those(&own.names)),
                "--server-name NAME asks for another",
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            (dated(own, "expired on", &own.valid_until, Age::Expired), "")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            (dated(own, "is valid only from", &own.valid_from, Age::Early), "")
        }
        CertificateError::UnknownIssuer => unknown(own, chain, is_server),
        // An authority of its own, which nobody has been told to trust.
        CertificateError::Other(_) if chain.first().is_some_and(is_self_signed) => {
            unknown(own, chain, is_server)
        }
        _ => return (reason(&Cause::InvalidCertificate(error.clone())), ""),
    };
    (format!("not trusted: {why}"), hint)
}

fn unknown(
    own: &Certificate,
    chain: &[CertificateDer<'static>],
    is_server: bool,
) -> (String, &'static str) {
    let hint = if is_server {
        "--ca FILE or --pin SHA256 trusts it"
    } else {
        "--client-ca says whom to let in"
    };
    let last = chain.last().filter(|_| chain.len() > 1);
    let why = match last {
        _ if chain.first().is_some_and(is_self_signed) => "it is self-signed".to_owned(),
        Some(last) if is_self_signed(last) => {
            format!("its root {} is not known", facts(last).subject)
        }
        Some(last) => format!("the issuer {} is not known", facts(last).issuer),
        None => format!("its issuer {} is not known", own.issuer),
    };
    (why, hint)
}

#[derive(Clone, Copy)]
enum Age {
    Expired,
    Early,
}

/// The date that is wrong is that of the peer's own certificate, or of one above it.
fn dated(own: &Certificate, what: &str, date: &str, age: Age) -> String {
    // Dates of RFC 3339 are in the order of their text.
    let now = humantime::format_rfc3339_seconds(units::writable(SystemTime::now())).to_string();
    let is_own = match age {
        Age::Expired => own.valid_until < now,
        Age::Early => own.valid_from > now,
    };
    match (is_own, age) {
        (true, _) => format!("it {what} {date}"),
        (false, Age::Expired) => "a certificate of its issuers has expired".to_owned(),
        (false, Age::Early) => "a certificate of its issuers is not valid yet".to_owned(),
    }
}

fn those(names: &[String]) -> String {
    let bare =
        |name: &String| name.split_once(':').map_or(name.as_str(), |(_, bare)| bare).to_owned();
    match names {
        [] => "no name at all".to_owned(),
        names if names.len() > NAMED => {
            let first: Vec<_> = names.iter().take(NAMED).map(bare).collect();
            format!("{} and {} more", first.join(", "), names.len() - NAMED)
        }
        names => names.iter().map(bare).collect::<Vec<_>>().join(", "),
    }
}

fn shown(name: &ServerName<'_>) -> String {
    match name {
        ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
        other => other.to_str().into_owned(),
    }
}
