//! Command lines as other netcats have them, and what the same thing is here.

mod foreign;
mod table;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Command};

use super::similar::is_close;
use crate::error::Error;
use foreign::{Foreign, quoted};

/// What a scheme of URLs is here: words before the host, and the usual port.
const SCHEMES: &[(&str, &[&str], &str)] = &[
    ("http", &[], "80"),
    ("https", &["--tls"], "443"),
    ("ws", &[], "80"),
    ("wss", &["--tls"], "443"),
    ("ftp", &[], "21"),
    ("ssh", &[], "22"),
    ("smtp", &[], "25"),
    ("redis", &[], "6379"),
    ("tls", &["--tls"], "PORT"),
    ("ssl", &["--tls"], "PORT"),
    ("udp", &["-u"], "PORT"),
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
    let note = foreign.note.unwrap_or("the same is");
    Some(Error::usage(place, why).hint(format!("{note} '{}'", foreign.here())))
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
    Some(format!("pktcat {words} {}", quoted(rest.split(',').next().unwrap_or(rest))))
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
    if scheme == "unix" {
        return format!("pktcat {command} -U {}", quoted(rest));
    }
    if scheme.starts_with("socks") {
        // A proxy is no peer.
        return format!("pktcat {command} --proxy {} HOST PORT", quoted(url));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let known = SCHEMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(scheme));
    let (options, usual) = known.map_or((&[][..], "PORT"), |(_, options, port)| (options, port));
    let port = port.filter(|port| !port.is_empty()).unwrap_or(usual);
    let words = ["pktcat", command].into_iter().chain(options.iter().copied());
    let host = if host.is_empty() { "HOST" } else { host };
    words.chain([&*quoted(host), &*quoted(port)]).collect::<Vec<_>>().join(" ")
}
