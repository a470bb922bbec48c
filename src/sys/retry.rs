//! System calls that a signal has interrupted.

use std::io;

/// How often a call is made again at once.
const TRIES: u32 = 8;

/// Makes a call again that a signal has interrupted before it did anything (EINTR, signal(7)). Only
/// so often: a call that never gets through must not keep the loop from hearing the signal.
///
/// # Errors
/// What the call says; `Interrupted` when it never got through.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match call() {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    call()
}
