//! The result of a non-blocking call.

use std::io;

/// What one call did. `End` is a value of its own, because moving 0 bytes is not the end: a
/// datagram may be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// This many bytes moved; 0 for an empty message, or when a signal interrupted the call.
    Moved(usize),
    /// Nothing can move now; the reactor tells when to try again.
    Blocked,
    /// Nothing will ever move again.
    End,
}

impl Progress {
    /// Converts the result of a non-blocking read(2), where 0 bytes are the end.
    ///
    /// # Errors
    /// All but two: `EAGAIN` is `Blocked`. `EINTR` is `Moved(0)`: the descriptor is still ready, so
    /// no new event will come, and the loop has to try again without sleeping.
    pub(crate) fn of_read(result: io::Result<usize>) -> io::Result<Self> {
        match result {
            Ok(0) => Ok(Self::End),
            Ok(n) => Ok(Self::Moved(n)),
            Err(error) => Self::of_error(error),
        }
    }

    /// Converts the result of a non-blocking write(2).
    ///
    /// # Errors
    /// As for [`of_read`](Self::of_read).
    pub(crate) fn of_write(result: io::Result<usize>) -> io::Result<Self> {
        result.map(Self::Moved).or_else(Self::of_error)
    }

    fn of_error(error: io::Error) -> io::Result<Self> {
        match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Self::Blocked),
            // Not repeated here, because the loop has to handle the signal first.
            io::ErrorKind::Interrupted => Ok(Self::Moved(0)),
            _ => Err(error),
        }
    }
}
