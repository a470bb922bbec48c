//! A handshake under way: whoever has the loop lets it go on when its socket is ready, until it gives
//! a stream to talk through or the reason why there is none.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use rustls::ProtocolVersion;

use super::certificate::facts;
use super::secrets::Secrets;
use super::trust::Seen;
use super::verdict::{self, Expected};
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::handshake::{Handshake as Report, Trust};
use crate::observe::tap::Event;
use crate::run::limits::Limit;
use crate::run::session::Session;

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Handshake {
    stream: Stream,
    expected: Expected,
    seen: Arc<Seen>,
    secrets: Option<Arc<Secrets>>,
    limit: Limit,
}

impl Handshake {
    pub(super) fn new(
        stream: Stream,
        expected: Expected,
        seen: Arc<Seen>,
        secrets: Option<Arc<Secrets>>,
        limit: Limit,
    ) -> Self {
        Self { stream, expected, seen, secrets, limit }
    }

    /// The connection it is about.
    #[must_use]
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// When it has to be complete.
    #[must_use]
    pub(crate) fn deadline(&self) -> Instant {
        self.limit.at()
    }

    /// Goes on, judged by what was known at `looked_at`; `End` once it is complete. Observers are told
    /// of its end, however it ends.
    ///
    /// # Errors
    /// When the peers cannot agree, the connection is broken or the limit is over: nothing is left but
    /// to [give up](Self::give_up).
    pub(crate) fn step(&mut self, looked_at: Instant) -> Result<Progress> {
        match self.stream.handshake() {
            Ok(Progress::End) => {
                self.tell(None);
                match &self.secrets {
                    None => Ok(Progress::End),
                    Some(secrets) => secrets.check().map(|()| Progress::End),
                }
            }
            Ok(other) if !self.limit.is_over(looked_at) => Ok(other),
            Ok(_) => {
                let what = format!("the TLS handshake with {} is not complete", self.stream.link());
                let error = self.limit.error(&what);
                self.tell(Some("not complete in time".to_owned()));
                Err(error)
            }
            Err(cause) => {
                let error = self.failed(&cause);
                self.tell(Some(error.why().to_owned()));
                Err(error)
            }
        }
    }

    fn failed(&self, cause: &io::Error) -> Error {
        let place = self.stream.link().to_string();
        let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(cause) => verdict::error(&place, cause, &self.expected, &self.seen.chain()),
            None if cause.kind() == io::ErrorKind::UnexpectedEof => {
                let why = "the peer closed the connection during the handshake";
                Error::new(Status::Broken, "tls", place, why)
            }
            None => self.stream.broken("tls", cause),
        }
    }

    fn tell(&self, failure: Option<String>) {
        let agreed = self.stream.agreed();
        let trust = match (&failure, &self.expected) {
            (Some(_), _) => Trust::Refused,
            (None, Expected::Server(_, trust)) => *trust,
            (None, Expected::KnownClient) => Trust::Verified,
            (None, Expected::AnyClient) => Trust::NotAsked,
        };
        let report = Report {
            version: agreed.and_then(|agreed| agreed.protocol_version()).and_then(version),
            suite: agreed.and_then(|agreed| agreed.negotiated_cipher_suite()).map(|suite| {
                let name = format!("{:?}", suite.suite());
                name.strip_prefix("TLS13_").map_or(name.clone(), |rest| format!("TLS_{rest}"))
            }),
            alpn: agreed
                .and_then(|agreed| agreed.alpn_protocol())
                .map(|name| String::from_utf8_lossy(name).into_owned()),
            trust,
            failure,
            chain: self.seen.chain().iter().map(facts).collect(),
        };
        self.stream.tell(&Event::Tls(self.stream.link(), &report));
    }

    /// The stream, once the handshake is complete.
    #[must_use]
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    /// It has failed: the connection is closed.
    pub(crate) fn give_up(mut self, session: &mut Session) {
        session.reactor.forget(self.stream.transport(), self.stream.latch());
        self.stream.conclude();
        self.stream.over();
    }
}

fn version(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        _ => None,
    }
}

/// Goes on with one handshake until it is complete.
///
/// # Errors
/// When it fails, and what ends a run that waits.
pub(crate) fn complete(mut handshake: Handshake, session: &mut Session) -> Result<Stream> {
    loop {
        let result = match handshake.step(session.looked_at()) {
            Ok(Progress::End) => return Ok(handshake.into_stream()),
            // Interrupted: signals are heard, then it goes on.
            Ok(Progress::Moved(_)) => session.look(),
            Ok(Progress::Blocked) => session.wait(Some(handshake.deadline())),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            handshake.give_up(session);
            return Err(error);
        }
    }
}
