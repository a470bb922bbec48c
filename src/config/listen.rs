//! The settings of `pktcat listen`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::access;
use super::common::Common;
use super::distinct::{Files, TlsWords};
use super::messages::{Texts, hex};
use super::place::Place;
use super::rules;
use super::tls::{self, TlsListener, Under};
use crate::cli::{CommonArgs, FormatArg, ListenArgs, MessageArgs};
use crate::engine::framing::Crlf;
use crate::error::{Error, Result};
use crate::net::access::AccessList;
use crate::observe::report::Leaving;

/// Settings of `pktcat listen`.
#[derive(Debug)]
pub(crate) struct Listen {
    /// Where to listen.
    pub place: Place,
    /// What it shares with `connect`.
    pub common: Common,
    /// The file that the port number is written to (`--port-file`).
    pub port_file: Option<PathBuf>,
    /// See `--accept-timeout`.
    pub accept_timeout: Option<Duration>,
    /// See `--to-all`.
    pub to_all: bool,
    /// Whether to listen for TCP and UDP on the same port number.
    pub both: bool,
    /// Whether to serve more than one client (`--keep-open`).
    pub keep_open: bool,
    /// The most clients at the same time (`--max-clients`).
    pub max_clients: Option<usize>,
    /// Bytes that may be queued for one client, and the most that an unfinished message from it may
    /// have (`--queue`).
    pub queue: usize,
    /// Whether messages on standard output begin with the sender's address (`--tag`).
    pub tag: bool,
    /// Address blocks or host names to accept (`--allow`).
    pub allow: Vec<String>,
    /// Address blocks or host names to refuse (`--deny`).
    pub deny: Vec<String>,
    /// What to do with clients.
    pub task: Task,
    /// TLS, if it is asked for.
    pub tls: Option<TlsListener>,
    /// How long a client's TLS handshake may take (`--connect-timeout`).
    pub handshake: Option<Duration>,
}

/// What a listener does with its clients.
#[derive(Debug)]
pub(crate) enum Task {
    /// Connect them to standard input and output.
    Relay,
    /// `--echo`
    Echo,
    /// `--discard`
    Discard,
    /// `--chargen`
    Chargen,
    /// `--reply`, `--reply-hex`
    Reply(Vec<u8>),
    /// `--reply-file`
    ReplyFile(PathBuf),
    /// `--chat`
    Chat,
    /// Run a program for each, with these arguments.
    Command(Vec<OsString>),
}

impl Task {
    fn of(args: &mut ListenArgs) -> Result<Self> {
        Ok(if args.echo {
            Self::Echo
        } else if args.discard {
            Self::Discard
        } else if args.chargen {
            Self::Chargen
        } else if args.chat {
            Self::Chat
        } else if let Some(text) = args.reply.take() {
            let texts = Texts::new(args.common.crlf, &args.common.dialogue);
            Self::Reply(texts.sent("--reply", &text, &mut Crlf::default())?)
        } else if let Some(digits) = &args.reply_hex {
            Self::Reply(hex("--reply-hex", digits)?)
        } else if let Some(path) = args.reply_file.take() {
            Self::ReplyFile(path)
        } else if !args.command.is_empty() {
            Self::Command(std::mem::take(&mut args.command))
        } else {
            Self::Relay
        })
    }

    /// Whether what standard input or `--send` has is sent.
    fn sends_input(&self) -> bool {
        matches!(self, Self::Relay | Self::Chat)
    }
}

/// The first given option about the transferred data. With a command there must be none: the command and
/// its client exchange data without pktcat in between.
fn passing(args: &ListenArgs) -> Option<&'static str> {
    let ListenArgs { common, .. } = args;
    let options = [
        ("--hex", common.seeing.hex),
        ("--hex-file", common.seeing.hex_file.is_some()),
        ("--pcap", common.seeing.pcap.is_some()),
        ("--progress", common.seeing.progress),
        ("--idle-timeout", common.idle_timeout.is_some()),
        ("--linger", common.linger.is_some()),
        ("--count", common.count.is_some()),
        ("--interval", common.interval.is_some()),
        ("--rate", common.rate.is_some()),
        ("--crlf", common.crlf),
        ("--send", !common.send.is_empty()),
        ("--send-hex", !common.send_hex.is_empty()),
        ("--send-only", common.send_only),
        ("--tag", args.tag),
        ("--input", common.input != FormatArg::Raw),
        ("--output", common.output != FormatArg::Raw),
        ("--datagram-size", common.datagram_size.is_some()),
        ("--until-fin", common.until_fin),
        ("--no-shutdown", common.no_shutdown),
        ("--queue", args.queue.is_some()),
        ("--to-all", args.to_all),
    ];
    options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

/// Why the first given option about what is sent besides answers does not go with a listener that answers by
/// itself.
fn sending(args: &ListenArgs) -> Option<Error> {
    let ListenArgs { common, .. } = args;
    let message = "is not sent by a listener that answers by itself";
    let pace = "is the pace of what is sent from stdin, and a listener that answers by itself sends none of it";
    let slow = "pktcat forward --impair-down rate=8M in front of it makes it slow";
    let options = [
        ("--send", !common.send.is_empty(), message, None),
        ("--send-hex", !common.send_hex.is_empty(), message, None),
        ("--interval", common.interval.is_some(), pace, None),
        ("--rate", common.rate.is_some(), pace, Some(slow)),
    ];
    let (option, _, why, hint) = options.into_iter().find(|(_, given, ..)| *given)?;
    Some(hint.into_iter().fold(Error::usage(option, why), Error::hint))
}

