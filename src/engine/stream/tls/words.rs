//! Why TLS failed, in words for people.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The reason of a failure, in a few words.
#[must_use]
pub(crate) fn reason(failure: &Error) -> String {
    match failure {
        Error::InvalidCertificate(error) => format!("not trusted: {}", certificate(error)),
        Error::NoCertificatesPresented => {
            "not trusted: the peer has sent no certificate".to_owned()
        }
        Error::AlertReceived(alert) => format!("the peer ended it: alert {}", named(*alert)),
        Error::PeerIncompatible(why) => format!("nothing in common: {}", incompatible(why)),
        Error::InvalidMessage(_) => "what the peer sends is not TLS".to_owned(),
        Error::DecryptError => "what came cannot be decrypted: damaged on its way".to_owned(),
        Error::NoApplicationProtocol => "nothing in common: no ALPN name of both".to_owned(),
        Error::PeerMisbehaved(why) => format!("the peer breaks the rules of TLS: {}", words(why)),
        Error::InappropriateMessage { got_type, .. } => {
            format!("the peer breaks the rules of TLS: an unexpected {} message", words(got_type))
        }
        Error::InappropriateHandshakeMessage { got_type, .. } => {
            format!("the peer breaks the rules of TLS: an unexpected {} message", words(got_type))
        }
        other => other.to_string(),
    }
}

/// What may be done about a failure, where that is plain.
#[must_use]
pub(crate) fn advice(failure: &Error) -> Option<&'static str> {
    match failure {
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            Some("the server asks for a certificate: --cert and --key")
        }
        Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | Error::NoApplicationProtocol => Some("--alpn names the protocols"),
        Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate) => {
            Some("it does not trust our certificate")
        }
        _ => None,
    }
}

/// The name of an alert as RFC 8446 has it, 6: `bad_certificate`.
fn named(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(number) => format!("number {number}"),
        known => snake(&format!("{known:?}")),
    }
}

/// `BadCertificate` as `bad_certificate`, `UnknownCA` as `unknown_ca`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut was_lower = false;
    for character in name.chars() {
        if character.is_uppercase() && was_lower {
            text.push('_');
        }
        was_lower = character.is_lowercase() || character.is_ascii_digit();
        text.extend(character.to_lowercase());
    }
    text
}

/// The name of a case as words: `KeyEpochWithPendingFragment` as `key epoch with pending fragment`.
fn words(case: &impl std::fmt::Debug) -> String {
    snake(&format!("{case:?}")).replace('_', " ")
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite of both".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no key exchange group of both".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon => "no signature scheme of both".to_owned(),
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => {
            "the peer has neither TLS 1.2 nor TLS 1.3".to_owned()
        }
        other => words(other),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "its certificate cannot be read".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        CertificateError::UnknownIssuer => "its certificate has no known issuer".to_owned(),
        CertificateError::BadSignature => "a signature of its certificates is wrong".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is for another purpose".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificates are signed by an algorithm that is not known or not safe".to_owned()
        }
        CertificateError::Other(other) => match other.to_string() {
            text if text.contains("CaUsedAsEndEntity") => {
                "its certificate is that of an authority, not of a server".to_owned()
            }
            text => text,
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_have_the_names_of_the_standard() {
        assert_eq!(named(AlertDescription::BadCertificate), "bad_certificate");
        assert_eq!(named(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(named(AlertDescription::HandshakeFailure), "handshake_failure");
        assert_eq!(named(AlertDescription::Unknown(200)), "number 200");
    }
}
