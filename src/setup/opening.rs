//! What comes between a connection and its payload: the proxy is asked for the destination, then TLS
//! shakes hands, one after the other within one limit. A state that whoever has the loop drives.

use std::rc::Rc;
use std::time::Instant;

use crate::engine::stream::Stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::proxy::{self, Destination, Proxy};
use crate::setup::tls::{self, Connector};

/// What a new connection has to go through before it is ready for the payload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stages {
    /// The proxy that the connection is to, and where it has to lead.
    pub proxy: Option<(Rc<Proxy>, Destination)>,
    /// TLS with the destination.
    pub tls: Option<Rc<Connector>>,
}

impl Stages {
    /// Whether a connection is ready as it is.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.proxy.is_none() && self.tls.is_none()
    }
}

/// A connection on its way through them.
#[derive(Debug)]
pub(crate) struct Opening {
    stage: Stage,
    tls: Option<Rc<Connector>>,
    limit: Limit,
}

#[derive(Debug)]
enum Stage {
    Proxy(proxy::Handshake),
    Tls(tls::Handshake),
    Ready(Stream),
}

impl Stage {
    /// TLS begins; where it refuses to, the connection is closed, of which observers are told, and watched no
    /// longer.
    fn tls(
        connector: &Connector,
        stream: Stream,
        limit: Limit,
        session: &mut Session,
    ) -> Result<Self> {
        let latch = Rc::clone(stream.latch());
        let begun = connector.begin(stream, limit);
        begun.map(Self::Tls).inspect_err(|_| session.reactor.release(&latch))
    }
}

impl Opening {
    /// Begins with the first of the stages; all have to be over within `limit`.
    ///
    /// # Errors
    /// When TLS refuses to begin; the connection is closed, of which observers have been told.
    pub(crate) fn new(
        stream: Stream,
        stages: &Stages,
        limit: Limit,
        session: &mut Session,
    ) -> Result<Self> {
        let tls = stages.tls.clone();
        let stage = match (&stages.proxy, &tls) {
            (Some((proxy, destination)), _) => {
                Stage::Proxy(proxy::Handshake::new(stream, proxy, destination, limit))
            }
            (None, Some(connector)) => Stage::tls(connector, stream, limit, session)?,
            (None, None) => Stage::Ready(stream),
        };
        Ok(Self { stage, tls, limit })
    }

    /// The connection, for its latch and its ends.
    #[must_use]
    pub(crate) fn stream(&self) -> &Stream {
        match &self.stage {
            Stage::Proxy(handshake) => handshake.stream(),
            Stage::Tls(handshake) => handshake.stream(),
            Stage::Ready(stream) => stream,
        }
    }

    /// When it has to be ready.
    #[must_use]
    pub(crate) fn deadline(&self) -> Instant {
        self.limit.at()
    }

    /// Goes on as far as that is possible without waiting. While it [waits](Outcome::Waits), the loop
    /// does until the socket is ready or the [deadline](Self::deadline) has come.
    ///
    /// # Errors
    /// When a stage fails; the connection is closed, of which observers have been told.
    pub(crate) fn step(mut self, session: &mut Session) -> Result<Outcome> {
        loop {
            let looked_at = session.looked_at();
            let progress = match &mut self.stage {
                Stage::Proxy(handshake) => handshake.step(looked_at),
                Stage::Tls(handshake) => handshake.step(looked_at),
                Stage::Ready(_) => Ok(Progress::End),
            };
            match progress {
                Ok(Progress::End) => {}
                Ok(Progress::Moved(_)) => return Ok(Outcome::Interrupted(self)),
                Ok(Progress::Blocked) => return Ok(Outcome::Waits(self)),
                Err(error) => {
                    self.give_up(session);
                    return Err(error);
                }
            }
            self.stage = match (self.stage, &self.tls) {
                (Stage::Proxy(handshake), Some(connector)) => {
                    Stage::tls(connector, handshake.into_stream(), self.limit, session)?
                }
                (Stage::Proxy(handshake), None) => Stage::Ready(handshake.into_stream()),
                (Stage::Tls(handshake), _) => Stage::Ready(handshake.into_stream()),
                (Stage::Ready(stream), _) => return Ok(Outcome::Ready(stream)),
            };
        }
    }

    /// Nobody wants the connection any more: it is closed.
    pub(crate) fn give_up(self, session: &mut Session) {
        session.reactor.forget(self.stream().transport(), self.stream().latch());
        let mut stream = match self.stage {
            Stage::Proxy(handshake) => handshake.into_stream(),
            Stage::Tls(handshake) => handshake.into_stream(),
            Stage::Ready(stream) => stream,
        };
        stream.conclude();
        stream.over();
    }

    /// Goes on until the connection is ready.
    ///
    /// # Errors
    /// When a stage fails, and what ends a run that waits.
    pub(crate) fn complete(mut self, session: &mut Session) -> Result<Stream> {
        loop {
            let (opening, waited) = match self.step(session)? {
                Outcome::Ready(stream) => return Ok(stream),
                Outcome::Waits(opening) => {
                    let deadline = opening.deadline();
                    (opening, session.wait(Some(deadline)))
                }
                // Signals are heard, then it goes on.
                Outcome::Interrupted(opening) => (opening, session.look()),
            };
            if let Err(error) = waited {
                opening.give_up(session);
                return Err(error);
            }
            self = opening;
        }
    }
}

/// How far an opening has come.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The payload may pass.
    Ready(Stream),
    /// Its socket has to be ready first.
    Waits(Opening),
    /// A signal came in between: it may go on at once.
    Interrupted(Opening),
}
