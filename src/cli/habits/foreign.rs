//! A command line of another netcat, taken apart.

use std::slice;

use clap::{Arg, Command};

use super::proxy::{ForeignProxy, without_secret};
use super::table::{HABITS, Habit, Here, PORT, tos};
use super::word::parts;

/// What it says, option by option.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// The command that it was read for: `listen`, `connect` or `scan`.
    pub command: &'static str,
    /// The command that it is meant for, where no option tells.
    pub base: &'static str,
    /// The first option that is not written so here.
    pub first: Option<String>,
    /// What is said of how it is here, if not that it is the same.
    pub note: Option<&'static str>,
    /// The options that have no like here, as they were written.
    pub left: Vec<String>,
    pub options: Vec<Said>,
    pub operands: Vec<String>,
    pub port: Option<String>,
    pub program: Vec<String>,
    pub proxy: ForeignProxy,
    listens: bool,
    scans: bool,
    /// Whether an option is known to nobody.
    is_strange: bool,
    /// How many operands there were before nc's `-x`, whose value looks like one of them.
    before_proxy: Option<usize>,
}

/// An option as it is here.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub name: String,
    pub value: Option<String>,
    /// How it was written.
    pub written: String,
}

impl Said {
    /// Whether it is the one that takes the place of a host and a port.
    pub(super) fn is_unix(&self) -> bool {
        self.name == "-U" || self.name == "--unix"
    }
}

/// An option, as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Short(char),
    Long(&'a str),
}

impl Name<'_> {
    pub(super) fn is_of(self, arg: &Arg) -> bool {
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

/// The commands that other netcats have, as options.
const COMMANDS: [&str; 3] = ["connect", "listen", "scan"];

/// What words are read by.
#[derive(Clone, Copy)]
struct Scope<'a> {
    all: &'a Command,
    own: Option<&'static str>,
}

/// Whether a word is an option.
fn is_option(word: &&str) -> bool {
    word.starts_with('-')
}

impl Foreign {
    /// Takes words apart that follow `own`, if that is a command of ours; `None` where that tells
    /// nothing new.
    pub(super) fn read(all: &Command, own: Option<&'static str>, words: &[&str]) -> Option<Self> {
        let mut foreign = Self::read_for(own.unwrap_or("connect"), Scope { all, own }, words)?;
        // What says which command is meant may come after its options: they are read once more.
        for _ in COMMANDS {
            let meant = foreign.meant();
            if meant == foreign.command {
                break;
            }
            foreign = Self::read_for(meant, Scope { all, own }, words)?;
        }
        if foreign.first.is_none() && foreign.is_strange {
            return None;
        }
        if !foreign.program.is_empty() && !foreign.listens && foreign.base != "listen" {
            foreign.note = Some("only a listener runs a command, as in");
        }
        foreign.tell_proxy_from_dump();
        foreign.fit(all);
        Some(foreign)
    }

