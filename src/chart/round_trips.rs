//! A histogram of round-trip times: any number of them in bounded memory, with an error of at most a
//! thousandth.

use std::time::Duration;

use serde::Serialize;

/// The times between two successive powers of two are divided into this many buckets of equal width.
/// Below this many nanoseconds each nanosecond has a bucket of its own.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 10;

/// A histogram of round-trip times. The least and the greatest are kept exactly, and the jitter.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundTrips {
    /// The count in each bucket, up to the bucket of the greatest time.
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
    last: u64,
    /// In nanoseconds (interarrival jitter of RFC 3550, 6.4.1).
    jitter: f64,
}

/// The bucket of a time in nanoseconds.
fn bucket(nanos: u64) -> usize {
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(OCTAVE_BITS + 1);
    // At most 54 << 10 and twice 1 << 10: fits every usize.
    (u64::from(octave) * BUCKETS_PER_OCTAVE + (nanos >> octave)) as usize
}

/// The times that a bucket stands for: the least in nanoseconds, and how many nanoseconds wide it is.
fn span(bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    let octave = (bucket / BUCKETS_PER_OCTAVE).saturating_sub(1);
    ((bucket - octave * BUCKETS_PER_OCTAVE) << octave, 1 << octave)
}

/// Round trips as programs get them: how many, and times in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct InMicroseconds {
    count: u64,
    min: Option<f64>,
    median: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

/// A time in microseconds.
#[must_use]
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

impl RoundTrips {
    /// How many there were, and the times that tell most.
    #[must_use]
    pub(crate) fn in_microseconds(&self) -> InMicroseconds {
        let quantile = |share: f64| self.quantile(share).map(micros);
        InMicroseconds {
            count: self.count(),
            min: quantile(0.0),
            median: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
        }
    }

    /// Adds a round-trip time. The order of the calls must be that of the replies, as the jitter depends
    /// on it.
    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = bucket(nanos);
        if self.buckets.len() <= bucket {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        if self.count == 0 {
            (self.min, self.max) = (nanos, nanos);
        } else {
            // The absolute difference of two successive times, smoothed as in RFC 3550.
            let difference = nanos.abs_diff(self.last) as f64;
            self.jitter += (difference - self.jitter) / 16.0;
        }
        self.last = nanos;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.count += 1;
    }

    /// The number of times added.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The time that this share of all round trips did not exceed: 0 gives the least, 0.5 the median, 1
    /// the greatest. `None` when there are none.
    #[must_use]
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        if share <= 0.0 {
            return Some(Duration::from_nanos(self.min));
        }
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count);
        if rank == self.count {
            return Some(Duration::from_nanos(self.max));
        }
        let mut before = 0;
        for (index, n) in self.buckets.iter().enumerate() {
            before += n;
            if before >= rank {
                let (least, width) = span(index);
                let middle = least + width / 2;
                return Some(Duration::from_nanos(middle.clamp(self.min, self.max)));
            }
        }
        Some(Duration::from_nanos(self.max))
    }

    /// The smoothed difference of successive round-trip times (RFC 3550, 6.4.1); `None` for fewer than
    /// two.
    #[must_use]
    pub(crate) fn jitter(&self) -> Option<Duration> {
        (self.count > 1).then(|| Duration::from_nanos(self.jitter as u64))
    }

    /// The buckets that are not empty: the time in their middle, and their count.
    pub(crate) fn spread(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.buckets.iter().enumerate().filter(|(_, n)| **n > 0).map(|(index, n)| {
            let (least, width) = span(index);
            (Duration::from_nanos(least + width / 2), *n)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps_and_are_fine_enough() {
        let mut next = 0;
        for index in 0..40_000 {
            let (least, width) = span(index);
            assert_eq!(least, next, "bucket {index}");
            assert_eq!(bucket(least), index);
            assert_eq!(bucket(least + width - 1), index);
            assert!(width <= 1 || width * 1000 <= least, "bucket {index}");
            next = least + width;
        }
        assert!(bucket(u64::MAX) < 60_000);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut trips = RoundTrips::default();
        assert_eq!(trips.quantile(0.5), None);
        for n in [30, 10, 20, 1_000_000] {
            trips.record(Duration::from_nanos(n));
        }
        let nanos = |share| trips.quantile(share).unwrap().as_nanos();
        assert_eq!([nanos(0.0), nanos(0.5), nanos(0.75), nanos(0.99)], [10, 20, 30, 1_000_000]);
    }

    #[test]
    fn jitter_is_the_smoothed_difference_of_neighbours() {
        let mut trips = RoundTrips::default();
        trips.record(Duration::from_nanos(1000));
        assert_eq!(trips.jitter(), None);
        trips.record(Duration::from_nanos(2600));
        assert_eq!(trips.jitter(), Some(Duration::from_nanos(100)));
        trips.record(Duration::from_nanos(1000));
        // 100 + (1600 - 100) / 16
        assert_eq!(trips.jitter(), Some(Duration::from_nanos(193)));
    }
}
