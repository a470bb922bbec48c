//! Much data through every way bytes can take, spliced inside the kernel or copied: nothing lost, doubled or
//! moved, whatever stdin and stdout are; and the same for datagrams that travel in trains.

mod datagrams;
mod ends;
mod equal;
mod refused;
mod trouble;
mod urgent;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = equal::tests();
    tests.extend(trouble::tests());
    tests.extend(datagrams::tests());
    tests.extend(urgent::tests());
    tests.extend(refused::tests());
    tests
}
