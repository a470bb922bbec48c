//! Time limits: when each ends, how long it is, and which option has set it.

use std::time::{Duration, Instant};

use crate::error::{Error, Result, Status};

/// A time limit for something to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    at: Instant,
    given: Duration,
    option: &'static str,
}

impl Limit {
    /// A limit that ends `given` after `from`; `option` is the option that set it.
    #[must_use]
    pub(crate) fn new(option: &'static str, given: Duration, from: Instant) -> Self {
        Self { at: from + given, given, option }
    }

    /// When it ends.
    #[must_use]
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// How long it is.
    #[must_use]
    pub(crate) fn given(&self) -> Duration {
        self.given
    }

    /// Whether it had ended at `looked_at`, the time up to which all events are known; see
    /// [`Session::looked_at`](crate::run::session::Session::looked_at).
    #[must_use]
    pub(crate) fn is_over(&self, looked_at: Instant) -> bool {
        looked_at >= self.at
    }

    /// Fails when it had ended at `looked_at`; `why` says what did not happen in time.
    ///
    /// # Errors
    /// [`error`](Self::error), then.
    pub(crate) fn check(&self, looked_at: Instant, why: impl FnOnce() -> String) -> Result<()> {
        match self.is_over(looked_at) {
            true => Err(self.error(&why())),
            false => Ok(()),
        }
    }

    /// The error of a limit that has passed; `why` says what did not happen in time.
    #[must_use]
    pub(crate) fn error(&self, why: &str) -> Error {
        let given = humantime::format_duration(self.given);
        let why = format!("{why} after {given}");
        Error::new(Status::TimedOut, "timed out", "", why).of_limit(self.option)
    }
}

/// When the first of these limits ends.
#[must_use]
pub(crate) fn nearest(limits: impl IntoIterator<Item = Option<Limit>>) -> Option<Instant> {
    limits.into_iter().flatten().map(|limit| limit.at).min()
}
