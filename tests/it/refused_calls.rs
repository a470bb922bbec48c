//! System calls that fail although nothing is wrong with the bytes: refused by a sandbox, interrupted by a signal,
//! failing once or from now on. Nothing is lost, or the status says so; and SIGTERM is heard.

mod asking;
mod full;
mod interrupted;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = asking::tests();
    tests.extend(full::tests());
    tests.extend(interrupted::tests());
    tests
}
