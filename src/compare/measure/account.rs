//! What became of every message: answered, lost, late, reordered, duplicated, corrupted.
//!
//! It knows the numbers and times of messages, but not their contents. Every message that was sent is
//! in the end counted as exactly one of received, late and lost.

use std::collections::VecDeque;
use std::time::Duration;

use crate::chart::round_trips::RoundTrips;
use crate::chart::timeline::Timeline;

/// A point in time, as the duration since the start of the run.
pub(crate) type At = Duration;

/// Whether a reply is the same as the message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Byte for byte.
    Intact,
    /// It has the right length, but its bytes differ.
    Changed,
    /// It has another length, or cannot be matched to a message.
    Misshapen,
    /// It came whole, but in a datagram with others, or in pieces.
    Recut,
}

/// What has become of a message so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageState {
    /// Sent, and counted against the window.
    InFlight,
    /// Sent, and takes no place in the window any more; a reply would still be in time.
    Overdue,
    /// The reply came in time.
    Answered,
    /// The limit has passed without a reply.
    Lost,
    /// The reply came after the limit.
    Late,
}

impl MessageState {
    /// Whether a reply would be in time.
    #[must_use]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::InFlight | Self::Overdue)
    }
}

/// What a reply turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The first reply to its message and in time, this long after the message was sent.
    Answered(Duration),
    /// The first reply to its message, but after the limit.
    Late,
    /// Another reply to a message that has been answered.
    Duplicate,
    /// A reply to no message that is remembered.
    Unmatched,
}

/// What became of all messages and replies of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Messages sent: the sum of received, late and lost.
    pub sent: u64,
    /// Messages whose reply came in time.
    pub received: u64,
    /// Messages whose reply came, but after the limit.
    pub late: u64,
    /// Messages whose reply has not come.
    pub lost: u64,
    /// Replies that came after the reply to a later message (RFC 4737, Type-P-Reordered).
    pub reordered: u64,
    /// Replies beyond the first to their message.
    pub duplicated: u64,
    /// Replies that were not the same as the message sent.
    pub corrupted: u64,
    /// Replies to nothing that was sent.
    pub unmatched: u64,
    /// Messages whose first reply was one piece of their length.
    pub whole: u64,
    /// Messages whose reply came merged with others or in pieces.
    pub recut: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    sent_at: At,
    state: MessageState,
    /// Bytes.
    length: u32,
}

/// The account of one run over one protocol.
#[derive(Debug)]
pub(crate) struct Account {
    /// How long a reply may take.
    limit: Duration,
    /// The last messages sent, at most `most_slots`.
    slots: VecDeque<Slot>,
    most_slots: usize,
    /// The number of the message in the first slot.
    first: u64,
    /// No message with a lower number is open.
    oldest_open: u64,
    open: u64,
    /// The lowest number with which a reply would be in order (NextExp of RFC 4737).
    next_expected: u64,
    counts: Counts,
    times: Times,
}

/// How long the replies took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    /// Those of intact replies in time, to messages that went alone; to all where none did.
    pub alone: RoundTrips,
    /// Those of all intact replies in time.
    pub all: RoundTrips,
    /// Which message took how long, or was lost.
    pub timeline: Timeline,
}

/// Which round trips a reply belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// No other message was on its way.
    Alone,
    /// Others were.
    Among,
}

impl Account {
    /// An account that remembers at most `most_slots` messages; `limit` is how long a reply may take.
    #[must_use]
    pub(crate) fn new(limit: Duration, most_slots: usize) -> Self {
        Self {
            limit,
            slots: VecDeque::new(),
            most_slots,
            first: 0,
            oldest_open: 0,
            open: 0,
            next_expected: 0,
            counts: Counts::default(),
            times: Times::default(),
        }
    }

    /// How many messages were sent. Numbers begin at 0, so that this is also the number of the next.
    #[must_use]
    pub(crate) fn sent_so_far(&self) -> u64 {
        self.counts.sent
    }

    /// How many messages have no reply yet that would still be in time.
    #[must_use]
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    /// Whether one more message can be remembered without forgetting an open one.
    #[must_use]
    pub(crate) fn has_room(&self) -> bool {
        self.counts.sent - self.oldest_open < self.most_slots as u64
    }

    /// A message has left; its number.
    pub(crate) fn sent(&mut self, at: At, length: usize) -> u64 {
        if self.slots.len() == self.most_slots {
            self.slots.pop_front();
            self.first += 1;
        }
        self.slots.push_back(Slot {
            sent_at: at,
            state: MessageState::InFlight,
            // At most 65,527 in a datagram.
            length: u32::try_from(length).unwrap_or(u32::MAX),
        });
        let number = self.counts.sent;
        self.counts.sent += 1;
        // It counts as lost until a reply comes.
        self.counts.lost += 1;
        self.open += 1;
        self.times.timeline.sent(number);
        number
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(index)
    }

