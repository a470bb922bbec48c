//! What a source hands to a sink: bytes, and where they are cut into messages.
//!
//! In a byte stream the cuts mean nothing; of datagrams each must arrive as it was cut. One type
//! serves both, so that everything between a source and a sink is written once. A message may be
//! empty.

use std::collections::VecDeque;
use std::ops::Range;

use crate::peer::Route;
use crate::sys::segmented;

/// Messages of one length that lie next to each other, the last one possibly shorter. Most frames
/// are a single message; several are how the kernel sends and receives datagrams in one call
/// (UDP_SEGMENT and UDP_GRO, udp(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where in the arena the bytes are.
    pub range: Range<usize>,
    /// Bytes of each message; not 0 unless the message is empty.
    pub segment: usize,
    /// Where a received datagram came from; `None` where there is only one peer.
    pub from: Option<Route>,
}

impl Frame {
    /// How many messages the frame has.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        segmented::count(self.range.len(), self.segment)
    }

    /// The messages of the frame, whose bytes are `bytes`.
    pub(crate) fn messages<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        segmented::messages(bytes, self.segment)
    }
}

/// Bytes in an arena, the front part of it cut into frames.
#[derive(Debug)]
pub(crate) struct Batch {
    arena: Vec<u8>,
    /// Bytes before this belong to frames, those from here to `filled` are not cut yet.
    cut: usize,
    filled: usize,
    frames: VecDeque<Frame>,
    /// Messages in all frames together.
    waiting: usize,
}

impl Batch {
    /// A batch with room for `capacity` bytes.
    #[must_use]
    pub(crate) fn new(capacity: usize) -> Self {
        Self { arena: vec![0; capacity], cut: 0, filled: 0, frames: VecDeque::new(), waiting: 0 }
    }

    /// Makes one frame of the oldest and those after it that are of the same length and peer: the kernel
    /// sends them in one call then. Datagrams that came one by one lie apart, and are moved together.
    pub(crate) fn gather(&mut self) {
        while let (Some(first), Some(next)) = (self.frames.front(), self.frames.get(1)) {
            let (end, length) = (first.range.end, next.range.len());
            let is_whole =
                !first.range.is_empty() && first.range.len().is_multiple_of(first.segment);
            let fits = (1..=first.segment).contains(&length) && end <= next.range.start;
            let is_alike = first.from == next.from && next.count() == 1;
            if !(is_whole && fits && is_alike) {
                return;
            }
            self.arena.copy_within(next.range.clone(), end);
            self.frames.remove(1);
            if let Some(first) = self.frames.front_mut() {
                first.range.end += length;
            }
        }
    }

    /// How many bytes it was made for.
    #[must_use]
    pub(crate) fn room(&self) -> usize {
        self.arena.len()
    }

    /// Whether no message waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many messages wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// The oldest frame and its bytes.
    #[must_use]
    pub(crate) fn front(&self) -> Option<(&Frame, &[u8])> {
        self.frames.front().map(|frame| (frame, &self.arena[frame.range.clone()]))
    }

