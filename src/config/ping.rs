//! Settings of `pktcat ping`.

use std::time::Duration;

use super::messages::Texts;
use super::network::{family, lookup};
use super::place::remote;
use crate::cli::{MessageArgs, PingArgs};
use crate::engine::datagram::LONGEST_IPV4;
use crate::engine::flow::Cuts;
use crate::error::{Error, Result};
use crate::net::address::{Family, HostPort, Lookup, Protocol};
use crate::ping::plan::{LineFormat, Style, Until};
use crate::ping::{LEAST_ECHO, plan};

const INTERVAL: Duration = Duration::from_secs(1);
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);
const SIZE: usize = 64;

/// What a probe is.
#[derive(Debug)]
pub(crate) enum Probe {
    /// A connection, or the datagram that the service of the port answers.
    ByPort,
    /// A connection, or a datagram with these bytes.
    Given(Vec<u8>),
    /// A message that comes back.
    Echo(usize),
}

/// Settings of `pktcat ping`.
#[derive(Debug)]
pub(crate) struct Ping {
    /// Who is asked.
    pub target: HostPort,
    /// Over which protocols, by turns.
    pub protocols: Vec<Protocol>,
    /// Which address family.
    pub family: Family,
    /// Whether the host's name may be looked up.
    pub lookup: Lookup,
    /// What each probe is.
    pub probe: Probe,
    /// Between two probes of one protocol.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// When it ends.
    pub until: Until,
    /// What is shown.
    pub style: Style,
}

impl Ping {
    /// Checks the arguments of `ping` against each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(args: PingArgs, payloads: &MessageArgs) -> Result<Self> {
        let target = remote(&args.address)?;
        let interval = more_than_nothing("--interval", args.interval)?.unwrap_or(INTERVAL);
        let timeout = more_than_nothing("--reply-timeout", args.reply_timeout)?;
        let given = payloads
            .messages(Texts { crlf: false, escapes: false }, Cuts::BetweenMessages)?
            .map(|messages| messages.concat());
        if let Some(long) = given.as_ref().filter(|given| given.len() > LONGEST_IPV4) {
            return Err(Error::usage(
                format!("a probe of {} bytes", long.len()),
                format!("a datagram carries at most {LONGEST_IPV4}"),
            ));
        }
        let probe = match (args.echo, given) {
            (true, _) => Probe::Echo(size(args.size)?),
            (false, Some(given)) => Probe::Given(given),
            (false, None) => Probe::ByPort,
        };
        Ok(Self {
            style: Style {
                format: match (args.json, args.quiet, args.timestamps) {
                    (true, ..) => LineFormat::Json,
                    (_, true, _) => LineFormat::Nothing,
                    (.., true) => LineFormat::Timed,
                    _ => LineFormat::Text,
                },
                plot: args.plot,
                host: target.host.clone(),
            },
            target,
            protocols: match (args.tcp, args.udp) {
                (true, true) => vec![Protocol::Tcp, Protocol::Udp],
                (false, true) => vec![Protocol::Udp],
                (_, false) => vec![Protocol::Tcp],
            },
            family: family(args.addressing.ipv4, args.addressing.ipv6),
            lookup: lookup(args.addressing.numeric),
            probe,
            interval,
            timeout: timeout.unwrap_or(REPLY_TIMEOUT),
            until: match args.until_open {
                true => Until::Found(args.count),
                false => Until::Count(args.count),
            },
        })
    }

    /// What each probe to this port is.
    pub(crate) fn kind(&self, port: u16) -> plan::Kind {
        match &self.probe {
            Probe::ByPort => {
                plan::Kind::Ask { payload: crate::net::services::probe(port).to_vec() }
            }
            Probe::Given(payload) => plan::Kind::Ask { payload: payload.clone() },
            Probe::Echo(size) => plan::Kind::Echo { size: *size },
        }
    }
}

fn more_than_nothing(option: &str, length: Option<Duration>) -> Result<Option<Duration>> {
    match length {
        Some(length) if length.is_zero() => Err(Error::usage(option, "must be more than nothing")),
        length => Ok(length),
    }
}

fn size(size: Option<u64>) -> Result<usize> {
    let Some(size) = size else { return Ok(SIZE) };
    let fitting = usize::try_from(size).ok().filter(|n| (LEAST_ECHO..=LONGEST_IPV4).contains(n));
    fitting.ok_or_else(|| {
        let why = format!("must be {LEAST_ECHO} to {LONGEST_IPV4} bytes");
        Error::usage(format!("--size {size}"), why)
            .hint("a message carries a number of its run and one of its own")
    })
}
