//! Puts libgcc's unwinder into the program, where the C compiler has it as an archive.
//!
//! Rust links it as a shared library, for backtraces and nothing else here; finding and loading that is close to
//! a tenth of the time in which a short run is over. The archive of GCC 12 and later needs a C library of at least
//! version 2.35 where the program runs: `PKTCAT_SHARED_LIBGCC=1` leaves it as Rust has it.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["RUSTC_LINKER", "PKTCAT_SHARED_LIBGCC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Elsewhere, and in a static build, Rust links something else.
    let is_gnu = variable("CARGO_CFG_TARGET_ENV") == "gnu";
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|one| one == "crt-static");
    let is_wanted = variable("PKTCAT_SHARED_LIBGCC").is_empty();
    if is_wanted
        && is_gnu
        && !is_static
        && compiler().is_some_and(|compiler| has_archive(&compiler))
    {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// What cargo tells a build script; empty when it does not.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The C compiler that will link the program, as far as that is plain; Rust's default one makes programs for this
/// machine only.
fn compiler() -> Option<String> {
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    if ["linker=", "link-arg"].iter().any(|flag| flags.contains(flag)) {
        return None;
    }
    let own = env::var("RUSTC_LINKER").ok();
    own.or_else(|| (variable("HOST") == variable("TARGET")).then(|| "cc".to_owned()))
}

/// Whether the compiler knows where the archive is: one that does not repeats the bare name.
fn has_archive(compiler: &str) -> bool {
    let answer = Command::new(compiler).arg("-print-file-name=libgcc_eh.a").output();
    answer.is_ok_and(|answer| {
        let file = String::from_utf8_lossy(&answer.stdout);
        let file = Path::new(file.trim());
        answer.status.success() && file.is_absolute() && file.is_file()
    })
}
