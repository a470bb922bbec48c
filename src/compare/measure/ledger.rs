//! Keeps the account and the flow of one run in step: both learn of every event here.

use std::time::Duration;

use crate::compare::measure::account::{Account, At, Company, Condition, Outcome};
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
    burst: Burst,
}

/// The messages that went as the window allows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Burst {
    first_sent: Option<At>,
    last_answer: Option<At>,
    answered: u64,
    bytes: u64,
}

/// How much was answered in how long, each message once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Throughput {
    /// Messages answered.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the first of them to the last answer.
    pub duration: Duration,
}

impl Throughput {
    /// So many of something in that time, a second.
    #[must_use]
    pub(crate) fn per_second(&self, of: u64) -> f64 {
        of as f64 / self.duration.as_secs_f64()
    }
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
            burst: Burst::default(),
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

    /// A message has left; its number.
    pub(crate) fn sent(&mut self, at: At, length: usize) -> u64 {
        let number = self.account.sent(at, length);
        if self.company(number) == Company::Among || self.flow.alone() == 0 {
            self.burst.first_sent.get_or_insert(at);
        }
        self.flow.sent(number, at);
        self.first_sent.get_or_insert(at);
        self.last_sent = Some(at);
        self.unanswered_since.get_or_insert(at);
        number
    }

    /// Whether a message goes alone, or counts as if it did as none does.
    fn company(&self, number: u64) -> Company {
        let alone = self.flow.alone();
        if alone == 0 || number < alone { Company::Alone } else { Company::Among }
    }

    /// A reply has come, to a known message or to none.
    pub(crate) fn reply(&mut self, number: Option<u64>, at: At, condition: Condition) {
        let Some(number) = number else {
            self.account.unmatched(condition);
            return;
        };
        let company = self.company(number);
        let outcome = self.account.reply(number, at, condition, company);
        let took = match outcome {
            Outcome::Answered(took) => Some(took),
            Outcome::Late => None,
            Outcome::Duplicate | Outcome::Unmatched => return,
        };
        self.last_answer = Some(at);
        if number >= self.flow.alone() {
            self.burst.last_answer = Some(at);
            self.burst.answered += 1;
            self.burst.bytes += self.account.length(number).unwrap_or(0) as u64;
        }
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
        self.flow.end_alone(now);
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
        [due, expiry, self.flow.patience_ends(), self.flow.alone_ends()].into_iter().flatten().min()
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

    /// How much was answered in how long when as many messages were on their way as the window
    /// allows; `None` when nothing was.
    #[must_use]
    pub(crate) fn throughput(&self) -> Option<Throughput> {
        let Burst { first_sent, last_answer, answered, bytes } = self.burst;
        let duration = last_answer?.saturating_sub(first_sent?);
        (!duration.is_zero()).then_some(Throughput { messages: answered, bytes, duration })
    }

    /// How many messages went alone.
    #[must_use]
    pub(crate) fn alone(&self) -> u64 {
        self.flow.alone().min(self.account.sent_so_far())
    }

    /// From the first message to the last answer.
    #[must_use]
    pub(crate) fn duration(&self) -> At {
        match (self.first_sent, self.last_answer) {
            (Some(first), Some(last)) => last.saturating_sub(first),
            _ => At::ZERO,
        }
    }
}
