//! Repeating system calls that a signal has interrupted.

use std::io;

/// How often a call is made before its interruption is returned to the caller.
const TRIES: u32 = 8;

/// Repeats a call while a signal interrupts it before it has done anything (EINTR, signal(7)), up to a
/// fixed number of times: a call that is interrupted again and again must not keep the event loop from
/// handling the signal.
///
/// # Errors
/// What the call says; `Interrupted` when every attempt was interrupted.
pub(crate) fn again<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match call() {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
    call()
}
