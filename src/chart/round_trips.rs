//! Round-trip times in bounded memory: any number of them, read back within a thousandth.

use std::time::Duration;

/// Every power of two is cut into so many equal buckets; times below it have one each.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 10;

/// A histogram of round trips, with the least and the greatest exact, and their jitter.
#[derive(Debug, Clone, Default)]
pub(crate) struct RoundTrips {
    /// How many fell into each bucket; as long as the greatest needs.
    buckets: Vec<u64>,
    count: u64,
    min: u64,
    max: u64,
    last: u64,
    /// In nanoseconds (RFC 3550, 6.4.1).
    jitter: f64,
}

/// The bucket of a time in nanoseconds.
fn bucket(nanos: u64) -> usize {
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(OCTAVE_BITS + 1);
    // At most 54 << 10 and twice 1 << 10: fits every usize.
    (u64::from(octave) * BUCKETS_PER_OCTAVE + (nanos >> octave)) as usize
}

/// The times of a bucket: the least, and how many.
fn span(bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    let octave = (bucket / BUCKETS_PER_OCTAVE).saturating_sub(1);
    ((bucket - octave * BUCKETS_PER_OCTAVE) << octave, 1 << octave)
}

impl RoundTrips {
    /// Adds one, in the order in which the replies came.
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
            // The difference of the transit times of two packets that follow each other, smoothed.
            let difference = nanos.abs_diff(self.last) as f64;
            self.jitter += (difference - self.jitter) / 16.0;
        }
        self.last = nanos;
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        self.count += 1;
    }

    /// How many.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The time that a share of all round trips did not exceed: 0 is the least, 0.5 the median,
    /// 1 the greatest.
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

    /// The smoothed difference of round trips that follow each other (RFC 3550, 6.4.1).
    #[must_use]
    pub(crate) fn jitter(&self) -> Option<Duration> {
        (self.count > 1).then(|| Duration::from_nanos(self.jitter as u64))
    }

    /// The buckets that are not empty: their middle, and how many fell into them.
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
