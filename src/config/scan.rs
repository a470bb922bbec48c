//! Settings of `pktcat scan`.

use std::time::Duration;

use super::messages::Texts;
use super::network::{family, lookup};
use super::place::remote_ports;
use crate::cli::{MessageArgs, ScanArgs};
use crate::engine::flow::Cuts;
use crate::error::{Error, Result};
use crate::net::address::{Family, HostPort, Lookup, Protocol};
use crate::observe::journal::Verbosity;
use crate::scan::plan::{Order, Payload};
use crate::scan::ports::Ports;
use crate::scan::report::{LineFormat, Wanted};
use crate::scan::results::{Names, ShownPorts, Style};

/// The default of how long an answer may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings of `pktcat scan`.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The host whose ports are probed.
    pub target: HostPort,
    /// The ports to probe.
    pub ports: Ports,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Which address family.
    pub family: Family,
    /// Whether the host's name may be looked up.
    pub lookup: Lookup,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long looking up the host's name may take, if limited.
    pub look_up_limit: Option<Duration>,
    /// The most probes in flight, if given.
    pub concurrency: Option<usize>,
    /// The most probes per second, if limited.
    pub rate: Option<u32>,
    /// The payload of a UDP probe.
    pub payload: Payload,
    /// For how long ports are asked until they are open, if they are.
    pub wait: Option<Duration>,
    /// What is shown, and how.
    pub style: Style,
    /// What makes the scan a success.
    pub wanted: Wanted,
    /// How much is reported on standard error.
    pub verbosity: Verbosity,
}

impl Scan {
    /// Checks the arguments of `scan` against each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(args: ScanArgs, payloads: &MessageArgs) -> Result<Self> {
        let target = remote_ports(&args.address)?;
        if args.probe_timeout.is_some_and(|limit| limit.is_zero()) {
            return Err(Error::usage("--probe-timeout 0", "no answer is that quick"));
        }
        let protocol = if args.udp { Protocol::Udp } else { Protocol::Tcp };
        let ports = Ports::parse(&target.port, protocol)?;
        let lookup = lookup(args.numeric);
        let is_single = ports.as_slice().len() == 1;
        Ok(Self {
            style: Style {
                format: if args.json { LineFormat::Json } else { LineFormat::Text },
                shown: match () {
                    () if args.quiet && !args.json => ShownPorts::None,
                    () if args.all || is_single => ShownPorts::All,
                    () => ShownPorts::Open,
                },
                names: match lookup {
                    Lookup::Names => Names::Shown,
                    Lookup::Numeric => Names::Omitted,
                },
                order: if args.shuffle { Order::Shuffled } else { Order::Ascending },
            },
            target,
            ports,
            protocol,
            family: family(args.ipv4, args.ipv6),
            lookup,
            timeout: args.probe_timeout.unwrap_or(PROBE_TIMEOUT),
            look_up_limit: args.probe_timeout,
            concurrency: args.concurrency.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            rate: args.rate,
            payload: match payloads
                .messages(Texts { crlf: false, escapes: false }, Cuts::BetweenMessages)?
            {
                Some(messages) => Payload::Given(messages.concat()),
                None => Payload::ByService,
            },
            wait: args.wait.filter(|wait| !wait.is_zero()),
            wanted: if args.any { Wanted::Any } else { Wanted::All },
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, true) => Verbosity::Verbose,
                _ => Verbosity::Normal,
            },
        })
    }
}
