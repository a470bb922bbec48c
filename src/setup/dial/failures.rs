//! Addresses that were tried in vain: one of them is the error at the end.

use crate::error::{Error, Status};

/// Why each address failed.
#[derive(Default)]
pub(super) struct Failures(Vec<Error>);

impl Failures {
    pub(super) fn add(&mut self, error: Error) {
        self.0.push(error);
    }

    /// The error to report: a refusal tells more than a timeout, and a timeout more than a missing
    /// route.
    pub(super) fn most_telling(&mut self) -> Error {
        let tried = self.0.len();
        let telling = self.0.drain(..).min_by_key(|error| match error.status {
            Status::Refused => 0,
            Status::TimedOut => 1,
            Status::Broken => 2,
            Status::Failure => 3,
            _ => 4,
        });
        match telling {
            Some(error) if tried > 1 => error.hint(format!("{tried} addresses tried")),
            Some(error) => error,
            None => Error::usage("address", "nothing to connect to"),
        }
    }
}