    fn read_for(command: &'static str, scope: Scope<'_>, words: &[&str]) -> Option<Self> {
        let base = scope.own.unwrap_or("connect");
        let mut foreign = Self { command, base, ..Self::default() };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--" {
                foreign.program.extend(words.by_ref().map(|word| (*word).to_owned()));
            } else if let Some(long) = word.strip_prefix("--") {
                let (name, value) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (long, None),
                };
                foreign.option(Name::Long(name), value, &mut words, scope)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|all| !all.is_empty()) {
                for (at, letter) in letters.char_indices() {
                    let rest = &letters[at + letter.len_utf8()..];
                    let rest = Some(rest).filter(|rest| !rest.is_empty());
                    if foreign.option(Name::Short(letter), rest, &mut words, scope)? {
                        break;
                    }
                }
            } else {
                foreign.operands.push(word.to_owned());
            }
        }
        Some(foreign)
    }

    /// The command that the words are meant for.
    fn meant(&self) -> &'static str {
        // A port alone is one to listen at.
        let is_port_alone = matches!(&self.operands[..], [port] if port.parse::<u16>().is_ok());
        match () {
            () if !self.program.is_empty() => "listen",
            () if self.scans => "scan",
            () if self.listens || self.base == "connect" && is_port_alone => "listen",
            () => self.base,
        }
    }

    /// One option; whether it took the value that may be attached. Behind a command of ours its own
    /// options come first.
    fn option(
        &mut self,
        name: Name<'_>,
        attached: Option<&str>,
        words: &mut slice::Iter<'_, &str>,
        Scope { all, own }: Scope<'_>,
    ) -> Option<bool> {
        let known = |command: &str| {
            let command = all.find_subcommand(command)?;
            command.get_arguments().find(|arg| name.is_of(arg))
        };
        let arg = known(self.command);
        let habit = HABITS.iter().find(|habit| name.is_habit(habit));
        // Whoever connects has a port to send from besides.
        let is_port = name.is_habit(&PORT)
            && (self.command == "listen" || matches!(name, Name::Long("port")));
        let habit = habit.or(Some(&PORT).filter(|_| is_port));
        let habit = habit.filter(|_| arg.is_none() || own != Some(self.command));
        let ours = arg.or_else(|| COMMANDS.into_iter().find_map(known));
        let takes = match (habit, ours) {
            (Some(habit), _) => habit.2,
            (None, Some(arg)) => arg.get_action().takes_values(),
            // The parser's own complaint is about the first one that is wrong.
            (None, None) if own.is_some() && self.first.is_none() => return None,
            (None, None) => {
                self.is_strange = true;
                false
            }
        };
        if matches!(name, Name::Short('x')) && (own.is_none() || arg.is_none()) {
            if let Some(server) = attached.filter(|rest| rest.contains(':')) {
                self.proxy.server = Some(server.to_owned());
                return Some(true);
            }
            self.before_proxy = Some(self.operands.len()).filter(|_| attached.is_none());
        }
        // Theirs is a flag, and the path an operand.
        let is_path = ours.is_some_and(|arg| arg.get_long() == Some("unix")) && attached.is_none();
        let takes = takes && !(is_path && words.as_slice().first().is_none_or(is_option));
        let value = match (takes, attached) {
            (false, _) => None,
            (true, Some(value)) => Some(value.to_owned()),
            (true, None) => Some(words.next().map_or("...".to_owned(), |word| (*word).to_owned())),
        };
        match habit {
            Some(habit) => {
                if !matches!(habit.3, Here::Proxy | Here::Size(..)) {
                    self.first.get_or_insert_with(|| name.written());
                }
                self.translate(habit.3, value, name.written());
            }
            None if matches!(name, Name::Long("proxy")) => {
                self.translate(Here::Proxy, value, name.written());
            }
            None => {
                let written = name.written();
                self.options.push(Said { name: written.clone(), value, written });
            }
        }
        Some(takes && attached.is_some())
    }

    fn translate(&mut self, here: Here, value: Option<String>, written: String) {
        let text = value.clone().unwrap_or_default();
        let (option, value) = match here {
            Here::Option(connect, listen) => {
                (if self.command == "listen" { listen } else { connect }, value)
            }
            Here::Size(size, own) => {
                (if text.starts_with(|c: char| c.is_ascii_digit()) { size } else { own }, value)
            }
            Here::Tos => match tos(&text) {
                Some(number) => ("--tos", Some(number.to_string())),
                None => ("", None),
            },
            Here::Proxy if text.contains("://") => ("--proxy", Some(without_secret(&text))),
            Here::Nothing => ("", None),
            _ => return self.understand(here, text),
        };
        match option {
            "" => self.left.push(written),
            _ => self.options.push(Said { name: option.to_owned(), value, written }),
        }
    }

    /// What is no option here.
    fn understand(&mut self, here: Here, value: String) {
        match here {
            Here::Listen => self.listens = true,
            Here::Scan => self.scans = true,
            Here::Port => self.port = Some(value),
            // Other netcats cut it at its blanks, too.
            Here::Program => {
                self.program.extend(value.split_whitespace().map(str::to_owned));
                if self.program.is_empty() {
                    self.program.push("COMMAND".to_owned());
                }
            }
            Here::Shell => self.program.extend(["sh".to_owned(), "-c".to_owned(), value]),
            Here::Proxy => {
                self.proxy.server = Some(value);
                self.proxy.usual = Some("http");
            }
            Here::ProxyKind => self.proxy.kind = Some(value),
            Here::ProxyUser => self.proxy.has_user = true,
            Here::Default(why) => self.note = Some(why),
            Here::Option(..) | Here::Size(..) | Here::Tos | Here::Nothing => {}
        }
    }

    /// A `-x` of nc is followed by a proxy, one of ncat by a file; ours, which stands alone, has the
    /// place of both.
    fn tell_proxy_from_dump(&mut self) {
        let Some(at) = self.before_proxy.filter(|at| *at < self.operands.len()) else { return };
        let is_proxy = parts(&self.operands[at]).is_some_and(|place| place.host.is_some());
        let is_one_more = match is_proxy {
            true => self.operands.len() > 1,
            false => self.operands.len() > 2 && self.command == "connect",
        };
        if !is_one_more && self.proxy.kind.is_none() {
            return;
        }
        let value = self.operands.remove(at);
        self.options.retain(|option| option.written != "-x");
        if is_proxy || self.proxy.kind.is_some() {
            self.proxy.server = Some(value);
        } else {
            let (name, written) = ("--hex-file".to_owned(), "-x".to_owned());
            self.options.push(Said { name, value: Some(value), written });
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
}
