//! Messages of a byte stream that have arrived and wait, because one before them is missing.
//!
//! TCP hands bytes out in order (RFC 9293, 3.4). This follows the segments that arrive at one end
//! as its system does: what comes behind a gap waits until the gap is filled.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::packet::{Segment, Way};

/// Out-of-order segments that are followed. More do not wait in a window of the usual size.
const MOST: usize = 4096;

/// One direction of one connection.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    /// The number of the first byte of the stream, once its SYN has passed.
    first: Option<u32>,
    /// How far the stream is complete, in bytes from its beginning.
    complete: u64,
    /// What arrived behind a gap: where it begins, where it ends, and since when it waits.
    waiting: BTreeMap<u64, (u64, Instant)>,
}

/// Bytes that have waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waited {
    /// The first of them, and the first behind them, from the beginning of the stream.
    pub from: u64,
    pub to: u64,
    /// For how long.
    pub length: Duration,
}

impl Gaps {
    /// A segment arrives; what need not wait any more because of that.
    pub(crate) fn arrived(&mut self, segment: Segment, now: Instant) -> Vec<Waited> {
        if segment.is_syn {
            // The SYN has a number of its own.
            self.first.get_or_insert(segment.number.wrapping_add(1));
            return Vec::new();
        }
        let Some(first) = self.first.filter(|_| segment.length > 0) else { return Vec::new() };
        // Numbers have 32 bits: the place is the one that is nearest to what is complete.
        let near = first.wrapping_add(self.complete as u32);
        let ahead = segment.number.wrapping_sub(near).cast_signed();
        let Some(from) = self.complete.checked_add_signed(ahead.into()) else { return Vec::new() };
        let to = from + u64::from(segment.length);
        if from > self.complete {
            if self.waiting.len() < MOST {
                let waits = self.waiting.entry(from).or_insert((to, now));
                waits.0 = waits.0.max(to);
            }
            return Vec::new();
        }
        self.complete = self.complete.max(to);
        let mut released = Vec::new();
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.complete
        {
            let from = *entry.key();
            let (to, since) = entry.remove();
            if to > self.complete {
                released.push(Waited { from: from.max(self.complete), to, length: now - since });
                self.complete = to;
            } else if to > from {
                released.push(Waited { from, to, length: now - since });
            }
        }
        released
    }
}

/// How long messages have waited, by where they are in the stream.
#[derive(Debug)]
pub(crate) struct HeldUp {
    gaps: [Gaps; 2],
    /// Where the messages end that were sent and whose wait is not settled, and how long each has
    /// waited so far. The first is message `first`.
    messages: VecDeque<(u64, Duration)>,
    first: u64,
    sent: u64,
}

impl HeldUp {
    /// Nothing was sent.
    #[must_use]
    pub(crate) fn new() -> Self {
        Self {
            gaps: [Gaps::default(), Gaps::default()],
            messages: VecDeque::new(),
            first: 0,
            sent: 0,
        }
    }

    /// The next message leaves.
    pub(crate) fn sent(&mut self, length: usize) {
        self.sent += length as u64;
        self.messages.push_back((self.sent, Duration::ZERO));
    }

    /// A segment arrives at the peer, or with its echo at the client.
    pub(crate) fn arrived(&mut self, way: Way, segment: Segment, now: Instant) {
        for waited in self.gaps[way as usize].arrived(segment, now) {
            // A message is there when its last byte is.
            let begin = self.messages.partition_point(|(end, _)| *end <= waited.from);
            for (end, so_far) in self.messages.iter_mut().skip(begin) {
                if *end > waited.to {
                    break;
                }
                *so_far += waited.length;
            }
        }
    }

    /// The next message was answered; how long it has waited in all.
    pub(crate) fn answered(&mut self) -> Option<Duration> {
        self.first += 1;
        let (_, waited) = self.messages.pop_front()?;
        (!waited.is_zero()).then_some(waited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(number: u32, length: u32) -> Segment {
        Segment { number, length, is_syn: false }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn what_is_behind_a_gap_waits_until_it_is_filled() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        // Near the end of the numbers, so that they begin again.
        let isn = u32::MAX - 14;
        gaps.arrived(Segment { number: isn, length: 0, is_syn: true }, start);
        let at = |n: u32| isn.wrapping_add(1).wrapping_add(n);
        assert_eq!(gaps.arrived(data(at(0), 10), start), []);
        assert_eq!(gaps.arrived(data(at(20), 10), start + ms(1)), []);
        assert_eq!(gaps.arrived(data(at(30), 10), start + ms(2)), []);
        // Once more the same is no news.
        assert_eq!(gaps.arrived(data(at(20), 10), start + ms(3)), []);
        let released = gaps.arrived(data(at(10), 10), start + ms(41));
        let want = [
            Waited { from: 20, to: 30, length: ms(40) },
            Waited { from: 30, to: 40, length: ms(39) },
        ];
        assert_eq!(released, want);
        assert_eq!((gaps.complete, gaps.waiting.len()), (40, 0));
        assert_eq!(gaps.arrived(data(at(0), 10), start + ms(50)), [], "an old one");
    }

    #[test]
    fn a_message_has_waited_as_long_as_its_last_byte_both_ways() {
        let start = Instant::now();
        let mut held = HeldUp::new();
        for way in [Way::Out, Way::Back] {
            held.arrived(way, Segment { number: 99, length: 0, is_syn: true }, start);
        }
        (0..4).for_each(|_| held.sent(10));
        held.arrived(Way::Out, data(100, 10), start);
        held.arrived(Way::Out, data(120, 20), start);
        held.arrived(Way::Out, data(110, 10), start + ms(30));
        // The echo in other pieces: half of the third message comes before the first.
        held.arrived(Way::Back, data(110, 15), start + ms(40));
        held.arrived(Way::Back, data(100, 10), start + ms(45));
        held.arrived(Way::Back, data(125, 15), start + ms(46));
        let waited: Vec<_> = (0..4).map(|_| held.answered()).collect();
        // The second waits for the first on the way back, the last two for the second before.
        assert_eq!(waited, [None, Some(ms(5)), Some(ms(30)), Some(ms(30))]);
        assert_eq!(held.answered(), None);
    }

    #[test]
    fn memory_is_bounded() {
        let start = Instant::now();
        let mut gaps = Gaps::default();
        gaps.arrived(Segment { number: 0, length: 0, is_syn: true }, start);
        for n in 0..100_000 {
            gaps.arrived(data(10 + n * 2, 1), start);
        }
        assert_eq!(gaps.waiting.len(), MOST);
    }
}
