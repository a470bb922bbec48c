//! Errors as people and scripts see them: one line of text and one exit status.
//!
//! The whole program builds its errors with these types, so that the exit status for each cause is
//! decided in one place.

use std::fmt;
use std::io;

use crate::peer::printable;
use crate::sys::errno;

/// The kind of failure that a run ends with. Each has an exit status of its own, which scripts rely
/// on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Any other failure, for instance when a port cannot be bound.
    Failure,
    /// The command line is wrong.
    Usage,
    /// A name has no address.
    Unresolved,
    /// Nothing listens at the port: a TCP reset in answer to a SYN, or ICMP port unreachable for UDP.
    Refused,
    /// A time limit passed.
    TimedOut,
    /// Standard input, standard output or a local file failed.
    LocalIo,
    /// There is no route to the host, or an ICMP error says that it cannot be reached.
    Unreachable,
    /// An established connection was reset, or broke otherwise.
    Broken,
    /// TLS failed: the peer is not trusted, the two have nothing in common, or one of them sent an
    /// alert.
    Tls,
    /// The peer ended, or time ran out, before what was waited for came (`--expect`).
    Unmet,
    /// Stopped by the signal of this number.
    Stopped(i32),
}

impl Status {
    /// Whether the run did not fail by itself, but was told to end: by a signal or a time limit, or because
    /// what it waited for does not come.
    #[must_use]
    pub fn is_told_to_end(self) -> bool {
        matches!(self, Self::Stopped(_) | Self::TimedOut | Self::Unmet)
    }

    /// Whether the network says that nobody is at an address; somebody may be at another one of the same name.
    #[must_use]
    pub fn says_nobody_is_there(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable)
    }

    /// The exit status. For a signal it is 128 plus the signal's number, as shells report it.
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
            Self::Unmet => 10,
            Self::Stopped(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// The exit status for a failed network operation, by its error number (errno(3)).
    #[must_use]
    pub fn of_network(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::ETIMEDOUT) => Self::TimedOut,
            Some(libc::EAFNOSUPPORT) => Self::Unreachable,
            _ if errno::is_unreachable(error) => Self::Unreachable,
            Some(libc::ECONNRESET | libc::EPIPE | libc::ECONNABORTED | libc::ENOTCONN) => {
                Self::Broken
            }
            _ => Self::Failure,
        }
    }
}

/// The cause to show when a router or firewall has answered that it does not let packets pass.
pub const PROHIBITED: &str = "ICMP administratively prohibited";

/// A failure, shown as `what: where: why (hint)`, and the exit status for it.
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
    /// Whether a message about it has been printed already.
    told: bool,
    /// Whether another attempt may succeed, although the status does not imply that.
    passing: bool,
    /// Whether a time limit has passed; the hint names its option then.
    of_limit: bool,
}

/// The result of an operation whose failure can end the run.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with these parts.
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
            of_limit: false,
        }
    }

    /// An error in the command line.
    pub fn usage(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Status::Usage, "usage", place, why)
    }

    /// A failed network operation; the status follows from the cause.
    pub fn network(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        Self::new(Status::of_network(cause), what, place.to_string(), describe(cause))
    }

    /// A failed operation on a connection, or on an attempt to make one. For "administratively
    /// prohibited", Linux reports EACCES over IPv6 and EHOSTUNREACH over IPv4; both become the latter.
    pub fn connection(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        if cause.raw_os_error() == Some(libc::EACCES) {
            let unreachable = io::Error::from_raw_os_error(libc::EHOSTUNREACH);
            return Self::network(what, place, &unreachable).hint(PROHIBITED);
        }
        Self::network(what, place, cause)
    }

    /// A failed operation on standard input, standard output or a local file.
    pub fn local(what: &str, place: impl fmt::Display, cause: &io::Error) -> Self {
        Self::new(Status::LocalIo, what, place.to_string(), describe(cause))
    }

    /// The failure of a system call that the program cannot work without.
    pub fn system(what: &str, cause: &io::Error) -> Self {
        Self::new(Status::Failure, what, "", describe(cause))
    }

    /// The end of a run by a signal. No message is printed for it.
    #[must_use]
    pub fn stopped(signal: i32) -> Self {
        Self::new(Status::Stopped(signal), "stopped", "", format!("signal {signal}"))
    }

    /// The same error with a hint on what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, caused by the time limit of an option, which the hint names.
    #[must_use]
    pub fn of_limit(mut self, hint: &str) -> Self {
        self.of_limit = true;
        self.hint(hint)
    }

    /// The cause and the hint, where the time limit of an option has passed.
    #[must_use]
    pub fn limit(&self) -> Option<(&str, &str)> {
        let hint = self.hint.as_deref().filter(|_| self.of_limit)?;
        Some((&*self.why, hint))
    }

    /// The same error with a word on what or whom it concerns, besides any hint.
    #[must_use]
    pub fn about(mut self, what: impl fmt::Display) -> Self {
        self.hint = Some(match self.hint {
            Some(hint) => format!("{what}; {hint}"),
            None => what.to_string(),
        });
        self
    }

    /// The same error; so many like it were held back before.
    #[must_use]
    pub fn and_more(self, held_back: u64) -> Self {
        match held_back {
            0 => self,
            more => self.about(format!("and {more} more since the last such line")),
        }
    }

    /// The same error, marked as one that the user has already been told of.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.told = true;
        self
    }

    /// The same error, marked as one after which another attempt may succeed.
    #[must_use]
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// Whether another attempt may succeed, although the status does not imply that.
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

impl Error {
    /// The same without the operation that failed, where that is said by others.
    #[must_use]
    pub fn without_operation(&self) -> String {
        let parts = [&self.place, &self.why].into_iter().filter(|part| !part.is_empty());
        let mut text = parts.map(|part| printable(part)).collect::<Vec<_>>().join(": ");
        if let Some(hint) = &self.hint {
            text += &format!(" ({})", printable(hint));
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", printable(&self.what), self.without_operation())
    }
}

impl std::error::Error for Error {}

/// The cause without Rust's `(os error N)` tail.
fn describe(cause: &io::Error) -> String {
    let mut text = errno::words(cause).map_or_else(|| cause.to_string(), str::to_owned);
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
