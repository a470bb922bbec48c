//! What a run of probes does, and what it shows.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::address::Protocol;

/// What each probe is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A connection of its own, or a datagram with these bytes and its answer.
    Ask {
        /// What a datagram carries.
        payload: Vec<u8>,
    },
    /// A message on one connection, or one socket, that comes back (RFC 862).
    Echo {
        /// Bytes of a message.
        size: usize,
    },
}

/// When the run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After this many probes of each protocol; `None` is never.
    Count(Option<u64>),
    /// At the first probe that finds somebody, or after this many.
    Found(Option<u64>),
}

impl Until {
    /// The most probes of each protocol.
    #[must_use]
    pub(crate) fn count(self) -> Option<u64> {
        match self {
            Self::Count(count) | Self::Found(count) => count,
        }
    }
}

/// What is asked, and when.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Over which protocols, by turns.
    pub protocols: Vec<Protocol>,
    /// The addresses of one host, at least one.
    pub targets: Vec<SocketAddr>,
    /// What each probe is.
    pub kind: Kind,
    /// Between two probes of one protocol; more than nothing.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// When it ends.
    pub until: Until,
}

/// What a line says besides the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// `tcp 127.0.0.1:80 seq 1 open 0.21ms`
    Text,
    /// The same after the time at which the line was written (`--timestamps`).
    Timed,
    /// A JSON object (`--json`).
    Json,
    /// No lines and no summary (`--quiet`).
    Nothing,
}

/// What is shown.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// What the lines are like.
    pub format: LineFormat,
    /// Whether the round trips are drawn at the end (`--plot`).
    pub plot: bool,
    /// The host in the words of the command line; `None` is this machine.
    pub host: Option<String>,
}
