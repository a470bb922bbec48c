//! Finds the message that a datagram answers: by the number in it, or by its content and the order.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use crate::compare::measure::account::{Account, At, Condition, MessageState};
use crate::compare::measure::messages::Generator;
use crate::compare::measure::recut::{Answer, Recut, Start};

/// Matches replies to messages by their content.
pub(crate) struct Recogniser {
    by: By,
    recut: Recut,
}

/// What tells messages apart.
enum By {
    /// Generated messages, and so the replies to them, contain a number.
    Numbers(Generator),
    /// The user's own messages, which are compared as a whole.
    Contents(Contents),
}

impl Recogniser {
    /// Knows generated messages by their numbers.
    #[must_use]
    pub(crate) fn numbers(generator: Generator) -> Self {
        Self { by: By::Numbers(generator), recut: Recut::default() }
    }

    /// Knows the last `memory` messages by what is in them.
    #[must_use]
    pub(crate) fn contents(memory: usize) -> Self {
        Self { by: By::Contents(Contents::new(memory)), recut: Recut::default() }
    }

    /// Records that a message was sent.
    pub(crate) fn sent(&mut self, number: u64, message: &[u8]) {
        if let By::Contents(contents) = &mut self.by {
            contents.sent(number, message);
        }
    }

    /// The message that a reply answers, if any, and whether it is the same as that one; several where
    /// the peer has merged them, none where it has split one and the rest is to come.
    pub(crate) fn recognise(&mut self, reply: &[u8], account: &Account) -> Vec<Answer> {
        let whole = self.by.whole(reply, account);
        if let Some((number, condition @ Condition::Intact)) = whole {
            // What is whole is no rest of another one, which is then not to come.
            let given_up = self.recut.give_up().then(|| nobodys(account));
            return given_up.into_iter().chain([(Some(number), condition)]).collect();
        }
        // A single change in a message of the right length is damage, and no cut.
        let is_changed = matches!(whole, Some((_, Condition::Changed)));
        if !is_changed || self.recut.is_pending() {
            let by = &mut self.by;
            let start = |bytes: &_, last, account: &_| by.start(bytes, last, account);
            let found = self.recut.take(reply, account, start);
            if let Some(answers) = found {
                return answers;
            }
        }
        vec![whole.map_or_else(|| nobodys(account), |(number, how)| (Some(number), how))]
    }
}

/// It cannot be known which message a reply belongs to. It is taken for the reply to the oldest
/// unanswered one; the counts are the same whichever it was.
fn nobodys(account: &Account) -> Answer {
    (account.open_messages().next(), Condition::Misshapen)
}

impl By {
    /// The message that this is, if it is one.
    fn whole(&mut self, reply: &[u8], account: &Account) -> Option<(u64, Condition)> {
        match self {
            Self::Numbers(generator) => by_number(generator, reply, account),
            Self::Contents(contents) => {
                contents.recognise(reply, account).map(|number| (number, Condition::Intact))
            }
        }
    }

    /// What these bytes begin with; `last` is the message before them, if that is known.
    fn start(&mut self, bytes: &[u8], last: Option<u64>, account: &Account) -> Start {
        match self {
            Self::Numbers(generator) => generated_start(generator, bytes, last, account),
            Self::Contents(contents) => contents.start(bytes, last, account),
        }
    }
}

