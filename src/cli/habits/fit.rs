//! What a command line of another netcat says, put together so that it can be run here.

use std::iter;

use clap::{ArgAction, Command, CommandFactory as _};

use super::foreign::{Foreign, Name, Said};
use super::word::{parts, quoted};
use crate::cli::command::Cli;
use crate::net::address::HostPort;

/// The options about TLS.
const TLS: &[&str] = &[
    "tls",
    "cert",
    "key",
    "alpn",
    "keylog",
    "accept-fin",
    "server-name",
    "ca",
    "pin",
    "insecure",
    "client-ca",
];

/// The options about what passes, or about who else would answer; a program has its client alone.
const NOT_WITH_A_PROGRAM: &[&str] = &[
    "hex",
    "hex-file",
    "pcap",
    "progress",
    "idle-timeout",
    "linger",
    "count",
    "interval",
    "rate",
    "crlf",
    "input",
    "output",
    "datagram-size",
    "until-fin",
    "no-shutdown",
    "queue",
    "to-all",
    "send",
    "send-hex",
    "send-only",
    "tag",
    "echo",
    "discard",
    "chargen",
    "chat",
    "reply",
    "reply-hex",
    "reply-file",
];

/// The options about addresses, ports and packets, which a local socket has not.
const NOT_WITH_A_PATH: &[&str] =
    &["proxy", "source-port", "pcap", "allow", "deny", "port-file", "join"];

/// The options about connections.
const NOT_WITH_UDP: &[&str] = &["proxy", "max-clients", "chat"];

/// The options about datagrams.
const WITH_UDP_ONLY: &[&str] = &["join", "any-peer", "follow"];

/// An option that the command has.
#[derive(Debug, Clone)]
struct Kept {
    /// Its long name.
    long: String,
    /// Whether it may be given more than once.
    repeats: bool,
    said: Said,
}

/// The options of a command, while it is seen which of them go together.
struct Options<'a> {
    kept: Vec<Kept>,
    left: &'a mut Vec<String>,
}

impl Options<'_> {
    fn has(&self, long: &str) -> bool {
        self.kept.iter().any(|option| option.long == long)
    }

    /// Leaves these out.
    fn leave(&mut self, longs: &[&str]) {
        let left = &mut *self.left;
        self.kept.retain(|option| {
            let stays = !longs.contains(&&*option.long);
            if !stays {
                left.push(option.said.written.clone());
            }
            stays
        });
    }

    /// An option that stands here twice says no more, and its last value counts.
    fn keep(&mut self, option: Kept) {
        match self.kept.iter_mut().find(|kept| kept.long == option.long && !kept.repeats) {
            Some(kept) => kept.said.value = option.said.value,
            None => self.kept.push(option),
        }
    }
}

impl Foreign {
    /// Leaves out what cannot be had here, or not together, and adds what it needs here.
    pub(super) fn fit(&mut self, all: &Command) {
        let Some(known) = all.find_subcommand(self.command) else { return };
        self.take_proxy();
        self.take_path();
        self.take_source();
        self.take_no_more_than_an_address();
        // What stays may hang on what the parser refuses.
        while self.settle(known) {}
    }

    /// Keeps what the command takes; whether something was refused.
    fn settle(&mut self, known: &Command) -> bool {
        let mut left = std::mem::take(&mut self.left);
        let mut options = Options { kept: Vec::new(), left: &mut left };
        for said in std::mem::take(&mut self.options) {
            let name = match said.name.strip_prefix("--") {
                Some(long) => Name::Long(long),
                None => Name::Short(said.name.chars().nth(1).unwrap_or('-')),
            };
            match known.get_arguments().find(|arg| name.is_of(arg)) {
                Some(arg) => options.keep(Kept {
                    long: arg.get_long().unwrap_or_default().to_owned(),
                    repeats: matches!(arg.get_action(), ArgAction::Append),
                    said,
                }),
                None if said.name == "--tls" => {
                    self.note = Some("scan speaks no TLS; whether the port is open tells:");
                }
                None => options.left.push(said.written),
            }
        }
        self.fit_together(&mut options);
        self.options = options.kept.into_iter().map(|option| option.said).collect();
        self.left = left;
        self.leave_what_is_refused()
    }

    /// The options that each make sense and are not taken together here.
    fn fit_together(&mut self, options: &mut Options<'_>) {
        let waits =
            |option: &Kept| option.said.value.as_deref().is_some_and(|v| v.starts_with('-'));
        if options.kept.iter().any(|option| option.long == "linger" && waits(option)) {
            // nc's way to say that it waits for ever.
            options.leave(&["linger"]);
        }
        if self.command == "listen" && !options.has("tls") {
            // The other limit is for handshakes only.
            let own = options.kept.iter_mut().find(|option| option.long == "connect-timeout");
            if let Some(limit) = own {
                (limit.long, limit.said.name) = ("idle-timeout".into(), "--idle-timeout".into());
            }
        }
        if !self.program.is_empty() {
            if options.has("udp") {
                options.kept.retain(|option| option.long != "udp");
                self.note = Some("a command is run for TCP connections only, as in");
            }
            options.leave(NOT_WITH_A_PROGRAM);
        }
        let (udp, unix) = (options.has("udp"), options.has("unix"));
        if udp && !(self.command == "listen" && options.has("keep-open") && !unix) {
            options.leave(&["tcp"]);
        }
        if unix {
            options.leave(NOT_WITH_A_PATH);
        }
        match udp {
            true => options.leave(NOT_WITH_UDP),
            false => options.leave(WITH_UDP_ONLY),
        }
        if !options.has("output") && (!udp || options.has("tcp")) {
            // A raw stream has no messages to count.
            options.leave(&["count"]);
        }
        match udp || unix || !self.program.is_empty() {
            true => options.leave(TLS),
            false => begin_tls(options),
        }
    }

