//! What the program tells those who come from another netcat is a command line that it takes itself.

use std::ffi::OsString;

use super::check;
use crate::cli::{self, Command, Parsed};
use crate::config;
use crate::error::{Result, Status};

/// Options that other netcats and this program have in common, and some of ours.
const COMMON: &[&str] = &[
    "-4",
    "-n",
    "-u",
    "-t",
    "-v",
    "-vv",
    "-k",
    "-d",
    "-C",
    "-h",
    "-U /none/s",
    "-q 1",
    "-q -1",
    "-s 127.0.0.1",
    "-p 9",
    "-x",
    "-x proxy:1080",
    "--keep-open",
    "--idle-timeout 5",
    "--udp",
    "--source-port 9",
    "--allow 127.0.0.1",
    "--chat",
    "--crlf",
    "--send-only",
    "--recv-only",
    "--no-shutdown",
    "--verbose",
    "--pcap /none/p",
    "--send x",
    "--count 3",
    "-O lines",
];

/// The value of an option that other netcats have.
fn value(option: &str) -> &'static str {
    match option {
        "-e" | "--exec" => "'/bin/cat -v'",
        "-c" | "--sh-exec" => "'a | b'",
        "-o" | "--output" | "--hex-dump" => "/none/dump",
        "-T" => "lowdelay",
        "-I" | "-O" => "4096",
        "-X" => "connect",
        "-P" => "me",
        "--proxy" => "proxy",
        "--proxy-type" => "socks4",
        "--proxy-auth" => "me:secret",
        "--ssl-cert" | "--ssl-key" | "--ssl-trustfile" => "/none/pem",
        "--ssl-servername" => "name.example",
        _ => "9",
    }
}

/// All options, each with its value, as a line.
fn options() -> Vec<String> {
    let foreign =
        cli::foreign_options().into_iter().map(|(option, takes_value)| match takes_value {
            true => format!("{option} {}", value(&option)),
            false => option,
        });
    let own = COMMON.iter().map(ToString::to_string);
    foreign.chain(own).collect()
}

/// The words of a line, where quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut is_quoted, mut is_open) = (Vec::new(), false, false);
    for c in line.chars() {
        match c {
            ' ' if !is_quoted => is_open = false,
            c => {
                if !std::mem::replace(&mut is_open, true) {
                    words.push(String::new());
                }
                match c {
                    '\'' => is_quoted = !is_quoted,
                    c => words.last_mut().expect("a word").push(c),
                }
            }
        }
    }
    words
}

/// Everything that is checked of a command line before anything is looked up or opened.
fn checked(words: &[String]) -> Result<()> {
    let (cli, payloads) = match cli::parse(words.iter().map(OsString::from))? {
        Parsed::Run(cli, payloads) => (cli, payloads),
        Parsed::Print(_) => return Ok(()),
    };
    match cli.command {
        Command::Listen(args) => check::listen(&config::Listen::new(args, &payloads)?),
        Command::Connect(args) => check::connect(&config::Connect::new(args, &payloads)?),
        Command::Forward(args) => config::Forward::new(args).map(drop),
        Command::Scan(args) => config::Scan::new(args, &payloads).map(drop),
        Command::Ping(args) => config::Ping::new(args, &payloads).map(drop),
        Command::Compare(args) => config::compare::Compare::new(args).map(drop),
        Command::Completions { .. } => Ok(()),
    }
}

/// The command line that is told instead of this one; `None` where there is none.
fn told(line: &str) -> Option<String> {
    let error = checked(&words(line)).err().filter(|error| error.status == Status::Usage)?;
    let text = error.to_string();
    let (before, rest) = text.split_once("'pktcat ")?;
    // It is followed by the end of the hint, or by what was left out.
    let end = rest.rfind("', without ").or_else(|| rest.rfind("')"))?;
    (!before.ends_with("see ")).then(|| format!("pktcat {}", &rest[..end]))
}

/// The lines of which something is told.
#[derive(Default)]
struct Lines {
    told: usize,
    refused: Vec<String>,
}

