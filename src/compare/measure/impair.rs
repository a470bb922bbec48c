//! What the built-in peer does to its UDP replies: loss, duplication, reordering, delay, jitter.
//!
//! For every reply the same count of random numbers is drawn from a seeded generator, whichever
//! impairments are asked for. So the same seed loses and duplicates the same messages in every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::compare::measure::account::At;

/// The impairments asked for. The shares are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// The share of replies that are not sent.
    pub loss: f64,
    /// The share of replies that are sent twice.
    pub duplicate: f64,
    /// The share of replies that are held back until the next one has been sent.
    pub reorder: f64,
    /// How long each reply is delayed.
    pub delay: Duration,
    /// By how much the delay of each reply may be longer or shorter.
    pub jitter: Duration,
    /// The seed of the generator.
    pub seed: u64,
}

/// A reply that is held back is sent after this and two intervals at the latest, in case no other one
/// follows.
const HOLD: Duration = Duration::from_millis(5);

/// A reply and when it is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting<T> {
    due: At,
    /// Keeps replies that are due at the same time in order.
    place: u64,
    reply: T,
}

/// A queue of replies that loses, duplicates, delays and reorders them.
#[derive(Debug)]
pub struct Impairer<T> {
    what: Impairment,
    random: fastrand::Rng,
    hold: Duration,
    waiting: BinaryHeap<Reverse<Waiting<T>>>,
    /// A reply that is held back until the next one has been sent, or until this time.
    held: Option<(At, T)>,
    place: u64,
}

impl<T: Ord + Clone> Impairer<T> {
    /// An impairer for messages that are sent `interval` apart.
    #[must_use]
    pub fn new(what: Impairment, interval: Duration) -> Self {
        Self {
            what,
            random: fastrand::Rng::with_seed(what.seed),
            hold: HOLD + interval * 2,
            waiting: BinaryHeap::new(),
            held: None,
            place: 0,
        }
    }

    /// Adds the next reply.
    pub fn take(&mut self, reply: T, now: At) {
        let Impairment { loss, duplicate, reorder, delay, jitter, .. } = self.what;
        let mut chance = |share: f64| self.random.f64() < share;
        let (is_lost, is_twice, is_held) = (chance(loss), chance(duplicate), chance(reorder));
        let shift = jitter.mul_f64(2.0 * self.random.f64());
        if is_lost {
            return;
        }
        let due = now + (delay + shift).saturating_sub(jitter);
        if is_held && self.held.is_none() {
            self.held = Some((due + self.hold, reply.clone()));
            if is_twice {
                self.push(due + self.hold, reply);
            }
            return;
        }
        if is_twice {
            self.push(due, reply.clone());
        }
        self.push(due, reply);
        if let Some((_, held)) = self.held.take() {
            self.push(due, held);
        }
    }

    fn push(&mut self, due: At, reply: T) {
        self.place += 1;
        self.waiting.push(Reverse(Waiting { due, place: self.place, reply }));
    }

    /// Takes out the next reply that is due.
    pub fn next(&mut self, now: At) -> Option<T> {
        if let Some((_, held)) = self.held.take_if(|(until, _)| *until <= now) {
            return Some(held);
        }
        let is_due = self.waiting.peek().is_some_and(|Reverse(first)| first.due <= now);
        if is_due { self.waiting.pop().map(|Reverse(first)| first.reply) } else { None }
    }

    /// When the next reply is due; `None` when there is none.
    #[must_use]
    pub fn next_due(&self) -> Option<At> {
        let first = self.waiting.peek().map(|Reverse(first)| first.due);
        let held = self.held.as_ref().map(|(until, _)| *until);
        first.into_iter().chain(held).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Impairment = Impairment {
        loss: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        seed: 1,
    };

    fn ms(n: u64) -> At {
        Duration::from_millis(n)
    }

    /// What comes out of replies 0.. that go in one millisecond after the other.
    fn through(what: Impairment, count: u64) -> Vec<u64> {
        let mut impairer = Impairer::new(what, Duration::ZERO);
        let mut out = Vec::new();
        for n in 0..count + 1000 {
            if n < count {
                impairer.take(n, ms(n));
            }
            while let Some(reply) = impairer.next(ms(n)) {
                out.push(reply);
            }
        }
        assert_eq!(impairer.next_due(), None);
        out
    }

    #[test]
    fn nothing_asked_for_is_nothing_done() {
        assert_eq!(through(NOTHING, 50), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn shares_are_kept_and_a_seed_always_does_the_same() {
        let what = Impairment { loss: 0.1, duplicate: 0.05, reorder: 0.02, seed: 7, ..NOTHING };
        let out = through(what, 10_000);
        assert_eq!(out, through(what, 10_000));
        assert_ne!(out, through(Impairment { seed: 8, ..what }, 10_000));
        let distinct: std::collections::BTreeSet<_> = out.iter().collect();
        assert!((8800..9200).contains(&distinct.len()), "{}", distinct.len());
        assert!((300..600).contains(&(out.len() - distinct.len())));
        // The same messages are lost when nothing else is asked for.
        let only_loss = through(Impairment { duplicate: 0.0, reorder: 0.0, ..what }, 10_000);
        assert!(only_loss.iter().eq(distinct));
    }

    #[test]
    fn a_held_reply_leaves_after_the_next_one_or_after_a_while() {
        let mut impairer = Impairer::new(Impairment { reorder: 1.0, ..NOTHING }, ms(1));
        impairer.take('a', ms(0));
        assert_eq!((impairer.next(ms(0)), impairer.next_due()), (None, Some(ms(7))));
        impairer.take('b', ms(1));
        assert_eq!((impairer.next(ms(1)), impairer.next(ms(1))), (Some('b'), Some('a')));
        impairer.take('c', ms(2));
        assert_eq!((impairer.next(ms(8)), impairer.next(ms(9))), (None, Some('c')));
    }

    #[test]
    fn delay_is_kept_and_jitter_stays_around_it() {
        let what = Impairment { delay: ms(20), jitter: ms(5), ..NOTHING };
        let mut impairer = Impairer::new(what, Duration::ZERO);
        for n in 0..1000 {
            impairer.take(n, ms(0));
        }
        assert!(impairer.next_due().unwrap() >= ms(15));
        assert_eq!(impairer.next(ms(15) - Duration::from_nanos(1)), None);
        let half = std::iter::from_fn(|| impairer.next(ms(20))).count();
        assert!((400..600).contains(&half), "{half}");
        assert_eq!(std::iter::from_fn(|| impairer.next(ms(25))).count(), 1000 - half);
    }
}
