//! Whose certificate is taken: a judge for all connections, and a witness for each, which keeps what
//! the peer has shown so that it can be told also when the handshake fails.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::certificate::{fingerprint, is_valid_at};

/// Whom a client trusts.
#[derive(Debug, Clone)]
pub(crate) enum Trusted {
    /// Whoever the system's roots vouch for.
    System,
    /// Whoever these vouch for: the text of a file (PEM) and the file's name.
    Roots(Vec<u8>, String),
    /// Whoever has the certificate with this SHA-256.
    Pin([u8; 32]),
    /// Anybody.
    Anybody,
}

/// How a server's certificate is judged.
#[derive(Debug)]
pub(super) enum Judge {
    /// By its issuers, its name and its dates. A certificate that is among those to be trusted needs
    /// no issuer.
    Issuers(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
    /// By its SHA-256.
    Pin([u8; 32]),
    /// Not at all.
    Nobody,
}

/// What a peer has shown.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Vec<CertificateDer<'static>>>);

impl Seen {
    fn keep(&self, own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) {
        let chain = std::iter::once(own).chain(others).map(|one| one.clone().into_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
    }

    /// The certificates, the peer's own first.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Has a server's certificate judged, and keeps it.
#[derive(Debug)]
pub(super) struct ServerWitness {
    pub(super) judge: Arc<Judge>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) seen: Arc<Seen>,
}

impl ServerCertVerifier for ServerWitness {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.seen.keep(own, others);
        match &*self.judge {
            Judge::Issuers(_, trusted) if is_among(own, trusted, now) => {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            Judge::Issuers(verifier, _) => {
                verifier.verify_server_cert(own, others, name, ocsp, now)
            }
            Judge::Pin(pin) if fingerprint(own) != *pin => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            Judge::Pin(_) | Judge::Nobody => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, own, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, own, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether a certificate is one of these itself and valid now. Those that sign themselves often call
/// themselves an authority, and are no server's for the rules of issuers.
fn is_among(own: &CertificateDer<'_>, trusted: &[CertificateDer<'_>], now: UnixTime) -> bool {
    trusted.contains(own) && is_valid_at(own, now.as_secs()) == Some(true)
}

/// Has a client's certificate judged by its issuers, and keeps it.
#[derive(Debug)]
pub(super) struct ClientWitness {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) trusted: Arc<Vec<CertificateDer<'static>>>,
    pub(super) seen: Arc<Seen>,
}

impl ClientCertVerifier for ClientWitness {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.seen.keep(own, others);
        if is_among(own, &self.trusted, now) {
            return Ok(ClientCertVerified::assertion());
        }
        self.verifier.verify_client_cert(own, others, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
