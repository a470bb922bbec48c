//! Help, man pages and completions: generated from one set of definitions, and fit to be read.
//!
//! `PKTCAT_UPDATE_MAN=1 cargo test --test it docs::` writes the man pages anew.

pub(crate) mod manual;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use libtest_mimic::Trial;
use pktcat::cli::Cli;

use crate::tests;
use crate::util::harness::Need;
use crate::util::{Input, pktcat, pktcat_line, program};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        man_pages_are_those_of_the_definitions,
        man_pages_please_mandoc needs [Need::Program("mandoc")],
        every_page_has_the_sections_that_readers_look_for,
        every_subcommand_has_a_page,
        variables_stand_in_the_pages_of_those_who_know_them,
        help_fits_one_screen,
        help_is_grouped_under_headings,
        help_and_version_are_no_errors,
        completions_are_scripts,
        bash_takes_its_completions needs [Need::Program("bash")],
        zsh_takes_its_completions needs [Need::Program("zsh")],
        fish_takes_its_completions needs [Need::Program("fish")],
        completions_hide_what_help_hides,
        bash_completes_files_where_a_file_is_asked_for_only needs [Need::Program("bash")],
        fish_completes_files_where_a_file_is_asked_for_only needs [Need::Program("fish")],
        zsh_is_told_what_each_word_is,
        hosts_are_completed_where_one_is_asked_for_only needs [Need::Program("fish")],
        the_readme_is_short,
        readme_and_recipes_name_only_options_that_exist,
        the_json_page_names_every_key,
        help_names_every_service_that_is_asked,
    ]
}

fn man_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// All words of the command line, those of the subcommands too, which are made when one is asked for.
fn definitions() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// The same, with other names of an option in its help: the generator of the man pages leaves them out.
fn with_aliases() -> clap::Command {
    let told = |option: clap::Arg| match (option.get_help(), option.get_visible_aliases()) {
        (Some(help), Some(names)) if !names.is_empty() => {
            let help = format!("{help} [alias: --{}]", names.join(", --"));
            option.help(help)
        }
        _ => option,
    };
    definitions().mut_subcommands(|subcommand| subcommand.mut_args(told))
}

/// The pages in a folder by name.
fn pages(dir: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "1"));
    let named = |file: PathBuf| {
        (
            file.file_name().unwrap().to_string_lossy().into_owned(),
            fs::read_to_string(&file).unwrap(),
        )
    };
    pages.map(named).collect()
}

fn man_pages_are_those_of_the_definitions() {
    let fresh = manual::pages(&with_aliases());
    if std::env::var_os("PKTCAT_UPDATE_MAN").is_some() {
        for name in pages(&man_dir()).keys() {
            fs::remove_file(man_dir().join(name)).unwrap();
        }
        for (name, text) in &fresh {
            fs::write(man_dir().join(name), text).unwrap();
        }
    }
    let committed = pages(&man_dir());
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    let hint = "write them anew: PKTCAT_UPDATE_MAN=1 cargo test --test it docs::";
    assert_eq!(names(&committed), names(&fresh), "{hint}");
    for (name, text) in &fresh {
        assert!(committed[name] == *text, "man/{name} is not what the definitions say; {hint}");
    }
}

/// Complaints of mandoc that are none: another manual's pages are not installed where this is tested, and clap_mangen
/// writes what man(7) of GNU has.
const NO_COMPLAINTS: [&str; 1] = ["referenced manual not found"];

fn man_pages_please_mandoc() {
    let files = fs::read_dir(man_dir()).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.is_file()) {
        let lint = program("mandoc", ["-T", "lint", "-W", "style"]).arg(&file).run();
        let said = lint.stdout_text() + &lint.stderr;
        let complaint = said.lines().find(|line| !NO_COMPLAINTS.iter().any(|no| line.contains(no)));
        assert_eq!(complaint, None, "{}", file.display());
    }
}

