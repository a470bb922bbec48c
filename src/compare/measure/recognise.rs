//! Finds the message that a datagram answers: by the number in it, or by its content and the order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::compare::measure::account::{Account, At, Condition, MessageState};
use crate::compare::measure::messages::Generator;

/// Matches replies to messages by their content.
pub(crate) enum Recogniser {
    /// Generated messages, and so the replies to them, contain a number.
    Numbers(Generator),
    /// The user's own messages, which are compared as a whole.
    Contents(Contents),
}

impl Recogniser {
    /// Records that a message was sent.
    pub(crate) fn sent(&mut self, number: u64, message: &[u8]) {
        if let Self::Contents(contents) = self {
            contents.sent(number, message);
        }
    }

    /// The message that a reply answers, if any, and whether it is the same as that one.
    pub(crate) fn recognise(
        &mut self,
        reply: &[u8],
        account: &Account,
    ) -> (Option<u64>, Condition) {
        let known = match self {
            Self::Numbers(generator) => by_number(generator, reply, account),
            Self::Contents(contents) => {
                contents.recognise(reply, account).map(|number| (number, Condition::Intact))
            }
        };
        match known {
            Some((number, condition)) => (Some(number), condition),
            // It cannot be known which message this reply belongs to. It is taken for the reply to the
            // oldest unanswered one; the counts are the same whichever it was.
            None => (account.open_messages().next(), Condition::Misshapen),
        }
    }
}

fn by_number(generator: &Generator, reply: &[u8], account: &Account) -> Option<(u64, Condition)> {
    let (number, time) = generator.read(reply)?;
    let (alike, of) = generator.likeness(number, reply);
    let sent_at = account.sent_at(number);
    let was_sent = number < account.sent_so_far() && sent_at.is_none_or(|sent_at| sent_at == time);
    let changed = if reply.len() == generator.size() {
        if was_sent && alike == of {
            return Some((number, Condition::Intact));
        }
        Condition::Changed
    } else {
        Condition::Misshapen
    };
    // Some bytes have changed. The number is trusted if the time, or most of the rest, confirms it.
    if sent_at.is_some() && (sent_at == Some(time) || alike * 2 > of) {
        return Some((number, changed));
    }
    let same_time = |number: &u64| account.sent_at(*number).is_some_and(|at: At| at == time);
    account.open_messages().find(same_time).map(|number| (number, changed))
}

/// The contents of the last messages, each as a hash.
pub(crate) struct Contents {
    /// A keyed 64-bit hash, which a peer cannot predict. The chance that any two of a million different
    /// messages have the same one is 1 in 37 million.
    hasher: RandomState,
    /// For each content, the messages that have it and were not answered, oldest first; and
    /// the newest of those that were.
    known: HashMap<u64, SameContent>,
    /// The contents in the order of the messages, the first of them message `first`'s.
    recent: VecDeque<u64>,
    first: u64,
    /// The most messages that are remembered.
    memory: usize,
}

/// The numbers of the messages that have one content.
#[derive(Debug, Default)]
struct SameContent {
    waiting: VecDeque<u64>,
    /// The newest of those that were.
    answered: Option<u64>,
}

