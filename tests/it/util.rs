//! What the tests share: running pktcat (or another program) and watching it from outside.
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
//! `PKTCAT_TEST_ARGS=--portable cargo test` runs everything once more without the fast paths.

#![allow(unreachable_pub)]

mod cmd;
pub mod data;
pub mod harness;
pub mod net;
pub mod proc;
mod running;
pub mod tty;
pub mod udp;

use std::thread;
use std::time::{Duration, Instant};

pub use cmd::{Cmd, Input, Output, extra_args, find_program, pktcat, pktcat_line, program, ways};
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