fn every_page_has_the_sections_that_readers_look_for() {
    for (name, text) in pages(&man_dir()) {
        for section in
            ["\"EXIT STATUS\"", "EXAMPLES", "ENVIRONMENT", "SIGNALS", "FILES", "\"SEE ALSO\""]
        {
            assert!(text.contains(&format!(".SH {section}\n")), "{name} has no {section}");
        }
    }
}

fn every_subcommand_has_a_page() {
    let committed = pages(&man_dir());
    for subcommand in definitions().get_subcommands() {
        let name = format!("pktcat-{}.1", subcommand.get_name());
        let text = committed.get(&name).unwrap_or_else(|| panic!("no man/{name}"));
        for option in subcommand.get_opts().filter(|option| !option.is_hide_set()) {
            let long = option.get_long().unwrap().replace('-', "\\-");
            assert!(text.contains(&format!("\\-\\-{long}")), "{name} does not tell of --{long}");
            for alias in option.get_visible_aliases().unwrap_or_default() {
                let alias = alias.replace('-', "\\-");
                assert!(text.contains(&format!("\\-\\-{alias}")), "{name}: --{alias}");
            }
        }
    }
}

fn variables_stand_in_the_pages_of_those_who_know_them() {
    let pages = pages(&man_dir());
    for subcommand in definitions().get_subcommands() {
        let name = format!("pktcat-{}.1", subcommand.get_name());
        let (_, section) = pages[&name].split_once(".SH ENVIRONMENT\n").unwrap();
        let section = section.split("\n.SH ").next().unwrap();
        let knows = |option: &str| subcommand.get_opts().any(|one| one.get_long() == Some(option));
        let runs_commands = subcommand.get_arguments().any(|one| one.get_id() == "command");
        for (variable, is_known) in [
            ("NO_COLOR", true),
            ("SSLKEYLOGFILE", knows("keylog")),
            ("SSL_CERT_FILE", knows("ca")),
            ("PKTCAT_PEER_ADDR", runs_commands),
        ] {
            assert_eq!(section.contains(variable), is_known, "{variable} in {name}:\n{section}");
        }
    }
}

/// What `pktcat WORDS` prints, with status 0 and nothing on stderr.
#[track_caller]
fn said(words: &[&str]) -> String {
    let ended = pktcat(words).env("COLUMNS", "80").run().expect_code(0);
    assert_eq!(ended.stderr, "", "{words:?}");
    ended.stdout_text()
}

fn help_fits_one_screen() {
    let help = said(&["--help"]);
    assert!(help.lines().count() <= 24, "{} lines:\n{help}", help.lines().count());
    for words in [&["--help"][..], &["listen", "--help"], &["connect", "--help"]] {
        for line in said(words).lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line:?}");
        }
    }
    for subcommand in ["listen", "connect", "ping", "scan", "compare"] {
        assert!(help.contains(subcommand), "{help}");
    }
}

fn help_is_grouped_under_headings() {
    for subcommand in ["listen", "connect"] {
        let help = said(&[subcommand, "--help"]);
        let is_heading = |line: &&str| !line.starts_with(' ') && line.ends_with(':');
        let headings: Vec<_> = help.lines().filter(is_heading).collect();
        assert!(headings.len() >= 4, "{subcommand}: only {headings:?}");
        let options = help.lines().filter(|line| line.trim_start().starts_with('-'));
        assert!(options.count() > 20, "{help}");
    }
}

fn help_and_version_are_no_errors() {
    assert_eq!(said(&["--version"]), format!("pktcat {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(said(&["-V"]), said(&["--version"]));
    assert!(said(&["connect", "-h"]).contains("HOST"));
    // Asked for nothing, it says where to look, as an error.
    let nothing = pktcat([""; 0]).run().expect_code(2);
    assert_eq!(nothing.stdout_text(), "");
    assert!(nothing.stderr.contains("pktcat --help"), "{}", nothing.stderr);
}

fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        for word in ["pktcat", "listen", "connect", "until-fin", "to-all"] {
            assert!(script.contains(word), "{shell}: no {word:?}");
        }
    }
    pktcat(["completions", "csh"]).run().expect_code(2);
}

