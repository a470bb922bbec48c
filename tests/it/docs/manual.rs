//! The man pages of the commands: the definitions say NAME, SYNOPSIS, OPTIONS, NOTES and EXAMPLES, and `man/parts`
//! the sections that a definition has no place for.
//!
//! A part is named after the page, such as `pktcat-scan.man`, or after the section that pages share. A page's own
//! section of a name replaces the shared one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// Where the hand-written sections are.
const PARTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/man/parts");

/// Pages that are written by hand.
const OTHERS: &[&str] = &["pktcat-json(5)", "pktcat-recipes(7)"];

/// All pages by their file names; `definitions` is the whole command line, built.
pub(crate) fn pages(definitions: &Command) -> BTreeMap<String, String> {
    let mut names = vec!["pktcat".to_owned()];
    names.extend(definitions.get_subcommands().map(|one| format!("pktcat-{}", one.get_name())));
    let commands = std::iter::once(definitions).chain(definitions.get_subcommands());
    let pages = names.iter().zip(commands);
    pages.map(|(name, command)| (format!("{name}.1"), page(name, command, &names))).collect()
}

fn page(name: &str, command: &Command, all: &[String]) -> String {
    let own = sections(&part(name).unwrap_or_default());
    let is_own = |title: &str| own.iter().any(|(known, _)| known == title);
    let mut text = String::from(".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n");
    text += &format!(
        ".TH {} 1 {} \"pktcat {}\" \"User Commands\"\n",
        name.to_uppercase(),
        date(),
        env!("CARGO_PKG_VERSION"),
    );
    let man = Man::new(command.clone());
    text += &rendered(|out| man.render_name_section(out)).replace("pktcat\\- ", "pktcat\\-");
    text += &rendered(|out| man.render_synopsis_section(out));
    match own.iter().find(|(title, _)| title == "DESCRIPTION") {
        Some((_, section)) => text += section,
        None => text += &rendered(|out| man.render_description_section(out)),
    }
    text += &rendered(|out| man.render_options_section(out));
    if name == "pktcat" {
        text += &rendered(|out| man.render_subcommands_section(out));
    }
    for (title, section) in &own {
        if title != "DESCRIPTION" && title != "EXIT STATUS" {
            text += section;
        }
    }
    let transfers = ["pktcat-listen", "pktcat-connect"].contains(&name);
    if transfers {
        text += &part("messages").unwrap();
    }
    if transfers || name == "pktcat-forward" {
        text += &part("captures").unwrap();
        text += &part("tls").unwrap();
    }
    let own_status = own.iter().find(|(title, _)| title == "EXIT STATUS");
    text += &own_status.map_or_else(|| part("exit-status").unwrap(), |(_, own)| own.clone());
    for shared in ["environment", "signals", "files"] {
        if !is_own(&shared.to_uppercase()) {
            text += &part(shared).unwrap();
        }
        match shared {
            "environment" => text += &variables(name),
            "files" if names_files(command) => text += &part("open-files").unwrap(),
            _ => {}
        }
    }
    let (examples, notes) = examples_and_notes(command);
    if !notes.is_empty() {
        text += &format!(".SH NOTES\n{}", paragraphs(&notes));
    }
    if !examples.is_empty() {
        text += &format!(".SH EXAMPLES\n{}", example(&examples));
    }
    wrapped(&(text + &see_also(name, all)))
}

/// Whether a command writes to files that its words name.
fn names_files(command: &Command) -> bool {
    command.get_opts().any(|option| ["pcap", "hex-file"].contains(&option.get_long().unwrap_or("")))
}

/// The variables that only some commands know, for the end of their section ENVIRONMENT.
fn variables(name: &str) -> String {
    let parts: &[&str] = match name {
        "pktcat-listen" => &["tls", "command"],
        "pktcat-connect" | "pktcat-forward" => &["tls", "roots"],
        _ => &[],
    };
    parts.iter().map(|part_of| part(&format!("environment-{part_of}")).unwrap()).collect()
}

/// What the help says at its end: the lines below `Examples:` up to an empty one, and all others.
pub(crate) fn examples_and_notes(command: &Command) -> (Vec<String>, Vec<String>) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (mut examples, mut notes, mut inside) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        match line {
            "Examples:" => inside = true,
            "" => inside = false,
            line if inside => examples.push(line.to_owned()),
            line => notes.push(line.to_owned()),
        }
    }
    (examples, notes)
}

