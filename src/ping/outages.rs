//! The times during which nobody was there: from the first probe without success to the next one
//! with it.
//!
//! Both times are those at which the probes left, so that an outage is right to one interval,
//! however long a probe is waited for. It reads no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Whether a probe found what it was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Success {
    /// `open` or `answered`.
    Yes,
    /// Refused, unreachable, or no answer.
    No,
}

/// One outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outage {
    /// When the first probe left that found nobody.
    pub begun: Instant,
    /// How long it lasted; for one that is not over, so far.
    pub length: Duration,
    /// Whether a later probe found somebody.
    pub over: bool,
}

/// All outages of one protocol.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Results from probe `next` on, which may come out of turn.
    waiting: VecDeque<Option<(Instant, Success)>>,
    /// The number of the first result in `waiting`.
    next: u64,
    /// When the present outage began.
    present: Option<Instant>,
    longest: Option<Outage>,
    count: u64,
}

impl Outages {
    /// Notes the result of the probe with this number, counted from 0, that left at `left`.
    pub(super) fn record(&mut self, number: u64, left: Instant, success: Success) {
        let Some(place) = number.checked_sub(self.next).and_then(|n| usize::try_from(n).ok())
        else {
            return;
        };
        if self.waiting.len() <= place {
            self.waiting.resize(place + 1, None);
        }
        self.waiting[place] = Some((left, success));
        while let Some(Some((left, success))) = self.waiting.front().copied() {
            self.waiting.pop_front();
            self.next += 1;
            self.advance(left, success);
        }
    }

    fn advance(&mut self, left: Instant, success: Success) {
        match (success, self.present) {
            (Success::No, None) => {
                self.count += 1;
                self.present = Some(left);
            }
            (Success::Yes, Some(begun)) => {
                let length = left.saturating_duration_since(begun);
                self.keep(Outage { begun, length, over: true });
                self.present = None;
            }
            (Success::No, Some(_)) | (Success::Yes, None) => {}
        }
    }

    fn keep(&mut self, outage: Outage) {
        if self.longest.is_none_or(|longest| outage.length > longest.length) {
            self.longest = Some(outage);
        }
    }

    /// How many there were, the present one included.
    pub(super) fn count(&self) -> u64 {
        self.known().count
    }

    /// The longest one. The present one lasts until `now`.
    pub(super) fn longest(&self, now: Instant) -> Option<Outage> {
        self.known().longest_of_known(now)
    }

    /// The same, with the results that wait for one before them: as long as it is not known it neither begins
    /// nor ends an outage.
    fn known(&self) -> Self {
        let Self { next, present, longest, count, .. } = *self;
        let mut known = Self { waiting: VecDeque::new(), next, present, longest, count };
        for (left, success) in self.waiting.iter().flatten() {
            known.advance(*left, *success);
        }
        known
    }

    fn longest_of_known(&self, now: Instant) -> Option<Outage> {
        let present = self.present.map(|begun| {
            let length = now.saturating_duration_since(begun);
            Outage { begun, length, over: false }
        });
        match (self.longest, present) {
            (Some(longest), Some(present)) if present.length > longest.length => Some(present),
            (longest, present) => longest.or(present),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The longest outage of probes a second apart; `.` found somebody, `x` nobody.
    fn longest(results: &str, order: impl Iterator<Item = usize>) -> Option<(u64, u64, bool)> {
        let start = Instant::now();
        let mut outages = Outages::default();
        let results: Vec<_> = results.chars().collect();
        for number in order {
            let success = if results[number] == '.' { Success::Yes } else { Success::No };
            outages.record(number as u64, start + SECOND * number as u32, success);
        }
        let outage = outages.longest(start + SECOND * results.len() as u32)?;
        Some(((outage.begun - start).as_secs(), outage.length.as_secs(), outage.over))
    }

    #[test]
    fn an_outage_lasts_until_a_probe_finds_somebody() {
        for (results, want) in [
            ("....", None),
            (".x..", Some((1, 1, true))),
            (".xx.x.", Some((1, 2, true))),
            (".x.xx", Some((3, 2, false))),
            ("xxx", Some((0, 3, false))),
            ("xx.x.", Some((0, 2, true))),
        ] {
            assert_eq!(longest(results, 0..results.len()), want, "{results}");
            // Results that come out of turn tell the same.
            assert_eq!(longest(results, (0..results.len()).rev()), want, "{results}");
        }
    }

    #[test]
    fn a_result_that_is_not_known_yet_hides_none_of_those_after_it() {
        let (start, mut outages) = (Instant::now(), Outages::default());
        for (number, success) in [(0, Success::Yes), (2, Success::No), (3, Success::No)] {
            outages.record(number, start + SECOND * number as u32, success);
        }
        let begun = |outage: Outage| (outage.begun - start).as_secs();
        let longest = |outages: &Outages| outages.longest(start + SECOND * 4).map(begun);
        assert_eq!((longest(&outages), outages.count()), (Some(2), 1));
        outages.record(1, start + SECOND, Success::No);
        assert_eq!((longest(&outages), outages.count()), (Some(1), 1));
    }

    #[test]
    fn they_are_counted() {
        let mut outages = Outages::default();
        for (number, success) in "x..xx.x".chars().enumerate() {
            let success = if success == '.' { Success::Yes } else { Success::No };
            outages.record(number as u64, Instant::now(), success);
        }
        assert_eq!(outages.count(), 3);
    }
}
