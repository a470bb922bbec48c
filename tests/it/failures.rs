//! Runs that fail, and those that are stopped: what the other side sees of it, what becomes of files,
//! and that nothing which cannot be had yet makes a run deaf.

mod fifos;
mod files;
mod printing;
mod resets;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = resets::tests();
    tests.extend(files::tests());
    tests.extend(fifos::tests());
    tests.extend(printing::tests());
    tests
}
