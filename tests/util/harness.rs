//! Tests that say "ignored" when the machine lacks what they need, never "ok".
//!
//! libtest cannot decide that at run time, so such a test binary has `harness = false` in
//! `Cargo.toml` and a `main` like this (the usual `cargo test` options work):
//!
//! ```ignore
//! mod util;
//! use util::harness::{self, Need};
//!
//! fn main() {
//!     harness::main(tests![
//!         plain,
//!         as_nobody needs [Need::Root],
//!         against_ncat needs [Need::Program("ncat"), Need::Ipv6],
//!     ]);
//! }
//!
//! fn plain() { ... }
//! ```
//!
//! Tables make their tests by [`test`].

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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
    /// A machine with nothing else to do, which only who runs the tests can tell:
    /// `PKTCAT_TIMED_TESTS=1`.
    Quiet,
    /// strace, and a system that lets it trace.
    Ptrace,
}

impl Need {
    /// Whether it is here.
    pub fn is_met(self) -> bool {
        match self {
            Self::Program(name) => super::find_program(name).is_some(),
            Self::Root => std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0),
            Self::Ipv6 => std::net::UdpSocket::bind("[::1]:0").is_ok(),
            Self::Quiet => std::env::var_os("PKTCAT_TIMED_TESTS").is_some(),
            Self::Ptrace => can_trace(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Program(name) => name,
            Self::Root => "root",
            Self::Ipv6 => "IPv6",
            Self::Quiet => "PKTCAT_TIMED_TESTS=1 on a quiet machine",
            Self::Ptrace => "strace that may trace",
        }
    }
}

/// Whether strace is here and ptrace(2) is permitted, which containers often refuse.
fn can_trace() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| {
        let mut command = Command::new("strace");
        command.args(["-D", "-o", "/dev/null", "true"]);
        command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    })
}

/// The tests that are functions of these names.
#[macro_export]
macro_rules! tests {
    ($($run:ident $(needs [$($need:expr),*])?),* $(,)?) => {
        vec![$($crate::util::harness::test(stringify!($run), &[$($($need),*)?], $run)),*]
    };
}

/// A test; ignored, with what is missing before its name, unless every need is met.
pub fn test(name: impl Into<String>, needs: &[Need], run: impl FnOnce() + Send + 'static) -> Trial {
    let missing: Vec<_> =
        needs.iter().filter(|need| !need.is_met()).map(|need| need.name()).collect();
    let trial = Trial::test(name, move || {
        run();
        Ok(())
    });
    if missing.is_empty() {
        return trial;
    }
    trial.with_ignored_flag(true).with_kind(format!("needs {}", missing.join(", ")))
}

/// Runs the tests as `cargo test` asks.
pub fn main(tests: Vec<Trial>) -> ! {
    libtest_mimic::run(&Arguments::from_args(), tests).exit()
}
