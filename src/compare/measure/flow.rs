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
    /// The most messages outstanding at once, after those that go alone.
    pub window: usize,
    /// So many messages go alone at the beginning, each when the one before is answered: their round
    /// trips contain nothing of the others.
    pub alone: u64,
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

/// For so long messages go alone at most: on a slow path the others need time, too.
const LONGEST_ALONE: Duration = Duration::from_secs(2);

/// After this a sixteenth of all is enough.
const ENOUGH_ALONE: Duration = Duration::from_millis(100);
const LEAST_ALONE: u64 = 16;

/// The flow of messages over one protocol.
#[derive(Debug)]
pub(crate) struct Flow {
    pacing: Pacing,
    /// No message before this one has another one beside it, and once `company` is set all others
    /// may.
    alone: u64,
    company: bool,
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
            alone: pacing.alone,
            company: false,
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
        // The first one with others beside it waits for the last one that goes alone.
        let window = if self.is_alone() { 1 } else { self.pacing.window };
        if self.in_flight.len() >= window {
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
        if self.sent > self.alone {
            self.company = true;
        }
        self.in_flight.push_back(InFlight { number, at, overtaken: 0 });
    }

    /// Whether the next message waits until nothing else is on its way.
    fn is_alone(&self) -> bool {
        !self.company && self.sent <= self.alone && self.alone > 0
    }

    /// From now on messages have others beside them, if they have gone alone for long enough.
    pub(crate) fn end_alone(&mut self, now: At) {
        if self.alone_ends().is_none_or(|end| now < end) {
            return;
        }
        self.alone = self.alone.min(self.sent);
        // The next one waits until the last of these is answered, though not for ever.
        self.company = now >= self.first_at + LONGEST_ALONE;
    }

    /// When messages stop going alone, at the latest.
    #[must_use]
    pub(crate) fn alone_ends(&self) -> Option<At> {
        let enough = self.sent >= self.pacing.count.div_ceil(LEAST_ALONE) && self.sent < self.alone;
        let length = if enough { ENOUGH_ALONE } else { LONGEST_ALONE };
        (self.is_alone() && self.sent > 0).then(|| self.first_at + length)
    }

    /// How many messages go alone, as far as is known yet.
    #[must_use]
    pub(crate) fn alone(&self) -> u64 {
        self.alone
    }

    /// A message was answered, `took` after it was sent if the reply says anything about that.
    /// Tells `overdue` of messages that the window no longer waits for.
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
        let pacing = Pacing { interval: ms(interval), window, alone: 0, limit: ms(1000), count: 8 };
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
    fn the_first_ones_go_alone_but_not_for_long() {
        let pacing = Pacing { interval: ms(0), window: 4, alone: 3, limit: ms(1000), count: 8 };
        let mut flow = Flow::new(pacing, Delivery::InOrder);
        for number in 0..3 {
            assert_eq!(flow.next(ms(number)), Next::Now);
            flow.sent(number, ms(number));
            assert_eq!(flow.next(ms(number)), Next::Full);
            flow.answered(number, None, |_| ());
        }
        for number in 3..7 {
            assert_eq!(flow.next(ms(9)), Next::Now);
            flow.sent(number, ms(9));
        }
        assert_eq!((flow.next(ms(9)), flow.alone()), (Next::Full, 3));
        let mut slow = Flow::new(Pacing { alone: 8, ..pacing }, Delivery::InOrder);
        slow.sent(0, ms(0));
        assert_eq!((slow.next(ms(1999)), slow.alone_ends()), (Next::Full, Some(ms(100))));
        slow.end_alone(ms(1000));
        assert_eq!(
            (slow.next(ms(1999)), slow.alone()),
            (Next::Full, 1),
            "enough, but not yet answered"
        );
        slow.end_alone(ms(2000));
        assert_eq!((slow.next(ms(2000)), slow.alone()), (Next::Now, 1), "answered or not");
        assert_eq!(slow.alone_ends(), None);
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
