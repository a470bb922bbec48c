//! Limits the lines about single datagrams that fail: anybody can forge one, and a log must not fill up.

use std::time::{Duration, Instant};

/// At most one such line is written in this time.
const PAUSE: Duration = Duration::from_secs(1);

/// When the last line was written, and how many were held back since.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Option<Instant>,
    held_back: u64,
}

impl Complaints {
    /// One more. `None` if its line is held back; otherwise how many were held back before it.
    pub(super) fn add(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_tells_how_many_were_held_back() {
        let (start, mut complaints) = (Instant::now(), Complaints::default());
        let mut at = |millis| complaints.add(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(1), at(999), at(1000)], [Some(0), None, None, Some(2)]);
        assert_eq!([at(1500), at(9000)], [None, Some(1)]);
    }
}
