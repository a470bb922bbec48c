//! Settings of `pktcat compare`.

use std::io::{self, IsTerminal as _};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::distinct::Files;
use super::impair;
use super::messages::format;
use super::network::{family, lookup};
use super::place::remote;
use super::seen::paint;
use crate::cli::{ColorChoice, CompareArgs};
use crate::compare::Script;
use crate::compare::measure::flow::Pacing;
use crate::compare::measure::messages::{Given, HEADER};
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::engine::framing::Format;
use crate::engine::impair::{Spec, Traffic};
use crate::error::{Error, Result};
use crate::net::address::{Family, HostPort, Lookup};
use crate::observe::hexdump::Paint;

const COUNT: u64 = 1000;
const SIZE: usize = 64;
const WINDOW: usize = 16;

/// RFC 8200, 5.
const LEAST_MTU_IPV6: u32 = 1280;

/// One of so many messages goes alone, to measure round trips.
const ALONE: u64 = 4;

const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// The default limit for connecting. A lost SYN is sent again after 1 s and after 3 s (RFC 6298),
/// so two may be lost.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The peer that the messages are sent to.
#[derive(Debug)]
pub(crate) enum Peer {
    /// A peer given on the command line.
    Other(HostPort),
    /// The built-in peer, and what it does to UDP replies (`--impair`).
    BuiltIn(Option<Spec>),
}

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CompareOutput {
    /// The table.
    Table {
        /// With a sentence for every difference (`--explain`).
        explain: bool,
        /// With a plot of the round trips (`--plot`).
        plot: bool,
    },
    /// One JSON object (`--json`).
    Json,
}

/// Settings of `pktcat compare`.
#[derive(Debug)]
pub(crate) struct Compare {
    /// The peer that the messages are sent to.
    pub peer: Peer,
    /// Which address family.
    pub family: Family,
    /// Whether names may be looked up.
    pub lookup: Lookup,
    /// What is sent.
    pub script: Script,
    /// How it is sent.
    pub pacing: Pacing,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// What is printed.
    pub shown: CompareOutput,
    /// The file for the plot as SVG (`--svg`).
    pub svg: Option<PathBuf>,
    /// The capture file (`--pcap`).
    pub pcap: Option<PathBuf>,
    /// TCP's congestion control (`--cc`).
    pub congestion_control: Option<String>,
    /// The hex dump on standard error (`--hex`).
    pub dump: Option<Paint>,
}

impl Compare {
    /// Checks the arguments of `compare` against each other, and reads the file of messages once.
    ///
    /// # Errors
    /// Usage errors; a file of messages that cannot be read or is malformed.
    pub(crate) fn new(args: CompareArgs) -> Result<Self> {
        let peer = peer(&args)?;
        Files::default()
            .writing("--svg", args.svg.as_deref())
            .writing("--pcap", args.pcap.as_deref())
            .reading("--messages", args.messages.as_deref())
            .check()?;
        let script = script(&args, longest(&args, &peer))?;
        let limit = args.reply_timeout.unwrap_or(REPLY_TIMEOUT);
        if limit.is_zero() {
            return Err(Error::usage("--reply-timeout", "must be more than nothing"));
        }
        let count = match &script {
            Script::Generated(_) => args.count.unwrap_or(COUNT),
            Script::Given(_, survey) => survey.count,
        };
        let interval = args.interval.unwrap_or(Duration::ZERO);
        let window = args.window.map_or(WINDOW, |window| window as usize);
        // A pace of the user's is kept from the first message on; one at a time they go anyway
        // where the window is one.
        let alone = if interval.is_zero() && window > 1 { count.div_ceil(ALONE) } else { 0 };
        Ok(Self {
            peer,
            family: family(args.ipv4, args.ipv6),
            lookup: lookup(args.numeric),
            script,
            pacing: Pacing { interval, window, alone, limit, count },
            connect_timeout: args.reply_timeout.unwrap_or(CONNECT_TIMEOUT),
            shown: if args.json {
                CompareOutput::Json
            } else {
                CompareOutput::Table { explain: args.explain, plot: args.plot }
            },
            svg: args.svg,
            pcap: args.pcap,
            congestion_control: args.cc,
            dump: args.hex.then(|| paint(ColorChoice::Auto, io::stderr().is_terminal())),
        })
    }
}

/// Who the messages are sent to.
fn peer(args: &CompareArgs) -> Result<Peer> {
    let spec = match (&args.address[..], &args.impair) {
        ([], None) => return Ok(Peer::BuiltIn(None)),
        ([], Some(words)) => impair::spec("--impair", words, Traffic::Packets)?,
        (words, _) => return remote(words).map(Peer::Other),
    };
    match spec.mtu {
        Some(mtu) if args.ipv6 && mtu < LEAST_MTU_IPV6 => {
            let why = format!("IPv6 has packets of {LEAST_MTU_IPV6} bytes at least");
            Err(Error::usage(format!("--impair mtu={mtu}"), why))
        }
        _ => Ok(Peer::BuiltIn(Some(spec))),
    }
}

/// The most bytes of a message, as far as words alone can tell.
fn longest(args: &CompareArgs, peer: &Peer) -> usize {
    let address = match peer {
        Peer::Other(HostPort { host: Some(host), .. }) => host.parse::<Ipv6Addr>().ok(),
        _ => None,
    };
    // Packets to a mapped address are those of IPv4.
    let is_v6 = address.map_or(args.ipv6, |ip| ip.to_ipv4_mapped().is_none());
    if is_v6 { LONGEST_IPV6 } else { LONGEST_IPV4 }
}

fn script(args: &CompareArgs, longest: usize) -> Result<Script> {
    let input = args.input.map(format);
    if args.messages.is_some() && args.size.is_some() && input != Some(Format::Raw) {
        return Err(Error::usage("--size", "with --messages it goes with -I raw only"));
    }
    let least = if args.messages.is_some() { 1 } else { HEADER };
    let size = match args.size {
        None => SIZE,
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|size| (least..=longest).contains(size))
            .ok_or_else(|| {
                let why = format!("must be {least} to {longest} bytes");
                let error = Error::usage(format!("--size {size}"), why);
                match args.messages {
                    Some(_) => error,
                    None => error.hint("a message carries a number and a time of 8 bytes each"),
                }
            })?,
    };
    let Some(file) = &args.messages else {
        return Ok(Script::Generated(size));
    };
    let count = args.count.unwrap_or(u64::MAX);
    let given = Given::open(file, input.unwrap_or(Format::Lines), size, longest, count)?;
    let survey = given.survey()?;
    Ok(Script::Given(given, survey))
}
