//! The shape of the code, kept by a test: imports run one way, and some things live in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::tests;

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        imports_run_one_way,
        no_files_import_each_other,
        the_program_is_thin,
        things_live_in_their_places,
        files_are_short_and_say_what_they_are_for,
        the_sources_are_read_right,
        no_test_is_left_out,
    ]
}

/// The floors of the library from top to bottom. Each may use those below it; none may use those above it or
/// beside it.
const FLOORS: &[&[&str]] = &[
    &["cmd"],
    &["config"],
    &["cli"],
    &["serve", "forward", "scan", "ping", "compare"],
    &["setup"],
    &["engine"],
    &["run"],
    &["observe", "io", "chart"],
    &["net"],
    &["error"],
    &["sys"],
    &["units"],
    &["peer"],
];

/// Code that belongs into some files and into no others.
const PLACES: [(&str, &[&str]); 12] = [
    ("clap", &["cli.rs", "cli/", "cmd.rs", "config.rs"]),
    ("unsafe", &["sys/"]),
    ("allow(unsafe_code)", &["sys/"]),
    ("cfg(target_os", &["sys.rs", "sys/"]),
    ("process::exit", &["main.rs"]),
    // Connected stream sockets have one end that all use; standard input and output may be sockets, too.
    ("MsgFlags", &["engine/stream/", "io/stdio.rs", "io/stdio/", "sys.rs", "sys/"]),
    ("Shutdown", &["engine/stream/", "io/stdio.rs"]),
    ("set_linger", &["net/socket.rs"]),
    // One thread, one loop: nothing waits anywhere else but a look-up of a name, which nobody can do otherwise.
    ("thread::Builder", &["net/address/lookup.rs"]),
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
fn sources() -> BTreeMap<String, String> {
    let source = root().join("src");
    let name = |file: &PathBuf| {
        let below = file.strip_prefix(&source).expect("a file below src");
        below.to_string_lossy().into_owned()
    };
    let text = |file: &PathBuf| fs::read_to_string(file).expect("a text");
    rust_files(&source).iter().map(|file| (name(file), text(file))).collect()
}

/// The text without comments, and without the unit tests at its end, which may use what they like.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| line.split(" // ").next().unwrap_or(line))
}

/// The path of a file's module: `engine::relay` for `engine/relay.rs`.
fn module(file: &str) -> String {
    file.trim_end_matches(".rs").replace('/', "::")
}

/// The floor of a module: `engine` for `engine::relay`.
fn floor(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// Which of these modules a module's text names, by paths from the root, from its parent or from itself.
fn imports(own: &str, text: &str, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let code = code(text).collect::<Vec<_>>().join("\n");
    let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = BTreeSet::new();
    let mut note = |base: &str, path: &str| {
        let whole = if base.is_empty() { path.to_owned() } else { format!("{base}::{path}") };
        let mut known = whole.as_str();
        while !modules.contains(known) {
            let Some((shorter, _)) = known.rsplit_once("::") else { return };
            known = shorter;
        }
        if known != own {
            found.insert(known.to_owned());
        }
    };
    for (keyword, base) in [("crate::", ""), ("super::", parent)] {
        for rest in code.split(keyword).skip(1) {
            for path in paths(rest) {
                note(base, &path);
            }
        }
    }
    // What a module declares it names without a keyword.
    let below = format!("{own}::");
    for child in modules.iter().filter_map(|other| other.strip_prefix(&below)) {
        let is_used = |line: &str| {
            line.match_indices(&format!("{child}::")).any(|(at, _)| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            })
        };
        if code.lines().any(is_used) {
            note(own, child);
        }
    }
    found
}

/// The paths at the start of a text: one, or all of a braced list.
fn paths(text: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let head: String = text.chars().take_while(|&c| is_part(c)).collect();
    let Some(list) = text[head.len()..].strip_prefix('{') else {
        return vec![head.trim_end_matches(':').to_owned()];
    };
    let items = top_level(list);
    items.iter().flat_map(|item| paths(item.trim())).map(|path| format!("{head}{path}")).collect()
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

/// Every module with those that it names.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let files: Vec<_> = sources
        .iter()
        .filter(|(file, _)| !["lib.rs", "main.rs"].contains(&file.as_str()))
        .collect();
    let modules: BTreeSet<_> = files.iter().map(|(file, _)| module(file)).collect();
    files
        .iter()
        .map(|(file, text)| (module(file), imports(&module(file), text, &modules)))
        .collect()
}

fn imports_run_one_way() {
    let place = |module: &str| {
        let floor = floor(module);
        FLOORS.iter().position(|floors| floors.contains(&floor)).unwrap_or_else(|| {
            panic!("src/{floor}: say in tests/it/architecture.rs on which floor it is")
        })
    };
    let mut wrong = Vec::new();
    for (own, others) in graph() {
        for other in others.iter().filter(|other| floor(other) != floor(&own)) {
            if place(other) <= place(&own) {
                wrong.push(format!("{own} uses {other}, which is not below it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whoever cannot be read without the other is one file, or has a third one to share.
fn no_files_import_each_other() {
    let graph = graph();
    // What can be reached from each.
    let reach = |start: &String| {
        let (mut seen, mut left) = (BTreeSet::new(), vec![start]);
        while let Some(module) = left.pop() {
            for next in graph.get(module).into_iter().flatten() {
                if seen.insert(next) {
                    left.push(next);
                }
            }
        }
        seen
    };
    let circular: Vec<_> = graph.keys().filter(|module| reach(module).contains(module)).collect();
    assert!(circular.is_empty(), "in a circle of imports: {circular:?}");
}

fn the_program_is_thin() {
    let sources = sources();
    let lines = code(&sources["main.rs"]).count();
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

fn the_sources_are_read_right() {
    assert_eq!(module("engine/stream.rs"), "engine::stream");
    assert_eq!(floor("engine::stream"), "engine");
    let modules = ["a", "a::b", "a::c", "a::b::d", "e"].map(str::to_owned).into();
    let text =
        "use crate::{e, a::c::{Error, Result}};\n// crate::comment\nlet x = super::c::read();";
    let found = imports("a::b", text, &modules);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["a::c", "e"]);
    let found = imports("a::b", "mod d;\nuse d::Thing;", &modules);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), ["a::b::d"]);
}

fn no_test_is_left_out() {
    for file in rust_files(&root().join("tests")) {
        let text = fs::read_to_string(&file).expect("a text");
        let mut lines = text.lines();
        let dropped = lines.any(|line| line.trim() == "#[test]");
        assert!(!dropped, "{}: a test belongs into the list of its module", file.display());
    }
}