/// The shell reads its completions through, without running them.
fn takes_its_completions(shell: &str) {
    let script = said(&["completions", shell]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), script).unwrap();
    program(shell, ["-n"]).arg(file.path()).stdin(Input::Null).run().expect_code(0);
}

fn bash_takes_its_completions() {
    takes_its_completions("bash");
}

fn zsh_takes_its_completions() {
    takes_its_completions("zsh");
}

fn fish_takes_its_completions() {
    takes_its_completions("fish");
}

fn completions_hide_what_help_hides() {
    let hidden = |command: &clap::Command| -> Vec<String> {
        let hidden = command.get_arguments().filter(|arg| arg.is_hide_set());
        hidden.filter_map(|arg| arg.get_long().map(str::to_owned)).collect()
    };
    let hidden: Vec<_> = definitions().get_subcommands().flat_map(hidden).collect();
    assert!(!hidden.is_empty());
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["completions", shell]);
        for option in &hidden {
            assert!(!script.contains(option.as_str()), "{shell}: --{option}");
        }
    }
}

/// Command lines whose last word is to be completed, and whether that is the name of a file.
const LAST_WORDS: [(&str, bool); 7] = [
    ("connect zz", false),
    ("connect host zz", false),
    ("scan zz", false),
    ("connect -w zz", false),
    ("connect --pcap zz", true),
    ("listen --reply-file zz", true),
    ("connect --unix zz", true),
];

/// A folder with a script, and a file whose name the last words begin.
fn with_a_file(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("zzfile"), "").unwrap();
    fs::write(folder.path().join("script"), script).unwrap();
    folder
}

