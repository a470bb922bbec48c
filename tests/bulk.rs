//! Much data through every way bytes can take, spliced inside the kernel or copied: nothing lost, doubled or
//! moved, whatever stdin and stdout are; and the same for datagrams that travel in trains.

#![allow(missing_docs, clippy::unwrap_used)]

mod util;

#[path = "bulk/datagrams.rs"]
mod datagrams;
#[path = "bulk/ends.rs"]
mod ends;
#[path = "bulk/equal.rs"]
mod equal;
#[path = "bulk/refused.rs"]
mod refused;
#[path = "bulk/trouble.rs"]
mod trouble;
#[path = "bulk/urgent.rs"]
mod urgent;

use util::harness;

fn main() {
    let mut tests = equal::tests();
    tests.extend(trouble::tests());
    tests.extend(datagrams::tests());
    tests.extend(urgent::tests());
    tests.extend(refused::tests());
    harness::main(tests);
}
