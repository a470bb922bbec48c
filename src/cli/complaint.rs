//! Turns clap's errors, which have several lines, into usage errors of one line.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory as _};

use super::command::Cli;
use super::habits;
use super::similar::is_close;
use crate::error::Error;

/// The usage error for clap's complaint about these words; clap's suggestion becomes the hint.
pub(super) fn error(complaint: &clap::Error, words: &[OsString]) -> Error {
    let mut all = Cli::command();
    all.build();
    if let Some(error) = habits::error(&all, words) {
        return error;
    }
    match complaint.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Error::usage("", format!("a command is missing: {}", commands()))
                .hint("see 'pktcat --help'")
        }
        ErrorKind::MissingRequiredArgument => missing(complaint, words),
        ErrorKind::InvalidUtf8 => not_text(words),
        _ => in_its_own_words(complaint, words),
    }
}

/// The names of all commands, as `listen, connect, scan, compare or completions`.
fn commands() -> String {
    let all = Cli::command();
    one_of(&all.get_subcommands().map(Command::get_name).collect::<Vec<_>>())
}

/// The words as `a, b or c`.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// The definition of the subcommand that these words begin with.
fn subcommand(words: &[OsString]) -> Option<Command> {
    let name = words.get(1)?.to_str()?;
    let mut all = Cli::command();
    all.build();
    all.find_subcommand(name).cloned()
}

fn help_of(words: &[OsString]) -> String {
    match subcommand(words) {
        Some(command) => format!("see 'pktcat {} --help'", command.get_name()),
        None => "see 'pktcat --help'".to_owned(),
    }
}

/// The error for an option or argument that is required and missing.
fn missing(complaint: &clap::Error, words: &[OsString]) -> Error {
    let all = match complaint.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(all)) => all.clone(),
        Some(ContextValue::String(one)) => vec![one.clone()],
        _ => return in_its_own_words(complaint, words),
    };
    let bare = |one: &String| {
        let name = one.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        name.unwrap_or(one).to_owned()
    };
    let absent = all.iter().map(bare).collect::<Vec<_>>().join(" and ");
    let hint = help_of(words);
    if absent.starts_with('-') {
        // An option that another option requires.
        return Error::usage("", format!("{absent} is missing")).hint(hint);
    }
    let Some(command) = subcommand(words) else { return in_its_own_words(complaint, words) };
    let first = command.get_positionals().next();
    let choices: Vec<_> = first.map(Arg::get_possible_values).unwrap_or_default();
    let choices: Vec<_> = choices.iter().map(|choice| choice.get_name()).collect();
    let why = match (first.map(names), command.get_name()) {
        // A listener requires PORT, but not HOST.
        (Some(names), "listen") => format!("{} is missing", names.last().map_or("", |name| name)),
        (Some(names), _) if names.len() > 1 => format!("{} are missing", names.join(" and ")),
        (Some(names), _) if !choices.is_empty() => {
            format!("{} is missing: {}", names.concat(), one_of(&choices))
        }
        _ if all.len() > 1 => format!("{absent} are missing"),
        _ => format!("{absent} is missing"),
    };
    Error::usage("", why).hint(hint)
}

/// The names of an argument's values.
fn names(arg: &Arg) -> Vec<String> {
    arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The error for a word that is not valid UTF-8 where the option takes text.
fn not_text(words: &[OsString]) -> Error {
    // clap does not say which option has the bad value. With the bad bytes replaced it can parse the
    // words, and the result tells which option each word belongs to.
    let lossy = |word: &OsString| word.to_string_lossy().into_owned();
    let faulty: Vec<_> = words.iter().filter(|word| word.to_str().is_none()).map(lossy).collect();
    let readable = words.iter().map(lossy);
    let found = match Cli::command().try_get_matches_from(readable) {
        Ok(matches) => place_of(&faulty, &matches, words),
        Err(complaint) => match complaint.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => Some((option.clone(), None)),
            _ => None,
        },
    };
    let why = "is not valid UTF-8";
    let hint = help_of(words);
    match found {
        Some((place, Some(value))) => {
            let error = Error::usage(format!("{place} {value}"), why);
            match ["--send", "--reply", "--expect"].contains(&&*place) {
                true => error.hint(format!("{place}-hex takes any bytes")),
                false => error,
            }
        }
        Some((place, None)) => Error::usage(place, why).hint(hint),
        None => {
            let first = faulty.first().map_or("the command line", |word| word);
            Error::usage(first, why).hint(hint)
        }
    }
}

/// The option or argument that takes text and has one of the `faulty` words as its value, and that
/// value.
fn place_of(
    faulty: &[String],
    matches: &ArgMatches,
    words: &[OsString],
) -> Option<(String, Option<String>)> {
    let command = subcommand(words)?;
    let (_, matches) = matches.subcommand()?;
    let takes_anything = |arg: &&Arg| {
        let kind = arg.get_value_parser().type_id();
        kind == TypeId::of::<PathBuf>() || kind == TypeId::of::<OsString>()
    };
    command.get_arguments().filter(|arg| !takes_anything(arg)).find_map(|arg| {
        let values: Vec<_> = matches.try_get_raw(arg.get_id().as_str()).ok()??.collect();
        let is_faulty = |value: &&OsStr| {
            let value = value.to_string_lossy();
            // The value may be the end of a word, as in `--send=TEXT` or `-sADDR`.
            faulty.iter().any(|word| value.contains('\u{fffd}') && word.ends_with(&*value))
        };
        let at = values.iter().position(is_faulty)?;
        let value = values[at].to_string_lossy().into_owned();
        let names = names(arg);
        let place = match arg.get_long() {
            Some(long) => format!("--{long}"),
            None if values.len() == names.len() => names[at].clone(),
            None => names.join(":"),
        };
        Some((place, Some(value)))
    })
}

/// The error with clap's own message, joined to one line.
fn in_its_own_words(complaint: &clap::Error, words: &[OsString]) -> Error {
    let text = complaint.to_string();
    let lines: Vec<&str> =
        text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    let line = line.trim_start_matches("error: ");
    let said = |kinds: [ContextKind; 2]| {
        kinds.into_iter().find_map(|kind| match complaint.get(kind) {
            Some(ContextValue::String(word)) => Some(word.clone()),
            Some(ContextValue::Strings(words)) => words.first().cloned(),
            _ => None,
        })
    };
    let wrong = said([ContextKind::InvalidArg, ContextKind::InvalidSubcommand]);
    let similar = said([ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand])
        .filter(|word| wrong.is_some_and(|wrong| is_close(word, &wrong)));
    let hint = similar.map_or_else(|| help_of(words), |word| format!("did you mean {word}?"));
    Error::usage("", line).hint(hint)
}
