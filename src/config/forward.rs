//! The settings of `pktcat forward`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::access;
use super::distinct::{Files, TlsWords};
use super::impair;
use super::network::{check_groups, family, lookup, options};
use super::place::Place;
use super::seen::{Seen, verbosity};
use super::tls::{TlsClient, TlsListener};
use super::{proxy, rules};
use crate::cli::{ForwardArgs, TlsArgs};
use crate::engine::framing::Format;
use crate::engine::impair::Traffic;
use crate::error::{Error, Result};
use crate::forward::impair::Impairment;
use crate::net::access::AccessList;
use crate::net::address::{Family, HostPort, Lookup, Protocol};
use crate::net::options::Options;
use crate::observe::journal::Verbosity;
use crate::observe::report::Leaving;
use crate::setup::proxy::Proxy;
use crate::sys::Offload;

/// Settings of `pktcat forward`.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Where to listen.
    pub from: Endpoint,
    /// Where clients are led to.
    pub to: Endpoint,
    /// Which address family.
    pub family: Family,
    /// Whether names may be looked up.
    pub lookup: Lookup,
    /// The file that the port number is written to (`--port-file`).
    pub port_file: Option<PathBuf>,
    /// See `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// See `--idle-timeout`.
    pub idle: Option<Duration>,
    /// See `--timeout`.
    pub timeout: Option<Duration>,
    /// How datagrams travel in a stream, where FROM and TO are not of the same kind.
    pub messages: Option<Format>,
    /// The bad network that was asked for (`--impair`, `--impair-up`, `--impair-down`).
    pub impairment: Impairment,
    /// Whether the run ends with the first client (`--once`).
    pub once: bool,
    /// The most clients at the same time (`--max-clients`).
    pub max_clients: Option<usize>,
    /// How much is said.
    pub verbosity: Verbosity,
    /// What is to be seen of the bytes.
    pub seen: Seen,
    /// Socket options.
    pub options: Options,
    /// Whether bulk data may take ways that only this system has.
    pub offload: Offload,
    /// TLS with clients.
    pub from_tls: Option<TlsListener>,
    /// TLS with TO.
    pub to_tls: Option<TlsClient>,
    /// The proxy that connects to TO in our place (`--proxy`).
    pub proxy: Option<Proxy>,
    allow: Vec<String>,
    deny: Vec<String>,
}

/// Whether a stream is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Plain,
    Tls,
}

/// One of the two ends of a forwarder.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// Whether it speaks TLS.
    security: Security,
    /// Whether it speaks in a stream or in datagrams.
    pub protocol: Protocol,
    /// Where it is.
    pub place: Place,
}

impl Endpoint {
    /// Reads `[tcp:|udp:|tls:|unix:]ADDRESS`.
    fn parse(word: &str, default: Protocol) -> Result<Self> {
        let (protocol, security, address) = match word.split_once(':') {
            Some(("tcp", address)) => (Protocol::Tcp, Security::Plain, address),
            Some(("tls", address)) => (Protocol::Tcp, Security::Tls, address),
            Some(("udp", address)) => (Protocol::Udp, Security::Plain, address),
            Some(("unix", path)) => {
                let place = Place::local("unix:", Path::new(path))?;
                return Ok(Self { security: Security::Plain, protocol: default, place });
            }
            _ => (default, Security::Plain, word),
        };
        if address.contains("://") {
            return Err(Error::usage(word, "is a URL").hint("write [tcp:|udp:|tls:|unix:]ADDRESS"));
        }
        let place = Place::Internet(HostPort::parse(&[address.to_owned()])?);
        Ok(Self { security, protocol, place })
    }

    fn is_local(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }
}

/// TLS at FROM and with TO, where it was asked for.
fn secured(
    args: &mut ForwardArgs,
    from: &Endpoint,
    to: &Endpoint,
) -> Result<(Option<TlsListener>, Option<TlsClient>)> {
    let (from_is, to_is) = (from.security == Security::Tls, to.security == Security::Tls);
    let own = [("--cert", args.tls.cert.is_some()), ("--key", args.tls.key.is_some())];
    let own = own.into_iter().find(|(_, given)| *given).map(|(option, _)| option);
    if let (false, Some(option)) = (from_is, own.or(args.admit.given())) {
        return Err(Error::usage(option, "is for clients that speak TLS").hint("tls: as FROM"));
    }
    let alpn = (!args.tls.alpn.is_empty()).then_some("--alpn");
    if let (false, Some(option)) = (to_is, args.trust.given().or(alpn)) {
        return Err(Error::usage(option, "is for TLS with TO").hint("tls: as TO"));
    }
    if let (false, Some(option)) = (from_is || to_is, args.tls.given()) {
        return Err(Error::usage(option, "needs TLS").hint("tls: as FROM or TO"));
    }
    let words = |cert, key, alpn| TlsArgs {
        cert,
        key,
        alpn,
        keylog: args.tls.keylog.clone(),
        accept_fin: args.tls.accept_fin,
    };
    let at_from = words(args.tls.cert.clone(), args.tls.key.clone(), Vec::new());
    let with_to = words(None, None, args.tls.alpn.clone());
    let host = match &to.place {
        Place::Internet(target) => target.host.as_deref(),
        Place::Unix(_) => None,
    };
    let admit = std::mem::take(&mut args.admit);
    let trust = std::mem::take(&mut args.trust);
    Ok((
        from_is.then(|| TlsListener::new(at_from, admit)).transpose()?,
        to_is.then(|| TlsClient::new(with_to, trust, host)).transpose()?,
    ))
}

