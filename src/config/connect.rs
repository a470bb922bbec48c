//! The settings of `pktcat connect`.

use std::time::Duration;

use super::common::Common;
use super::distinct;
use super::place::Place;
use super::proxy;
use super::tls::{self, TlsClient, Under};
use crate::cli::{ConnectArgs, FormatArg, MessageArgs};
use crate::engine::datagram::Following;
use crate::error::{Error, Result};
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

impl Connect {
    /// Checks the arguments of `connect` against each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(mut args: ConnectArgs, payloads: &MessageArgs) -> Result<Self> {
        let place = Place::new(args.common.unix.as_ref(), &args.address)?;
        if let Place::Internet(target) = &place
            && target.host.is_none()
            && !args.address.iter().any(|word| word.starts_with(':'))
        {
            return Err(Error::usage(&target.port, "the port is missing")
                .hint("write HOST PORT or HOST:PORT"));
        }
        if matches!(place, Place::Unix(_)) && args.source_port.is_some() {
            return Err(Error::usage("--source-port", "a local socket has no port")
                .hint("-s PATH gives it a name"));
        }
        if args.tag && !matches!(args.common.output, FormatArg::Lines | FormatArg::Hex) {
            return Err(Error::usage("--tag", "needs messages that are lines of text")
                .hint("-O lines or -O hex"));
        }
        let [pcap, dump] = args.common.seeing.files();
        let options = &args.common.tls_options;
        let [cert, key] = options.read();
        distinct::check(
            &[pcap, dump, options.written()],
            &[cert, key, ("--ca", args.trust.ca.as_deref())],
        )?;
        let given = options.given().or_else(|| args.trust.given());
        let unix = matches!(place, Place::Unix(_));
        let under = Under { udp: args.common.udp, unix, command: false };
        let tls = match tls::wanted(args.common.tls, given, under)? {
            false => None,
            true => {
                let host = match &place {
                    Place::Internet(target) => target.host.as_deref(),
                    Place::Unix(_) => None,
                };
                let options = std::mem::take(&mut args.common.tls_options);
                Some(TlsClient::new(options, args.trust, host)?)
            }
        };
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
