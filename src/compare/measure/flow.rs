//! When the next message may be sent: at its time, and if the window has room for another message
//! without a reply.
//!
//! A lost datagram must not take a place in the window for as long as a reply may take. So, like TCP's
//! own loss detection (RFC 8985), the window stops waiting for a message once replies to several later
//! ones have come, or when no reply has come for much longer than usual. That does not change how the
//! message is counted: a reply within the limit is still in time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::compare::measure::account::At;

/// The settings of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pacing {
    /// The time between two messages.
    pub interval: Duration,
    /// The most messages that may be without a reply at once.
    pub window: usize,
    /// How long a reply may take.
    pub limit: Duration,
    /// How many messages are sent in all.
    pub count: u64,
}

/// Whether a reply can be missing although replies to later messages have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// No: a byte stream delivers in order.
    InOrder,
    /// Yes: datagrams may be lost or reordered.
    Any,
}

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A message may be sent now.
    Now,
    /// The next message is due at this time.
    At(At),
    /// The window is full.
    Full,
    /// All messages have been sent.
    Done,
}

/// After this many replies to later messages the window stops waiting for a message. It corresponds to
/// the three duplicate acknowledgments of RFC 5681.
const OVERTAKEN: u32 = 3;

/// How long the window waits for a message before any reply has shown how long replies take.
const FIRST_PATIENCE: Duration = Duration::from_millis(100);

/// The least time the window waits for a message: on a busy machine a process may get no processor for
/// that long.
const LEAST_PATIENCE: Duration = Duration::from_millis(10);

/// That time doubles whenever it has passed in vain, at most this often.
const MOST_DOUBLINGS: u32 = 3;

#[derive(Debug, Clone, Copy)]
struct InFlight {
    number: u64,
    at: At,
    overtaken: u32,
}

/// The flow of messages over one protocol.
#[derive(Debug)]
pub(crate) struct Flow {
    pacing: Pacing,
    delivery: Delivery,
    sent: u64,
    first_at: At,
    in_flight: VecDeque<InFlight>,
    /// The smoothed round-trip time and its variation (SRTT and RTTVAR of RFC 6298).
    usual: Option<(Duration, Duration)>,
    in_vain: u32,
}

impl Flow {
    /// A flow in which nothing has been sent.
    #[must_use]
    pub(crate) fn new(pacing: Pacing, delivery: Delivery) -> Self {
        Self {
            pacing,
            delivery,
            sent: 0,
            first_at: At::ZERO,
            in_flight: VecDeque::new(),
            usual: None,
            in_vain: 0,
        }
    }

