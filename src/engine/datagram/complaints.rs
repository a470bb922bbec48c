//! Limits the lines about single datagrams that fail: anybody can forge one, and a log must not fill up.

use std::time::{Duration, Instant};

/// The time in which so many such lines are written at most.
const PAUSE: Duration = Duration::from_secs(1);

/// What was written lately, and how many lines were held back since the last one.
#[derive(Debug)]
pub(crate) struct Complaints {
    most: u32,
    since: Option<Instant>,
    written: u32,
    held_back: u64,
}

impl Default for Complaints {
    fn default() -> Self {
        Self::at_most(1)
    }
}

impl Complaints {
    /// So many lines a second at most.
    pub(crate) fn at_most(most: u32) -> Self {
        Self { most, since: None, written: 0, held_back: 0 }
    }

    /// One more. `None` if its line is held back; otherwise how many were held back before it.
    pub(crate) fn add(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now >= since + PAUSE) {
            (self.since, self.written) = (Some(now), 0);
        }
        if self.written == self.most {
            self.held_back += 1;
            return None;
        }
        self.written += 1;
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

    #[test]
    fn more_lines_a_second_are_those_that_come_first() {
        let (start, mut complaints) = (Instant::now(), Complaints::at_most(2));
        let mut at = |millis| complaints.add(start + Duration::from_millis(millis));
        assert_eq!([at(0), at(900), at(999), at(1000)], [Some(0), Some(0), None, Some(1)]);
        assert_eq!([at(1500), at(1999)], [Some(0), None]);
    }
}
