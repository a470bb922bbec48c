//! One direction of a byte stream through the damage.
//!
//! Bytes come out in order, each after its time on the way: the delay with its jitter, and what
//! the rate makes them wait. What is on the way is bounded, so that a sender who is faster meets
//! backpressure and not memory. The end of the stream travels like its bytes.

use std::collections::VecDeque;
use std::time::Instant;

use super::bottleneck::Bottleneck;
use super::spec::Spec;

/// Bytes that may be on their way at once, and fewer where the rate cannot fill them.
const MOST: usize = 4 << 20;

/// Bytes that may wait for the rate, apart from those on their way.
const QUEUE: usize = 64 << 10;

/// What each piece costs beside its bytes, so that many small ones are bounded too.
const COST: usize = 32;

/// The most bytes that are handed on at once.
const WRITE: usize = 64 << 10;

/// The most bytes, and the fewest at a low rate, that travel as one piece.
const PIECE: std::ops::RangeInclusive<usize> = 16..=16 << 10;

/// A piece of the stream is what the rate lets through in this part of a second.
const PIECES_A_SECOND: u64 = 200;

/// What was done to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamTally {
    /// Bytes handed on.
    pub passed: u64,
    /// Writes that were cut short by `slice`.
    pub sliced: u64,
    /// Connections reset by `reset`: one at most, until tallies are added up.
    pub resets: u64,
    /// Streams that stopped by `stall`: one at most, until tallies are added up.
    pub stalls: u64,
}

impl StreamTally {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            sliced: self.sliced + other.sliced,
            resets: self.resets + other.resets,
            stalls: self.stalls + other.stalls,
        }
    }
}

/// What may be handed on now.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage<'a> {
    /// These bytes, in one write; [`Shaper::passed`] is to be told how many of them have left.
    Bytes(&'a [u8]),
    /// The connection is to be reset, both ways.
    Reset,
    /// The stream has ended, and everything before that was handed on.
    End,
    /// Nothing before [`Shaper::deadline`].
    Nothing,
}

/// Whether the bytes handed out are fewer than have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    No,
    BySlice,
}

/// When the end of the stream arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    At(Instant),
}

/// One direction of one connection.
#[derive(Debug)]
pub struct Shaper {
    spec: Spec,
    random: fastrand::Rng,
    bottleneck: Option<Bottleneck>,
    /// Bytes of one piece at most, and of all pieces with what they cost.
    piece: usize,
    most: usize,
    bytes: VecDeque<u8>,
    /// When each piece arrives, in their order, and its length.
    pieces: VecDeque<(Instant, usize)>,
    end: End,
    /// Of what [`next`](Self::next) gave last.
    cut: Cut,
    tally: StreamTally,
}

impl Shaper {
    /// A stream that has not begun. `lane` tells the directions and the clients of one run apart,
    /// so that each has its own draws.
    #[must_use]
    pub fn new(spec: &Spec, lane: u64) -> Self {
        let bytes_a_second = spec.rate.map(|rate| (rate / 8).max(1));
        let piece = bytes_a_second.map_or(*PIECE.end(), |bytes| {
            let part = usize::try_from(bytes / PIECES_A_SECOND).unwrap_or(usize::MAX);
            part.clamp(*PIECE.start(), *PIECE.end())
        });
        // What a way of this rate and delay holds (the bandwidth-delay product).
        let most = bytes_a_second.map_or(MOST, |bytes| {
            let longest = spec.delay.unwrap_or_default() + spec.jitter.unwrap_or_default();
            let on_their_way = bytes as f64 * longest.as_secs_f64();
            MOST.min((on_their_way as usize).saturating_add(QUEUE))
        });
        Self {
            spec: *spec,
            random: spec.random(lane),
            bottleneck: spec.rate.map(|rate| Bottleneck::new(rate, None)),
            piece,
            most,
            bytes: VecDeque::new(),
            pieces: VecDeque::new(),
            end: End::NotYet,
            cut: Cut::No,
            tally: StreamTally::default(),
        }
    }

