//! What the tests share: running pktcat or another program, and observing it from outside.
//!
//! Every child is killed when its [`Running`] is dropped, and by a watchdog after [`LIFETIME`], so
//! that no read or write on its pipes can block a test for ever. Waiting is always for an event with
//! a deadline ([`PATIENCE`]) that only matters when the test fails.
//!
//! ```ignore
//! let mut server = pktcat(["listen", "127.0.0.1", "0"]).stdin(Input::Pipe).spawn();
//! let port = server.port();                       // from the `listening on` line
//! let mut peer = net::connect(port);
//! server.send(b"hello");
//! server.close_stdin();
//! let ended = server.wait().expect_code(0);       // prints stderr when it differs
//! assert_eq!(ended.stdout, b"...");
//! ```
//!
//! `PKTCAT_TEST_ARGS` holds words that are put right after the subcommand of `listen` and `connect`:
//! `PKTCAT_TEST_ARGS=--portable cargo test` runs everything on the portable path. `PKTCAT_BIN` names another
//! program to be tested than the one that cargo has built.

#![allow(unreachable_pub)]

mod cmd;
pub mod data;
pub mod harness;
pub mod net;
pub mod proc;
mod running;
pub mod tls;
pub mod tty;
pub mod udp;

use std::thread;
use std::time::{Duration, Instant};

pub use cmd::{
    Cmd, Input, Output, binary, extra_args, find_program, pktcat, pktcat_line, program, ways,
};
pub use running::{Collected, Ended, Running};

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long any child may live, whatever the test does.
pub const LIFETIME: Duration = Duration::from_secs(120);
/// How long a test watches that something does *not* happen.
pub const A_WHILE: Duration = Duration::from_millis(300);

/// Polls until `test` gives a value; panics with `what` when [`PATIENCE`] is over.
#[track_caller]
pub fn eventually<T>(what: &str, mut test: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = test() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(3));
    }
}

/// Runs all cases of a test side by side; for cases that mostly wait.
pub fn each_at_once<Case: Send>(
    cases: impl IntoIterator<Item = Case>,
    run: impl Fn(Case) + Send + Sync,
) {
    let (run, current) = (&run, thread::current());
    thread::scope(|scope| {
        let spawn = |case| {
            // A panic tells the name of the test.
            let named = thread::Builder::new().name(current.name().unwrap_or_default().to_owned());
            named.spawn_scoped(scope, move || run(case)).unwrap()
        };
        let threads: Vec<_> = cases.into_iter().map(spawn).collect();
        for thread in threads {
            if let Err(panicked) = thread.join() {
                std::panic::resume_unwind(panicked);
            }
        }
    });
}

/// Watches that a test itself, which a busy machine may hold up, stays far below a limit on time of the program.
#[derive(Debug)]
pub struct Rhythm {
    limit: Duration,
    last: Instant,
}

impl Rhythm {
    /// Goes through the steps of a test with this limit, and again when the machine held them up: they give
    /// nothing then.
    #[track_caller]
    pub fn keep(limit: Duration, steps: impl Fn(&mut Self) -> Option<()>) {
        let is_kept = |_| steps(&mut Self { limit, last: Instant::now() }).is_some();
        assert!((0..10).any(is_kept), "the machine is too busy for steps below {limit:?}");
    }

    /// A pause; nothing when more than half of the limit has passed since the one before.
    pub fn pause(&mut self, time: Duration) -> Option<()> {
        thread::sleep(time);
        let took = self.last.elapsed();
        self.last = Instant::now();
        (took < self.limit / 2).then_some(())
    }
}