    /// All frames and their bytes, the oldest first.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (&Frame, &[u8])> {
        self.frames.iter().map(|frame| (frame, &self.arena[frame.range.clone()]))
    }

    /// Bytes that a frame holds.
    #[must_use]
    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.arena[range]
    }

    /// Drops the oldest frame, which has been sent or written.
    pub(crate) fn pop(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.waiting -= frame.count();
        }
    }

    /// Removes bytes from the front of the oldest frame, and the frame when none are left.
    pub(crate) fn consume(&mut self, bytes: usize) {
        let Some(frame) = self.frames.front_mut() else { return };
        if bytes >= frame.range.len() {
            self.pop();
            return;
        }
        self.waiting -= frame.count();
        frame.range.start += bytes;
        self.waiting += frame.count();
    }

    /// How many bytes were read but not yet cut into messages.
    #[must_use]
    pub(crate) fn uncut(&self) -> usize {
        self.filled - self.cut
    }

    /// Free room, to be read into; [`filled`](Self::filled) has to be told how much was. Uncut bytes
    /// move to the front first, unless frames lie before them.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        if self.frames.is_empty() && self.cut > 0 {
            self.arena.copy_within(self.cut..self.filled, 0);
            self.filled -= self.cut;
            self.cut = 0;
        }
        &mut self.arena[self.filled..]
    }

    /// `bytes` more were read into the spare room.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.arena.len());
    }

    /// Makes a frame of the next `bytes` uncut bytes: messages of `segment` bytes each.
    pub(crate) fn cut(&mut self, bytes: usize, segment: usize) {
        let end = (self.cut + bytes).min(self.filled);
        self.add(Frame { range: self.cut..end, segment, from: None });
        self.cut = end;
    }

    /// Adds a frame that the caller has received into the arena, at this place.
    pub(crate) fn place(&mut self, range: Range<usize>, segment: usize, from: Option<Route>) {
        self.cut = self.cut.max(range.end);
        self.filled = self.filled.max(range.end);
        self.add(Frame { range, segment, from });
    }

    /// Adds a message by copying its parts.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.spare().len() < length {
            // A message longer than the arena; readers bound how long one can be.
            self.arena.resize(self.filled + length, 0);
        }
        for part in parts {
            self.spare()[..part.len()].copy_from_slice(part);
            self.filled(part.len());
        }
        self.cut(length, length);
    }

    fn add(&mut self, frame: Frame) {
        self.waiting += frame.count();
        self.frames.push_back(frame);
    }

    /// The whole arena, for a test that receives frame by frame.
    #[cfg(test)]
    pub(crate) fn arena(&mut self) -> &mut [u8] {
        &mut self.arena
    }

    /// Forgets everything and hands out the whole arena.
    pub(crate) fn reset(&mut self) -> &mut [u8] {
        self.frames.clear();
        self.waiting = 0;
        self.cut = 0;
        self.filled = 0;
        &mut self.arena
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn messages_leave_in_order_and_uncut_bytes_stay() {
        let mut batch = Batch::new(8);
        batch.spare()[..6].copy_from_slice(b"abcdef");
        batch.filled(6);
        batch.cut(2, 2);
        assert_eq!(batch.front().unwrap().1, b"ab");
        assert_eq!(batch.uncut(), 4);
        batch.consume(1);
        assert_eq!(batch.front().unwrap().1, b"b");
        batch.consume(1);
        assert!(batch.is_empty());
        assert_eq!(batch.spare().len(), 4);
        batch.cut(4, 4);
        assert_eq!(batch.front().unwrap().1, b"cdef");
    }

    #[test]
    fn empty_messages_and_long_ones_are_messages() {
        let mut batch = Batch::new(2);
        batch.push(&[]);
        batch.push(&[b"longer ", b"than two"]);
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.front().unwrap().1, b"");
        batch.consume(0);
        assert_eq!(batch.front().unwrap().1, b"longer than two");
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn equal_messages_of_one_peer_are_gathered_up_to_a_shorter_one() {
        let mut batch = Batch::new(64);
        let route =
            |port| Route { peer: SocketAddr::from(([127, 0, 0, 1], port)).into(), local: None };
        let messages =
            [(&b"aaa"[..], 1), (b"bbb", 1), (b"c", 1), (b"ddd", 1), (b"eee", 2), (b"", 2)];
        for (slot, (bytes, port)) in messages.into_iter().enumerate() {
            let range = slot * 10..slot * 10 + bytes.len();
            batch.arena()[range.clone()].copy_from_slice(bytes);
            batch.place(range, bytes.len().max(1), Some(route(port)));
        }
        let mut frames = Vec::new();
        while !batch.is_empty() {
            let before = batch.len();
            batch.gather();
            assert_eq!(batch.len(), before);
            let (frame, bytes) = batch.front().unwrap();
            let cut: Vec<_> = frame.messages(bytes).map(<[u8]>::to_vec).collect();
            frames.push((cut, frame.from.clone()));
            batch.pop();
        }
        let wanted = |messages: &[&[u8]], port| {
            (messages.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>(), Some(route(port)))
        };
        assert_eq!(
            frames,
            [
                wanted(&[b"aaa", b"bbb", b"c"], 1),
                wanted(&[b"ddd"], 1),
                wanted(&[b"eee"], 2),
                wanted(&[b""], 2)
            ]
        );
    }

    #[test]
    fn a_frame_counts_as_its_messages_and_ends_with_a_shorter_one() {
        let mut batch = Batch::new(16);
        batch.spare()[..10].copy_from_slice(b"aaabbbcccd");
        batch.filled(10);
        batch.cut(10, 3);
        assert_eq!(batch.len(), 4);
        let (frame, bytes) = batch.front().unwrap();
        let messages: Vec<&[u8]> = frame.messages(bytes).collect();
        assert_eq!(messages, [&b"aaa"[..], b"bbb", b"ccc", b"d"]);
        batch.consume(6);
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.front().unwrap().1, b"cccd");
    }
}
