//! The server's side of TLS: what it shows, and which clients it lets in.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Connection, RootCertStore, ServerConfig, ServerConnection};

use super::common::{Common, VERSIONS, provider, unusable};
use super::handshake::Handshake;
use super::identity::Identity;
use super::trust::{ClientWitness, Seen};
use super::verdict::Expected;
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::run::limits::Limit;

/// Begins TLS on connections of clients.
#[derive(Debug)]
pub(crate) struct Acceptor {
    provider: Arc<CryptoProvider>,
    /// What we show.
    shown: Arc<dyn ResolvesServerCert>,
    clients: Clients,
    common: Common,
    /// SHA-256 of the certificate, if it was made for this run.
    made: Option<String>,
}

/// Which clients are let in.
#[derive(Debug)]
enum Clients {
    /// All. They share one configuration.
    All(Arc<ServerConfig>),
    /// Those whose certificates these vouch for. Each has a configuration of its own, with a witness.
    Known(Arc<dyn ClientCertVerifier>, Arc<Vec<CertificateDer<'static>>>),
}

fn failed(cause: impl ToString) -> Error {
    Error::new(Status::Failure, "tls", "", cause.to_string())
}

impl Acceptor {
    /// What begins TLS with clients. Without an identity one is made for these names. With `known`
    /// only those are let in whose certificates these vouch for.
    ///
    /// # Errors
    /// When the certificate cannot be used.
    pub(crate) fn new(
        names: &[String],
        known: Option<(RootCertStore, Vec<CertificateDer<'static>>)>,
        common: Common,
    ) -> Result<Self> {
        let (identity, made) = match &common.identity {
            Some(identity) => (identity.clone(), None),
            None => {
                let made = Identity::make(names)?;
                let sha256 = made.sha256();
                (made, Some(sha256))
            }
        };
        let provider = Arc::new(provider());
        let (chain, key) = identity.parts();
        let shown = CertifiedKey::from_der(chain, key, &provider);
        let shown = Arc::new(SingleCertAndKey::from(shown.map_err(|cause| unusable(&cause))?));
        let clients = match known {
            None => {
                let verifier = WebPkiClientVerifier::no_client_auth();
                Clients::All(Arc::new(config(&provider, verifier, shown.clone(), &common)?))
            }
            Some((roots, trusted)) => {
                let roots = Arc::new(roots);
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
                Clients::Known(verifier.build().map_err(failed)?, Arc::new(trusted))
            }
        };
        Ok(Self { provider, shown, clients, common, made })
    }

    /// SHA-256 of the certificate in hex digits, if it was made for this run.
    #[must_use]
    pub(crate) fn made(&self) -> Option<&str> {
        self.made.as_deref()
    }

    /// Begins the handshake on a connection; it has to be complete within `limit`.
    ///
    /// # Errors
    /// When TLS refuses to begin, which nothing here should cause.
    pub(crate) fn begin(&self, stream: Stream, limit: Limit) -> Result<Handshake> {
        let seen = Arc::<Seen>::default();
        let (config, expected) = match &self.clients {
            Clients::All(config) => (Arc::clone(config), Expected::AnyClient),
            Clients::Known(verifier, trusted) => {
                let witness = ClientWitness {
                    verifier: Arc::clone(verifier),
                    trusted: Arc::clone(trusted),
                    seen: Arc::clone(&seen),
                };
                let shown = Arc::clone(&self.shown);
                let config = config(&self.provider, Arc::new(witness), shown, &self.common)?;
                (Arc::new(config), Expected::KnownClient)
            }
        };
        let connection = Connection::Server(ServerConnection::new(config).map_err(failed)?);
        let stream = stream.secured(connection, self.common.bare_fin);
        Ok(Handshake::new(stream, expected, seen, self.common.secrets.clone(), limit))
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    shown: Arc<dyn ResolvesServerCert>,
    common: &Common,
) -> Result<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(VERSIONS)
        .map_err(failed)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    config.alpn_protocols.clone_from(&common.alpn);
    // A client that leaves without reading tickets would make the end of the connection a reset.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ignore_client_order = true;
    if let Some(secrets) = &common.secrets {
        config.key_log = Arc::clone(secrets) as _;
    }
    Ok(config)
}
