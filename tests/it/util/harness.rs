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
//! Tables make their tests by [`test`]. With `PKTCAT_TEST_TIMES` set, each says how long it took.

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;
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
    /// `/dev/net/tun`, and leave to make a network namespace.
    PrivateNetwork,
    /// Leave for root to make a device node in a mount namespace, and for others to make a user namespace.
    OrdinaryPrivateNetwork,
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
            Self::PrivateNetwork => {
                let mut options = std::fs::OpenOptions::new();
                let device = options.read(true).write(true).open("/dev/net/tun").is_ok();
                device && runs(&["unshare", "-n", "true"]) | runs(&["unshare", "-Urn", "true"])
            }
            Self::OrdinaryPrivateNetwork => {
                let ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
                let node = "mount -t tmpfs tmpfs /dev/net && mknod /dev/net/tun c 10 200 && exec 3<>/dev/net/tun";
                Self::Root.is_met()
                    && runs(&[&ordinary[..], &["unshare", "-Urn", "true"]].concat())
                    && runs(&["unshare", "-m", "sh", "-c", node])
            }
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
            Self::PrivateNetwork => "/dev/net/tun and network namespaces",
            Self::OrdinaryPrivateNetwork => "root, /dev/net/tun and user namespaces",
            Self::Quiet => "PKTCAT_TIMED_TESTS=1 on a quiet machine",
        }
    }
}

/// Whether a command ends well.
fn runs(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    let command = command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
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
        let started = Instant::now();
        on_a_thread_of_that_name(name.clone(), run);
        if std::env::var_os("PKTCAT_TEST_TIMES").is_some() {
            eprintln!("{:7.2} s {name}", started.elapsed().as_secs_f64());
        }
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

/// How many tests run side by side when nobody says (`--test-threads`, `RUST_TEST_THREADS`). They mostly
/// wait, for deadlines of the program and for its peers, so there may be many more than processors.
fn threads() -> usize {
    let said = std::env::var("RUST_TEST_THREADS").ok().and_then(|number| number.parse().ok());
    said.unwrap_or_else(|| 8.max(4 * thread::available_parallelism().map_or(1, usize::from)))
}

/// Runs the tests as `cargo test` asks: first most of them side by side, then those whose names begin as in
/// `idle`, side by side too, then those in `alone`, one after the other.
pub fn main(tests: Vec<Trial>, idle: &[&str], alone: &[&str]) {
    let (idle, tests) = those_named(tests, idle);
    let (alone, tests) = those_named(tests, alone);

    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        arguments.test_threads = Some(threads());
    }
    let mut results = vec![libtest_mimic::run(&arguments, tests)];
    results.push(libtest_mimic::run(&arguments, idle));
    arguments.test_threads = Some(1);
    results.push(libtest_mimic::run(&arguments, alone));
    for result in results {
        result.exit_if_failed();
    }
}

/// The tests whose names begin with one of these, and the others.
fn those_named(tests: Vec<Trial>, starts: &[&str]) -> (Vec<Trial>, Vec<Trial>) {
    for start in starts {
        let is_known = tests.iter().any(|test| test.name().starts_with(start));
        assert!(is_known, "no test begins with {start}");
    }
    tests.into_iter().partition(|test| starts.iter().any(|start| test.name().starts_with(start)))
}