fn bash_completes_files_where_a_file_is_asked_for_only() {
    let folder = with_a_file(&said(&["completions", "bash"]));
    // What readline does with a word, and with the `-o default` that offers files where the
    // function has nothing.
    let ask = r#"cd "$1"; . ./script; shift; compopt() { :; }
COMP_WORDS=(pktcat "$@"); COMP_CWORD=$#; COMPREPLY=()
_pktcat pktcat "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
if [ ${#COMPREPLY[@]} = 0 ] && complete -p pktcat | grep -q -e default; then COMPREPLY=($(compgen -f "${@: -1}")); fi
echo "${COMPREPLY[@]}""#;
    for (line, is_file) in LAST_WORDS {
        let cmd = program("bash", ["-c", ask, "bash", folder.path().to_str().unwrap()]);
        let offered = line.split(' ').fold(cmd, |cmd, word| cmd.arg(word)).run().expect_code(0);
        assert_eq!(offered.stdout_text().contains("zzfile"), is_file, "{line}");
    }
}

fn fish_completes_files_where_a_file_is_asked_for_only() {
    let folder = with_a_file(&said(&["completions", "fish"]));
    for (line, is_file) in LAST_WORDS {
        let ask = format!("cd $argv[1]; source ./script; complete -C 'pktcat {line}'");
        let cmd = program("fish", ["--no-config", "-c", &ask, folder.path().to_str().unwrap()]);
        let offered = cmd.env("HOME", folder.path()).run().expect_code(0);
        assert_eq!(offered.stdout_text().contains("zzfile"), is_file, "{line}");
    }
}

fn zsh_is_told_what_each_word_is() {
    let script = said(&["completions", "zsh"]);
    // `_default` offers files.
    assert!(!script.contains(":_default'"), "{script}");
    for line in ["--pcap=", "--reply-file=", "--unix="] {
        let told = script.lines().find(|own| own.contains(line)).unwrap();
        assert!(told.contains(":_files'"), "{told}");
    }
}

/// Command lines whose last word is to be completed, and whether that is the name of a host.
const HOSTS: [(&str, bool); 6] = [
    ("connect zz", true),
    ("connect zzhost zz", false),
    ("scan zz", true),
    ("scan zzhost zz", false),
    ("listen zz", false),
    ("connect --pcap zz", false),
];

fn hosts_are_completed_where_one_is_asked_for_only() {
    for (line, is_host) in HOSTS {
        let ask = format!(
            "source ./script; function __fish_print_hostnames; echo zzhost; end; complete -C 'pktcat {line}'"
        );
        let folder = with_a_file(&said(&["completions", "fish"]));
        let cmd = program("fish", ["--no-config", "-c", &format!("cd $argv[1]; {ask}")]);
        let cmd = cmd.arg(folder.path()).env("HOME", folder.path());
        let offered = cmd.run().expect_code(0);
        assert_eq!(offered.stdout_text().contains("zzhost"), is_host, "{line}");
    }
    let zsh = said(&["completions", "zsh"]);
    let told: Vec<_> = zsh.lines().filter(|line| line.contains(":_hosts'")).collect();
    assert!(told.len() >= 3, "{zsh}");
    let is_first = |line: &&&str| line.trim_start_matches(['\'', ':']).starts_with("address ");
    assert_eq!(told.iter().filter(is_first).count(), told.len(), "{told:?}");
    assert!(zsh.contains("::PORT -- "), "{zsh}");
}

/// The options that a subcommand takes, as they are written.
fn options(subcommand: &str) -> Vec<String> {
    let all = definitions();
    let command = all.find_subcommand(subcommand).unwrap();
    let mut known = vec!["--help".to_owned(), "-h".to_owned()];
    for option in command.get_arguments() {
        known.extend(
            option
                .get_long_and_visible_aliases()
                .into_iter()
                .flatten()
                .map(|long| format!("--{long}")),
        );
        known.extend(option.get_short().map(|short| format!("-{short}")));
    }
    known
}

/// The README, and the recipes as a reader sees them.
fn readme_and_recipes() -> String {
    let read = |name| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let recipes = read("man/pktcat-recipes.7");
    let plain = recipes.replace("\\-", "-").replace("\\(aq", "'");
    read("README.md") + &plain
}

fn the_readme_is_short() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let lines = fs::read_to_string(readme).unwrap().lines().count();
    assert!(lines <= 150, "{lines} lines; recipes belong into man/pktcat-recipes.7");
}

fn readme_and_recipes_name_only_options_that_exist() {
    let text = readme_and_recipes();
    let mut checked = 0;
    for subcommand in ["listen", "connect", "forward", "scan", "compare"] {
        let known = options(subcommand);
        for rest in text.split(&format!("pktcat {subcommand} ")).skip(1) {
            let end = rest.find(['`', '|', '\n', '<', '>', '#', ';', '&']).unwrap_or(rest.len());
            let own = rest[..end].split("   ").next().unwrap();
            // Behind `--` the words are another program's.
            let own = own.split_whitespace().take_while(|&word| word != "--");
            for word in own.filter(|word| word.starts_with('-')) {
                assert!(
                    known.iter().any(|option| option == word),
                    "pktcat {subcommand}: no {word} in {known:?}"
                );
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} options found");
}

/// The keys of an object, and of those in it.
fn keys(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        found.insert(key.clone());
        keys(value, found);
    }
}

fn the_json_page_names_every_key() {
    let page = fs::read_to_string(man_dir().join("pktcat-json.5")).unwrap();
    let words: std::collections::BTreeSet<_> =
        page.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    for (line, status) in [
        ("ping -t -u --json --count 2 --interval 1ms 127.0.0.1 1", 4),
        ("scan --json --all 127.0.0.1 1", 4),
        ("compare --json --count 2", 0),
    ] {
        let ended = pktcat_line(line).run().expect_code(status);
        let mut found = std::collections::BTreeSet::new();
        for line in ended.stdout_text().lines() {
            keys(&serde_json::from_str(line).unwrap(), &mut found);
        }
        assert!(["event", "time", "host"].iter().all(|key| found.contains(*key)), "{line}");
        let missing: Vec<_> = found.iter().filter(|key| !words.contains(key.as_str())).collect();
        assert!(missing.is_empty(), "{line}: not in pktcat-json(5): {missing:?}");
    }
}

fn help_names_every_service_that_is_asked() {
    let help = said(&["scan", "--help"]);
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for service in pktcat::net::services::SERVICES {
        let named = format!("{} {}", service.name, service.port);
        assert!(flat.contains(&named), "{named}: {help}");
    }
}
