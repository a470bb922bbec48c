//! `pktcat compare`: exact accounts, an honest clock, and a table that fits the screen.

mod accounts;
mod asked;
mod capture;
mod clock;
mod lab;
pub(crate) mod peer;
mod shown;
mod statuses;
mod unfragmented;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::util::pktcat_line;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = accounts::tests();
    tests.extend(asked::tests());
    tests.extend(capture::tests());
    tests.extend(clock::tests());
    tests.extend(lab::tests());
    tests.extend(shown::tests());
    tests.extend(statuses::tests());
    tests.extend(unfragmented::tests());
    tests
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
