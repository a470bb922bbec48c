//! The settings that `pktcat listen` and `pktcat connect` share.

use std::time::Duration;

use super::messages::{Texts, format};
use super::network::{check_groups, family, lookup, options};
use super::rules;
use super::seen::{Seen, Unchanged, verbosity};
use crate::cli::{CommonArgs, MessageArgs};
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::engine::ends::{Rules, Silence};
use crate::engine::expect::Expected;
use crate::engine::flow::Cuts;
use crate::engine::framing::{Crlf, Format};
use crate::engine::input::Wire;
use crate::engine::pace::Pace;
use crate::error::{Error, Result};
use crate::net::address::{Family, Lookup, Protocol};
use crate::net::options::Options;
use crate::observe::journal::Verbosity;
use crate::sys::{Fetch, Offload};

/// Payload bytes of a datagram of raw input: what fits a 1,500-byte Ethernet frame with IPv6 and
/// UDP headers (1500 - 40 - 8 = 1452).
const DATAGRAM_SIZE: usize = 1452;

/// Whether standard input is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// It is sent.
    Send,
    /// Nothing is sent (`-d`).
    Ignore,
}

/// What to do with received data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reception {
    /// Write it to standard output.
    Write,
    /// Discard it (`--send-only`).
    Discard,
}

/// Settings that `listen` and `connect` share.
#[derive(Debug)]
pub(crate) struct Common {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Whether it is over a local socket (`--unix`).
    pub is_local: bool,
    /// Which address family.
    pub family: Family,
    /// Whether names may be looked up.
    pub lookup: Lookup,
    /// See `--idle-timeout`.
    pub idle: Option<Duration>,
    /// See `--timeout`.
    pub timeout: Option<Duration>,
    /// Whether standard input is sent.
    pub stdin: Stdin,
    /// What to do with received data.
    pub reception: Reception,
    /// See `--until-fin`.
    pub until_fin: bool,
    /// See `--no-shutdown`.
    pub no_shutdown: bool,
    /// See `--linger`.
    pub linger: Option<Duration>,
    /// Whether LF leaves as CRLF.
    pub crlf: bool,
    /// How standard input becomes messages.
    pub input: Format,
    /// How messages become standard output.
    pub output: Format,
    /// The messages of the command line, if they are sent instead of standard input.
    pub given: Option<Vec<Vec<u8>>>,
    /// What is waited for, among those messages.
    pub expected: Vec<Expected>,
    /// Payload bytes of a datagram of raw input.
    pub datagram_size: usize,
    /// After how many received messages the run ends (`--count`).
    pub count: Option<u64>,
    interval: Option<Duration>,
    rate: Option<u64>,
    /// How much is reported on standard error.
    pub verbosity: Verbosity,
    /// Socket options.
    pub options: Options,
    /// Which interfaces of the system may be used to move data.
    pub offload: Offload,
    /// Which reports are made of the transferred bytes.
    pub seen: Seen,
}

impl Common {
    /// Checks the options that `listen` and `connect` share against each other.
    ///
    /// # Errors
    /// Usage errors.
    fn check(args: &CommonArgs, protocol: Protocol, input: Format) -> Result<()> {
        if protocol == Protocol::Tcp {
            rules::count_over_tcp(args.count, args.output)?;
        }
        if args.crlf && matches!(input, Format::Hex | Format::Frames) {
            return Err(Error::usage("--crlf", "goes with -I raw and -I lines only"));
        }
        let is_udp = protocol == Protocol::Udp && args.unix.is_none();
        check_groups(&args.socket, is_udp, "-u")?;
        rules::capture(args.seeing.pcap.as_deref(), args.unix.as_ref().map(|_| "--unix"))?;
        if args.rate == Some(0) {
            return Err(Error::usage("--rate", "must be at least 1 byte a second"));
        }
        Ok(())
    }

