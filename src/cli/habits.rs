//! Command lines as other netcats have them, and what the same thing is here.

mod fit;
mod foreign;
mod proxy;
mod table;
mod word;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Command, CommandFactory as _};

use super::command::Cli;
use super::similar::is_close;
use crate::error::Error;
use foreign::Foreign;
use proxy::ForeignProxy;
use word::{parts, quoted};

/// A scheme of URLs: its name, what it is here and its usual port. What it is here is an option, by its
/// long name and as it is written, where the command has it.
type Scheme = (&'static str, Option<(&'static str, &'static str)>, &'static str);

const SCHEMES: &[Scheme] = &[
    ("http", None, "80"),
    ("https", Some(("tls", "--tls")), "443"),
    ("ws", None, "80"),
    ("wss", Some(("tls", "--tls")), "443"),
    ("ftp", None, "21"),
    ("ssh", None, "22"),
    ("smtp", None, "25"),
    ("redis", None, "6379"),
    ("tls", Some(("tls", "--tls")), "PORT"),
    ("ssl", Some(("tls", "--tls")), "PORT"),
    ("udp", Some(("udp", "-u")), "PORT"),
];

/// What an address of socat(1) is here: words before what stands behind its colon.
const SOCAT: &[(&str, &str)] = &[
    ("tcp", "connect"),
    ("tcp-connect", "connect"),
    ("tcp-listen", "listen"),
    ("udp", "connect -u"),
    ("udp-connect", "connect -u"),
    ("udp-listen", "listen -u"),
    ("udp-recv", "listen -u"),
    ("openssl", "connect --tls"),
    ("openssl-connect", "connect --tls"),
    ("openssl-listen", "listen --tls"),
    ("unix-connect", "connect -U"),
    ("unix-listen", "listen -U"),
];

/// The options, of whatever command, that name a file to write.
const WRITTEN: &[(&str, &str)] = &[
    ("hex_file", "--hex-file"),
    ("keylog", "--keylog"),
    ("pcap", "--pcap"),
    ("port_file", "--port-file"),
    ("svg", "--svg"),
];

/// The error for words that are those of another netcat, if they are.
pub(super) fn error(all: &Command, words: &[OsString]) -> Option<Error> {
    let words: Vec<&str> = words.iter().skip(1).map(|word| word.to_str()).collect::<Option<_>>()?;
    let first = *words.first()?;
    if first == "help" {
        return Some(Error::usage("help", "takes one command").hint("pktcat help connect"));
    }
    let own = ["listen", "connect", "scan"].into_iter().find(|name| *name == first);
    if own.is_none() && is_command(all, first) {
        return None;
    }
    if first.contains("://") {
        return Some(url("connect", first));
    }
    if let Some(word) = words.iter().find(|word| **word != "-")
        && let Some(same) = of_socat(word)
    {
        let error = Error::usage(*word, "is an address of socat");
        return Some(error.hint(format!("the same is '{same}'")));
    }
    let rest = &words[usize::from(own.is_some())..];
    let foreign = Foreign::read(all, own, rest)?;
    let (place, why) = match (&foreign.first, own) {
        (Some(option), _) => (option.as_str(), "is no option here"),
        (None, Some(_)) => return None,
        (None, None) if first.starts_with('-') => ("", "a command is missing"),
        // What is no address may be a command that somebody expected.
        (None, None) if !foreign.has_address() => return None,
        (None, None) => (first, "is no command"),
    };
    let (here, without) = (foreign.here(), foreign.without());
    let hint = match (foreign.note, &*without) {
        (None, "") => format!("the same is '{here}'"),
        (None, _) => format!("the same without {without} is '{here}'"),
        (Some(note), "") => format!("{note} '{here}'"),
        (Some(note), _) => format!("{note} '{here}', without {without}"),
    };
    Some(Error::usage(place, why).hint(hint))
}

