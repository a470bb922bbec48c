//! One direction of messages through the damage: datagrams, or packets.
//!
//! Every message draws the same numbers from one seeded generator, whatever is asked for, so that
//! the same seed loses and doubles the same messages each time. Loss comes first, then the
//! bottleneck, then the delay, as on a way whose slowest link is at its beginning. Nothing
//! overtakes anything unless reordering is asked for: jitter moves messages closer together or
//! further apart, no more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::bottleneck::Bottleneck;
use super::spec::Spec;

/// A message that was held back to be overtaken leaves after this in any case.
pub const HOLD: Duration = Duration::from_millis(50);

/// Bytes that may be on their way at once, without and with what each message costs. More are
/// dropped, as a queue does that is full.
const ROOM: usize = 16 << 20;
const COST: usize = 128;

/// What can be damaged.
pub trait Message: Clone {
    /// Its length in bytes, as the rate counts it.
    fn length(&self) -> usize;

    /// Changes one bit, chosen by a random number; `false` when there is none to change.
    fn corrupt(&mut self, draw: u64) -> bool;
}

impl Message for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn corrupt(&mut self, draw: u64) -> bool {
        // The remainder is below the number of bits.
        let bits = self.len() as u64 * 8;
        let Some(bit) = draw.checked_rem(bits) else { return false };
        self[(bit / 8) as usize] ^= 1 << (bit % 8);
        true
    }
}

/// What became of the messages. `offered + duplicated` is always `lost + dropped + passed` and
/// what is still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Messages that came.
    pub offered: u64,
    /// Messages, and second copies, that were handed on.
    pub passed: u64,
    /// Messages that were lost on purpose.
    pub lost: u64,
    /// Second copies that were made.
    pub duplicated: u64,
    /// Messages that the next one has overtaken.
    pub reordered: u64,
    /// Messages with one bit changed.
    pub corrupted: u64,
    /// Messages, and second copies, that a full queue dropped.
    pub dropped: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            offered: self.offered + other.offered,
            passed: self.passed + other.passed,
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            corrupted: self.corrupted + other.corrupted,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// How often a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copies {
    One,
    Two,
}

/// A message that the next one is to overtake.
#[derive(Debug)]
struct Held<T> {
    /// It leaves then even if no other has come.
    until: Instant,
    message: T,
    copies: Copies,
    shift: f64,
}

/// One direction. Messages go in by [`push`](Self::push) and come out by
/// [`pop_due`](Self::pop_due), never before their time.
#[derive(Debug)]
pub struct Line<T> {
    spec: Spec,
    random: fastrand::Rng,
    hold: Duration,
    bottleneck: Option<Bottleneck>,
    /// In the order in which they leave, which is that of their times.
    on_their_way: VecDeque<(Instant, T)>,
    /// What they cost together.
    bytes: usize,
    held: Option<Held<T>>,
    tally: Tally,
}

impl<T: Message> Line<T> {
    /// A line with nothing on it. `lane` tells the directions and the clients of one run apart, so
    /// that each has its own draws; `hold` is how long a message waits at most to be overtaken
    /// ([`HOLD`] where nothing is known about the traffic).
    #[must_use]
    pub fn new(spec: &Spec, lane: u64, hold: Duration) -> Self {
        Self {
            spec: *spec,
            random: spec.random(lane),
            hold,
            bottleneck: spec.rate.map(|rate| Bottleneck::new(rate, spec.queue)),
            on_their_way: VecDeque::new(),
            bytes: 0,
            held: None,
            tally: Tally::default(),
        }
    }

    /// Takes the next message. It is never refused: what finds no room is dropped and counted.
    pub fn push(&mut self, mut message: T, now: Instant) {
        self.release_held(now);
        self.tally.offered += 1;
        let mut hit = |share: Option<f64>| self.random.f64() < share.unwrap_or(0.0);
        let (is_lost, is_doubled) = (hit(self.spec.loss), hit(self.spec.duplicate));
        let (is_held, is_changed) = (hit(self.spec.reorder), hit(self.spec.corrupt));
        let (shift, bit) = (self.random.f64(), self.random.u64(..));
        if is_lost {
            self.tally.lost += 1;
            return;
        }
        if is_changed {
            self.tally.corrupted += u64::from(message.corrupt(bit));
        }
        let copies = if is_doubled { Copies::Two } else { Copies::One };
        if is_held && self.held.is_none() {
            self.held = Some(Held { until: now + self.hold, message, copies, shift });
            return;
        }
        self.send(message, copies, shift, now);
        if let Some(held) = self.held.take() {
            self.tally.reordered += 1;
            self.send(held.message, held.copies, held.shift, now);
        }
    }

    /// Lets the held message go when nothing has overtaken it for too long.
    fn release_held(&mut self, now: Instant) {
        if let Some(held) = self.held.take_if(|held| held.until <= now) {
            self.send(held.message, held.copies, held.shift, held.until);
        }
    }

    fn send(&mut self, message: T, copies: Copies, shift: f64, at: Instant) {
        if copies == Copies::Two {
            self.tally.duplicated += 1;
            self.enqueue(message.clone(), shift, at);
        }
        self.enqueue(message, shift, at);
    }

    fn enqueue(&mut self, message: T, shift: f64, at: Instant) {
        let length = message.length();
        let cost = length + COST;
        let left = match &mut self.bottleneck {
            _ if self.bytes + cost > ROOM => None,
            Some(bottleneck) => bottleneck.admit(length, at),
            None => Some(at),
        };
        let Some(left) = left else {
            self.tally.dropped += 1;
            return;
        };
        let due = left + self.spec.delayed(shift);
        let last = self.on_their_way.back().map_or(due, |(last, _)| *last);
        self.bytes += cost;
        self.on_their_way.push_back((due.max(last), message));
    }

    /// The next message whose time has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        self.release_held(now);
        if self.on_their_way.front().is_none_or(|(due, _)| *due > now) {
            return None;
        }
        let (_, message) = self.on_their_way.pop_front()?;
        self.bytes -= message.length() + COST;
        self.tally.passed += 1;
        Some(message)
    }

    /// When something may leave next; `None` while nothing is on its way.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.on_their_way.front().map(|(due, _)| *due);
        first.into_iter().chain(self.held.as_ref().map(|held| held.until)).min()
    }

    /// How many messages are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.on_their_way.len() + usize::from(self.held.is_some())
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.on_their_way.is_empty() && self.held.is_none()
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