    /// Turns the options that `listen` and `connect` share into settings.
    ///
    /// # Errors
    /// Usage errors.
    pub(super) fn new(args: CommonArgs, payloads: &MessageArgs) -> Result<Self> {
        let protocol = if args.udp { Protocol::Udp } else { Protocol::Tcp };
        let input = format(args.input);
        Self::check(&args, protocol, input)?;
        let datagram_size = match args.datagram_size {
            None => DATAGRAM_SIZE,
            Some(size) => usize::try_from(size)
                .ok()
                .filter(|size| (1..=LONGEST_IPV6).contains(size))
                .ok_or_else(|| {
                    let most = format!("must be 1 to {LONGEST_IPV4} bytes (IPv6: {LONGEST_IPV6})");
                    Error::usage(format!("--datagram-size {size}"), most)
                })?,
        };
        let texts = Texts::new(args.crlf, &args.dialogue);
        let is_one_stream = protocol == Protocol::Tcp && input == Format::Raw;
        let cuts = if is_one_stream { Cuts::Anywhere } else { Cuts::BetweenMessages };
        let given = payloads.messages(texts, cuts)?;
        let is_unchanged = given.is_none() && !args.no_stdin && !args.crlf && input == Format::Raw;
        let unchanged = is_unchanged.then_some(Unchanged);
        Ok(Self {
            protocol,
            is_local: args.unix.is_some(),
            family: family(args.addressing.ipv4, args.addressing.ipv6),
            lookup: lookup(args.addressing.numeric),
            idle: args.idle_timeout,
            timeout: args.timeout,
            stdin: if args.no_stdin { Stdin::Ignore } else { Stdin::Send },
            reception: if args.send_only { Reception::Discard } else { Reception::Write },
            until_fin: args.until_fin,
            no_shutdown: args.no_shutdown,
            linger: args.linger,
            crlf: args.crlf,
            input,
            output: format(args.output),
            given,
            expected: payloads.expected(texts)?,
            datagram_size,
            count: args.count,
            interval: args.interval,
            rate: args.rate,
            verbosity: verbosity(args.quiet, args.verbose),
            options: options(&args.socket)?,
            offload: if args.portable { Offload::Portable } else { Offload::All },
            seen: Seen::new(args.seeing, unchanged),
        })
    }

    /// Which addresses of a host are used, and whether names may be looked up.
    #[must_use]
    pub(crate) fn names(&self) -> (Family, Lookup) {
        (self.family, self.lookup)
    }

    /// The pace of sending, if it is limited.
    #[must_use]
    pub(crate) fn pace(&self) -> Option<Pace> {
        let cuts = match (&self.given, self.input) {
            (None, Format::Raw) => Cuts::Anywhere,
            _ => Cuts::BetweenMessages,
        };
        Pace::new(self.interval, self.rate, cuts)
    }

    /// How many datagrams are received at a time: with `--count` one, so that none is received after the
    /// last that is wanted.
    #[must_use]
    pub(crate) fn fetch(&self) -> Fetch {
        if self.count.is_some() { Fetch::One } else { Fetch::Many }
    }

    /// The conversion of LF to CRLF, if it is wanted.
    #[must_use]
    pub(crate) fn crlf(&self) -> Option<Crlf> {
        self.crlf.then(Crlf::default)
    }

    /// The rules for the end of a run, besides that both directions are complete.
    #[must_use]
    pub(crate) fn rules(&self, silence: Silence) -> Rules {
        Rules {
            until_fin: self.until_fin,
            send_only: self.reception == Reception::Discard,
            silence,
            count: None,
            first: None,
            idle: self.idle,
        }
    }

    /// How messages travel in datagrams of at most `limit` bytes.
    ///
    /// # Errors
    /// When the datagram size or a message of the command line is over it.
    pub(crate) fn datagrams(&self, limit: usize) -> Result<Wire> {
        if self.datagram_size > limit {
            return Err(Error::usage(
                format!("--datagram-size {}", self.datagram_size),
                format!("a datagram to this address carries at most {limit} bytes"),
            ));
        }
        if let Some(long) = self.given.iter().flatten().find(|message| message.len() > limit) {
            return Err(Error::usage(
                format!("a message of {} bytes", long.len()),
                format!("a datagram to this address carries at most {limit}"),
            ));
        }
        Ok(Wire::Datagrams { size: self.datagram_size, limit })
    }
}
