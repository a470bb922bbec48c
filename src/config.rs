//! Turns the arguments of the command line into typed settings and checks them against each other.

pub mod compare;
mod distinct;
mod listen;
mod scan;
mod seen;

use std::path::PathBuf;
use std::time::Duration;

pub use self::seen::{BarSetting, PayloadOutput, Seen, Told, Unchanged};
use crate::cli::{self, CommonArgs, ConnectArgs, MessageArgs};
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::engine::ends::{Rules, Silence};
use crate::engine::flow::Cuts;
use crate::engine::framing::{self, Crlf, Format};
use crate::engine::input::Wire;
use crate::engine::pace::Pace;
use crate::error::{Error, Result};
use crate::net::address::{Family, HostPort, Lookup, Protocol};
use crate::net::options::{Group, Options, SmallWrites};
use crate::observe::journal::Verbosity;
use crate::sys::{Fetch, Offload};

pub use listen::{Listen, Task};
pub use scan::Scan;

/// The default of `--datagram-size` in payload bytes: what fits an MTU of 1,500 bytes with IPv6 and
/// UDP headers (1500 - 40 - 8 = 1452).
const DATAGRAM_SIZE: usize = 1452;

/// Whether standard input is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// It is sent to the peer.
    Send,
    /// It is not read, and nothing is sent (`-d`).
    Ignore,
}

/// What to do with received data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reception {
    /// Write it to standard output.
    Write,
    /// Discard it (`--send-only`).
    Discard,
}

/// Settings that `listen` and `connect` share.
#[derive(Debug)]
pub struct Common {
    /// TCP or UDP.
    pub protocol: Protocol,
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
    /// Whether LF is sent as CRLF (`--crlf`).
    pub crlf: bool,
    /// How standard input becomes messages.
    pub input: Format,
    /// How messages become standard output.
    pub output: Format,
    /// Messages from the command line, instead of standard input.
    pub given: Option<Vec<Vec<u8>>>,
    /// Payload bytes of a datagram of raw input.
    pub datagram_size: usize,
    /// Stop after this many received messages (`--count`).
    pub count: Option<u64>,
    interval: Option<Duration>,
    rate: Option<u64>,
    /// How much is reported on standard error.
    pub verbosity: Verbosity,
    /// Socket options.
    pub options: Options,
    /// Whether system-specific offloads such as splice(2) may be used.
    pub offload: Offload,
    /// The reports and dumps of the run.
    pub seen: Seen,
}

/// Where to listen or what to connect to.
#[derive(Debug)]
pub enum Place {
    /// A host and a port.
    Internet(HostPort),
    /// The path of a local socket.
    Unix(PathBuf),
}

impl Place {
    fn new(unix: Option<&PathBuf>, words: &[String]) -> Result<Self> {
        Ok(match unix {
            Some(path) => Self::Unix(path.clone()),
            None => Self::Internet(HostPort::parse(words)?),
        })
    }
}

/// Settings of `pktcat connect`.
#[derive(Debug)]
pub struct Connect {
    /// What to connect to.
    pub place: Place,
    /// What it shares with `listen`.
    pub common: Common,
    /// Host to send from.
    pub source: Option<String>,
    /// Port to send from.
    pub source_port: Option<String>,
    /// See `--connect-timeout`.
    pub connect_timeout: Option<Duration>,
    /// How often to try again after the first attempt (`--retry`).
    pub retry: u32,
    /// Time between two attempts (`--retry-delay`).
    pub retry_delay: Duration,
}

impl Connect {
    /// Checks the arguments of `connect` against each other.
    ///
    /// # Errors
    /// Usage errors.
    pub fn new(args: ConnectArgs, payloads: &MessageArgs) -> Result<Self> {
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
        distinct::check(&args.common.seeing.files(), &[])?;
        Ok(Self {
            place,
            common: Common::new(args.common, payloads)?,
            source: args.source,
            source_port: args.source_port,
            connect_timeout: args.connect_timeout,
            retry: args.retry.unwrap_or(0),
            retry_delay: args.retry_delay.unwrap_or(Duration::from_secs(1)),
        })
    }
}

