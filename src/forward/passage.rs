//! How a client's connection gets to TO: where that is, and what comes before the payload on the way.

use std::time::{Duration, Instant};

use crate::engine::stream::Stream;
use crate::error::Result;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::opening::{Opening, Stages};
use crate::setup::target::{Reaching, Target};

/// The way to TO, the same for every client.
pub(crate) struct Passage {
    /// Where connections lead: to TO, or to the proxy on the way.
    pub to: Target,
    /// What a connection goes through before the payload passes.
    pub stages: Stages,
    /// How long connecting may take (`--connect-timeout`).
    pub connect_timeout: Option<Duration>,
    /// How long TLS and the proxy may take unless that is given.
    pub handshake: Duration,
}

impl Passage {
    /// Begins to connect, where TO is a stream.
    pub(super) fn dial(&self, now: Instant) -> Reaching {
        self.to.dial(self.connect_timeout, now)
    }

    /// How long TLS, with either side, and the proxy may take from now on.
    pub(super) fn limit(&self, now: Instant) -> Limit {
        Limit::new("--connect-timeout", self.connect_timeout.unwrap_or(self.handshake), now)
    }

    /// Begins with what comes before the payload.
    ///
    /// # Errors
    /// When TLS refuses to begin; the connection is closed.
    pub(super) fn open(&self, server: Stream, session: &mut Session) -> Result<Opening> {
        Opening::new(server, &self.stages, self.limit(Instant::now()), session)
    }
}
