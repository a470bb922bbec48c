//! The settings of `pktcat connect`.

use std::path::Path;
use std::time::Duration;

use super::common::Common;
use super::distinct::{Files, TlsWords};
use super::place::Place;
use super::tls::{self, TlsClient, Under};
use super::{proxy, rules};
use crate::cli::{CommonArgs, ConnectArgs, MessageArgs};
use crate::engine::datagram::Following;
use crate::error::Result;
use crate::setup::dial::Hears;
use crate::setup::proxy::Proxy;

/// Settings of `pktcat connect`.
#[derive(Debug)]
pub(crate) struct Connect {
    /// The peer to connect to.
    pub place: Place,
    /// What it shares with `listen`.
    pub common: Common,
    /// The local host name or address to send from; with `--unix`, the path (`--source`).
    pub source: Option<String>,
    /// Whose datagrams are heard (`--any-peer`).
    pub hears: Hears,
    /// Whether datagrams go on to whoever answered first (`--follow`).
    pub following: Following,
    /// Whether each message on standard output begins with its sender's address (`--tag`).
    pub tag: bool,
    /// The local port to send from (`--source-port`).
    pub source_port: Option<String>,
    /// See `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// How many further attempts are made (`--retry`).
    pub retry: u32,
    /// How long to wait before each of them (`--retry-delay`).
    pub retry_delay: Duration,
    /// TLS, if it is asked for.
    pub tls: Option<TlsClient>,
    /// The proxy that connects in our place (`--proxy`).
    pub proxy: Option<Proxy>,
}

/// Checks the words against each other.
fn check(args: &ConnectArgs, place: &Place, payloads: &MessageArgs) -> Result<()> {
    if matches!(place, Place::Unix(_)) && args.source_port.is_some() {
        return Err(rules::no_port("--source-port").hint("-s PATH gives it a name"));
    }
    let own = match (&args.source, place) {
        (None, _) => None,
        (Some(host), Place::Internet(_)) => {
            rules::named("--source", host)?;
            None
        }
        (Some(path), Place::Unix(_)) => Some(Place::local("--source ", Path::new(path))?),
    };
    rules::tag(args.tag, args.common.output)?;
    let CommonArgs { seeing, tls, tls_options, .. } = &args.common;
    let words =
        TlsWords { options: tls_options, trust: Some(&args.trust), admit: None, is_used: *tls };
    let mut files =
        Files::of(seeing).tls(words).writing("--source", own.as_ref().and_then(Place::file));
    if !args.common.no_stdin && !payloads.has_messages() {
        files = files.reading_stdin();
    }
    files.check()
}

/// TLS, if it is asked for.
fn tls(args: &mut ConnectArgs, place: &Place) -> Result<Option<TlsClient>> {
    let given = args.common.tls_options.given().or_else(|| args.trust.given());
    let unix = matches!(place, Place::Unix(_));
    let under = Under { udp: args.common.udp, unix, command: false };
    if !tls::wanted(args.common.tls, given, under)? {
        return Ok(None);
    }
    let host = match place {
        Place::Internet(target) => target.host.as_deref(),
        Place::Unix(_) => None,
    };
    let options = std::mem::take(&mut args.common.tls_options);
    TlsClient::new(options, std::mem::take(&mut args.trust), host).map(Some)
}

impl Connect {
    /// Checks the arguments of `connect` against each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(mut args: ConnectArgs, payloads: &MessageArgs) -> Result<Self> {
        let place = Place::of_peer(args.common.unix.as_deref(), &args.address)?;
        check(&args, &place, payloads)?;
        let tls = tls(&mut args, &place)?;
        let proxy = proxy::proxy(args.proxy.as_deref(), args.common.udp, &place)?;
        Ok(Self {
            place,
            tls,
            proxy,
            common: Common::new(args.common, payloads)?,
            source: args.source,
            hears: if args.any_peer || args.follow { Hears::Anybody } else { Hears::Peer },
            following: if args.follow { Following::First } else { Following::Never },
            tag: args.tag,
            source_port: args.source_port,
            connect_timeout: args.connect_timeout,
            retry: args.retry.unwrap_or(0),
            retry_delay: args.retry_delay.unwrap_or(Duration::from_secs(1)),
        })
    }
}
