//! Keeps the account and the flow of one run in step: both learn of every event here.

use crate::compare::measure::account::{Account, At, Condition, Outcome};
use crate::compare::measure::flow::{Delivery, Flow, Next, Pacing};

/// What was sent, what came back, and what may be sent next.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// What became of every message.
    pub account: Account,
    flow: Flow,
    /// When the last message was sent, and when one was last answered for the first time.
    last_sent: Option<At>,
    last_answer: Option<At>,
    first_sent: Option<At>,
    /// Since when messages have been waiting without any reply; `None` while none waits.
    unanswered_since: Option<At>,
}

impl Ledger {
    /// A ledger that remembers the last `memory` messages.
    #[must_use]
    pub(crate) fn new(pacing: Pacing, delivery: Delivery, memory: usize) -> Self {
        Self {
            account: Account::new(pacing.limit, memory),
            flow: Flow::new(pacing, delivery),
            last_sent: None,
            last_answer: None,
            first_sent: None,
            unanswered_since: None,
        }
    }

    /// What may happen next.
    #[must_use]
    pub(crate) fn next(&self, now: At) -> Next {
        match self.flow.next(now) {
            Next::Now if !self.account.has_room() => Next::Full,
            next => next,
        }
    }

    /// Records that a message was sent; returns its number.
    pub(crate) fn sent(&mut self, at: At) -> u64 {
        let number = self.account.sent(at);
        self.flow.sent(number, at);
        self.first_sent.get_or_insert(at);
        self.last_sent = Some(at);
        self.unanswered_since.get_or_insert(at);
        number
    }

    /// Records a reply, to message `number` or to none that is known.
    pub(crate) fn reply(&mut self, number: Option<u64>, at: At, condition: Condition) {
        let Some(number) = number else {
            self.account.unmatched(condition);
            return;
        };
        let outcome = self.account.reply(number, at, condition);
        let took = match outcome {
            Outcome::Answered(took) => Some(took),
            Outcome::Late => None,
            Outcome::Duplicate | Outcome::Unmatched => return,
        };
        self.last_answer = Some(at);
        self.unanswered_since = (self.account.open() > 0).then_some(at);
        let account = &mut self.account;
        self.flow.answered(number, took, |number| account.overdue(number));
    }

    /// Records a message without bytes as answered, when all before it have been: a byte stream carries
    /// nothing of it.
    pub(crate) fn empty_reply(&mut self, number: u64) {
        self.account.empty_reply(number);
        self.flow.answered(number, None, |_| ());
    }

    /// Applies all limits that have passed by `now`.
    pub(crate) fn tick(&mut self, now: At) {
        self.account.expire(now);
        let account = &mut self.account;
        self.flow.lose_patience(now, |number| account.overdue(number));
    }

    /// When [`next`](Self::next) or the account changes next if no reply comes.
    #[must_use]
    pub(crate) fn next_change(&self, now: At) -> Option<At> {
        let due = match self.flow.next(now) {
            Next::At(due) => Some(due),
            Next::Now | Next::Full | Next::Done => None,
        };
        // A reply at exactly the limit is still in time.
        let expiry = self.account.next_expiry().map(|at| at + At::from_nanos(1));
        [due, expiry, self.flow.patience_ends()].into_iter().flatten().min()
    }

    /// How long a reply usually takes at most. A duplicate that is to be counted is waited for that long.
    #[must_use]
    pub(crate) fn patience(&self) -> At {
        self.flow.patience()
    }

    /// When a message was last sent or answered.
    #[must_use]
    pub(crate) fn last_event(&self) -> Option<At> {
        self.last_sent.max(self.last_answer)
    }

    /// Since when messages have been waiting without any reply; `None` while none waits.
    #[must_use]
    pub(crate) fn unanswered_since(&self) -> Option<At> {
        self.unanswered_since
    }

    /// From sending the first message to the last reply that answered one.
    #[must_use]
    pub(crate) fn duration(&self) -> At {
        match (self.first_sent, self.last_answer) {
            (Some(first), Some(last)) => last.saturating_sub(first),
            _ => At::ZERO,
        }
    }
}
