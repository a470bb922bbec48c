//! What the probes of one protocol have found, counted.
//!
//! A probe is sent once it has left. Until it is known what became of it, it is awaited and neither answered nor
//! lost; when the run ends it is not waited for any more, and lost.

use std::time::Instant;

use crate::chart::round_trips::RoundTrips;
use crate::chart::timeline::Timeline;
use crate::error::Status;
use crate::ping::outages::{Outage, Outages};
use crate::ping::prober::{Answer, Outcome};

/// The counts and times of one protocol.
#[derive(Debug)]
pub(super) struct Tally {
    /// Probes that have left.
    pub sent: u64,
    /// Probes that were `open` or `answered`.
    pub answered: u64,
    /// Probes that were refused.
    pub refused: u64,
    /// Probes that nobody can be reached by.
    pub unreachable: u64,
    /// Probes without an answer in time, or before the run ended.
    pub silent: u64,
    /// Times of those that were answered.
    pub round_trips: RoundTrips,
    /// Times of those that were refused.
    pub refusals: RoundTrips,
    /// Which probe took how long.
    pub timeline: Timeline,
    outages: Outages,
}

impl Tally {
    /// Nothing found yet.
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            answered: 0,
            refused: 0,
            unreachable: 0,
            silent: 0,
            round_trips: RoundTrips::default(),
            refusals: RoundTrips::default(),
            timeline: Timeline::default(),
            outages: Outages::default(),
        }
    }

    /// The probe with this number has left.
    pub(super) fn left(&mut self, seq: u64) {
        self.sent += 1;
        self.timeline.sent(seq.saturating_sub(1));
    }

    /// Counts what became of a probe that has left.
    pub(super) fn record(&mut self, outcome: &Outcome) {
        let Outcome { seq, left, told } = *outcome;
        *match told.answer {
            Answer::Open | Answer::Answered(_) => &mut self.answered,
            Answer::Refused => &mut self.refused,
            Answer::Unreachable => &mut self.unreachable,
            Answer::Silent => &mut self.silent,
        } += 1;
        let number = seq.saturating_sub(1);
        match (told.answer, told.took) {
            (Answer::Open | Answer::Answered(_), Some(took)) => {
                self.round_trips.record(took);
                self.timeline.answered(number, took);
            }
            (Answer::Refused, Some(took)) => self.refusals.record(took),
            _ => {}
        }
        self.outages.record(number, left, told.answer.success());
    }

    /// The run is over: what is still awaited is not answered any more. When it would have been is not known, so
    /// that it makes no outage.
    pub(super) fn end(&mut self) {
        self.silent += self.awaited();
    }

    /// Probes whose end is known.
    fn known(&self) -> u64 {
        self.answered + self.refused + self.lost()
    }

    /// Probes whose end is not known yet.
    pub(super) fn awaited(&self) -> u64 {
        self.sent.saturating_sub(self.known())
    }

    /// Probes that nothing came back for from the port that was asked.
    pub(super) fn lost(&self) -> u64 {
        self.unreachable + self.silent
    }

    /// Their share in those whose end is known, 0 to 1.
    pub(super) fn loss(&self) -> f64 {
        self.lost() as f64 / self.known().max(1) as f64
    }

    /// How many outages there were.
    pub(super) fn outages(&self) -> u64 {
        self.outages.count()
    }

    /// The longest one, as of `now`.
    pub(super) fn longest_outage(&self, now: Instant) -> Option<Outage> {
        self.outages.longest(now)
    }
}

/// The exit status of a run with these counts; `None` when it found somebody.
pub(super) fn failure<'a>(tallies: impl Iterator<Item = &'a Tally> + Clone) -> Option<Status> {
    let any = |count: fn(&Tally) -> u64| tallies.clone().any(|tally| count(tally) > 0);
    if any(|tally| tally.answered) {
        None
    } else if any(|tally| tally.refused) {
        Some(Status::Refused)
    } else if any(|tally| tally.unreachable) {
        Some(Status::Unreachable)
    } else {
        Some(Status::TimedOut)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ping::prober::Told;

    fn tally(answers: &[Answer]) -> Tally {
        let mut tally = Tally::new();
        for (number, answer) in answers.iter().enumerate() {
            let took = Some(Duration::from_millis(1));
            let address = "127.0.0.1:9".parse().unwrap();
            let told = Told { address, answer: *answer, took };
            tally.left(number as u64 + 1);
            tally.record(&Outcome { seq: number as u64 + 1, left: Instant::now(), told });
        }
        tally
    }

    #[test]
    fn the_status_is_that_of_the_best_answer() {
        use Answer::{Answered, Open, Refused, Silent, Unreachable};
        for (answers, want) in [
            (&[Silent, Refused, Open][..], None),
            (&[Silent, Answered(0)], None),
            (&[Silent, Unreachable, Refused], Some(Status::Refused)),
            (&[Silent, Unreachable], Some(Status::Unreachable)),
            (&[Silent], Some(Status::TimedOut)),
            (&[], Some(Status::TimedOut)),
        ] {
            assert_eq!(failure([tally(answers)].iter()), want, "{answers:?}");
        }
        let both = [tally(&[Refused]), tally(&[Answered(1)])];
        assert_eq!(failure(both.iter()), None);
    }

    #[test]
    fn every_probe_is_counted_once() {
        use Answer::{Open, Refused, Silent, Unreachable};
        let tally = tally(&[Open, Refused, Silent, Unreachable]);
        assert_eq!((tally.sent, tally.answered, tally.refused, tally.lost()), (4, 1, 1, 2));
        assert!((tally.loss() - 0.5).abs() < 1e-9);
        assert_eq!((tally.round_trips.count(), tally.refusals.count()), (1, 1));
    }

    #[test]
    fn what_is_awaited_is_lost_only_at_the_end() {
        let mut tally = tally(&[Answer::Open, Answer::Silent]);
        tally.left(3);
        tally.left(4);
        assert_eq!((tally.sent, tally.awaited(), tally.lost()), (4, 2, 1));
        assert!((tally.loss() - 0.5).abs() < 1e-9, "of those whose end is known");
        let outages = tally.outages();
        tally.end();
        assert_eq!((tally.sent, tally.awaited(), tally.lost()), (4, 0, 3));
        assert!((tally.loss() - 0.75).abs() < 1e-9);
        assert_eq!(tally.outages(), outages);
    }
}
