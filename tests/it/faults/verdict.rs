//! What no failing system call may lead to.

use std::os::unix::process::ExitStatusExt;

use super::streams::is_terminated;
use super::tracing::{End, Fault, Repeats, Seen};

/// Everything that is wrong with a run, in plain words.
pub(super) fn wrong(seen: &Seen, fault: &Fault) -> Vec<String> {
    let mut wrong = seen.wrong.clone();
    let status = seen.status;
    let killed = status.signal().filter(|&signal| {
        seen.end != End::Deaf && signal != libc::SIGTERM && signal != libc::SIGKILL
    });
    if seen.stderr.contains("panicked") || status.code() == Some(101) || killed.is_some() {
        wrong.push(format!("a panic or a crash ({status})"));
    }
    if seen.spun {
        wrong.push("it spun with nothing to do".to_owned());
    }
    if seen.is_beside_the_point() {
        return wrong;
    }
    match seen.end {
        End::Deaf => wrong.push("it did not end within 2 s of SIGTERM".to_owned()),
        // A fault that stays may keep it from ever being done; one that has passed may not.
        End::Hung if fault.repeats == Repeats::Once => {
            wrong.push("it never ended though both sides had".to_owned());
        }
        End::Hung | End::Stopped if !is_terminated(status) && status.success() => {
            wrong.push(format!("SIGTERM ended it with {status}"));
        }
        End::Hung | End::Stopped | End::Itself => {}
    }
    let missing = seen.missing.join(", ");
    // Where standard error is what fails, nobody can be told.
    let can_tell = !matches!(fault.call, "write" | "writev");
    let told = seen.stderr.lines().any(|line| line.starts_with("pktcat: "));
    // A datagram that could not be sent to one of many peers is told, and the listener goes on.
    let hears_many = seen.line.contains(" listen ") && seen.line.contains(" -u ");
    let goes_on = hears_many && fault.call.starts_with("send") && told;
    // A reader that has left standard output ends a run quietly.
    let has_left = fault.error == "EPIPE" && matches!(fault.call, "write" | "splice");
    if seen.status.success() && !seen.missing.is_empty() && !goes_on && !has_left {
        wrong.push(format!("status 0, but there is {missing}"));
    }
    // After these errors a real connection is gone, and nothing more can be told to the peer.
    let gone = ["ECONNRESET", "EPIPE", "ETIMEDOUT"].contains(&fault.error);
    if let Some(misled) = seen.misled.as_ref().filter(|_| !gone) {
        wrong.push(format!("the peer took for a whole message {misled}"));
    }
    // What scan and ping found is their status: refused, no answer, unreachable.
    let asks = seen.line.contains(" scan ") || seen.line.contains(" ping ");
    let is_finding = asks && matches!(status.code(), Some(4 | 5 | 7));
    if can_tell && !told && !is_finding && seen.end == End::Itself && !status.success() {
        wrong.push(format!("it ended with {status} without a word"));
    }
    if can_tell && !told && seen.end == End::Stopped && !seen.missing.is_empty() {
        wrong.push(format!("without a word there is {missing}"));
    }
    wrong
}
