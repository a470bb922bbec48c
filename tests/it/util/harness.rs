//! A test harness in which a test is reported as ignored when the machine lacks what it needs.
//!
//! libtest cannot decide that at run time. So the test binary has `harness = false` in `Cargo.toml`, and every
//! module has a list of its tests like this one. The usual options of `cargo test` work.
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
//! A module with a table of cases creates a test for each by [`test`]. With `PKTCAT_TEST_TIMES` set, each says how long it took.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use std::{panic, thread};

use libtest_mimic::{Arguments, Trial};
use nix::sys::resource::{Resource, getrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;

/// Something that a test needs from the machine.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// A program on `PATH`.
    Program(&'static str),
    /// The tests run as root.
    Root,
    /// A static build to test (`PKTCAT_BIN`).
    Static,
    /// IPv6 on loopback: `::1`.
    Ipv6,
    /// A kernel that follows no symbolic links of other users in shared folders (fs.protected_symlinks,
    /// proc_sys_fs(5)).
    ProtectedLinks,
    /// A hard limit of open descriptors that is at least so high (RLIMIT_NOFILE, getrlimit(2)).
    Descriptors(u64),
    /// strace, and permission to use it: containers often refuse ptrace(2).
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
    /// Whether the machine has it.
    pub fn is_met(self) -> bool {
        match self {
            Self::Program(name) => super::find_program(name).is_some(),
            Self::Root => std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0),
            Self::Static => is_static(super::binary()),
            Self::Ipv6 => std::net::UdpSocket::bind("[::1]:0").is_ok(),
            Self::ProtectedLinks => std::fs::read_to_string("/proc/sys/fs/protected_symlinks")
                .is_ok_and(|text| text.trim() == "1"),
            // The names of system calls are those that the GNU C library makes.
            Self::Strace => can_trace() && !is_static(super::binary()),
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
            Self::Descriptors(count) => {
                getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(_, hard)| hard >= count)
            }
            Self::Quiet => std::env::var_os("PKTCAT_TIMED_TESTS").is_some(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Program(name) => name,
            Self::Root => "root",
            Self::Static => "a static build in PKTCAT_BIN",
            Self::Ipv6 => "IPv6",
            Self::ProtectedLinks => "fs.protected_symlinks",
            Self::Descriptors(_) => "a higher limit of open descriptors",
            Self::Strace => "strace, leave to trace, and a program of the GNU C library",
            Self::PrivateNetwork => "/dev/net/tun and network namespaces",
            Self::OrdinaryPrivateNetwork => "root, /dev/net/tun and user namespaces",
            Self::Quiet => "PKTCAT_TIMED_TESTS=1 on a quiet machine",
        }
    }
}

/// Whether a program needs no other file to run: others name their loader near their beginning (PT_INTERP, elf(5)).
fn is_static(program: &str) -> bool {
    let mut start = [0; 4096];
    let read = File::open(program).and_then(|mut file| file.read(&mut start));
    read.is_ok() && !start.windows(7).any(|window| window == b"/ld-lin" || window == b"/ld-mus")
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

/// A list of tests from functions of these names, some with needs.
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

/// A test named after the module with this `module_path!()`. Unless every need is met it is reported as
/// ignored, with what is missing before its name.
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

/// Runs a test on a thread with the test's name, because the message of a panic begins with the name of the
/// thread.
fn on_a_thread_of_that_name(name: String, run: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(name).spawn(run).unwrap();
    if let Err(panicked) = thread.join() {
        panic::resume_unwind(panicked);
    }
}

/// How many tests run at the same time unless `--test-threads` or `RUST_TEST_THREADS` says otherwise. They
/// mostly wait for time limits of the program and for its peers, so there may be many more than processors.
fn threads() -> usize {
    let said = std::env::var("RUST_TEST_THREADS").ok().and_then(|number| number.parse().ok());
    said.unwrap_or_else(|| 8.max(4 * thread::available_parallelism().map_or(1, usize::from)))
}

/// Runs the tests as the options of `cargo test` ask. First most of them run at the same time, then those
/// whose names begin with an entry of `idle`, also at the same time, and then those of `alone` one after the
/// other.
pub fn main(tests: Vec<Trial>, idle: &[&str], alone: &[&str]) {
    hear_signals();
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

/// What starts the tests may ignore signals, as a shell does for what it runs in the background, and programs
/// inherit that. A signal that is handled here is its default in them (execve(2)).
fn hear_signals() {
    for signal in [SIGINT, SIGQUIT, SIGHUP, SIGTERM] {
        let always = Arc::new(AtomicBool::new(true));
        register_conditional_shutdown(signal, 128 + signal, always).unwrap();
    }
}

/// Separates the tests whose names begin with one of `starts` from the others.
fn those_named(tests: Vec<Trial>, starts: &[&str]) -> (Vec<Trial>, Vec<Trial>) {
    for start in starts {
        let is_known = tests.iter().any(|test| test.name().starts_with(start));
        assert!(is_known, "no test begins with {start}");
    }
    tests.into_iter().partition(|test| starts.iter().any(|start| test.name().starts_with(start)))
}