/// What is wrong with words that could be read: a URL for an address, standard output for a file.
///
/// # Errors
/// That, with what would be right.
pub(super) fn check(matches: &ArgMatches) -> Result<(), Error> {
    let Some((command, matches)) = matches.subcommand() else { return Ok(()) };
    let addresses = matches.try_get_many::<String>("address").ok().flatten();
    if let Some(url) = addresses.into_iter().flatten().find(|word| word.contains("://")) {
        return Err(self::url(command, url));
    }
    let whose = if command == "compare" { "the table's" } else { "the payload's" };
    for (id, option) in WRITTEN {
        let file = matches.try_get_one::<PathBuf>(id).ok().flatten();
        if file.is_some_and(|file| file.as_os_str() == "-") {
            let why = format!("standard output is {whose}");
            return Err(Error::usage(format!("{option} -"), why)
                .hint("for a reader make a FIFO by mkfifo(1) and name that, or /dev/stderr"));
        }
    }
    Ok(())
}

/// What an address of socat is here, if it is one; of its options nothing is told.
fn of_socat(word: &str) -> Option<String> {
    let (kind, rest) = word.split_once(':')?;
    let kind = kind.to_ascii_lowercase().replace(['4', '6'], "");
    let (_, words) = SOCAT.iter().find(|(name, _)| *name == kind)?;
    let place = rest.split(',').next().unwrap_or(rest);
    Some(match place {
        "" if words.ends_with("-U") => format!("pktcat {words} PATH"),
        "" if words.starts_with("listen") => format!("pktcat {words} PORT"),
        "" => format!("pktcat {words} HOST PORT"),
        _ if words.ends_with("-U") || words.starts_with("listen") || parts(place).is_some() => {
            format!("pktcat {words} {}", quoted(place))
        }
        _ if place.parse::<u16>().is_ok() => format!("pktcat {words} HOST {place}"),
        _ => format!("pktcat {words} {} PORT", quoted(place)),
    })
}

/// Whether a word is one of the commands, or was probably meant to be.
fn is_command(all: &Command, word: &str) -> bool {
    !word.starts_with('-')
        && all.get_subcommands().any(|command| is_close(command.get_name(), word))
}

fn url(command: &str, url: &str) -> Error {
    let same = of_url(command, url);
    Error::usage(url, "is a URL, and no address").hint(format!("the same is '{same}'"))
}

/// What a URL is here.
fn of_url(command: &str, url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if scheme == "unix" {
        let path = if rest.is_empty() { "PATH" } else { rest };
        let command = if has(command, "unix") { command } else { "connect" };
        return format!("pktcat {command} -U {}", quoted(path));
    }
    if scheme.starts_with("socks") {
        // A proxy is no peer.
        let server = if authority.is_empty() { "PROXY" } else { authority };
        let proxy = ForeignProxy {
            server: Some(server.to_owned()),
            has_user: user.is_some(),
            ..ForeignProxy::default()
        };
        let command = if has(command, "proxy") { command } else { "connect" };
        let url = proxy.url().unwrap_or_default();
        return format!("pktcat {command} --proxy {} HOST PORT", quoted(&url));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
    let (option, usual) = known.map_or((None, "PORT"), |(_, option, port)| (*option, *port));
    let option = option.filter(|(long, _)| has(command, long)).map(|(_, word)| word.to_owned());
    let port = port.filter(|port| !port.is_empty()).unwrap_or(usual);
    let host = if host.is_empty() { "HOST" } else { host };
    let words = ["pktcat", command].into_iter().map(str::to_owned).chain(option);
    words.chain([quoted(host), quoted(port)]).collect::<Vec<_>>().join(" ")
}

/// Whether a command has an option of this long name.
fn has(command: &str, long: &str) -> bool {
    let mut all = Cli::command();
    all.build();
    let known = all.find_subcommand(command);
    known.is_some_and(|known| known.get_arguments().any(|arg| arg.get_long() == Some(long)))
}

/// The options of other netcats as they are written, and whether a value follows.
#[cfg(test)]
pub(crate) fn foreign_options() -> Vec<(String, bool)> {
    let mut all = Vec::new();
    for (letter, longs, takes_value, _) in table::HABITS.iter().chain([&table::PORT]) {
        let short = Some(format!("-{letter}")).filter(|_| letter.is_ascii_alphabetic());
        let longs = longs.iter().map(|long| format!("--{long}"));
        all.extend(short.into_iter().chain(longs).map(|option| (option, *takes_value)));
    }
    all
}
