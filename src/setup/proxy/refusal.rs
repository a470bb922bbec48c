//! Why a proxy gives no connection: whose fault it is, and the proxy's own words.

use crate::error::{Error, Status};
use crate::setup::proxy::place::Destination;

/// How far a dialogue has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The proxy has more to say.
    More,
    /// The connection leads to the destination from the next byte on.
    Done,
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The proxy, or what is at its place does not speak its protocol.
    Proxy,
    /// The destination, as the proxy tells.
    Destination,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who refused.
    pub blame: Blame,
    /// The exit status for it.
    pub status: Status,
    /// What happened.
    pub why: String,
    /// What the proxy says itself.
    pub words: Option<String>,
}

impl Refusal {
    /// The proxy refuses, or does not speak its protocol.
    pub(super) fn by_proxy(why: impl Into<String>) -> Self {
        Self { blame: Blame::Proxy, status: Status::Failure, why: why.into(), words: None }
    }

    /// The proxy has not got through to the destination. Another attempt may.
    pub(super) fn by_destination(status: Status, why: impl Into<String>) -> Self {
        Self { blame: Blame::Destination, status, why: why.into(), words: None }
    }

    /// The same in the proxy's words.
    pub(super) fn in_words(mut self, words: impl Into<String>) -> Self {
        self.words = Some(words.into());
        self
    }

    /// The error for the user; `proxy` says who the proxy is.
    pub(super) fn error(self, proxy: &str, destination: &Destination) -> Error {
        let error = match self.blame {
            Blame::Proxy => Error::new(self.status, "proxy", proxy, self.why),
            Blame::Destination => Error::new(
                self.status,
                "connect",
                format!("{destination} through {proxy}"),
                self.why,
            )
            .passing(),
        };
        match self.words {
            None => error,
            Some(words) => error.hint(format!("the proxy says: {words}")),
        }
    }
}