fn generated_start(
    generator: &Generator,
    bytes: &[u8],
    last: Option<u64>,
    account: &Account,
) -> Start {
    let first = &bytes[..bytes.len().min(generator.size())];
    let Some((number, time)) = generator.read(first) else {
        // Too short for number and time: the beginning of the next one, or nothing known.
        let next = last.map(|last| last + 1).or_else(|| account.open_messages().next());
        let next = next.map(u64::to_be_bytes);
        let compared = first.len().min(8);
        let is_next = next.is_some_and(|next| next[..compared] == first[..compared]);
        return if is_next { Start::Part } else { Start::Unknown };
    };
    let was_sent = number < account.sent_so_far()
        && account.sent_at(number).is_none_or(|sent_at| sent_at == time);
    if !was_sent || !generator.begins(number, first) {
        return Start::Unknown;
    }
    match first.len() == generator.size() {
        true => Start::Message(number, first.len()),
        false => Start::Part,
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

/// So many open messages are compared with what a datagram begins with, where it is none by itself.
const LOOKED_AT: usize = 64;

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
    /// The newest of those that were answered.
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

    /// Which of the open messages after `last` these bytes begin with.
    fn start(&mut self, bytes: &[u8], last: Option<u64>, account: &Account) -> Start {
        let mut next = None;
        let open = account.open_messages().filter(|number| last.is_none_or(|last| *number > last));
        for number in open.take(LOOKED_AT) {
            let Some(length) = account.length(number).filter(|length| *length > 0) else {
                continue;
            };
            next.get_or_insert(length);
            let place =
                number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
            let Some(content) = place.and_then(|place| self.recent.get(place)).copied() else {
                continue;
            };
            if length <= bytes.len() && self.hasher.hash_one(&bytes[..length]) == content {
                if let Some(same) = self.known.get_mut(&content) {
                    same.waiting.retain(|waiting| *waiting != number);
                    same.answered = same.answered.max(Some(number));
                }
                return Start::Message(number, length);
            }
        }
        // Nothing tells a part from damage but that it is shorter than what is to come.
        if next.is_some_and(|next| bytes.len() < next) { Start::Part } else { Start::Unknown }
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
        let mut recogniser = Recogniser::contents(memory);
        let mut account = Account::new(at(100), memory);
        for message in messages {
            let number = account.sent(at(0), message.len());
            recogniser.sent(number, message);
        }
        (recogniser, account)
    }

    fn reply((recogniser, account): &mut (Recogniser, Account), bytes: &[u8]) -> Outcome {
        let answers = recogniser.recognise(bytes, account);
        let [(number, condition)] = answers[..] else { panic!("{answers:?}") };
        match number {
            Some(number) => account.reply(number, at(1), condition, Company::Alone),
            None => account.unmatched(condition),
        }
    }

    #[test]
    fn contents_are_matched_in_order_and_again_as_duplicates() {
        let mut run = sent(&[b"a", b"b", b"a", b""], 99);
        for (bytes, number) in [(&b"a"[..], 0), (b"a", 2), (b"", 3), (b"b", 1)] {
            assert_eq!(run.0.recognise(bytes, &run.1), [(Some(number), Condition::Intact)]);
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
        assert_eq!(run.0.recognise(b"x", &run.1), [(Some(1), Condition::Intact)]);
        run.1.reply(1, at(1), Condition::Intact, Company::Alone);
        assert_eq!(run.0.recognise(b"x", &run.1), [(Some(2), Condition::Intact)]);
        run.1.reply(2, at(1), Condition::Intact, Company::Alone);
        assert_eq!(run.0.recognise(b"x", &run.1), [(Some(0), Condition::Intact)]);
    }

    #[test]
    fn only_recent_messages_are_remembered() {
        let mut run = sent(&[b"a", b"b", b"c", b"b"], 2);
        let By::Contents(contents) = &run.0.by else { unreachable!() };
        assert_eq!((contents.known.len(), contents.recent.len()), (2, 2));
        assert_eq!(run.0.recognise(b"b", &run.1), [(Some(3), Condition::Intact)]);
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
        let mut recogniser = Recogniser::numbers(generator);
        let mut known = |reply: &[u8]| recogniser.recognise(reply, &account);
        assert_eq!(known(&messages[2]), [(Some(2), Condition::Intact)]);
        // The filler, the time, the number, the length: one thing changed each time.
        for place in [20, 9, 3, 7] {
            let mut changed = messages[2].clone();
            changed[place] ^= 1;
            assert_eq!(known(&changed), [(Some(2), Condition::Changed)], "byte {place}");
        }
        assert_eq!(known(b"something else"), [(Some(0), Condition::Misshapen)]);
        let longer = [&messages[2][..], b"x"].concat();
        assert_eq!(known(&longer), [(Some(2), Condition::Misshapen)]);
    }

    #[test]
    fn merged_and_split_messages_are_found() {
        let generator = Generator::new(32);
        let mut account = Account::new(at(100), 99);
        let mut stream = Vec::new();
        let mut message = Vec::new();
        for n in 0..6 {
            generator.write(account.sent(at(n), 32), at(n), &mut message);
            stream.extend(&message);
        }
        let whole: Vec<_> = stream.chunks(32).map(<[u8]>::to_vec).collect();
        let recut = |numbers: &[u64]| -> Vec<Answer> {
            numbers.iter().map(|number| (Some(*number), Condition::Recut)).collect()
        };
        let mut recogniser = Recogniser::numbers(generator);
        let mut known = |reply: &[u8]| recogniser.recognise(reply, &account);
        // Two and a half, then the rest and one more.
        assert_eq!(known(&stream[..80]), recut(&[0, 1]));
        assert_eq!(known(&stream[80..128]), recut(&[2, 3]));
        // A part of a number, and never the rest: the oldest one is taken for it.
        assert_eq!(known(&stream[128..160][..20]), []);
        let answers = [(Some(0), Condition::Misshapen), (Some(5), Condition::Intact)];
        assert_eq!(known(&whole[5]), answers);
        // The user's own ones, of different lengths.
        let mut run = sent(&[b"one", b"three", b"", b"five", b"six"], 99);
        assert_eq!(run.0.recognise(b"onethr", &run.1), recut(&[0]));
        run.1.reply(0, at(1), Condition::Recut, Company::Alone);
        assert_eq!(run.0.recognise(b"eefive", &run.1), recut(&[1, 3]));
        for number in [1, 3] {
            run.1.reply(number, at(1), Condition::Recut, Company::Alone);
        }
        assert_eq!(run.0.recognise(b"six", &run.1), [(Some(4), Condition::Intact)]);
        let counts = run.1.counts();
        assert_eq!((counts.recut, counts.corrupted, counts.received), (3, 0, 3));
    }
}
