//! System calls that fail although nothing is wrong with the bytes: refused by a sandbox, interrupted by a signal,
//! failing once or from now on. Nothing is lost, or the status says so; and SIGTERM is heard.

#![allow(missing_docs, clippy::unwrap_used)]

mod util;

#[path = "refused_calls/asking.rs"]
mod asking;
#[path = "refused_calls/interrupted.rs"]
mod interrupted;

use util::harness;

fn main() {
    let mut tests = asking::tests();
    tests.extend(interrupted::tests());
    harness::main(tests);
}
