//! What clients and servers of TLS have in common: versions, algorithms, our own identity.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{CipherSuite, SupportedProtocolVersion, version};

use super::identity::Identity;
use super::secrets::Secrets;
use crate::engine::stream::tls::BareFin;
use crate::error::{Error, Status};

/// What both roles of TLS have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// Our own certificates and key, if we have any.
    pub identity: Option<Identity>,
    /// Names of protocols to be agreed on (RFC 7301), the best first; 1 to 255 bytes each.
    pub alpn: Vec<Vec<u8>>,
    /// Where the secrets of the connections are written to.
    pub secrets: Option<Arc<Secrets>>,
    /// What a FIN without a close_notify is.
    pub bare_fin: BareFin,
}

/// TLS 1.3, and TLS 1.2 for those who have no other.
pub(super) const VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// ring's algorithms. AES-128-GCM comes before AES-256-GCM: it is as safe for a connection and a
/// fifth faster.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 1,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 3,
    });
    provider
}

/// Our own certificate cannot be used, such as for want of its key.
pub(super) fn unusable(cause: &rustls::Error) -> Error {
    let why = match cause {
        rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
        other => other.to_string(),
    };
    Error::new(Status::LocalIo, "read", "--cert, --key", why)
}
