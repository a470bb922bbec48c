//! Clients that have connected and whose TLS handshake is not complete yet. One that takes its time
//! holds nobody up.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::engine::stream::Stream;
use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::tls::{Acceptor, Handshake};

/// The handshakes under way, by the id of their latch.
#[derive(Debug)]
pub(crate) struct Handshakes {
    acceptor: Acceptor,
    /// How long each may take.
    given: Duration,
    all: HashMap<usize, Handshake>,
    /// Those that may go on.
    ready: Vec<usize>,
    /// When they have to be complete, in the order in which they began; some are over already.
    deadlines: VecDeque<(Instant, usize)>,
}

/// What has become of a handshake.
pub(super) enum Outcome {
    /// The client is there.
    Done(usize, Stream),
    /// It is not, and nothing is left of it.
    Failed(Error),
}

impl Handshakes {
    /// Handshakes that `acceptor` begins and that may take so long.
    #[must_use]
    pub(crate) fn new(acceptor: Acceptor, given: Duration) -> Self {
        let (all, ready, deadlines) = (HashMap::new(), Vec::new(), VecDeque::new());
        Self { acceptor, given, all, ready, deadlines }
    }

    /// How many are under way.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Begins that of a client who has just connected.
    ///
    /// # Errors
    /// When TLS refuses to begin.
    pub(super) fn begin(&mut self, stream: Stream, now: Instant) -> Result<()> {
        let limit = Limit::new("--connect-timeout", self.given, now);
        let handshake = self.acceptor.begin(stream, limit)?;
        let id = handshake.stream().latch().id();
        self.all.insert(id, handshake);
        self.ready.push(id);
        self.deadlines.push_back((limit.at(), id));
        Ok(())
    }

    /// Something has happened to the socket with this id.
    pub(super) fn list(&mut self, id: usize) {
        if self.all.contains_key(&id) {
            self.ready.push(id);
        }
    }

    /// When the first of them has to be complete.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let is_there = |(at, id): &&(Instant, usize)| self.is_due(*at, *id);
        self.deadlines.iter().find(is_there).map(|(at, _)| *at)
    }

    /// Whether the handshake with this id is the one that has to be complete at this time.
    fn is_due(&self, at: Instant, id: usize) -> bool {
        self.all.get(&id).is_some_and(|handshake| handshake.deadline() == at)
    }

    /// Lets each that may go on do so; what has become of those that are over.
    pub(super) fn step(&mut self, session: &mut Session) -> Vec<Outcome> {
        let looked_at = session.looked_at();
        while let Some(&(at, id)) = self.deadlines.front()
            && (at <= looked_at || !self.is_due(at, id))
        {
            self.deadlines.pop_front();
            self.list(id);
        }
        let mut outcomes = Vec::new();
        for id in std::mem::take(&mut self.ready) {
            let Some(handshake) = self.all.get_mut(&id) else { continue };
            let result = match handshake.step(looked_at) {
                Ok(Progress::Blocked) => continue,
                // Interrupted: once more in the next round.
                Ok(Progress::Moved(_)) => {
                    self.ready.push(id);
                    continue;
                }
                Ok(Progress::End) => Ok(()),
                Err(error) => Err(error),
            };
            let Some(handshake) = self.all.remove(&id) else { continue };
            outcomes.push(match result {
                Ok(()) => Outcome::Done(id, handshake.into_stream()),
                Err(error) => {
                    handshake.give_up(session);
                    Outcome::Failed(error)
                }
            });
        }
        outcomes
    }

    /// Whether some may go on at once.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The run is over, and so are those that are not complete.
    pub(super) fn end(&mut self, session: &mut Session) {
        for (_, handshake) in self.all.drain() {
            handshake.give_up(session);
        }
    }
}
