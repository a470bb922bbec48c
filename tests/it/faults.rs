//! System calls that fail: no fault that a kernel can show may end in a panic, a spin, deafness to
//! SIGTERM, or a success with bytes missing.
//!
//! strace makes each system call fail at its first, second, third and tenth time, once and from then
//! on, by the errors of its man page. A part of that runs with the other tests; everything by
//!
//! ```sh
//! PKTCAT_ALL_FAULTS=1 cargo test faults:: -- --nocapture
//! ```
//!
//! and what one line of its report names, on its own, by
//!
//! ```sh
//! PKTCAT_FAULT=accept4:error=EPERM:when=2+ cargo test -- 'faults::plan::listen -k'
//! ```
mod datagrams;
mod errors;
mod forwarding;
mod others;
mod plan;
mod streams;
mod tracing;
mod verdict;

use libtest_mimic::Trial;
use plan::Scene;

pub(crate) fn tests() -> Vec<Trial> {
    plan::tests(&[
        Scene { name: "listen", options: &["", "--portable", "-x"], run: streams::listen },
        Scene { name: "listen --echo", options: &[""], run: streams::echo },
        Scene { name: "listen -- COMMAND", options: &[""], run: streams::command },
        Scene { name: "listen -k", options: &["", "--portable"], run: streams::keep_open },
        Scene { name: "connect", options: &["", "--portable"], run: streams::connect },
        Scene { name: "connect with files", options: &["", "--portable"], run: streams::files },
        Scene { name: "listen -u", options: &["", "--portable"], run: datagrams::listen },
        Scene { name: "listen -u --echo", options: &["", "--portable"], run: datagrams::echo },
        Scene { name: "connect -u", options: &["", "--portable"], run: datagrams::connect },
        Scene { name: "forward", options: &["", "--portable", "-x"], run: forwarding::forward },
        Scene { name: "scan", options: &[""], run: others::scan_tcp },
        Scene { name: "scan -u", options: &[""], run: others::scan_udp },
        Scene { name: "ping", options: &["", "-u", "--echo", "-u --echo"], run: others::ping },
        Scene { name: "compare", options: &[""], run: others::compare },
    ])
}
