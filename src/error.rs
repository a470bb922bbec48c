//! Errors as people and scripts meet them: one line of text and one exit status.
//!
//! Knows nothing of sockets or options; everything else builds its errors here, so that the
//! mapping from a cause to an exit status stands in one place.

use std::fmt;
use std::io;

use crate::peer::printable;

/// How a run that did not succeed ends for the shell. The numbers are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A failure with no number of its own: cannot bind, not permitted.
    Failure,
    /// The command line makes no sense.
    Usage,
    /// A name has no address.
    Unresolved,
    /// TCP reset in answer to a SYN, or ICMP port unreachable for UDP.
    Refused,
    /// A time limit passed.
    TimedOut,
    /// Standard input, standard output or a local file failed.
    LocalIo,
    /// No route, or the network said the host is not there.
    Unreachable,
    /// An established connection broke: reset, broken pipe on the socket.
    Broken,
    /// TLS failed: the peer is not trusted, the two have nothing in common, or one of them sent an
    /// alert.
    Tls,
    /// Stopped by the signal of this number.
    Stopped(i32),
}

impl Status {
    /// Whether the run did not fail by itself, but was told to end: by a signal or a time limit.
    #[must_use]
    pub fn is_told_to_end(self) -> bool {
        matches!(self, Self::Stopped(_) | Self::TimedOut)
    }

    /// The number the shell sees. For a signal it is what a shell makes of one.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unresolved => 3,
            Self::Refused => 4,
            Self::TimedOut => 5,
            Self::LocalIo => 6,
            Self::Unreachable => 7,
            Self::Broken => 8,
            Self::Tls => 9,
            Self::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// The exit status for a failed network operation (errno(3) names in the kernel's words).
    #[must_use]
    pub fn of_network(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::TimedOut,
            Some(
                libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EAFNOSUPPORT,
            ) => Self::Unreachable,
            Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN) => {
                Self::Broken
            }
            _ => Self::Failure,
        }
    }
}

/// What a router or firewall on the way says of packets that it does not let pass.
pub const PROHIBITED: &str = "ICMP administratively prohibited";

/// What went wrong: `what: where: why (hint)`, and the exit status it ends the run with.
#[derive(Debug, Clone)]
pub struct Error {
    /// The exit status this error stands for.
    pub status: Status,
    /// The operation, e.g. `connect`.
    what: String,
    /// What it was done to: an address, a file name. Empty when the operation says it all.
    place: String,
    /// The cause, in the system's words where it has them.
    why: String,
    /// What the user could do about it.
    hint: Option<String>,
    /// Whether the user has been told already.
    told: bool,
    /// Whether the same may succeed later, though the status does not say so.
    passing: bool,
}

/// The result of everything that can end the run.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with its parts given.
    pub fn new(
        status: Status,
        what: impl Into<String>,
        place: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            status,
            what: what.into(),
            place: place.into(),
            why: why.into(),
            hint: None,
            told: false,
            passing: false,
        }
    }

    /// A command line that makes no sense.
    pub fn usage(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Status::Usage, "usage", place, why)
    }

    /// A failed network operation; the status follows from the cause.
    pub fn network(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        Self::new(Status::of_network(cause), what, place.to_string(), describe(cause))
    }

    /// A failed operation on a connection that is under way or was made. Linux says EACCES where ICMPv6
    /// says "administratively prohibited", and EHOSTUNREACH for the same over IPv4.
    pub fn connection(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        if cause.raw_os_error() == Some(libc::EACCES) {
            let unreachable = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
            return Self::network(what, place, &unreachable).hint(PROHIBITED);
        }
        Self::network(what, place, cause)
    }

    /// A failed operation on standard input, standard output or a file of ours.
    pub fn local(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        Self::new(Status::LocalIo, what, place.to_string(), describe(cause))
    }

    /// An operating-system service the program cannot work without failed.
    pub fn system(what: &str, cause: &io::Error) -> Self {
        Self::new(Status::Failure, what, "", describe(cause))
    }

    /// The end of a run by a signal, which is no error to talk about.
    #[must_use]
    pub fn stopped(signal: i32) -> Self {
        Self::new(Status::Stopped(signal), "stopped", "", format!("signal {signal}"))
    }

    /// The same error with a word on what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, after somebody told the user.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// The same error of something that may succeed later: what is missing may still come.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// Whether the same may succeed later, though the status does not say so.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// The cause alone.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether the user has been told already.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The same error under another exit status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.what))?;
        for part in [&self.place, &self.why] {
            if !part.is_empty() {
                write!(f, ": {}", printable(part))?;
            }
        }
        if let Some(hint) = &self.hint {
            write!(f, " ({})", printable(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// The cause without Rust's `(os error N)` tail.
fn describe(cause: &io::Error) -> String {
    let mut text = cause.to_string();
    if let Some(tail) = text.find(" (os error") {
        text.truncate(tail);
    }
    text.make_ascii_lowercase();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_as_one_line_with_operation_place_cause_and_hint() {
        let cause = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        let error = Error::network("connect", "127.0.0.1:1 (tcp)", &cause).hint("is it running?");
        assert_eq!(
            error.to_string(),
            "connect: 127.0.0.1:1 (tcp): connection refused (is it running?)"
        );
        assert_eq!(error.status, Status::Refused);
    }

    #[test]
    fn what_a_user_wrote_does_not_break_the_line() {
        let error = Error::new(Status::Unresolved, "resolve", "a\nb\u{1b}[31m", "no such name");
        assert_eq!(error.to_string(), "resolve: a\\nb\\u{1b}[31m: no such name");
    }

    #[test]
    fn parts_that_say_nothing_leave_no_colon_behind() {
        let error = Error::new(Status::TimedOut, "timed out", "", "nothing for 2s");
        assert_eq!(error.to_string(), "timed out: nothing for 2s");
    }
}
