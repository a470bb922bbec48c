//! A socket per probe: a connection over TCP, a datagram over UDP.
//!
//! Each probe has a port of its own, so that a late answer is never taken for one to the next probe,
//! and an ICMP message is about one probe alone. Of a name with several addresses all are asked
//! until one of them is there; from then on that one alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::attempt::{Attempt, Begun, Step};
use super::flights::Flights;
use super::outages::Success;
use super::prober::{Answer, Outcome, Prober, Sent, Told};
use super::{tcp, udp};
use crate::error::Result;
use crate::io::reactor::Reactor;

/// What is sent, and how.
#[derive(Debug)]
pub(super) enum Question {
    /// A connection is made and closed at once.
    Connection,
    /// A datagram with these bytes.
    Datagram(Vec<u8>),
}

/// A probe and the place of one of its addresses.
type Key = (u64, usize);

/// Probes under way.
pub(super) struct Asker {
    question: Question,
    /// The addresses to ask; one, once it has answered.
    targets: Vec<SocketAddr>,
    flights: Flights,
    attempts: BTreeMap<Key, Attempt>,
    /// Whose the latches are, by their ids.
    keys: Vec<Option<Key>>,
}

impl Asker {
    /// Nothing is asked yet. There is one target at least.
    pub(super) fn new(question: Question, targets: Vec<SocketAddr>, timeout: Duration) -> Self {
        let flights = Flights::new(timeout);
        Self { question, targets, flights, attempts: BTreeMap::new(), keys: Vec::new() }
    }

    fn begin(&self, address: SocketAddr, reactor: &mut Reactor) -> Result<Begun> {
        match &self.question {
            Question::Connection => tcp::begin(address, reactor),
            Question::Datagram(payload) => udp::begin(address, payload, reactor),
        }
    }

    fn keep(&mut self, key: Key, attempt: Attempt) {
        let id = attempt.latch.id();
        if self.keys.len() <= id {
            self.keys.resize(id + 1, None);
        }
        self.keys[id] = Some(key);
        self.attempts.insert(key, attempt);
    }

    /// One address has said something.
    fn told(&mut self, seq: u64, told: Told, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) {
        if told.answer.success() == Success::Yes && self.targets.len() > 1 {
            self.targets = vec![told.address];
        }
        if let Some(outcome) = self.flights.told(seq, told) {
            self.close_all(seq, reactor);
            outcomes.push(outcome);
        }
    }

    /// Looks whether an attempt was answered.
    fn check(
        &mut self,
        key: Key,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        let Some(attempt) = self.attempts.get(&key) else { return Ok(()) };
        let step = match self.question {
            Question::Connection => tcp::check(attempt)?,
            Question::Datagram(_) => udp::check(attempt)?,
        };
        if let Step::Told(answer, took) = step {
            let told = Told { address: attempt.address, answer, took };
            self.close(key, reactor);
            self.told(key.0, told, reactor, outcomes);
        }
        Ok(())
    }

    fn close(&mut self, key: Key, reactor: &mut Reactor) {
        if let Some(attempt) = self.attempts.remove(&key) {
            self.keys[attempt.latch.id()] = None;
            reactor.forget(&attempt.socket, &attempt.latch);
        }
    }

    /// Closes what is still under way of a probe.
    fn close_all(&mut self, seq: u64, reactor: &mut Reactor) {
        let keys: Vec<Key> =
            self.attempts.range((seq, 0)..=(seq, usize::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.close(key, reactor);
        }
    }
}

impl Prober for Asker {
    fn send(
        &mut self,
        seq: u64,
        reactor: &mut Reactor,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Sent> {
        let targets = self.targets.clone();
        self.flights.begin(seq, Instant::now(), targets[0], targets.len());
        for (place, address) in targets.iter().copied().enumerate() {
            match self.begin(address, reactor)? {
                Begun::Attempt(attempt) => {
                    if place == 0 {
                        self.flights.leave(seq, attempt.left.at);
                    }
                    self.keep((seq, place), attempt);
                    // Over loopback the answer may be there already.
                    self.check((seq, place), reactor, outcomes)?;
                }
                Begun::Told(answer, took) => {
                    self.told(seq, Told { address, answer, took }, reactor, outcomes);
                }
                Begun::NoRoom(_) if place > 0 => {
                    let silent = Told { address, answer: Answer::Silent, took: None };
                    self.told(seq, silent, reactor, outcomes);
                }
                // While probes are under way, there will be room when they end.
                Begun::NoRoom(error) => {
                    self.flights.cancel(seq);
                    return if self.flights.len() > 0 { Ok(Sent::NoRoom) } else { Err(error) };
                }
            }
            if self.flights.left(seq).is_none() {
                // Settled: the other addresses need not be asked.
                break;
            }
        }
        Ok(Sent::Yes)
    }

    fn collect(&mut self, reactor: &mut Reactor, outcomes: &mut Vec<Outcome>) -> Result<()> {
        let fired: Vec<usize> = reactor.fired().collect();
        for id in fired {
            if let Some(Some(key)) = self.keys.get(id).copied() {
                self.check(key, reactor, outcomes)?;
            }
        }
        let first = outcomes.len();
        self.flights.expire(reactor.looked_at(), outcomes);
        let late: Vec<u64> = outcomes[first..].iter().map(|outcome| outcome.seq).collect();
        for seq in late {
            self.close_all(seq, reactor);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.flights.deadline()
    }

    fn in_flight(&self) -> usize {
        self.flights.len()
    }

    fn address(&self) -> SocketAddr {
        self.targets[0]
    }
}
