//! A command line of another netcat: taken apart, and put together as it is here.

use std::slice;

use clap::{Arg, Command};

use super::table::{HABITS, Habit, Here, PORT};

/// What it says, option by option.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// `listen`, `connect` or `scan`.
    command: &'static str,
    /// The first option that is not written so here.
    pub first: Option<String>,
    /// What is said of how it is here, if not that it is the same.
    pub note: Option<&'static str>,
    options: Vec<String>,
    operands: Vec<String>,
    port: Option<String>,
    program: Vec<String>,
}

/// An option, as it was written.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Short(char),
    Long(&'a str),
}

impl Name<'_> {
    fn is_of(self, arg: &Arg) -> bool {
        match self {
            Self::Short(letter) => arg.get_short() == Some(letter),
            Self::Long(name) => {
                arg.get_long() == Some(name)
                    || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
            }
        }
    }

    fn is_habit(self, habit: &Habit) -> bool {
        match self {
            Self::Short(letter) => habit.0 == letter,
            Self::Long(name) => habit.1.contains(&name),
        }
    }

    fn written(self) -> String {
        match self {
            Self::Short(letter) => format!("-{letter}"),
            Self::Long(name) => format!("--{name}"),
        }
    }
}

impl Foreign {
    /// Takes words apart that follow `own`, if that is a command of ours; `None` where an option is
    /// known to nobody.
    pub(super) fn read(all: &Command, own: Option<&'static str>, words: &[&str]) -> Option<Self> {
        let listens = own == Some("listen")
            || own.is_none()
                && words.iter().any(|word| *word == "--listen" || has_letter(word, 'l'));
        let command = own.unwrap_or(if listens { "listen" } else { "connect" });
        let known = all.find_subcommand(command)?;
        let mut foreign = Self { command, ..Self::default() };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--" {
                foreign.program.extend(words.by_ref().map(|word| quoted(word)));
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                foreign.option(Name::Long(name), value, &mut words, (known, own.is_some()))?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|all| !all.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    let rest = &letters[at + letter.len_utf8()..];
                    let rest = Some(rest).filter(|rest| !rest.is_empty());
                    let name = Name::Short(letter);
                    if foreign.option(name, rest, &mut words, (known, own.is_some()))? {
                        break;
                    }
                }
            } else {
                foreign.operands.push(word.to_owned());
            }
        }
        foreign.leave_out_what_is_not_here();
        Some(foreign)
    }

    /// What cannot be had together here is not said to be the same.
    fn leave_out_what_is_not_here(&mut self) {
        let is_udp = |option: &String| option == "-u" || option == "--udp";
        if !self.program.is_empty() && self.options.iter().any(is_udp) {
            self.options.retain(|option| !is_udp(option));
            self.note = Some("a command is run for TCP connections only, as in");
        }
        let is_tls = |option: &String| option == "--tls";
        if self.command == "scan" && self.options.iter().any(is_tls) {
            self.options.retain(|option| !is_tls(option));
            self.note = Some("scan speaks no TLS; whether the port is open tells:");
        }
    }

    /// One option; whether it took the value that may be attached. Behind a command of ours its own
    /// options come first.
    fn option(
        &mut self,
        name: Name<'_>,
        attached: Option<&str>,
        words: &mut slice::Iter<'_, &str>,
        (known, ours_first): (&Command, bool),
    ) -> Option<bool> {
        let arg = known.get_arguments().find(|arg| name.is_of(arg));
        let habit = HABITS.iter().find(|habit| name.is_habit(habit));
        let habit = match self.command {
            "listen" => habit.or(Some(&PORT).filter(|port| name.is_habit(port))),
            _ => habit,
        };
        let habit = habit.filter(|_| arg.is_none() || !ours_first);
        let takes = match (habit, arg) {
            (Some(habit), _) => habit.2,
            (None, arg) => arg?.get_action().takes_values(),
        };
        let value = match (takes, attached) {
            (false, _) => None,
            (true, Some(value)) => Some(value.to_owned()),
            (true, None) => Some(words.next().map_or("...".to_owned(), |word| (*word).to_owned())),
        };
        match habit {
            Some(habit) => {
                self.first.get_or_insert_with(|| name.written());
                self.translate(habit.3, value.unwrap_or_default());
            }
            None => {
                self.options.push(name.written());
                self.options.extend(value.map(|value| quoted(&value)));
            }
        }
        Some(takes && attached.is_some())
    }

    fn translate(&mut self, here: Here, value: String) {
        match here {
            Here::Listen => self.command = "listen",
            Here::Scan => self.command = "scan",
            Here::Port => self.port = Some(value),
            Here::Program => self.program.push(value),
            Here::Shell => self.program.extend(["sh".to_owned(), "-c".to_owned(), quoted(&value)]),
            Here::Default(why) => self.note = Some(why),
            Here::Option(connect, listen) => {
                let option = if self.command == "listen" { listen } else { connect };
                self.options.push(option.to_owned());
                self.options.extend(Some(quoted(&value)).filter(|_| !value.is_empty()));
            }
        }
        if !self.program.is_empty() && self.command != "listen" {
            self.note = Some("only a listener runs a command, as in");
        }
    }

    /// Whether an operand is an address, and no word that could be anything.
    pub(super) fn has_address(&self) -> bool {
        match &self.operands[..] {
            [] => false,
            [one] => one.contains([':', '.']) || one.parse::<u16>().is_ok(),
            _ => true,
        }
    }

    /// The words for the same here.
    pub(super) fn here(&self) -> String {
        // A port alone is one to listen at.
        let is_port = |word: &String| word.parse::<u16>().is_ok();
        let command = match (&self.operands[..], &self.program[..]) {
            ([port], []) if self.command == "connect" && is_port(port) => "listen",
            (_, [_, ..]) => "listen",
            _ => self.command,
        };
        // The host of a client is not one to listen at.
        let is_turned = command != self.command && command == "listen";
        let mut words = vec!["pktcat".to_owned(), command.to_owned()];
        words.extend(self.options.iter().cloned());
        let is_local = self.options.iter().any(|option| option == "-U" || option == "--unix");
        if !is_local {
            let all = self.operands.iter().chain(&self.port);
            let all: Vec<String> = all
                .skip(usize::from(is_turned && self.operands.len() > 1))
                .map(|word| quoted(word))
                .collect();
            words.extend(self.place(command, all));
        }
        if !self.program.is_empty() {
            words.push("--".to_owned());
            words.extend(self.program.iter().cloned());
        }
        words.join(" ")
    }

    /// The host and the port, with a stand-in for what is missing.
    fn place(&self, command: &str, all: Vec<String>) -> Vec<String> {
        let port = if command == "scan" { "PORTS" } else { "PORT" };
        let host = || "HOST".to_owned();
        match (command, &all[..]) {
            // A listener that runs a command has to be told whom to let in.
            ("listen", [port]) if !self.program.is_empty() => vec![host(), port.clone()],
            ("listen", []) if !self.program.is_empty() => vec![host(), port.to_owned()],
            ("listen", []) => vec![port.to_owned()],
            ("listen", _) => all,
            (_, []) => vec![host(), port.to_owned()],
            (_, [one]) if !one.contains(':') => vec![one.clone(), port.to_owned()],
            ("scan", [host, ports @ ..]) => vec![host.clone(), ports.join(",")],
            _ => all,
        }
    }
}

/// Whether a word is a cluster of letters with this one in it.
fn has_letter(word: &str, letter: char) -> bool {
    word.strip_prefix('-').is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter))
}

/// A word as a shell reads it back.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,@%+=[]".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
