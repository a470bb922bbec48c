//! Numbered messages for tests: what a scripted source gives, a scripted sink has to find again, in order and
//! whole.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::engine::batch::Batch;

/// How the bytes of a frame get into the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Read into the spare room and cut, as standard input is.
    Cut,
    /// Placed somewhere in the whole room, as received datagrams are.
    Placed,
}

/// A message that was given and not taken yet.
#[derive(Debug)]
struct UnderWay {
    number: usize,
    length: usize,
    /// How many of its bytes were taken.
    taken: usize,
}

/// The messages between one source and one sink.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Messages that were given.
    pub given: usize,
    /// Messages that were taken.
    pub taken: usize,
    under_way: VecDeque<UnderWay>,
}

fn byte(number: usize, at: usize) -> u8 {
    (number.wrapping_mul(37) + at.wrapping_mul(11) + 5) as u8
}

impl Traffic {
    /// Whether all that was given was taken.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Gives a frame of up to `most` messages of one length, the last one possibly shorter; how many bytes.
    pub(super) fn give(
        &mut self,
        rng: &mut Rng,
        most: usize,
        entry: Entry,
        batch: &mut Batch,
    ) -> usize {
        let segment = if rng.u8(0..5) == 0 { 0 } else { rng.usize(1..12) };
        // An empty message is a frame of its own.
        let count = if segment == 0 { 1 } else { rng.usize(1..=most.min(4)) };
        let mut bytes = Vec::with_capacity(segment * count);
        for message in 0..count {
            let is_last = message + 1 == count && segment > 0;
            let length = if is_last { rng.usize(1..=segment) } else { segment };
            bytes.extend((0..length).map(|at| byte(self.given, at)));
            self.under_way.push_back(UnderWay { number: self.given, length, taken: 0 });
            self.given += 1;
        }
        match entry {
            Entry::Cut => {
                batch.spare()[..bytes.len()].copy_from_slice(&bytes);
                batch.filled(bytes.len());
                batch.cut(bytes.len(), segment);
            }
            Entry::Placed => {
                // Each datagram has a slot of its own, at a distance from the one before.
                let start = 64 * self.given;
                let range = start..start + bytes.len();
                batch.arena()[range.clone()].copy_from_slice(&bytes);
                batch.place(range, segment, None);
            }
        }
        bytes.len()
    }

    /// Takes one whole message.
    pub(super) fn take(&mut self, message: &[u8]) {
        let next = self.under_way.pop_front().expect("a message was invented");
        let is_it = message.iter().enumerate().all(|(at, &found)| found == byte(next.number, at));
        assert!(
            is_it && message.len() == next.length && next.taken == 0,
            "message {} of {} bytes was lost, cut, merged or moved: {message:?}",
            next.number,
            next.length
        );
        self.taken += 1;
    }

    /// Takes bytes of a stream, in which messages have no borders.
    pub(super) fn take_bytes(&mut self, bytes: &[u8]) {
        self.skip_taken();
        for &found in bytes {
            let next = self.under_way.front_mut().expect("a byte was invented");
            assert_eq!(found, byte(next.number, next.taken), "a byte was lost or moved");
            next.taken += 1;
            self.skip_taken();
        }
    }

    /// Messages all of whose bytes were taken: an empty one leaves no trace in a stream.
    fn skip_taken(&mut self) {
        while self.under_way.front().is_some_and(|next| next.taken == next.length) {
            self.under_way.pop_front();
            self.taken += 1;
        }
    }
}
