//! Times by the two clocks of a system: the one that nobody sets, for durations, and the time of day.

use std::time::{Duration, Instant, SystemTime};

/// When the run began, by both clocks. Later times of day follow from the clock that nobody sets, so that they
/// never run backwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// By the clock that nobody sets.
    pub at: Instant,
    /// By the wall clock.
    pub wall: SystemTime,
}

impl Start {
    /// Now.
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), wall: SystemTime::now() }
    }

    /// What time it was then by the wall clock.
    pub(super) fn wall_at(&self, at: Instant) -> SystemTime {
        self.wall + self.since(at)
    }

    /// How long after the start that was.
    pub(super) fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.at)
    }
}

/// A wake-up may take this long. A client that waits for one answer only sees as much of it as we
/// do; what is beyond it is due to this program, which was busy or suspended, and is no part of a
/// round trip.
const WAKE_UP: Duration = Duration::from_micros(100);

/// When something left, by both clocks: the kernel notes arrivals by the wall clock alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Departure {
    /// By the clock that nobody sets.
    pub at: Instant,
    wall: SystemTime,
}

impl Departure {
    /// Now.
    pub(super) fn now() -> Self {
        // The monotonic clock last: what is read in between would count.
        let wall = SystemTime::now();
        Self { at: Instant::now(), wall }
    }

    /// How long something took that was read at `read` and had arrived at `arrived`, if the kernel
    /// noted that. The kernel's time counts where the reading was late.
    pub(super) fn took(self, read: Instant, arrived: Option<SystemTime>) -> Duration {
        let until_read = read.saturating_duration_since(self.at);
        // If the wall clock was set back meanwhile, the arrival seems to be before the departure;
        // if it was set forward, after the reading.
        match arrived.and_then(|arrived| arrived.duration_since(self.wall).ok()) {
            Some(until_arrived) if until_arrived + WAKE_UP < until_read => until_arrived,
            _ => until_read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_time_counts_where_reading_was_late() {
        let left = Departure::now();
        let after = |micros| Duration::from_micros(micros);
        let took = |read: u64, arrived: Option<i64>| {
            let arrived = arrived.map(|micros| match u64::try_from(micros) {
                Ok(micros) => left.wall + after(micros),
                Err(_) => left.wall - after(micros.unsigned_abs()),
            });
            left.took(left.at + after(read), arrived).as_micros()
        };
        assert_eq!(took(500, None), 500);
        assert_eq!(took(60, Some(40)), 60, "an ordinary wake-up");
        assert_eq!(took(2_000_000, Some(40)), 40, "suspended meanwhile");
        assert_eq!(took(500, Some(-1_000_000)), 500, "the clock was set back");
        assert_eq!(took(500, Some(1_000_000)), 500, "the clock was set forward");
    }
}