/// What is to be done to what passes. Where one side hears datagrams, messages pass.
fn impairment(args: &ForwardArgs, from: Protocol, to: Protocol) -> Result<Impairment> {
    let traffic = match (from, to) {
        (Protocol::Tcp, Protocol::Tcp) => Traffic::Streams,
        _ => Traffic::Datagrams,
    };
    let read = |option: &str, words: &Option<String>| {
        words.as_ref().map(|words| impair::spec(option, words, traffic)).transpose()
    };
    let both = read("--impair", &args.impair)?;
    Ok(Impairment {
        up: read("--impair-up", &args.impair_up)?.or(both),
        down: read("--impair-down", &args.impair_down)?.or(both),
    })
}

/// Where a bare PORT listens: at this machine alone.
fn loopback(place: &mut Place, family: Family) {
    if let Place::Internet(target) = place
        && target.host.is_none()
    {
        let host = if family == Family::V6 { "::1" } else { "127.0.0.1" };
        target.host = Some(host.to_owned());
    }
}

impl Forward {
    /// Checks the words of `forward` against each other.
    ///
    /// # Errors
    /// Usage errors.
    fn check(args: &ForwardArgs, from: &Endpoint, to: &Endpoint) -> Result<()> {
        let is_local = from.is_local() || to.is_local();
        rules::capture(args.seeing.pcap.as_deref(), is_local.then_some("unix:"))?;
        if from.is_local() {
            rules::local_listener(&args.allow, &args.deny, args.port_file.as_deref())?;
        }
        let (from_is, to_is) = (from.security == Security::Tls, to.security == Security::Tls);
        for (option, given) in [("--frames", args.frames), ("--lines", args.lines)] {
            if given && from.protocol == to.protocol {
                let why = "is for datagrams on one side and a stream on the other";
                return Err(Error::usage(option, why));
            }
        }
        let is_udp = from.protocol == Protocol::Udp && !from.is_local();
        check_groups(&args.socket, is_udp, "udp: as FROM")?;
        rules::max_clients(args.max_clients)?;
        let words = TlsWords {
            options: &args.tls,
            trust: Some(&args.trust),
            admit: Some(&args.admit),
            is_used: from_is || to_is,
        };
        Files::of(&args.seeing)
            .writing_once("--port-file", args.port_file.as_deref())
            .writing("FROM", from.place.file())
            .tls(words)
            .check()
    }

    /// Turns the words of `forward` into settings that fit each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(mut args: ForwardArgs) -> Result<Self> {
        let default = if args.udp { Protocol::Udp } else { Protocol::Tcp };
        let family = family(args.addressing.ipv4, args.addressing.ipv6);
        let mut from = Endpoint::parse(&args.from, default)?;
        let to = Endpoint::parse(&args.to, default)?;
        loopback(&mut from.place, family);
        Self::check(&args, &from, &to)?;
        let impairment = impairment(&args, from.protocol, to.protocol)?;
        let proxy = proxy::proxy(args.proxy.as_deref(), to.protocol == Protocol::Udp, &to.place)?;
        let (from_tls, to_tls) = secured(&mut args, &from, &to)?;
        let crosses = from.protocol != to.protocol;
        Ok(Self {
            from,
            to,
            family,
            lookup: lookup(args.addressing.numeric),
            port_file: args.port_file,
            connect_timeout: args.connect_timeout,
            idle: args.idle_timeout,
            timeout: args.timeout,
            messages: crosses.then_some(if args.lines { Format::Lines } else { Format::Frames }),
            impairment,
            once: args.once,
            max_clients: args.max_clients,
            verbosity: verbosity(args.quiet, args.verbose),
            seen: Seen { leaving: Leaving::Told, ..Seen::new(args.seeing, None) },
            options: options(&args.socket)?,
            offload: if args.portable { Offload::Portable } else { Offload::All },
            from_tls,
            to_tls,
            proxy,
            allow: args.allow,
            deny: args.deny,
        })
    }

    /// Which addresses of a name are wanted, and whether it may be looked up.
    #[must_use]
    pub(crate) fn names(&self) -> (Family, Lookup) {
        (self.family, self.lookup)
    }

    /// The access list, with host names resolved by `look_up`.
    ///
    /// # Errors
    /// When an entry is not an address block, an address or a name that resolves.
    pub(crate) fn access(
        &self,
        look_up: impl FnMut(&str) -> Result<Vec<SocketAddr>>,
    ) -> Result<AccessList> {
        access::list(&self.allow, &self.deny, look_up)
    }
}
