//! Addresses that were tried in vain: each is told, and one of them is the error at the end.

use crate::error::{Error, Status};
use crate::observe::journal::Verbosity;
use crate::observe::tap::Event;
use crate::run::session::Session;

/// With `-v`, names an address that was tried and failed, where others are tried, too.
pub(super) fn tell_tried(error: &Error, session: &mut Session) {
    if session.verbosity == Verbosity::Verbose {
        session.event(&Event::Detail(&format!("tried {}", error.without_operation())));
    }
}

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