impl Lines {
    /// What is told of a line is taken, once it has words in place of its stand-ins.
    fn check(&mut self, line: &str) {
        let Some(same) = told(line) else { return };
        let filled = |word: String| match &*word {
            "HOST" => "localhost".to_owned(),
            "PORT" | "PORTS" => "9".to_owned(),
            "PATH" => "/none/s".to_owned(),
            _ => word,
        };
        let words: Vec<String> = words(&same).into_iter().map(filled).collect();
        if let Err(error) = checked(&words)
            && error.status == Status::Usage
        {
            self.refused.push(format!("{line}\n    {same}\n    {error}"));
        }
        self.told += 1;
    }

    fn finish(self, least: usize) {
        assert!(self.refused.is_empty(), "{}", self.refused.join("\n"));
        assert!(self.told >= least, "{}", self.told);
    }
}

/// Commands before the options, and operands behind them.
const COMMANDS: [&str; 4] = ["", "connect", "listen", "scan"];
const OPERANDS: [&str; 5] = ["localhost 9", "9", "", "127.0.0.1:9", "127.0.0.1 9 10"];

#[test]
fn what_is_told_of_one_option_is_taken() {
    let mut lines = Lines::default();
    for (number, option) in options().iter().enumerate() {
        for command in COMMANDS {
            for (at, operands) in OPERANDS.iter().enumerate() {
                lines.check(&match (number + at) % 2 {
                    0 => format!("pktcat {command} {option} {operands}"),
                    _ => format!("pktcat {command} {operands} {option}"),
                });
            }
        }
    }
    lines.finish(500);
}

/// Every `step`th pair of options, behind one command or another.
fn check_pairs(first: usize, step: usize) {
    let (mut lines, options) = (Lines::default(), options());
    let pairs = options.iter().enumerate().flat_map(|(at, one)| {
        options.iter().enumerate().filter(move |(other, _)| *other != at).map(
            move |(other, two)| {
                let command =
                    ["", "-l", "connect", "listen", "scan", "-z", ""][(at + 3 * other) % 7];
                let operands = OPERANDS[(at * 7 + other) % OPERANDS.len()];
                format!("pktcat {command} {one} {two} {operands}")
            },
        )
    });
    pairs.skip(first).step_by(step).for_each(|line| lines.check(&line));
    lines.finish(500);
}

// A number of tests, as they take their time and can be run side by side.

#[test]
fn what_is_told_of_two_options_is_taken() {
    check_pairs(0, 11);
}

#[test]
fn what_is_told_of_two_options_is_taken_elsewhere() {
    check_pairs(5, 11);
}

#[test]
#[ignore = "all pairs take a minute: cargo test --lib hint_tests -- --ignored"]
fn what_is_told_of_any_two_options_is_taken() {
    check_pairs(0, 1);
}

#[test]
fn what_is_told_of_an_address_is_taken() {
    let mut lines = Lines::default();
    for kind in ["tcp", "tcp-connect", "udp", "openssl"] {
        for rest in ["localhost:9", "localhost", "9", "", "127.0.0.1:9,bind=:8", "[::1]:9", "[::1]"]
        {
            lines.check(&format!("pktcat {kind}:{rest}"));
        }
    }
    for kind in ["tcp4-listen", "udp-recv", "openssl-listen", "unix-connect", "unix-listen"] {
        for rest in ["9", "9,fork", ""] {
            lines.check(&format!("pktcat {kind}:{rest}"));
        }
    }
    let schemes =
        ["http", "https", "wss", "ftp", "tls", "udp", "tcp", "unix", "socks5", "socks5h", "none"];
    let hosts =
        ["localhost", "localhost:9", "[::1]", "[::1]:9/x", "me:secret@localhost:9", "", "/none/s"];
    for scheme in schemes {
        for host in hosts {
            for command in ["", "connect", "listen", "scan", "ping", "compare"] {
                lines.check(&format!("pktcat {command} {scheme}://{host}"));
            }
        }
    }
    lines.finish(400);
}
