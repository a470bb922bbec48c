//! TLS as the settings say: files become keys and certificates, which are then used for every
//! connection of the run.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check;
use super::reading;
use crate::config::Place;
use crate::config::{Tls, TlsClient, TlsListener, Trust, secrets_of_environment};
use crate::error::Result;
use crate::net::address::Protocol;
use crate::observe::tap::Event;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::serve::hub::Handshakes;
use crate::setup::opening::Stages;
use crate::setup::proxy::{Destination, Proxy};
use crate::setup::tls::{Acceptor, Common, Connector, Identity, Secrets, Trusted, roots};

/// How long a handshake may take unless `--connect-timeout` says otherwise.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

/// The limit for a handshake, counted from this time on.
pub(super) fn limit(given: Option<Duration>, from: Instant) -> Limit {
    Limit::new("--connect-timeout", given.unwrap_or(HANDSHAKE), from)
}

/// What begins TLS with servers.
///
/// # Errors
/// When a file cannot be used, and what ends a run.
pub(super) fn connector(config: &TlsClient, session: &mut Session) -> Result<Connector> {
    let common = common(&config.tls, session)?;
    let trusted = match &config.trust {
        Trust::System => Trusted::System,
        Trust::Pin(sha256) => Trusted::Pin(*sha256),
        Trust::Anybody => Trusted::Anybody,
        Trust::Roots(path) => {
            Trusted::Roots(reading::text(path, session)?, path.display().to_string())
        }
    };
    Connector::new(config.name.clone(), &trusted, common)
}

/// What a connection to this place goes through before it is ready for the payload.
///
/// # Errors
/// When a file cannot be used, and what ends a run.
pub(super) fn stages(
    proxy: Option<&Proxy>,
    place: &Place,
    tls: Option<&TlsClient>,
    session: &mut Session,
) -> Result<Stages> {
    let proxy = match (proxy, place) {
        (Some(proxy), Place::Internet(target)) => {
            let port = check::peer_port(target, Protocol::Tcp)?;
            // No host is this machine, here as for the proxy.
            let host = target.host.as_deref().unwrap_or("localhost");
            Some((Rc::new(proxy.clone()), Destination::new(host, port)?))
        }
        _ => None,
    };
    let tls = tls.map(|tls| connector(tls, session)).transpose()?.map(Rc::new);
    Ok(Stages { proxy, tls })
}

/// What begins TLS with clients; `host` is what is listened on, if that was said. A certificate that
/// is made for this run is told of.
///
/// # Errors
/// When a file cannot be used, and what ends a run.
pub(super) fn acceptor(
    config: &TlsListener,
    host: Option<&str>,
    session: &mut Session,
) -> Result<Acceptor> {
    let common = common(&config.tls, session)?;
    let known = match &config.client_ca {
        None => None,
        Some(path) => Some(roots(&reading::text(path, session)?, &path.display().to_string())?),
    };
    let acceptor = Acceptor::new(&own_names(host), known, common)?;
    if let Some(sha256) = acceptor.made() {
        session.event(&Event::OwnCertificate(sha256));
    }
    Ok(acceptor)
}

/// What begins TLS with many clients at once; each has so long for it.
///
/// # Errors
/// As for [`acceptor`].
pub(super) fn handshakes(
    config: &TlsListener,
    host: Option<&str>,
    given: Option<Duration>,
    session: &mut Session,
) -> Result<Handshakes> {
    let acceptor = acceptor(config, host, session)?;
    Ok(Handshakes::new(acceptor, given.unwrap_or(HANDSHAKE)))
}

/// What this machine may be called by whoever connects to it.
fn own_names(host: Option<&str>) -> Vec<String> {
    let own = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    let bare = host.map(|host| host.split('%').next().unwrap_or(host).to_owned());
    for name in bare.into_iter().chain(own).filter(|name| !name.is_empty()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn common(config: &Tls, session: &mut Session) -> Result<Common> {
    let identity = match &config.identity {
        None => None,
        Some((chain, key)) => {
            let text = reading::text(chain, session)?;
            // A pipe can be read only once.
            let key_text = if key == chain { text.clone() } else { reading::text(key, session)? };
            let name = |path: &PathBuf| path.display().to_string();
            Some(Identity::read((&text, &name(chain)), (&key_text, &name(key)))?)
        }
    };
    Ok(Common {
        identity,
        alpn: config.alpn.clone(),
        secrets: secrets(config.keylog.as_ref(), session)?,
        bare_fin: config.bare_fin,
    })
}

/// Where secrets are written to. A file that only the environment names must not end the run.
fn secrets(given: Option<&PathBuf>, session: &mut Session) -> Result<Option<Arc<Secrets>>> {
    if let Some(path) = given {
        return Secrets::open(path).map(|secrets| Some(Arc::new(secrets)));
    }
    let Some(path) = secrets_of_environment() else { return Ok(None) };
    match Secrets::open(&path) {
        Ok(secrets) => Ok(Some(Arc::new(secrets))),
        Err(error) => {
            session.event(&Event::Error(&error.hint("SSLKEYLOGFILE names it")));
            Ok(None)
        }
    }
}
