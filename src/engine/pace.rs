//! Pacing: so many messages or bytes a second on average, without a timer for each message.
//!
//! Two token buckets, one for messages and one for bytes. Each holds what may be sent in 20 ms,
//! because the reactor may wake that late. So what could not be sent because the reactor woke late
//! is sent afterwards; what was not sent because there was nothing to send is not made up for.

use std::time::{Duration, Instant};

use crate::engine::flow::{Allowance, Cuts};

/// How late a wake-up may come before what it missed is forgotten.
const CATCH_UP: Duration = Duration::from_millis(20);

/// The pace of one direction.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Between the starts of two messages.
    interval: Option<Duration>,
    /// Bytes a second.
    rate: Option<u64>,
    cuts: Cuts,
    /// When the next message is due; none before the first.
    message_due: Option<Instant>,
    /// When the next bytes are due; none before the first.
    bytes_due: Option<Instant>,
    now: Option<Instant>,
}

impl Pace {
    /// A pace, if anything is limited at all.
    #[must_use]
    pub(crate) fn new(interval: Option<Duration>, rate: Option<u64>, cuts: Cuts) -> Option<Self> {
        let interval = interval.filter(|interval| !interval.is_zero());
        (interval.is_some() || rate.is_some()).then_some(Self {
            interval,
            rate,
            cuts,
            message_due: None,
            bytes_due: None,
            now: None,
        })
    }

    /// What may be sent now; `None` when it is too early for anything.
    pub(crate) fn allowance(&mut self, now: Instant) -> Option<Allowance> {
        self.now = Some(now);
        let messages = match (self.interval, self.message_due) {
            (Some(_), Some(due)) if due > now => return None,
            (Some(interval), Some(due)) => {
                let late = now - due;
                let caught_up = if late > CATCH_UP { Duration::ZERO } else { late };
                let missed = caught_up.as_nanos() / interval.as_nanos().max(1);
                usize::try_from(missed).unwrap_or(usize::MAX).saturating_add(1)
            }
            (Some(_), None) => 1,
            (None, _) => usize::MAX,
        };
        let bytes = match (self.rate, self.bytes_due) {
            (Some(_), Some(due)) if due > now => return None,
            // As much as a millisecond allows, so that the rate is even.
            (Some(rate), _) => usize::try_from(rate / 1000).unwrap_or(usize::MAX).max(1),
            (None, _) => usize::MAX,
        };
        Some(Allowance { messages, bytes, cuts: self.cuts })
    }

    /// Notes that this much has been sent.
    pub(crate) fn spent(&mut self, messages: usize, bytes: usize) {
        let Some(now) = self.now else { return };
        let start = |due: Option<Instant>| match due {
            Some(due) if now.saturating_duration_since(due) <= CATCH_UP => due,
            _ => now,
        };
        if let Some(interval) = self.interval {
            let messages = u32::try_from(messages).unwrap_or(u32::MAX);
            self.message_due = Some(start(self.message_due) + interval.saturating_mul(messages));
        }
        if let Some(rate) = self.rate {
            let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            self.bytes_due = Some(start(self.bytes_due) + cost);
        }
    }

    /// When something may be sent again.
    #[must_use]
    pub(crate) fn next(&self) -> Option<Instant> {
        self.message_due.max(self.bytes_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as much as the pace allows, waking every `tick`, and counts.
    fn run(pace: &mut Pace, length: Duration, tick: Duration, size: usize) -> (usize, usize) {
        let start = Instant::now();
        let (mut messages, mut bytes) = (0, 0);
        let mut now = start;
        while now < start + length {
            while let Some(allowed) = pace.allowance(now) {
                let by_bytes = allowed.bytes.div_ceil(size.max(1));
                let n = allowed.messages.min(by_bytes).max(1);
                messages += n;
                bytes += n * size;
                pace.spent(n, n * size);
            }
            now += tick;
        }
        (messages, bytes)
    }

    #[test]
    fn messages_are_right_on_average_from_one_to_a_hundred_thousand_a_second() {
        for per_second in [1u32, 10, 1000, 30_000, 100_000] {
            let interval = Duration::from_secs(1) / per_second;
            let mut pace = Pace::new(Some(interval), None, Cuts::Anywhere).unwrap();
            let (messages, _) =
                run(&mut pace, Duration::from_secs(10), Duration::from_millis(1), 10);
            let want = 10.0 * f64::from(per_second);
            assert!((messages as f64 - want).abs() <= want * 0.05, "{per_second}: {messages}");
        }
    }

    #[test]
    fn bytes_are_right_on_average() {
        for rate in [1000u64, 64_000, 1_000_000, 100_000_000] {
            let mut pace = Pace::new(None, Some(rate), Cuts::Anywhere).unwrap();
            let (_, bytes) = run(&mut pace, Duration::from_secs(10), Duration::from_millis(1), 100);
            let want = 10.0 * rate as f64;
            assert!((bytes as f64 - want).abs() <= want * 0.05 + 200.0, "{rate}: {bytes}");
        }
    }

    #[test]
    fn a_pause_is_not_caught_up_with() {
        let mut pace = Pace::new(Some(Duration::from_millis(10)), None, Cuts::Anywhere).unwrap();
        let start = Instant::now();
        assert!(pace.allowance(start).is_some());
        pace.spent(1, 1);
        let later = start + Duration::from_secs(60);
        let allowed = pace.allowance(later).unwrap();
        assert_eq!(allowed.messages, 1);
    }
}
