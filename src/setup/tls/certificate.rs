//! What a certificate says (RFC 5280), and certificates as files have them (RFC 7468).

use std::net::IpAddr;

use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use crate::error::{Error, Result, Status};
use crate::observe::handshake::Certificate;

/// Names of one certificate that are told; some have hundreds.
const MOST_NAMES: usize = 100;

/// SHA-256 of a certificate's DER form.
#[must_use]
pub(super) fn fingerprint(der: &CertificateDer<'_>) -> [u8; 32] {
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(digest(&SHA256, der).as_ref());
    sha256
}

/// What a certificate says.
#[must_use]
pub(super) fn facts(der: &CertificateDer<'_>) -> Certificate {
    let sha256 = hex::encode(fingerprint(der));
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        let unread = || "unreadable".to_owned();
        return Certificate {
            subject: unread(),
            names: Vec::new(),
            issuer: unread(),
            valid_from: unread(),
            valid_until: unread(),
            sha256,
        };
    };
    let validity = certificate.validity();
    Certificate {
        subject: named(&certificate.subject().to_string()),
        names: names(&certificate),
        issuer: named(&certificate.issuer().to_string()),
        valid_from: date(&validity.not_before),
        valid_until: date(&validity.not_after),
        sha256,
    }
}

fn named(name: &str) -> String {
    if name.is_empty() { "without a name".to_owned() } else { name.to_owned() }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(format!("IP:{}", IpAddr::from([a, b, c, d]))),
            ref bytes => {
                <[u8; 16]>::try_from(bytes).ok().map(|v6| format!("IP:{}", IpAddr::from(v6)))
            }
        },
        GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
        GeneralName::URI(name) => Some(format!("URI:{name}")),
        _ => None,
    };
    let all = &extension.value.general_names;
    let mut names: Vec<_> = all.iter().filter_map(name).take(MOST_NAMES).collect();
    if all.len() > MOST_NAMES {
        names.push(format!("and {} more", all.len() - MOST_NAMES));
    }
    names
}

/// RFC 3339. A date of a certificate may be any from the year 0 to 9999.
fn date(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Whether a certificate is valid at this time, in seconds since 1970; `None` when it cannot be read.
#[must_use]
pub(super) fn is_valid_at(der: &CertificateDer<'_>, seconds: u64) -> Option<bool> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let now = ASN1Time::from_timestamp(i64::try_from(seconds).ok()?).ok()?;
    Some(certificate.validity().is_valid_at(now))
}

/// Whether a certificate names itself as its issuer.
#[must_use]
pub(super) fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(der)
        .is_ok_and(|(_, certificate)| certificate.subject() == certificate.issuer())
}

/// The certificates in the text of a file.
///
/// # Errors
/// When there are none, or one cannot be read.
pub(super) fn certificates(text: &[u8], path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let all: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(unreadable(path, "holds no certificate (PEM)")),
        Err(cause) => Err(unreadable(path, &format!("its certificates: {cause}"))),
    }
}

pub(super) fn unreadable(path: &str, why: &str) -> Error {
    Error::new(Status::LocalIo, "read", path, why)
}

/// The certificates in the text of a file as those to be trusted.
///
/// # Errors
/// When there are none, or one cannot be used.
pub(crate) fn roots(
    text: &[u8],
    path: &str,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let all = certificates(text, path)?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(all.iter().cloned());
    if added == 0 {
        return Err(unreadable(path, "none of its certificates can be used"));
    }
    Ok((roots, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_apart() {
        let facts = facts(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!(facts.subject, "unreadable");
        assert_eq!(facts.sha256.len(), 64);
        assert!(certificates(b"", "file").is_err());
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\n!\n", "file").is_err());
    }
}
