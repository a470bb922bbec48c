//! Parses the command line, to a command or to a usage error of one line.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::command::Cli;
use super::{complaint, habits};
use crate::error::Error;

/// A message given on the command line, or what is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageArg {
    /// `--send`
    Text(String),
    /// `--send-hex`
    Hex(String),
    /// `--expect`
    Expect(String),
    /// `--expect-hex`
    ExpectHex(String),
    /// `--expect-re`
    ExpectRe(String),
}

/// All messages given on the command line and all that is waited for, in its order.
#[derive(Debug, Clone, Default)]
pub struct MessageArgs(pub Vec<MessageArg>);

impl MessageArgs {
    fn of(matches: &ArgMatches) -> Self {
        let Some((_, matches)) = matches.subcommand() else {
            return Self::default();
        };
        let mut placed: Vec<(usize, MessageArg)> = Vec::new();
        let mut collect = |id: &str, kind: fn(String) -> MessageArg| {
            // Not every subcommand has these options.
            let Ok(Some(values)) = matches.try_get_many::<String>(id) else {
                return;
            };
            let places = matches.indices_of(id).into_iter().flatten();
            placed.extend(places.zip(values.cloned().map(kind)));
        };
        collect("send", MessageArg::Text);
        collect("send_hex", MessageArg::Hex);
        collect("expect", MessageArg::Expect);
        collect("expect_hex", MessageArg::ExpectHex);
        collect("expect_re", MessageArg::ExpectRe);
        placed.sort_by_key(|(place, _)| *place);
        Self(placed.into_iter().map(|(_, payload)| payload).collect())
    }
}

/// The result of parsing the command line.
#[derive(Debug)]
pub enum Parsed {
    /// Run this command, with these messages.
    Run(Box<Cli>, MessageArgs),
    /// Print this text: help or the version.
    Print(String),
}

/// Parses the command line; `words` begin with the name of the program.
///
/// # Errors
/// A usage error.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
    let words = helping(words.into_iter().collect());
    let ends_in_dashes = words.last().is_some_and(|word| word == "--");
    let mut matches = match Cli::command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Ok(Parsed::Print(error.render().to_string()));
            }
            _ => return Err(complaint::error(&error, &words)),
        },
    };
    if ends_in_dashes && lacks_command(&matches) {
        return Err(Error::usage("COMMAND", "is missing after --"));
    }
    habits::check(&matches)?;
    let payloads = MessageArgs::of(&matches);
    let cli = Cli::from_arg_matches_mut(&mut matches)
        .map_err(|error| complaint::error(&error, &words))?;
    Ok(Parsed::Run(Box::new(cli), payloads))
}

/// `help` and `help COMMAND` as the words that the parser has for them.
fn helping(mut words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_some_and(|word| word == "help") && words.len() <= 3 {
        words.remove(1);
        words.push("--help".into());
    }
    words
}

/// Whether `listen` was given no command and no text that is `--`, though its words end with that.
fn lacks_command(matches: &ArgMatches) -> bool {
    let Some(("listen", matches)) = matches.subcommand() else { return false };
    let is_text = |id| {
        let mut values = matches.get_many::<String>(id).into_iter().flatten();
        values.any(|value| value == "--")
    };
    !matches.contains_id("command")
        && !["send", "reply", "expect", "expect_re"].into_iter().any(is_text)
}
