//! The probes that have left and are not settled: which answer counts, and when to give up.
//!
//! It reads no clock and knows no sockets. A probe may ask several addresses at once; the first
//! that is there settles it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ping::outages::Success;
use crate::ping::prober::{Answer, Outcome, Told};

/// Probes under way, by their numbers.
#[derive(Debug)]
pub(super) struct Flights {
    flights: BTreeMap<u64, Flight>,
    /// How long an answer may take.
    timeout: Duration,
}

#[derive(Debug)]
struct Flight {
    left: Instant,
    /// Addresses that were asked and have not answered.
    waiting: usize,
    /// The answer that counts so far.
    best: Option<Told>,
    /// The first address that was asked.
    first: SocketAddr,
}

impl Flights {
    /// No probes yet.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { flights: BTreeMap::new(), timeout }
    }

    /// A probe leaves for so many addresses, the first of which is `first`.
    pub(super) fn begin(&mut self, seq: u64, left: Instant, first: SocketAddr, asked: usize) {
        self.flights.insert(seq, Flight { left, waiting: asked, best: None, first });
    }

    /// A probe that was begun is sent at this time only.
    pub(super) fn leave(&mut self, seq: u64, left: Instant) {
        if let Some(flight) = self.flights.get_mut(&seq) {
            flight.left = left;
        }
    }

    /// When a probe left that is under way.
    pub(super) fn left(&self, seq: u64) -> Option<Instant> {
        self.flights.get(&seq).map(|flight| flight.left)
    }

    /// It was not sent after all.
    pub(super) fn cancel(&mut self, seq: u64) {
        self.flights.remove(&seq);
    }

    /// One address has said something; what became of the probe, if that settles it.
    pub(super) fn told(&mut self, seq: u64, told: Told) -> Option<Outcome> {
        let flight = self.flights.get_mut(&seq)?;
        flight.waiting = flight.waiting.saturating_sub(1);
        if flight.best.is_none_or(|best| best.answer.rank() < told.answer.rank()) {
            flight.best = Some(told);
        }
        if told.answer.success() == Success::No && flight.waiting > 0 {
            return None;
        }
        let flight = self.flights.remove(&seq)?;
        Some(Outcome { seq, left: flight.left, told: flight.best.unwrap_or(told) })
    }

    /// Gives the probes up whose time was over at `now`.
    pub(super) fn expire(&mut self, now: Instant, outcomes: &mut Vec<Outcome>) {
        // Those sent later may be due earlier only if they waited for a connection, which is as
        // good for the ones behind them.
        while let Some((&seq, flight)) = self.flights.first_key_value()
            && flight.left + self.timeout <= now
        {
            let silent = Told { address: flight.first, answer: Answer::Silent, took: None };
            let (left, told) = (flight.left, flight.best.unwrap_or(silent));
            outcomes.push(Outcome { seq, left, told });
            self.flights.remove(&seq);
        }
    }

    /// When the first probe is to be given up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.flights.first_key_value().map(|(_, flight)| flight.left + self.timeout)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, answer: Answer) -> Told {
        let took = (answer != Answer::Silent).then_some(Duration::from_millis(1));
        Told { address: address.parse().unwrap(), answer, took }
    }

    #[test]
    fn the_first_address_that_is_there_settles_a_probe() {
        let (now, mut flights) = (Instant::now(), Flights::new(Duration::from_secs(1)));
        flights.begin(1, now, "[::1]:9".parse().unwrap(), 2);
        assert!(flights.told(1, told("[::1]:9", Answer::Refused)).is_none());
        let outcome = flights.told(1, told("127.0.0.1:9", Answer::Open)).unwrap();
        assert_eq!((outcome.told.answer, outcome.told.address.port()), (Answer::Open, 9));
        assert!(outcome.told.address.is_ipv4() && flights.len() == 0);
        assert!(flights.told(1, told("[::1]:9", Answer::Open)).is_none(), "a second answer");
    }

    #[test]
    fn of_failures_the_most_telling_counts() {
        let (now, mut flights) = (Instant::now(), Flights::new(Duration::from_secs(1)));
        flights.begin(1, now, "[::1]:9".parse().unwrap(), 3);
        assert!(flights.told(1, told("[::1]:9", Answer::Unreachable)).is_none());
        assert!(flights.told(1, told("127.0.0.1:9", Answer::Refused)).is_none());
        let outcome = flights.told(1, told("127.0.0.2:9", Answer::Refused)).unwrap();
        assert_eq!(outcome.told.answer, Answer::Refused);
        assert_eq!(outcome.told.address, "127.0.0.1:9".parse().unwrap());
    }

    #[test]
    fn what_is_late_is_given_up() {
        let (now, mut flights) = (Instant::now(), Flights::new(Duration::from_secs(1)));
        let address = "127.0.0.1:9".parse().unwrap();
        let mut outcomes = Vec::new();
        flights.begin(1, now, address, 1);
        flights.begin(2, now + Duration::from_millis(500), address, 2);
        assert!(flights.told(2, told("127.0.0.1:9", Answer::Refused)).is_none());
        flights.expire(now + Duration::from_millis(999), &mut outcomes);
        assert!(outcomes.is_empty());
        assert_eq!(flights.deadline(), Some(now + Duration::from_secs(1)));
        flights.expire(now + Duration::from_secs(2), &mut outcomes);
        let answers: Vec<_> = outcomes.iter().map(|outcome| outcome.told.answer).collect();
        assert_eq!(answers, [Answer::Silent, Answer::Refused], "one address had refused");
    }
}
