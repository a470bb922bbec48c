//! Limits in time: when one is over, how long it was, and which option set it.

use std::time::{Duration, Instant};

use crate::error::{Error, Result, Status};

/// A point in time that something must not wait beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    at: Instant,
    given: Duration,
    option: &'static str,
}

impl Limit {
    /// `given` after `from`, as `option` says.
    #[must_use]
    pub fn new(option: &'static str, given: Duration, from: Instant) -> Self {
        Self { at: from + given, given, option }
    }

    /// When it is over.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// How long it is.
    #[must_use]
    pub fn given(&self) -> Duration {
        self.given
    }

    /// Whether it was over at `looked_at`, the time by which everything that was ready is known; see
    /// [`Session::looked_at`](crate::run::session::Session::looked_at).
    #[must_use]
    pub fn is_over(&self, looked_at: Instant) -> bool {
        looked_at >= self.at
    }

    /// Fails when it was over at `looked_at`; `why` says what has not come in time.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self, looked_at: Instant, why: impl FnOnce() -> String) -> Result<()> {
        match self.is_over(looked_at) {
            true => Err(self.error(&why())),
            false => Ok(()),
        }
    }

    /// The error of what it ends; `why` says what has not come in time.
    #[must_use]
    pub fn error(&self, why: &str) -> Error {
        let given = humantime::format_duration(self.given);
        let why = format!("{why} after {given}");
        Error::new(Status::TimedOut, "timed out", "", why).hint(self.option)
    }
}

/// When the first of these limits is over.
#[must_use]
pub fn nearest(limits: impl IntoIterator<Item = Option<Limit>>) -> Option<Instant> {
    limits.into_iter().flatten().map(|limit| limit.at).min()
}
