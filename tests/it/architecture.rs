//! The shape of the code, kept by a test: imports run one way, and some things live in one place.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::tests;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        imports_run_one_way,
        the_program_is_thin,
        things_live_in_their_places,
        files_are_short_and_say_what_they_are_for,
        no_test_is_left_out,
        the_table_is_read_right,
    ]
}

/// The modules of the library from top to bottom: each may use those below it, and none above.
/// A new module gets its place here, and with that a decision about what it must not know.
const ORDER: &[&str] = &[
    "cmd", "config", "cli",
    // The engine begins here: it never sees the words of the command line.
    "compare", "relay", "scan", "exchange", "hub", "children", "door", "dial", "resolver",
    "session", "dump", "report", "json", "hexdump", "pcap", "progress", "console", "pump",
    "splice", "pace", "endpoint", "socket", "local", "options", "gate", "tap", "address",
    "reactor", "framing", "batch", "units", "error", "sys", "peer",
];

/// Code that belongs into some files and into no others.
const PLACES: [(&str, &[&str]); 9] = [
    ("clap", &["cli.rs", "cli/", "cmd.rs", "config.rs"]),
    ("unsafe", &["sys/"]),
    ("allow(unsafe_code)", &["sys/"]),
    ("cfg(target_os", &["sys.rs", "sys/"]),
    ("process::exit", &["main.rs"]),
    // One thread, one loop: nothing waits anywhere else but a look-up of a name, which nobody can do otherwise.
    ("thread::Builder", &["address.rs"]),
    ("thread::spawn", &[]),
    ("thread::sleep", &[]),
    // Standard output carries what was received; lines for people go through the console.
    ("println!", &[]),
];

/// Longer files want to be two.
const LONGEST: usize = 450;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the package");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The files of the library and the program, by their names below `src/`, with their texts.
fn sources() -> Vec<(String, String)> {
    let source = root().join("src");
    let name = |file: &PathBuf| {
        let below = file.strip_prefix(&source).expect("a file below src");
        below.to_string_lossy().into_owned()
    };
    let text = |file: &PathBuf| fs::read_to_string(file).expect("a text");
    rust_files(&source).iter().map(|file| (name(file), text(file))).collect()
}

/// The text without comments and their words.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.split(" // ").next().unwrap_or(line))
}

/// The module of the library that a file belongs to: `endpoint` for `endpoint/stream.rs`.
fn module(file: &str) -> &str {
    let end = file.find(['/', '.']).unwrap_or(file.len());
    &file[..end]
}

/// The modules that a text names as `crate::NAME` or `crate::{NAME, NAME::...}`.
fn imports(text: &str) -> Vec<String> {
    let code = code(text).collect::<Vec<_>>().join("\n");
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let words = match rest.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![rest],
        };
        for word in words {
            let word = word.trim_start();
            let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            names.push(word.chars().take_while(|&c| is_part(c)).collect());
        }
    }
    names.retain(|name: &String| !name.is_empty());
    names
}

/// The items of a braced list, up to its end, without cutting lists inside.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

fn imports_run_one_way() {
    let place = |name: &str| ORDER.iter().position(|&module| module == name);
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        if file == "lib.rs" || file == "main.rs" {
            continue;
        }
        let own = module(&file);
        let Some(own_place) = place(own) else {
            panic!("src/{file}: say in tests/architecture.rs where {own} belongs");
        };
        for name in imports(&text) {
            // What is no module is a macro or an item of lib.rs.
            if place(&name).is_some_and(|other| other < own_place) {
                wrong.push(format!("src/{file} uses {name}, which is above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn the_program_is_thin() {
    let (_, text) = sources().into_iter().find(|(file, _)| file == "main.rs").expect("src/main.rs");
    let lines = code(&text).count();
    assert!(lines < 40, "src/main.rs has {lines} lines of code");
}

fn things_live_in_their_places() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        for (what, places) in PLACES {
            let is_word = |line: &str| {
                line.match_indices(what).any(|(at, _)| {
                    let edge =
                        |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
                    edge(line[..at].chars().next_back())
                        && edge(line[at + what.len()..].chars().next())
                })
            };
            let allowed = places.iter().any(|place| file.starts_with(place));
            wrong.extend(
                code(&text)
                    .filter(|line| !allowed && is_word(line))
                    .map(|line| format!("src/{file}: {what} in: {}", line.trim())),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn files_are_short_and_say_what_they_are_for() {
    for file in
        [root().join("src"), root().join("tests")].iter().flat_map(|folder| rust_files(folder))
    {
        let text = fs::read_to_string(&file).expect("a text");
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{}: {lines} lines", file.display());
        assert!(text.starts_with("//!"), "{}: no word on what it is for", file.display());
    }
}

/// Where the harness is not libtest, the compiler drops what has that attribute, and says nothing.
fn no_test_is_left_out() {
    for file in rust_files(&root().join("tests")) {
        let text = fs::read_to_string(&file).expect("a text");
        let mut lines = text.lines();
        let dropped = lines.any(|line| line.trim() == "#[test]");
        assert!(!dropped, "{}: a test belongs into the list of its module", file.display());
    }
}

fn the_table_is_read_right() {
    assert_eq!(module("endpoint/stream.rs"), "endpoint");
    assert_eq!(module("pump.rs"), "pump");
    let text =
        "use crate::{tap, error::{Error, Result}};\n// crate::comment\nlet x = crate::sys::read();";
    assert_eq!(imports(text), ["tap", "error", "sys"]);
}
