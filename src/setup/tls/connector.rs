//! The client's side of TLS: whom it asks for, and whom it trusts.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore};

use super::certificate::roots;
use super::common::{Common, VERSIONS, provider, unusable};
use super::handshake::Handshake;
use super::trust::{Judge, Seen, ServerWitness, Trusted};
use super::verdict::Expected;
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::observe::handshake::Trust;
use crate::run::limits::Limit;

/// Begins TLS on connections to one server.
#[derive(Debug)]
pub(crate) struct Connector {
    config: ClientConfig,
    judge: Arc<Judge>,
    algorithms: WebPkiSupportedAlgorithms,
    name: ServerName<'static>,
    common: Common,
}

/// What a server is asked for by and verified as: a name or an address.
///
/// # Errors
/// A usage error when no certificate can be for that.
pub(crate) fn server_name(option: &str, name: &str) -> Result<ServerName<'static>> {
    // The interface of a link-local address is of this machine, and a dot at the end of the resolver.
    let bare = name.split('%').next().unwrap_or(name);
    let bare = bare.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(ServerName::from(address));
    }
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).map_err(|_| {
        let error = Error::usage(format!("{option} {name}"), "no certificate can be for this name");
        if option == "HOST" { error.hint("--server-name NAME asks for another") } else { error }
    })
}

impl Connector {
    /// What begins TLS with whoever is `name` and `trusted`.
    ///
    /// # Errors
    /// When there is nobody to trust, or our own certificate cannot be used.
    pub(crate) fn new(
        name: ServerName<'static>,
        trusted: &Trusted,
        common: Common,
    ) -> Result<Self> {
        let provider = Arc::new(provider());
        let judge = Arc::new(judge(trusted, &provider)?);
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(VERSIONS)
            .map_err(|cause| Error::new(Status::Failure, "tls", "", cause.to_string()))?
            .dangerous()
            // Each connection has a witness of its own.
            .with_custom_certificate_verifier(witness(&judge, algorithms, &Arc::default()));
        let mut config = match &common.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.parts();
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|cause| unusable(&cause))?
            }
        };
        config.alpn_protocols.clone_from(&common.alpn);
        config.resumption = Resumption::disabled();
        if let Some(secrets) = &common.secrets {
            config.key_log = Arc::clone(secrets) as _;
        }
        Ok(Self { config, judge, algorithms, name, common })
    }

    /// Begins the handshake on a connection; it has to be complete within `limit`.
    ///
    /// # Errors
    /// When TLS refuses to begin, which nothing here should cause. The connection is closed, and observers
    /// are told.
    pub(crate) fn begin(&self, stream: Stream, limit: Limit) -> Result<Handshake> {
        let seen = Arc::default();
        let mut config = self.config.clone();
        let witness = witness(&self.judge, self.algorithms, &seen);
        config.dangerous().set_certificate_verifier(witness);
        let connection = ClientConnection::new(Arc::new(config), self.name.clone());
        let connection = connection.map_err(|cause| {
            stream.over();
            Error::new(Status::Tls, "tls", stream.link().to_string(), cause.to_string())
        })?;
        let connection = Connection::Client(connection);
        let stream = stream.secured(connection, self.common.bare_fin);
        let trust = match &*self.judge {
            Judge::Issuers(..) => Trust::Verified,
            Judge::Pin(_) => Trust::Pinned,
            Judge::Nobody => Trust::Unverified,
        };
        let expected = Expected::Server(self.name.clone(), trust);
        Ok(Handshake::new(stream, expected, seen, self.common.secrets.clone(), limit))
    }
}

fn witness(
    judge: &Arc<Judge>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: &Arc<Seen>,
) -> Arc<ServerWitness> {
    Arc::new(ServerWitness { judge: Arc::clone(judge), algorithms, seen: Arc::clone(seen) })
}

fn judge(trusted: &Trusted, provider: &Arc<CryptoProvider>) -> Result<Judge> {
    let (roots, themselves) = match trusted {
        Trusted::Pin(pin) => return Ok(Judge::Pin(*pin)),
        Trusted::Anybody => return Ok(Judge::Nobody),
        Trusted::Roots(text, path) => roots(text, path)?,
        Trusted::System => (system_roots()?, Vec::new()),
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|cause| Error::new(Status::Failure, "tls", "", cause.to_string()))?;
    Ok(Judge::Issuers(verifier, themselves))
}

/// Where rustls-native-certs finds them; SSL_CERT_FILE and SSL_CERT_DIR name others.
fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        let why = format!("this system has no roots to trust{cause}");
        return Err(Error::new(Status::Tls, "tls", "", why)
            .hint("--ca FILE, --pin SHA256 or --insecure say whom to trust"));
    }
    Ok(roots)
}