    fn set(&mut self, number: u64, state: MessageState) {
        let index = number.checked_sub(self.first).and_then(|n| usize::try_from(n).ok());
        if let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) {
            self.open -= u64::from(slot.state.is_open() && !state.is_open());
            slot.state = state;
        }
    }

    /// What has become of a message; `None` when it is no longer remembered or was never sent.
    #[must_use]
    pub(crate) fn state(&self, number: u64) -> Option<MessageState> {
        self.slot(number).map(|slot| slot.state)
    }

    /// When a message was sent, if that is remembered.
    #[must_use]
    pub(crate) fn sent_at(&self, number: u64) -> Option<At> {
        self.slot(number).map(|slot| slot.sent_at)
    }

    /// Bytes of a message, if that is remembered.
    #[must_use]
    pub(crate) fn length(&self, number: u64) -> Option<usize> {
        self.slot(number).and_then(|slot| usize::try_from(slot.length).ok())
    }

    /// The open messages, oldest first.
    pub(crate) fn open_messages(&self) -> impl Iterator<Item = u64> {
        (self.oldest_open..self.counts.sent)
            .filter(|number| self.state(*number).is_some_and(MessageState::is_open))
    }

    /// Records that the message takes no place in the window any more.
    pub(crate) fn overdue(&mut self, number: u64) {
        if self.state(number) == Some(MessageState::InFlight) {
            self.set(number, MessageState::Overdue);
        }
    }

    /// Marks the messages as lost whose reply can no longer be in time.
    pub(crate) fn expire(&mut self, now: At) {
        while let Some(slot) = self.slot(self.oldest_open).copied() {
            if slot.state.is_open() {
                if now.saturating_sub(slot.sent_at) <= self.limit {
                    break;
                }
                self.set(self.oldest_open, MessageState::Lost);
            }
            self.oldest_open += 1;
        }
    }

    /// When the next message will count as lost if no reply comes; right only after
    /// [`expire`](Self::expire).
    #[must_use]
    pub(crate) fn next_expiry(&self) -> Option<At> {
        let slot = self.slot(self.oldest_open).filter(|slot| slot.state.is_open())?;
        Some(slot.sent_at + self.limit)
    }

    /// A reply to message `number` has come.
    pub(crate) fn reply(
        &mut self,
        number: u64,
        at: At,
        condition: Condition,
        company: Company,
    ) -> Outcome {
        let Some(Slot { sent_at, state, .. }) = self.slot(number).copied() else {
            return self.unmatched(condition);
        };
        let is_intact = matches!(condition, Condition::Intact | Condition::Recut);
        self.counts.corrupted += u64::from(!is_intact);
        let took = at.saturating_sub(sent_at);
        if !matches!(state, MessageState::Answered | MessageState::Late) {
            self.times.timeline.answered(number, took);
            let is_whole = matches!(condition, Condition::Intact | Condition::Changed);
            self.counts.whole += u64::from(is_whole);
            self.counts.recut += u64::from(condition == Condition::Recut);
        }
        match state {
            MessageState::Answered | MessageState::Late => {
                self.counts.duplicated += 1;
                Outcome::Duplicate
            }
            _ if state == MessageState::Lost || took > self.limit => {
                self.set(number, MessageState::Late);
                self.counts.lost -= 1;
                self.counts.late += 1;
                Outcome::Late
            }
            _ => {
                self.set(number, MessageState::Answered);
                self.counts.lost -= 1;
                self.counts.received += 1;
                if is_intact {
                    self.place_in_order(number);
                    self.times.all.record(took);
                    if company == Company::Alone {
                        self.times.alone.record(took);
                    }
                }
                Outcome::Answered(took)
            }
        }
    }

    /// Records a message without bytes as answered: a byte stream carries nothing of it, so that no reply
    /// can come.
    pub(crate) fn empty_reply(&mut self, number: u64) {
        if self.state(number).is_some_and(MessageState::is_open) {
            self.set(number, MessageState::Answered);
            self.times.timeline.forget(number);
            self.counts.lost -= 1;
            self.counts.received += 1;
        }
    }

    /// Records a reply that belongs to no message.
    pub(crate) fn unmatched(&mut self, condition: Condition) -> Outcome {
        self.counts.corrupted += u64::from(condition != Condition::Intact);
        self.counts.unmatched += 1;
        Outcome::Unmatched
    }

    /// Counts reordering as RFC 4737, section 3, defines it, among the first intact replies that are in
    /// time.
    fn place_in_order(&mut self, number: u64) {
        if number >= self.next_expected {
            self.next_expected = number + 1;
        } else {
            self.counts.reordered += 1;
        }
    }

    /// The counts so far.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The round trips of intact replies that came in time.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn round_trips(&self) -> &RoundTrips {
        &self.times.all
    }

    /// The round trips, and which message took how long, when the run is over.
    #[must_use]
    pub(crate) fn into_times(self) -> Times {
        self.times
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