    /// What the parser still refuses is left out: a value that is none here, what excludes another.
    fn leave_what_is_refused(&mut self) -> bool {
        let all = self.options.len();
        while !self.options.is_empty() && !self.is_taken() {
            let mut rest = (0..self.options.len()).rev();
            let culprit = rest.find(|&at| {
                let option = self.options.remove(at);
                let is_taken = self.is_taken();
                self.options.insert(at, option);
                is_taken
            });
            let option = self.options.remove(culprit.unwrap_or(self.options.len() - 1));
            self.left.push(option.written);
        }
        self.options.len() < all
    }

    /// Whether the parser takes the words.
    fn is_taken(&self) -> bool {
        Cli::command().try_get_matches_from(self.words()).is_ok()
    }

    /// A proxy's URL.
    fn take_proxy(&mut self) {
        let said = |value: String| Said {
            name: "--proxy".to_owned(),
            value: Some(value),
            written: "a proxy".to_owned(),
        };
        match self.proxy.url() {
            Some(url) => self.options.push(said(url)),
            None if self.proxy.server.is_some() => self.left.push("a proxy".to_owned()),
            None => {}
        }
    }

    /// The path behind the options, where `-U` is a flag.
    fn take_path(&mut self) {
        let is_bare = |option: &&mut Said| option.is_unix() && option.value.is_none();
        if let Some(option) = self.options.iter_mut().find(is_bare) {
            option.value = self.operands.pop().or_else(|| Some("PATH".to_owned()));
        }
    }

    /// The address that another netcat's listener is given as its source.
    fn take_source(&mut self) {
        if self.command != "listen"
            || self.operands.len() + usize::from(self.port.is_some()) > 1
            || self.options.iter().any(Said::is_unix)
            || self.operands.iter().any(|one| parts(one).is_some())
        {
            return;
        }
        let is_source = |option: &Said| option.name == "-s" || option.name == "--source";
        let Some(at) = self.options.iter().position(is_source) else { return };
        let Some(address) = self.options.remove(at).value else { return };
        if self.operands.is_empty() {
            self.port.get_or_insert_with(|| "PORT".to_owned());
        }
        self.operands.insert(0, address);
    }

    /// Only a scan has more words than a host and a port.
    fn take_no_more_than_an_address(&mut self) {
        let is_whole = self.operands.first().is_some_and(|one| parts(one).is_some());
        if is_whole && self.port.take().is_some() {
            self.left.push("-p".to_owned());
        }
        if self.command == "scan" {
            return;
        }
        let most = if is_whole || self.port.is_some() { 1 } else { 2 };
        self.left.extend(self.operands.drain(most.min(self.operands.len())..));
    }

    /// What is left out, as `-a, -b and -c`; empty when nothing is.
    pub(super) fn without(&self) -> String {
        let mut all: Vec<&str> = Vec::new();
        for word in &self.left {
            if !all.contains(&&**word) {
                all.push(word);
            }
        }
        match &all[..] {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        }
    }

    /// The words for the same here, as a shell reads them.
    pub(super) fn here(&self) -> String {
        self.words().iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    fn words(&self) -> Vec<String> {
        let mut words = vec!["pktcat".to_owned(), self.command.to_owned()];
        for Said { name, value, .. } in &self.options {
            words.extend(iter::once(name).chain(value).cloned());
        }
        let is_local = self.options.iter().any(Said::is_unix);
        if !is_local {
            words.extend(self.place());
        }
        if !self.program.is_empty() {
            words.push("--".to_owned());
            words.extend(self.program.iter().cloned());
        }
        words
    }

    /// The host and the port, with a stand-in for what is missing.
    fn place(&self) -> Vec<String> {
        let port = if self.command == "scan" { "PORTS" } else { "PORT" };
        let (host, port) = ("HOST".to_owned(), port.to_owned());
        // The host of a client is not one to listen at.
        let is_turned = self.note.is_some() && !self.program.is_empty();
        let all: Vec<String> = match (&self.operands[..], &self.port) {
            ([.., last], None) if is_turned && self.base != "listen" => match parts(last) {
                Some(HostPort { port, .. }) => vec![port],
                None => vec![last.clone()],
            },
            (all, None) => all.to_vec(),
            (all, Some(port)) => all.iter().chain(iter::once(port)).cloned().collect(),
        };
        match (self.command, &all[..]) {
            // A listener that runs a command has to be told whom to let in.
            ("listen", []) if !self.program.is_empty() => vec![host, port],
            ("listen", [one]) if !self.program.is_empty() && parts(one).is_none() => {
                vec![host, one.clone()]
            }
            ("listen", []) => vec![port],
            ("listen", _) => all,
            (_, []) => vec![host, port],
            (_, [one]) if one.parse::<u16>().is_ok() => vec![host, one.clone()],
            (_, [one]) if parts(one).is_none() => vec![one.clone(), port],
            ("scan", [host, ports @ ..]) if !ports.is_empty() => {
                vec![host.clone(), ports.join(",")]
            }
            _ => all,
        }
    }
}

/// Has TLS where an option is about it.
fn begin_tls(options: &mut Options<'_>) {
    if !options.has("cert") {
        options.leave(&["key"]);
    }
    let first = options.kept.iter().position(|option| TLS.contains(&&*option.long));
    if let Some(at) = first.filter(|_| !options.has("tls")) {
        let (name, value, written) = ("--tls".to_owned(), None, "--tls".to_owned());
        let said = Said { name, value, written };
        options.kept.insert(at, Kept { long: "tls".to_owned(), repeats: false, said });
    }
}