/// Sentences in lines; a new paragraph begins where a line begins with a capital behind a full stop.
fn paragraphs(lines: &[String]) -> String {
    let mut text = String::new();
    let mut ended = false;
    for line in lines {
        if ended && line.starts_with(|c: char| c.is_ascii_uppercase() || c == '-') {
            text += ".PP\n";
        }
        ended = line.ends_with(['.', ':']);
        text += &escaped(line);
    }
    text
}

/// Indented lines are shown as they are, others explain.
fn example(lines: &[String]) -> String {
    let mut text = String::new();
    let mut is_shown = false;
    for line in lines {
        match (line.strip_prefix("  "), is_shown) {
            (Some(code), shown) => {
                text += if shown { "" } else { ".PP\n.nf\n" };
                text += &escaped(code);
                is_shown = true;
            }
            (None, shown) => {
                text += if shown { ".fi\n.PP\n" } else { "" };
                text += &escaped(line);
                is_shown = false;
            }
        }
    }
    text + if is_shown { ".fi\n" } else { "" }
}

/// A line of plain text for troff.
fn escaped(line: &str) -> String {
    let mut roff = Roff::new();
    roff.text([roman(line)]);
    roff.render()
        .lines()
        .skip_while(|line| line.starts_with(".ie") || line.starts_with(".el"))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn rendered(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with(".ie") && !line.starts_with(".el"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn part(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(PARTS).join(format!("{name}.man"))).ok()
}

/// The sections of a part, each with its title.
fn sections(text: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix(".SH ") {
            sections.push((title.trim_matches('"').to_owned(), String::new()));
        }
        let (_, section) = sections.last_mut().expect("a part begins with a title");
        *section += line;
        section.push('\n');
    }
    sections
}

fn see_also(name: &str, all: &[String]) -> String {
    let pages = all.iter().filter(|other| *other != name).map(|other| format!("{other}(1)"));
    let others = OTHERS.iter().map(|&other| other.to_owned());
    let elsewhere = ["nc(1)", "tcpdump(8)", "tcp(7)", "udp(7)"].map(str::to_owned);
    let entries: Vec<_> = pages.chain(others).chain(elsewhere).collect();
    let mut text = String::from(".SH \"SEE ALSO\"\n");
    for (i, entry) in entries.iter().enumerate() {
        let (page, section) = entry.split_once('(').unwrap();
        let comma = if i + 1 < entries.len() { "," } else { "" };
        text += &format!(".BR {} ({section}{comma}\n", page.replace('-', "\\-"));
    }
    text
}

/// The date of the newest release, as the changelog has it.
fn date() -> String {
    let changelog = concat!(env!("CARGO_MANIFEST_DIR"), "/CHANGELOG.md");
    let changelog = fs::read_to_string(changelog).unwrap();
    let heading = changelog.lines().find(|line| line.starts_with("## [") && line.contains(" - "));
    let date = heading.and_then(|line| line.split(" - ").nth(1));
    date.expect("a release in the changelog").to_owned()
}

/// Bytes of a line of text that every editor shows.
const WIDTH: usize = 80;

/// The page with its long lines of text broken at blanks, and none at a line's end.
fn wrapped(page: &str) -> String {
    let (mut text, mut before, mut is_filled) = (String::new(), "", true);
    for line in page.lines().map(str::trim_end) {
        match line {
            ".nf" => is_filled = false,
            ".fi" => is_filled = true,
            // A heading is followed by text without being told.
            ".PP" if before.starts_with(".SH") => continue,
            // clap_mangen ends the text of an option so.
            ".br" => continue,
            _ => {}
        }
        let is_text = is_filled && !line.starts_with('.') && before != ".TP";
        before = line;
        if !is_text {
            text += line;
            text.push('\n');
            continue;
        }
        let mut length = 0;
        for word in line.split(' ') {
            let is_command = word.starts_with(['.', '\'']);
            if length > 0 && length + 1 + word.len() > WIDTH && !is_command {
                text.push('\n');
                length = 0;
            } else if length > 0 {
                text.push(' ');
                length += 1;
            }
            text += word;
            length += word.len();
        }
        text.push('\n');
    }
    text
}
