//! Settings of `pktcat compare`.

use std::io::{self, IsTerminal as _};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use super::distinct;
use super::messages::format;
use super::seen::paint;
use crate::cli::{ColorChoice, CompareArgs};
use crate::compare::Script;
use crate::compare::measure::flow::Pacing;
use crate::compare::measure::impair::Impairment;
use crate::compare::measure::messages::{Given, HEADER};
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::engine::framing::Format;
use crate::error::{Error, Result};
use crate::net::address::{Family, HostPort, Lookup};
use crate::observe::hexdump::Paint;
use crate::units;

const COUNT: u64 = 1000;
const SIZE: usize = 64;
const WINDOW: usize = 16;
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
    BuiltIn(Option<Impairment>),
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
    /// The hex dump on standard error (`--hex`).
    pub dump: Option<Paint>,
}

impl Compare {
    /// Checks the arguments of `compare` against each other, and reads the file of messages once.
    ///
    /// # Errors
    /// Usage errors; a file of messages that cannot be read or is malformed.
    pub(crate) fn new(args: CompareArgs) -> Result<Self> {
        let peer = match (&args.address[..], &args.impair) {
            ([], None) => Peer::BuiltIn(None),
            ([], Some(words)) => Peer::BuiltIn(Some(impairment(words)?)),
            (words, _) => {
                let target = HostPort::parse(words)?;
                if target.host.is_none() && !words.iter().any(|word| word.starts_with(':')) {
                    return Err(Error::usage(&target.port, "the port is missing")
                        .hint("write HOST PORT or HOST:PORT"));
                }
                Peer::Other(target)
            }
        };
        let is_v6 = match &peer {
            Peer::Other(HostPort { host: Some(host), .. }) => {
                host.parse::<Ipv6Addr>().is_ok_and(|ip| ip.to_ipv4_mapped().is_none())
            }
            _ => false,
        };
        let longest = if is_v6 || args.ipv6 { LONGEST_IPV6 } else { LONGEST_IPV4 };
        distinct::check(
            &[("--svg", args.svg.as_deref())],
            &[("--messages", args.messages.as_deref())],
        )?;
        let script = script(&args, longest)?;
        let limit = args.reply_timeout.unwrap_or(REPLY_TIMEOUT);
        if limit.is_zero() {
            return Err(Error::usage("--reply-timeout", "must be more than nothing"));
        }
        let count = match &script {
            Script::Generated(_) => args.count.unwrap_or(COUNT),
            Script::Given(_, survey) => survey.count,
        };
        Ok(Self {
            peer,
            family: match (args.ipv4, args.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            lookup: if args.numeric { Lookup::Numeric } else { Lookup::Names },
            script,
            pacing: Pacing {
                interval: args.interval.unwrap_or(Duration::ZERO),
                window: args.window.map_or(WINDOW, |window| window as usize),
                limit,
                count,
            },
            connect_timeout: args.reply_timeout.unwrap_or(CONNECT_TIMEOUT),
            shown: if args.json {
                CompareOutput::Json
            } else {
                CompareOutput::Table { explain: args.explain, plot: args.plot }
            },
            svg: args.svg,
            dump: args.hex.then(|| paint(ColorChoice::Auto, io::stderr().is_terminal())),
        })
    }
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

/// Reads `loss=5%,dup=1%,reorder=2%,delay=20ms,jitter=5ms,seed=1`, each part at most once.
///
/// # Errors
/// A usage error that names the part.
pub fn impairment(words: &str) -> Result<Impairment> {
    let (mut loss, mut duplicate, mut reorder) = (None, None, None);
    let (mut delay, mut jitter, mut seed) = (None, None, None);
    for word in words.split(',') {
        let wrong = |why: &str| Error::usage(format!("--impair {word}"), why);
        let known = "loss, dup, reorder, delay, jitter and seed";
        let Some((name, value)) = word.split_once('=') else {
            return Err(wrong("is written NAME=VALUE").hint(known));
        };
        let is_new = match name {
            "loss" => set(&mut loss, share(value)),
            "dup" => set(&mut duplicate, share(value)),
            "reorder" => set(&mut reorder, share(value)),
            "delay" => set(&mut delay, units::duration(value)),
            "jitter" => set(&mut jitter, units::duration(value)),
            "seed" => set(&mut seed, value.parse().map_err(|_| "a seed is a number".to_owned())),
            _ => return Err(wrong("is nothing it can do").hint(known)),
        };
        if !is_new.map_err(|why| wrong(&why))? {
            return Err(wrong("stands there twice"));
        }
    }
    Ok(Impairment {
        loss: loss.unwrap_or(0.0),
        duplicate: duplicate.unwrap_or(0.0),
        reorder: reorder.unwrap_or(0.0),
        delay: delay.unwrap_or(Duration::ZERO),
        jitter: jitter.unwrap_or(Duration::ZERO),
        // A small number, because people copy the seed from the table by hand.
        seed: seed.unwrap_or_else(|| fastrand::u64(1..10_000)),
    })
}

/// Sets a value; `false` when it was set already.
fn set<T>(
    place: &mut Option<T>,
    value: std::result::Result<T, String>,
) -> std::result::Result<bool, String> {
    Ok(place.replace(value?).is_none())
}

/// Parses a share such as `5%` or `0.05`.
fn share(text: &str) -> std::result::Result<f64, String> {
    let (number, of) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    let share = number.parse::<f64>().ok().map(|number| number / of);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "a share is written 5% or 0.05, and is 100% at most".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_read_part_by_part() {
        let all = impairment("loss=5%,dup=0.01,reorder=2.5%,delay=20ms,jitter=5ms,seed=7").unwrap();
        let want = Impairment {
            loss: 0.05,
            duplicate: 0.01,
            reorder: 0.025,
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(5),
            seed: 7,
        };
        assert_eq!(all, want);
        assert!((1..10_000).contains(&impairment("loss=0%").unwrap().seed));
        for bad in [
            "",
            "loss",
            "loss=",
            "loss=101%",
            "loss=-1%",
            "loss=nan",
            "loss=1%,loss=2%",
            "lost=1%",
            "delay=x",
            "seed=-1",
            "loss=1%,",
        ] {
            assert!(impairment(bad).is_err(), "{bad:?}");
        }
    }
}