    /// What may happen next.
    #[must_use]
    pub(crate) fn next(&self, now: At) -> Next {
        if self.sent == self.pacing.count {
            return Next::Done;
        }
        if self.in_flight.len() >= self.pacing.window {
            return Next::Full;
        }
        if self.sent == 0 || self.pacing.interval.is_zero() {
            return Next::Now;
        }
        let due = u128::from(self.sent) * self.pacing.interval.as_nanos();
        let due = self.first_at + Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX));
        if due <= now { Next::Now } else { Next::At(due) }
    }

    /// Records that a message was sent.
    pub(crate) fn sent(&mut self, number: u64, at: At) {
        if self.sent == 0 {
            self.first_at = at;
        }
        self.sent += 1;
        self.in_flight.push_back(InFlight { number, at, overtaken: 0 });
    }

    /// Records the reply to a message. `took` is the round-trip time, if this reply is fit to measure it.
    /// `overdue` is called with the messages that the window stops waiting for because of it.
    pub(crate) fn answered(
        &mut self,
        number: u64,
        took: Option<Duration>,
        overdue: impl FnMut(u64),
    ) {
        self.in_vain = 0;
        if let Some(took) = took {
            self.usual = Some(match self.usual {
                None => (took, took / 2),
                Some((mean, variation)) => {
                    let variation = (variation * 3 + mean.abs_diff(took)) / 4;
                    ((mean * 7 + took) / 8, variation)
                }
            });
        }
        // The queue is in the order of the numbers.
        let place = self.in_flight.partition_point(|message| message.number < number);
        if self.in_flight.get(place).is_some_and(|message| message.number == number) {
            self.in_flight.remove(place);
        }
        if self.delivery == Delivery::InOrder {
            return;
        }
        for message in self.in_flight.iter_mut().take(place) {
            message.overtaken += 1;
        }
        self.stop_waiting(|message| message.overtaken >= OVERTAKEN, overdue);
    }

    /// Stops waiting for messages that have taken longer than [`patience`](Self::patience); `overdue` is
    /// called with each.
    pub(crate) fn lose_patience(&mut self, now: At, overdue: impl FnMut(u64)) {
        let Some(end) = self.patience_ends() else { return };
        if now < end {
            return;
        }
        let patience = self.patience();
        self.in_vain = (self.in_vain + 1).min(MOST_DOUBLINGS);
        self.stop_waiting(|message| message.at + patience <= now, overdue);
    }

    fn stop_waiting(&mut self, test: impl Fn(&InFlight) -> bool, mut overdue: impl FnMut(u64)) {
        while let Some(message) = self.in_flight.front().filter(|message| test(message)) {
            overdue(message.number);
            self.in_flight.pop_front();
        }
    }

    /// How long the window waits for a message while no replies come.
    #[must_use]
    pub(crate) fn patience(&self) -> Duration {
        let least = match self.usual {
            None => FIRST_PATIENCE,
            Some((mean, variation)) => (mean + variation * 4).max(LEAST_PATIENCE),
        };
        (least * (1 << self.in_vain)).min(self.pacing.limit)
    }

    /// When the window stops waiting for its oldest message.
    #[must_use]
    pub(crate) fn patience_ends(&self) -> Option<At> {
        if self.delivery == Delivery::InOrder {
            return None;
        }
        self.in_flight.front().map(|message| message.at + self.patience())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> At {
        Duration::from_millis(n)
    }

    fn flow(interval: u64, window: usize, delivery: Delivery) -> Flow {
        let pacing = Pacing { interval: ms(interval), window, limit: ms(1000), count: 8 };
        Flow::new(pacing, delivery)
    }

    #[test]
    fn the_window_bounds_what_is_outstanding() {
        let mut flow = flow(0, 2, Delivery::InOrder);
        for number in 0..2 {
            assert_eq!(flow.next(ms(0)), Next::Now);
            flow.sent(number, ms(0));
        }
        assert_eq!(flow.next(ms(5000)), Next::Full);
        flow.answered(0, Some(ms(1)), |_| panic!("nothing is overdue in a stream"));
        assert_eq!(flow.next(ms(1)), Next::Now);
        assert_eq!(flow.patience_ends(), None);
    }

    #[test]
    fn no_message_leaves_before_its_time_and_lateness_does_not_add_up() {
        let mut flow = flow(10, 100, Delivery::Any);
        flow.sent(0, ms(3));
        assert_eq!(flow.next(ms(12)), Next::At(ms(13)));
        flow.sent(1, ms(14));
        assert_eq!(flow.next(ms(14)), Next::At(ms(23)));
        for number in 2..8 {
            flow.sent(number, ms(100));
        }
        assert_eq!(flow.next(ms(101)), Next::Done);
    }

    #[test]
    fn three_replies_to_later_messages_free_the_place_of_a_lost_one() {
        let mut flow = flow(0, 4, Delivery::Any);
        for number in 0..4 {
            flow.sent(number, ms(0));
        }
        let mut overdue = Vec::new();
        for number in [1, 2, 3] {
            assert!(overdue.is_empty());
            flow.answered(number, Some(ms(1)), |number| overdue.push(number));
        }
        assert_eq!(overdue, [0]);
        // Its reply comes after all: nothing is counted twice.
        flow.answered(0, None, |_| panic!("nobody waits"));
        assert_eq!(flow.in_flight.len(), 0);
    }

    #[test]
    fn patience_follows_the_usual_round_trip_and_doubles_when_it_was_in_vain() {
        let mut flow = flow(0, 1, Delivery::Any);
        flow.sent(0, ms(0));
        assert_eq!(flow.patience_ends(), Some(FIRST_PATIENCE));
        flow.answered(0, Some(ms(40)), |_| ());
        // 40 + 4 * 20
        assert_eq!(flow.patience(), ms(120));
        flow.sent(1, ms(50));
        flow.lose_patience(ms(169), |_| panic!("too early"));
        let mut overdue = Vec::new();
        flow.lose_patience(ms(170), |number| overdue.push(number));
        assert_eq!(overdue, [1]);
        assert_eq!((flow.next(ms(170)), flow.patience()), (Next::Now, ms(240)));
        for _ in 0..9 {
            flow.sent(2, ms(200));
            flow.lose_patience(ms(9000), |_| ());
        }
        assert_eq!(flow.patience(), ms(960), "never more than the limit");
    }
}