    /// How many bytes it takes now; 0 is backpressure.
    #[must_use]
    pub fn room(&self) -> usize {
        let taken = self.bytes.len() + self.pieces.len() * COST;
        match self.end {
            End::NotYet => self.most.saturating_sub(taken),
            End::At(_) => 0,
        }
    }

    /// Takes bytes from the sender; how many, from their beginning.
    pub fn push(&mut self, bytes: &[u8], now: Instant) -> usize {
        let taken = &bytes[..bytes.len().min(self.room())];
        for piece in taken.chunks(self.piece) {
            let due = self.arrives(piece.len(), now);
            self.bytes.extend(piece);
            self.pieces.push_back((due, piece.len()));
        }
        taken.len()
    }

    /// The sender has ended the stream.
    pub fn end(&mut self, now: Instant) {
        if self.end == End::NotYet {
            self.end = End::At(self.arrives(0, now));
        }
    }

    /// When something that comes now arrives: never before what came earlier.
    fn arrives(&mut self, length: usize, now: Instant) -> Instant {
        let left = self.bottleneck.as_mut().map_or(now, |link| link.pass(length, now));
        let due = left + self.spec.delayed(self.random.f64());
        self.pieces.back().map_or(due, |(last, _)| due.max(*last))
    }

    /// What may be handed on now. Asked again without [`passed`](Self::passed), it says the same.
    pub fn next(&mut self, now: Instant) -> Passage<'_> {
        let left = |limit: Option<u64>| limit.map(|limit| limit - self.tally.passed.min(limit));
        let (to_reset, to_stall) = (left(self.spec.reset), left(self.spec.stall));
        if to_stall == Some(0) && to_reset != Some(0) {
            self.tally.stalls = 1;
            return Passage::Nothing;
        }
        if to_reset == Some(0) {
            self.tally.resets = 1;
            return Passage::Reset;
        }
        let (due, cut) = self.due(now);
        if due == 0 {
            return match self.end {
                End::At(at) if at <= now && self.bytes.is_empty() => Passage::End,
                End::At(_) | End::NotYet => Passage::Nothing,
            };
        }
        self.cut = cut;
        let limit = [to_reset, to_stall].into_iter().flatten().min();
        let limit = limit.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let contiguous = self.bytes.as_slices().0;
        Passage::Bytes(&contiguous[..due.min(limit).min(contiguous.len())])
    }

    /// How many bytes have arrived, as far as one write takes them.
    fn due(&self, now: Instant) -> (usize, Cut) {
        let most = self.spec.slice.unwrap_or(WRITE).max(1);
        let mut due = 0;
        for (_, length) in self.pieces.iter().take_while(|(due, _)| *due <= now) {
            due += length;
            if due > most {
                return (most, if self.spec.slice.is_some() { Cut::BySlice } else { Cut::No });
            }
        }
        (due, Cut::No)
    }

    /// So many of the bytes that [`next`](Self::next) gave have left.
    pub fn passed(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.tally.passed += count as u64;
        self.tally.sliced += u64::from(self.cut == Cut::BySlice && count > 0);
        self.bytes.drain(..count);
        let mut left = count;
        while let Some((_, length)) = self.pieces.front_mut() {
            if *length > left {
                *length -= left;
                return;
            }
            left -= *length;
            self.pieces.pop_front();
        }
    }

    /// When [`next`](Self::next) has something that it has not now; `None` when nothing is on its
    /// way or nothing arrives any more. Earlier than now where something waits to be handed on.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.spec.stall.is_some_and(|stall| self.tally.passed >= stall) {
            return None;
        }
        match (self.pieces.front(), self.end) {
            (Some(&(due, _)), _) | (None, End::At(due)) => Some(due),
            (None, End::NotYet) => None,
        }
    }

    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What was done so far.
    #[must_use]
    pub fn tally(&self) -> StreamTally {
        self.tally
    }
}

#[cfg(test)]
#[path = "shaper_tests.rs"]
mod tests;
