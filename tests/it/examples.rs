//! Every example of the pages and the help is run as it stands, in a network of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use libtest_mimic::Trial;
use pktcat::cli::Cli;

use crate::docs::manual::examples_and_notes;
use crate::networks::{find_unshare, with_namespaces};
use crate::util::harness::{self, Need};
use crate::util::{binary, program};

mod scripts;
mod watched;

use scripts::{EXAMPLES, Example};
use watched::WATCHED;

pub(crate) fn tests() -> Vec<Trial> {
    let unshare = find_unshare();
    let mut tests: Vec<_> = all()
        .map(|example| {
            let prefix = unshare.clone().unwrap_or_default();
            let needs: Vec<_> = ["ip", "python3"].iter().chain(example.needs).collect();
            let needs: Vec<_> = needs.into_iter().map(|name| Need::Program(name)).collect();
            let test = harness::test(module_path!(), example.name, &needs, move || {
                run(&prefix, example);
            });
            with_namespaces(test, unshare.is_some())
        })
        .collect();
    tests.push(harness::test(module_path!(), "none_is_left_out", &[], none_is_left_out));
    tests
}

fn all() -> impl Iterator<Item = &'static Example> {
    EXAMPLES.iter().chain(WATCHED)
}

/// A machine on which all the names of the examples are this one, with what the examples send. `ready` waits until
/// a TCP port takes connections, `ready_listener` until anybody listens (without a connection, which would be
/// the only one that is served), `ready_udp` until a UDP port is bound.
const MACHINE: &str = r#"
ip link set lo up
mkdir "$1/bin" "$1/there" "$1/photos"
cd "$1"
ln -s "$2" bin/pktcat
PATH=$PWD/bin:$PATH
echo "127.0.0.1 localhost there.example web.example db.example dns.example" > hosts
mount --bind hosts /etc/hosts
head -c 300000 /dev/urandom > file
cp file photo.jpg
cp file photos/one.jpg
printf 'one\ntwo\n' > messages
ready() { until pktcat scan --quiet 127.0.0.1 "$1" 2> /dev/null; do sleep 0.02; done; }
ready_listener() { until grep -qi "^ *[0-9]*: [0-9A-F]*:[0-9A-F]* [0-9A-F]*:0000 0A" /proc/net/tcp /proc/net/tcp6; do sleep 0.02; done; }
ready_udp() { until grep -qi ":$(printf %04X "$1") " /proc/net/udp /proc/net/udp6; do sleep 0.02; done; }
ended() { for job in $jobs; do kill "$job" 2> /dev/null || :; done; }
jobs=
trap ended EXIT
background() { (trap - EXIT; cd "${2:-.}"; eval "exec $1") & jobs="$jobs $!"; last=$!; }
background_pipe() { (trap - EXIT; cd "$2"; eval "$1") & jobs="$jobs $!"; last=$!; }
"#;

fn run(unshare: &[&'static str], example: &Example) {
    let folder = tempfile::tempdir().unwrap();
    let mut script = String::from(MACHINE);
    for (number, line) in example.lines.iter().enumerate() {
        script += &format!("line{}={}\n", number + 1, quoted(&command(line)));
    }
    script += example.script;
    let words = ["-n", "-m", "sh", "-euc", &script, "sh"];
    let own = unshare.iter().copied().chain(words);
    program("env", own.chain([folder.path().to_str().unwrap(), binary()])).run().expect_code(0);
}

/// A line of a page without its prompt and without the explanation behind it.
fn command(line: &str) -> String {
    let line =
        ["there$ ", "here$ "].iter().find_map(|prompt| line.strip_prefix(prompt)).unwrap_or(line);
    line.split("   ").next().unwrap().to_owned()
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The lines that are shown as they are, in the pages and the help.
fn shown() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipes = fs::read_to_string(root.join("man/pktcat-recipes.7")).unwrap();
    let mut lines = BTreeSet::new();
    for block in recipes.split("\n.nf\n").skip(1) {
        let block = block.split("\n.fi\n").next().unwrap();
        lines.extend(block.lines().map(|line| command(&plain(line))));
    }
    let mut definitions = Cli::command();
    definitions.build();
    for one in std::iter::once(&definitions).chain(definitions.get_subcommands()) {
        let (examples, _) = examples_and_notes(one);
        lines.extend(examples.iter().filter_map(|line| line.strip_prefix("  ")).map(command));
    }
    lines
}

/// A line of troff as a reader sees it.
fn plain(line: &str) -> String {
    let escapes = [
        ("\\-", "-"),
        ("\\(aq", "'"),
        ("\\(ga", "`"),
        ("\\(ti", "~"),
        ("\\(ha", "^"),
        ("\\e", "\\"),
    ];
    escapes.iter().fold(line.to_owned(), |line, (escape, sign)| line.replace(escape, sign))
}

fn none_is_left_out() {
    let run: BTreeSet<_> =
        all().flat_map(|example| example.lines).map(|line| command(line)).collect();
    let shown = shown();
    let untested: Vec<_> = shown.difference(&run).collect();
    assert!(untested.is_empty(), "in no test of examples/*.rs: {untested:#?}");
    let unknown: Vec<_> = run.difference(&shown).collect();
    assert!(unknown.is_empty(), "in no page: {unknown:#?}");
}
