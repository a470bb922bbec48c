//! Reading the command line: what is asked for, or a usage error in one line.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

use super::{Cli, complaint};
use crate::error::Error;

/// A message given on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// `--send`
    Text(String),
    /// `--send-hex`
    Hex(String),
}

/// All messages given on the command line, in its order.
#[derive(Debug, Clone, Default)]
pub struct Payloads(pub Vec<Payload>);

impl Payloads {
    fn of(matches: &ArgMatches) -> Self {
        let Some((_, matches)) = matches.subcommand() else {
            return Self::default();
        };
        let mut placed: Vec<(usize, Payload)> = Vec::new();
        let mut collect = |id: &str, kind: fn(String) -> Payload| {
            // Not every subcommand has these options.
            let Ok(Some(values)) = matches.try_get_many::<String>(id) else {
                return;
            };
            let places = matches.indices_of(id).into_iter().flatten();
            placed.extend(places.zip(values.cloned().map(kind)));
        };
        collect("send", Payload::Text);
        collect("send_hex", Payload::Hex);
        placed.sort_by_key(|(place, _)| *place);
        Self(placed.into_iter().map(|(_, payload)| payload).collect())
    }
}

/// What reading the command line leads to.
#[derive(Debug)]
pub enum Parsed {
    /// A command to carry out.
    Run(Box<Cli>, Payloads),
    /// Text that was asked for: help, the version.
    Print(String),
}

/// Reads the command line.
///
/// # Errors
/// A usage error, in one line.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Parsed, Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let mut matches = match Cli::command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                return Ok(Parsed::Print(error.render().to_string()));
            }
            _ => return Err(complaint::error(&error, &words)),
        },
    };
    let payloads = Payloads::of(&matches);
    let cli = Cli::from_arg_matches_mut(&mut matches)
        .map_err(|error| complaint::error(&error, &words))?;
    Ok(Parsed::Run(Box::new(cli), payloads))
}
