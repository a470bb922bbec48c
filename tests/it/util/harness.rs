//! Tests that say "ignored" when the machine lacks what they need, never "ok".
//!
//! libtest cannot decide that at run time, so the test binary has `harness = false` in `Cargo.toml`, and every
//! module a list like this (the usual `cargo test` options work):
//!
//! ```ignore
//! use crate::tests;
//! use crate::util::harness::Need;
//!
//! pub(crate) fn tests() -> Vec<Trial> {
//!     tests![
//!         plain,
//!         as_nobody needs [Need::Root],
//!         against_ncat needs [Need::Program("ncat"), Need::Ipv6],
//!     ]
//! }
//!
//! fn plain() { ... }
//! ```
//!
//! Tables make their tests by [`test`].

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{panic, thread};

use libtest_mimic::{Arguments, Trial};

/// What a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// A program on `PATH`.
    Program(&'static str),
    /// To be run by root.
    Root,
    /// `::1`.
    Ipv6,
    /// A system that follows no link of another user in a folder of everybody's.
    ProtectedLinks,
    /// strace, and a system that lets it trace: containers often refuse ptrace(2).
    Strace,
    /// A machine with nothing else to do, which only who runs the tests can tell:
    /// `PKTCAT_TIMED_TESTS=1`.
    Quiet,
}

impl Need {
    /// Whether it is here.
    pub fn is_met(self) -> bool {
        match self {
            Self::Program(name) => super::find_program(name).is_some(),
            Self::Root => std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0),
            Self::Ipv6 => std::net::UdpSocket::bind("[::1]:0").is_ok(),
            Self::ProtectedLinks => std::fs::read_to_string("/proc/sys/fs/protected_symlinks")
                .is_ok_and(|text| text.trim() == "1"),
            Self::Strace => can_trace(),
            Self::Quiet => std::env::var_os("PKTCAT_TIMED_TESTS").is_some(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Program(name) => name,
            Self::Root => "root",
            Self::Ipv6 => "IPv6",
            Self::ProtectedLinks => "fs.protected_symlinks",
            Self::Strace => "strace and leave to trace",
            Self::Quiet => "PKTCAT_TIMED_TESTS=1 on a quiet machine",
        }
    }
}

/// Whether strace is here and ptrace(2) is permitted, which containers often refuse.
fn can_trace() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let mut command = Command::new("strace");
        command.args(["-D", "-o", "/dev/null", "true"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The tests that are functions of these names.
#[macro_export]
macro_rules! tests {
    ($($run:ident $(needs [$($need:expr),*])?),* $(,)?) => {
        vec![$($crate::util::harness::test(
            module_path!(),
            stringify!($run),
            &[$($($need),*)?],
            $run,
        )),*]
    };
}

/// A test of the module whose `module_path!()` this is; ignored, with what is missing before its name, unless
/// every need is met.
pub fn test(
    module: &str,
    name: impl AsRef<str>,
    needs: &[Need],
    run: impl FnOnce() + Send + 'static,
) -> Trial {
    let missing: Vec<_> =
        needs.iter().filter(|need| !need.is_met()).map(|need| need.name()).collect();
    let below = module.split_once("::").map_or(module, |(_crate, below)| below);
    let name = format!("{below}::{}", name.as_ref());
    let trial = Trial::test(name.clone(), move || {
        on_a_thread_of_that_name(name, run);
        Ok(())
    });
    if missing.is_empty() {
        return trial;
    }
    trial.with_ignored_flag(true).with_kind(format!("needs {}", missing.join(", ")))
}

/// A panic names its thread before it says where and why.
fn on_a_thread_of_that_name(name: String, run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(name).spawn(run).unwrap();
    if let Err(panicked) = thread.join() {
        panic::resume_unwind(panicked);
    }
}

/// Runs the tests as `cargo test` asks: first all but those whose names begin as in `alone`, then these one
/// after the other.
pub fn main(tests: Vec<Trial>, alone: &[&str]) {
    for start in alone {
        let is_known = tests.iter().any(|test| test.name().starts_with(start));
        assert!(is_known, "no test to be run alone begins with {start}");
    }
    let is_alone = |test: &Trial| alone.iter().any(|start| test.name().starts_with(start));
    let (in_a_row, side_by_side): (Vec<_>, Vec<_>) = tests.into_iter().partition(is_alone);

    let mut arguments = Arguments::from_args();
    let first = libtest_mimic::run(&arguments, side_by_side);
    arguments.test_threads = Some(1);
    let second = libtest_mimic::run(&arguments, in_a_row);
    first.exit_if_failed();
    second.exit();
}