impl Common {
    fn new(args: CommonArgs, payloads: &MessageArgs) -> Result<Self> {
        let protocol = if args.udp { Protocol::Udp } else { Protocol::Tcp };
        let input = format(args.input);
        let output = format(args.output);
        if args.count.is_some() && protocol == Protocol::Tcp && output == Format::Raw {
            return Err(Error::usage("--count", "a raw TCP stream has no messages to count")
                .hint("-O lines, hex or frames makes messages of it"));
        }
        if args.crlf && matches!(input, Format::Hex | Format::Frames) {
            return Err(Error::usage("--crlf", "goes with -I raw and -I lines only"));
        }
        if !args.join.is_empty() && (protocol == Protocol::Tcp || args.unix.is_some()) {
            return Err(Error::usage("--join", "only UDP has multicast groups").hint("-u"));
        }
        if args.unix.is_some() && args.seeing.pcap.is_some() {
            return Err(Error::usage("--pcap", "a capture holds IP packets, and --unix has none"));
        }
        if args.rate == Some(0) {
            return Err(Error::usage("--rate", "must be at least 1 byte a second"));
        }
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
        let given = payloads.messages(args.crlf)?;
        let is_unchanged = given.is_none() && !args.no_stdin && !args.crlf && input == Format::Raw;
        let unchanged = is_unchanged.then_some(Unchanged);
        Ok(Self {
            protocol,
            family: match (args.ipv4, args.ipv6) {
                (true, _) => Family::V4,
                (_, true) => Family::V6,
                _ => Family::Any,
            },
            lookup: if args.numeric { Lookup::Numeric } else { Lookup::Names },
            idle: args.idle_timeout,
            timeout: args.timeout,
            stdin: if args.no_stdin { Stdin::Ignore } else { Stdin::Send },
            reception: if args.send_only { Reception::Discard } else { Reception::Write },
            until_fin: args.until_fin,
            no_shutdown: args.no_shutdown,
            linger: args.linger,
            crlf: args.crlf,
            input,
            output,
            given,
            datagram_size,
            count: args.count,
            interval: args.interval,
            rate: args.rate,
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (_, true) => Verbosity::Verbose,
                _ => Verbosity::Normal,
            },
            options: options(&args)?,
            offload: if args.portable { Offload::Portable } else { Offload::All },
            seen: Seen::new(args.seeing, unchanged),
        })
    }

    /// The address family to use, and whether names may be looked up.
    #[must_use]
    pub fn names(&self) -> (Family, Lookup) {
        (self.family, self.lookup)
    }

    /// The pace of sending, if `--interval` or `--rate` limits it.
    #[must_use]
    pub fn pace(&self) -> Option<Pace> {
        let cuts = match (&self.given, self.input) {
            (None, Format::Raw) => Cuts::Anywhere,
            _ => Cuts::BetweenMessages,
        };
        Pace::new(self.interval, self.rate, cuts)
    }

    /// How many datagrams one call may receive. With `--count` one: a datagram beyond the count
    /// must stay unread.
    #[must_use]
    pub fn fetch(&self) -> Fetch {
        if self.count.is_some() { Fetch::One } else { Fetch::Many }
    }

    /// The conversion of LF to CRLF, if `--crlf` asks for it.
    #[must_use]
    pub fn crlf(&self) -> Option<Crlf> {
        self.crlf.then(Crlf::default)
    }

    /// The rules by which the run ends, other than both directions' being done.
    #[must_use]
    pub fn rules(&self, silence: Silence) -> Rules {
        Rules {
            until_fin: self.until_fin,
            send_only: self.reception == Reception::Discard,
            silence,
            count: None,
            first: None,
            idle: self.idle,
        }
    }

    /// How to cut the input into datagrams of at most `limit` payload bytes.
    ///
    /// # Errors
    /// A usage error when `--datagram-size` or a message of the command line is over the limit.
    pub fn datagrams(&self, limit: usize) -> Result<Wire> {
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

impl MessageArgs {
    /// The messages of `--send` and `--send-hex`, in the order given; `None` when there are none.
    fn messages(&self, crlf: bool) -> Result<Option<Vec<Vec<u8>>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        self.0.iter().map(|payload| payload.message(crlf)).collect::<Result<_>>().map(Some)
    }
}

impl cli::MessageArg {
    fn message(&self, crlf: bool) -> Result<Vec<u8>> {
        match self {
            Self::Text(text) if crlf => {
                let mut converted = Vec::new();
                Crlf::default().convert(text.as_bytes(), &mut converted);
                Ok(converted)
            }
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Hex(digits) => framing::parse_hex(digits, framing::LONGEST_MESSAGE)
                .map_err(|malformed| Error::usage("--send-hex", malformed.to_string())),
        }
    }
}

fn options(args: &CommonArgs) -> Result<Options> {
    let buffer = |what: &str, size: Option<u64>| match size {
        None => Ok(None),
        // The kernel takes the size as an int (socket(7)).
        Some(size) => match i32::try_from(size) {
            Ok(1..) => Ok(usize::try_from(size).ok()),
            _ => Err(Error::usage(format!("{what} {size}"), "must be 1 byte to 2 GiB")),
        },
    };
    Ok(Options {
        receive_buffer: buffer("--rcvbuf", args.rcvbuf)?,
        send_buffer: buffer("--sndbuf", args.sndbuf)?,
        ttl: args.ttl,
        tos: args.tos,
        broadcast: args.broadcast,
        groups: args.join.iter().map(|group| Group::parse(group)).collect::<Result<_>>()?,
        device: args.device.clone(),
        keepalive: args.keepalive,
        small_writes: if args.delay { SmallWrites::Gathered } else { SmallWrites::AtOnce },
    })
}

fn format(word: cli::FormatArg) -> Format {
    match word {
        cli::FormatArg::Raw => Format::Raw,
        cli::FormatArg::Lines => Format::Lines,
        cli::FormatArg::Hex => Format::Hex,
        cli::FormatArg::Frames => Format::Frames,
    }
}