impl Contents {
    /// Remembers the last `memory` messages.
    #[must_use]
    pub(crate) fn new(memory: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            known: HashMap::new(),
            recent: VecDeque::new(),
            first: 0,
            memory,
        }
    }

    fn sent(&mut self, number: u64, message: &[u8]) {
        if self.recent.len() == self.memory {
            self.forget_oldest();
        }
        let content = self.hasher.hash_one(message);
        self.recent.push_back(content);
        self.known.entry(content).or_default().waiting.push_back(number);
    }

    fn forget_oldest(&mut self) {
        let Some(content) = self.recent.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        if let Entry::Occupied(mut entry) = self.known.entry(content) {
            let known = entry.get_mut();
            if known.waiting.front() == Some(&number) {
                known.waiting.pop_front();
            }
            if known.waiting.is_empty() && known.answered.is_none_or(|newest| newest <= number) {
                entry.remove();
            }
        }
    }

    /// The message that a reply answers. Of several with the same content it is the oldest that the window
    /// waits for, or else the oldest whose reply would still be in time, or else the oldest without a
    /// reply. If all have been answered it is a duplicate, of the newest.
    fn recognise(&mut self, reply: &[u8], account: &Account) -> Option<u64> {
        let known = self.known.get_mut(&self.hasher.hash_one(reply))?;
        let find = |wanted: fn(MessageState) -> bool| {
            known.waiting.iter().position(|number| account.state(*number).is_some_and(wanted))
        };
        let place =
            find(|state| state == MessageState::InFlight).or_else(|| find(MessageState::is_open));
        let number = match place {
            Some(place) => known.waiting.remove(place),
            None => known.waiting.pop_front(),
        };
        if let Some(number) = number {
            known.answered = known.answered.max(Some(number));
            return Some(number);
        }
        known.answered
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::compare::measure::account::{Company, Outcome};

    fn at(n: u64) -> At {
        Duration::from_millis(n)
    }

    /// A recogniser and an account, with these messages sent.
    fn sent(messages: &[&[u8]], memory: usize) -> (Recogniser, Account) {
        let mut recogniser = Recogniser::Contents(Contents::new(memory));
        let mut account = Account::new(at(100), memory);
        for message in messages {
            let number = account.sent(at(0), message.len());
            recogniser.sent(number, message);
        }
        (recogniser, account)
    }

    fn reply((recogniser, account): &mut (Recogniser, Account), bytes: &[u8]) -> Outcome {
        let (number, condition) = recogniser.recognise(bytes, account);
        match number {
            Some(number) => account.reply(number, at(1), condition, Company::Alone),
            None => account.unmatched(condition),
        }
    }

    #[test]
    fn contents_are_matched_in_order_and_again_as_duplicates() {
        let mut run = sent(&[b"a", b"b", b"a", b""], 99);
        for (bytes, number) in [(&b"a"[..], 0), (b"a", 2), (b"", 3), (b"b", 1)] {
            assert_eq!(run.0.recognise(bytes, &run.1), (Some(number), Condition::Intact));
            run.1.reply(number, at(1), Condition::Intact, Company::Alone);
        }
        assert_eq!(reply(&mut run, b"a"), Outcome::Duplicate);
        assert_eq!(reply(&mut run, b"never sent"), Outcome::Unmatched);
        let counts = run.1.counts();
        assert_eq!((counts.received, counts.reordered), (4, 1));
        assert_eq!((counts.duplicated, counts.corrupted, counts.unmatched), (1, 1, 1));
    }

    #[test]
    fn a_changed_reply_answers_the_oldest_open_message() {
        let mut run = sent(&[b"first", b"second"], 99);
        assert_eq!(reply(&mut run, b"f1rst"), Outcome::Answered(at(1)));
        assert_eq!(reply(&mut run, b"second"), Outcome::Answered(at(1)));
        let counts = run.1.counts();
        assert_eq!((counts.received, counts.lost, counts.corrupted), (2, 0, 1));
    }

    #[test]
    fn among_equal_messages_those_still_waited_for_come_first() {
        let mut run = sent(&[b"x", b"x", b"x"], 99);
        run.1.overdue(0);
        assert_eq!(run.0.recognise(b"x", &run.1).0, Some(1));
        run.1.reply(1, at(1), Condition::Intact, Company::Alone);
        assert_eq!(run.0.recognise(b"x", &run.1).0, Some(2));
        run.1.reply(2, at(1), Condition::Intact, Company::Alone);
        assert_eq!(run.0.recognise(b"x", &run.1).0, Some(0));
    }

    #[test]
    fn only_recent_messages_are_remembered() {
        let mut run = sent(&[b"a", b"b", b"c", b"b"], 2);
        let Recogniser::Contents(contents) = &run.0 else { unreachable!() };
        assert_eq!((contents.known.len(), contents.recent.len()), (2, 2));
        assert_eq!(run.0.recognise(b"b", &run.1).0, Some(3));
        assert_eq!(reply(&mut run, b"a"), Outcome::Answered(at(1)), "a guess");
    }

    #[test]
    fn numbers_hold_when_something_else_confirms_them() {
        let generator = Generator::new(32);
        let mut account = Account::new(at(100), 99);
        let mut messages = Vec::new();
        for n in 0..4 {
            let mut message = Vec::new();
            generator.write(account.sent(at(n), 32), at(n), &mut message);
            messages.push(message);
        }
        let mut recogniser = Recogniser::Numbers(generator);
        let mut known = |reply: &[u8]| recogniser.recognise(reply, &account);
        assert_eq!(known(&messages[2]), (Some(2), Condition::Intact));
        // The filler, the time, the number, the length: one thing changed each time.
        for place in [20, 9, 3, 7] {
            let mut changed = messages[2].clone();
            changed[place] ^= 1;
            assert_eq!(known(&changed), (Some(2), Condition::Changed), "byte {place}");
        }
        assert_eq!(known(&messages[2][..30]), (Some(2), Condition::Misshapen));
        assert_eq!(known(&messages[2..4].concat()), (Some(2), Condition::Misshapen));
        assert_eq!(known(b"something else"), (Some(0), Condition::Misshapen));
    }
}