/// Checks that no file is named twice.
fn check_files(
    args: &ListenArgs,
    task: &Task,
    place: &Place,
    payloads: &MessageArgs,
) -> Result<()> {
    let CommonArgs { seeing, tls, tls_options, no_stdin, .. } = &args.common;
    let reply = match task {
        Task::ReplyFile(path) => Some(&**path),
        _ => None,
    };
    let words =
        TlsWords { options: tls_options, trust: None, admit: Some(&args.admit), is_used: *tls };
    let mut files = Files::of(seeing)
        .writing_once("--port-file", args.port_file.as_deref())
        .writing("--unix", place.file())
        .reading("--reply-file", reply)
        .tls(words);
    if task.sends_input() && !no_stdin && !payloads.has_messages() {
        files = files.reading_stdin();
    }
    files.check()
}

/// TLS, if it is asked for.
fn tls(args: &mut ListenArgs, task: &Task, place: &Place) -> Result<Option<TlsListener>> {
    let limit = args.connect_timeout.map(|_| "--connect-timeout");
    let given = args.common.tls_options.given().or_else(|| args.admit.given()).or(limit);
    let under = Under {
        udp: args.common.udp,
        unix: matches!(place, Place::Unix(_)),
        command: matches!(task, Task::Command(_)),
    };
    if !tls::wanted(args.common.tls, given, under)? {
        return Ok(None);
    }
    let options = std::mem::take(&mut args.common.tls_options);
    TlsListener::new(options, std::mem::take(&mut args.admit)).map(Some)
}

/// Whether TCP and UDP are wanted on the same port number.
fn wants_both(args: &ListenArgs) -> bool {
    args.tcp && args.common.udp
}

/// Whether more than one client is to be served: a chat implies that.
fn keeps_open(args: &ListenArgs) -> bool {
    args.keep_open || args.chat
}

impl Listen {
    /// Checks the arguments of `listen` against each other.
    ///
    /// # Errors
    /// Usage errors.
    fn check(args: &ListenArgs, task: &Task, place: &Place) -> Result<()> {
        let both = wants_both(args);
        if both && !keeps_open(args) {
            return Err(Error::usage("--tcp --udp", "a listener for both needs --keep-open"));
        }
        if both && matches!(place, Place::Unix(_)) {
            return Err(Error::usage(
                "--tcp --udp",
                "a path is one socket: stream, or with -u datagram",
            ));
        }
        if both {
            rules::count_over_tcp(args.common.count, args.common.output)?;
        }
        if args.common.udp {
            if args.max_clients.is_some() {
                return Err(Error::usage("--max-clients", "UDP has no connections to count"));
            }
            match task {
                Task::Command(_) => {
                    return Err(Error::usage("--udp", "a command is run per TCP connection"));
                }
                Task::Chat => return Err(Error::usage("--chat", "needs TCP connections")),
                _ => {}
            }
        }
        if matches!((task, place), (Task::Command(_), Place::Internet(t)) if t.host.is_none()) {
            return Err(Error::usage("HOST", "must be given with a command")
                .hint("127.0.0.1 lets only this machine in, 0.0.0.0 everybody"));
        }
        rules::tag(args.tag, args.common.output)?;
        if matches!(place, Place::Unix(_)) {
            rules::local_listener(&args.allow, &args.deny, args.port_file.as_deref())?;
        }
        if matches!(task, Task::Command(_))
            && let Some(option) = passing(args)
        {
            return Err(Error::usage(option, "does not go with a command")
                .hint("it talks to its client by itself, and nothing passes here"));
        }
        if let Some(option) = args.common.dialogue.waits_by()
            && (both || keeps_open(args) && !args.common.udp || !matches!(task, Task::Relay))
        {
            return Err(Error::usage(option, "a dialogue is with one peer")
                .hint("without -k, and with nothing else that answers"));
        }
        if !task.sends_input()
            && let Some(error) = sending(args)
        {
            return Err(error);
        }
        rules::max_clients(args.max_clients)
    }

    /// Turns the arguments of `listen` into settings that fit each other.
    ///
    /// # Errors
    /// Usage errors.
    pub(crate) fn new(mut args: ListenArgs, payloads: &MessageArgs) -> Result<Self> {
        let (both, keep_open) = (wants_both(&args), keeps_open(&args));
        let task = Task::of(&mut args)?;
        let place = Place::of_listener(args.common.unix.as_deref(), &args.address)?;
        Self::check(&args, &task, &place)?;
        check_files(&args, &task, &place, payloads)?;
        let tls = tls(&mut args, &task, &place)?;
        // With one direction only, a chat passes nothing from client to client, so it is a relay
        // with many clients.
        let task = match task {
            Task::Chat if args.common.no_stdin || args.common.send_only => Task::Relay,
            task => task,
        };
        let mut common = Common::new(args.common, payloads)?;
        if keep_open {
            common.seen.leaving = Leaving::Told;
        }
        let queue = args.queue.unwrap_or(1 << 20);
        Ok(Self {
            place,
            common,
            port_file: args.port_file,
            accept_timeout: args.accept_timeout,
            to_all: args.to_all,
            both,
            keep_open,
            max_clients: args.max_clients,
            queue: usize::try_from(queue).unwrap_or(usize::MAX).max(1),
            tag: args.tag,
            allow: args.allow,
            deny: args.deny,
            task,
            tls,
            handshake: args.connect_timeout,
        })
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
