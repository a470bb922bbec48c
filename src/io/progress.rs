//! What a call that does not wait has done.

use std::io;

/// What one call did. `End` is a value of its own: an empty datagram is not an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// This many bytes moved; zero is possible, for empty messages.
    Moved(usize),
    /// Nothing can move now.
    Blocked,
    /// Nothing will ever move again.
    End,
}

impl Progress {
    /// Turns the result of a non-blocking read(2): zero bytes are the end.
    ///
    /// # Errors
    /// Everything but `EAGAIN`, which is `Blocked`, and `EINTR`, which is `Moved(0)`: the readiness
    /// stands, so that no event will tell, and the loop has to come round again at once.
    pub fn of_read(result: io::Result<usize>) -> io::Result<Self> {
        match result {
            Ok(0) => Ok(Self::End),
            Ok(n) => Ok(Self::Moved(n)),
            Err(error) => Self::of_error(error),
        }
    }

    /// Turns the result of a non-blocking write(2).
    ///
    /// # Errors
    /// Everything but `EAGAIN` and `EINTR`.
    pub fn of_write(result: io::Result<usize>) -> io::Result<Self> {
        result.map(Self::Moved).or_else(Self::of_error)
    }

    fn of_error(error: io::Error) -> io::Result<Self> {
        match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Self::Blocked),
            // Not tried again in place: the loop has to hear what the signal was.
            io::ErrorKind::Interrupted => Ok(Self::Moved(0)),
            _ => Err(error),
        }
    }
}
