//! `pktcat compare`: exact accounts, an honest clock, and a table that fits the screen.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "compare/accounts.rs"]
mod accounts;
#[path = "compare/capture.rs"]
mod capture;
#[path = "compare/clock.rs"]
mod clock;
#[path = "compare/peer.rs"]
mod peer;
#[path = "compare/shown.rs"]
mod shown;
#[path = "compare/statuses.rs"]
mod statuses;
mod util;

use serde_json::Value;

use util::{harness, pktcat_line};

fn main() {
    let mut tests = accounts::tests();
    tests.extend(capture::tests());
    tests.extend(clock::tests());
    tests.extend(shown::tests());
    tests.extend(statuses::tests());
    harness::main(tests);
}

/// The JSON object of a run that must end well.
#[track_caller]
fn compare(words: &str) -> Value {
    let ended = pktcat_line(&format!("compare --json {words}")).run().expect_code(0);
    assert_eq!(ended.stderr, "");
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// The numbers under these keys.
#[track_caller]
fn numbers<const N: usize>(side: &Value, keys: [&str; N]) -> [u64; N] {
    keys.map(|key| side[key].as_u64().unwrap_or_else(|| panic!("{key} in {side}")))
}
