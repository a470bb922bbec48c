//! The recorded session that the README shows is what a run gives today.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use regex::Regex;

use crate::networks::{find_unshare, with_namespaces};
use crate::util::harness::{self, Need};
use crate::util::{binary, program};

pub(crate) fn tests() -> Vec<Trial> {
    let unshare = find_unshare();
    let prefix = unshare.clone().unwrap_or_default();
    let needs = ["ip", "python3", "bash"].map(Need::Program);
    let name = "the_session_of_the_readme_is_what_a_run_gives";
    let test = harness::test(module_path!(), name, &needs, move || matches_a_run(&prefix));
    vec![with_namespaces(test, unshare.is_some())]
}

fn matches_a_run(unshare: &[&'static str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let fresh = folder.path().join("session.svg");
    // In a network of its own, where the ports of the session are free.
    let record = "ip link set lo up; exec python3 \"$@\"";
    let words = ["-n", "sh", "-euc", record, "sh"];
    let recorder = root.join("docs/session.py");
    let recorder = [recorder.to_str().unwrap(), fresh.to_str().unwrap(), binary()];
    program("env", unshare.iter().copied().chain(words).chain(recorder)).run().expect_code(0);

    let shown = what_is_always_so(&fs::read_to_string(root.join("docs/session.svg")).unwrap());
    let run = what_is_always_so(&fs::read_to_string(fresh).unwrap());
    assert_eq!(shown, run, "record it anew: docs/session.py docs/session.svg");
    // Nothing of it is lost on the way here.
    for part in
        ["accepted", "|one", "refused", "\n4\n", "\n6\n", "9000/tcp open", "1 open, 3 closed"]
    {
        assert!(run.contains(part), "no {part:?} in {run}");
    }
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains("(docs/session.svg)"), "the README shows it");
}

/// The text of the picture without times, ports that the kernel chose, and how a TCP listener's data was cut.
fn what_is_always_so(picture: &str) -> String {
    let replaced = |text: &str, pattern: &str, by: &str| {
        Regex::new(pattern).unwrap().replace_all(text, by).into_owned()
    };
    let text = picture.split_once("</style>").unwrap().1;
    let text = replaced(text, "<[^>]*>", "").replace("&lt;", "<").replace("&gt;", ">");
    let text = replaced(&text, r"\d+\.\d{3,6} ", "TIME ");
    let text = replaced(&text, r"\d+(\.\d+)?(us|ms)", "TIME");
    let text = replaced(&text, r":\d{5} ", ":PORT ");
    let (before, listener) = text.split_once("$ pktcat listen -d -x 9000").unwrap();
    let (listener, after) = listener.split_once("\n\n").unwrap_or((listener, ""));
    let data: String = Regex::new(r"\|(.*)\|")
        .unwrap()
        .captures_iter(listener)
        .map(|row| row[1].to_owned())
        .collect();
    assert_eq!(data, "onetwo", "{listener}");
    let listener = replaced(listener, r"(?m)^(<|\d{8}  ).*\n", "");
    before.to_owned() + &listener + after
}
