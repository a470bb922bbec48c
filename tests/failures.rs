//! Runs that fail, and those that are stopped: what the other side sees of it, what becomes of files,
//! and that nothing which cannot be had yet makes a run deaf.

#![allow(missing_docs, clippy::unwrap_used)]

mod util;

#[path = "failures/fifos.rs"]
mod fifos;
#[path = "failures/files.rs"]
mod files;
#[path = "failures/printing.rs"]
mod printing;
#[path = "failures/resets.rs"]
mod resets;

use util::harness;

fn main() {
    let mut tests = resets::tests();
    tests.extend(files::tests());
    tests.extend(fifos::tests());
    tests.extend(printing::tests());
    harness::main(tests);
}
