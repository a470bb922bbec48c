//! The slowest link of a way: so many bits a second, and a queue before it.
//!
//! Nothing is stored here. A link that sends without pause is busy until a certain time, and what
//! waits for it is that time from now, at its rate.

use std::time::{Duration, Instant};

/// Bytes that may wait when nobody says how many.
const QUEUE: u64 = 64 * 1024;

/// A link of one direction.
#[derive(Debug)]
pub(super) struct Bottleneck {
    /// Bits a second.
    rate: u64,
    /// Bytes that may wait.
    queue: u64,
    /// Until when what was admitted keeps it busy; none before the first.
    busy_until: Option<Instant>,
}

impl Bottleneck {
    /// A link that is idle. Without `queue` 64 KiB may wait.
    pub(super) fn new(rate: u64, queue: Option<u64>) -> Self {
        Self { rate: rate.max(1), queue: queue.unwrap_or(QUEUE), busy_until: None }
    }

    /// When something of `length` bytes that comes at `at` has left; `None` when the queue has no
    /// room for it. A link that is idle takes anything.
    pub(super) fn admit(&mut self, length: usize, at: Instant) -> Option<Instant> {
        let wait = self.wait(at);
        let waiting = wait.as_secs_f64() * self.rate as f64 / 8.0;
        if !wait.is_zero() && waiting + length as f64 > self.queue as f64 {
            return None;
        }
        let left = at + wait + self.takes(length);
        self.busy_until = Some(left);
        Some(left)
    }

    /// When something that comes at `at` has left, however much waits.
    pub(super) fn pass(&mut self, length: usize, at: Instant) -> Instant {
        let left = at + self.wait(at) + self.takes(length);
        self.busy_until = Some(left);
        left
    }

    fn wait(&self, at: Instant) -> Duration {
        self.busy_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(at))
    }

    fn takes(&self, length: usize) -> Duration {
        let nanos = length as u128 * 8_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }
}

/// Nobody waits longer, and a clock can count to it.
const LONGEST: Duration = Duration::from_secs(1 << 30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_leaves_at_the_rate_and_a_full_queue_takes_nothing() {
        let start = Instant::now();
        // 1000 bytes a millisecond, three packets of 1000 bytes may wait.
        let mut link = Bottleneck::new(8_000_000, Some(3000));
        let ms = |n| start + Duration::from_millis(n);
        // The first one is on its way; what is not yet sent of it counts.
        for n in 1..=3 {
            assert_eq!(link.admit(1000, start), Some(ms(n)));
        }
        assert_eq!(link.admit(1, start), None);
        assert_eq!(link.admit(1000, ms(1)), Some(ms(4)));
        assert_eq!(link.admit(1000, ms(1)), None);
        // Idle again: even what is longer than the queue.
        assert_eq!(link.admit(9000, ms(10)), Some(ms(19)));
        assert_eq!(link.pass(1000, ms(10)), ms(20));
    }
}
