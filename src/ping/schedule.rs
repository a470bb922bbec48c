//! When probes leave: at fixed times from the start, whatever the answers do.
//!
//! It reads no clock. The n-th time is computed from the start, so that nothing adds up.

use std::time::{Duration, Instant};

/// Probes that are late by no more than this leave at once, one after the other. Those of a longer
/// pause, such as that of a suspended process, are left out.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The times of the probes of one protocol.
#[derive(Debug)]
pub(super) struct Schedule {
    start: Instant,
    interval: Duration,
    /// Number of the time that is next; the first is 0.
    slot: u64,
    /// Probes to be sent; `None` is no limit.
    left: Option<u64>,
}

impl Schedule {
    /// Times from `start` on, `interval` apart, `count` of them. `interval` is more than nothing.
    pub(super) fn new(start: Instant, interval: Duration, count: Option<u64>) -> Self {
        Self { start, interval, slot: 0, left: count }
    }

    /// When the next probe is due; `None` when all have been sent.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.left != Some(0)).then(|| self.at(self.slot))
    }

    /// A probe was sent: the next time is the next one's.
    pub(super) fn sent(&mut self, now: Instant) {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.slot += 1;
        let late = now.saturating_duration_since(self.at(self.slot));
        if late > CATCH_UP {
            let missed = late.as_nanos().div_ceil(self.interval.as_nanos().max(1));
            self.slot += u64::try_from(missed).unwrap_or(u64::MAX / 2);
        }
    }

    fn at(&self, slot: u64) -> Instant {
        let nanos = self.interval.as_nanos().saturating_mul(u128::from(slot));
        let offset = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.start.checked_add(offset).unwrap_or(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn times_are_counted_from_the_start() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, MS, Some(3));
        for n in 0..3 {
            assert_eq!(schedule.due(), Some(start + MS * n));
            // That each leaves late by as much changes nothing.
            schedule.sent(start + MS * n + MS / 3);
        }
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn a_short_delay_is_made_good_and_a_long_one_is_not() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, MS, None);
        schedule.sent(start + MS * 900);
        assert_eq!(schedule.due(), Some(start + MS));
        schedule.sent(start + MS * 5000 + MS / 2);
        assert_eq!(schedule.due(), Some(start + MS * 5001));
    }
}
