//! What we show to the peer: certificates and the key that belongs to them, of the user's or made for
//! this run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certificate::{certificates, fingerprint, unreadable};
use crate::error::{Error, Result};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a certificate that is made for a run is valid.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A chain of certificates, our own first, and the key of that one.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// That of two files' texts (PEM), each with the name of its file.
    ///
    /// # Errors
    /// When one of them does not hold what it should.
    pub(crate) fn read(
        (chain, chain_path): (&[u8], &str),
        (key, key_path): (&[u8], &str),
    ) -> Result<Self> {
        let chain = certificates(chain, chain_path)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
            unreadable(key_path, "holds no private key (PEM)")
                .hint("one with a passphrase has to be decrypted first: openssl pkey")
        })?;
        Ok(Self { chain, key: Arc::new(key) })
    }

    /// One made now for these names and addresses: signed by itself and no authority, so that it can
    /// be trusted by its own file.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub(super) fn make(names: &[String]) -> Result<Self> {
        let failed = |cause: rcgen::Error| {
            Error::new(crate::error::Status::Failure, "certificate", "", cause.to_string())
        };
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().filter_map(|name| alternative(name)).collect();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "pktcat");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now();
        // Clocks differ.
        params.not_before = (now - DAY).into();
        params.not_after = (now + VALID).into();
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            chain: vec![certificate.der().clone()],
            key: Arc::new(PrivatePkcs8KeyDer::from(key.serialize_der()).into()),
        })
    }

    /// The certificates, and a copy of the key.
    pub(super) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }

    /// SHA-256 of our own certificate, in hex digits.
    #[must_use]
    pub(crate) fn sha256(&self) -> String {
        self.chain.first().map(|own| hex::encode(fingerprint(own))).unwrap_or_default()
    }
}

fn alternative(name: &str) -> Option<SanType> {
    match name.parse::<IpAddr>() {
        Ok(address) => Some(SanType::IpAddress(address)),
        Err(_) => name.to_owned().try_into().ok().map(SanType::DnsName),
    }
}
