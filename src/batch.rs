//! The unit that travels: a run of bytes and the messages cut out of it.
//!
//! In a byte stream the cuts mean nothing; between datagrams they are sacred. One type serves
//! both, so that everything between a source and a sink is written once. Empty messages are legal.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;

/// One message: where its bytes are, and for a datagram that was received, who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where in the arena the bytes are.
    pub range: Range<usize>,
    /// The sender of a received datagram; `None` where there is only one peer.
    pub peer: Option<SocketAddr>,
}

/// Bytes in a fixed arena, the front part of it cut into frames.
#[derive(Debug)]
pub struct Batch {
    arena: Vec<u8>,
    /// Bytes before this belong to frames, those from here to `filled` are not cut yet.
    cut: usize,
    filled: usize,
    frames: VecDeque<Frame>,
}

impl Batch {
    /// A batch with room for `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            arena: vec![0; capacity],
            cut: 0,
            filled: 0,
            frames: VecDeque::new(),
        }
    }

    /// Whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// The oldest message.
    #[must_use]
    pub fn front(&self) -> Option<(&Frame, &[u8])> {
        self.frames
            .front()
            .map(|frame| (frame, &self.arena[frame.range.clone()]))
    }

    /// All waiting messages, oldest first.
    pub fn messages(&self) -> impl Iterator<Item = (&Frame, &[u8])> {
        self.frames
            .iter()
            .map(|frame| (frame, &self.arena[frame.range.clone()]))
    }

    /// Drops the oldest message: it has left.
    pub fn pop(&mut self) {
        self.frames.pop_front();
    }

    /// Takes bytes off the oldest message; an emptied one stays until [`pop`](Self::pop).
    pub fn consume(&mut self, bytes: usize) {
        if let Some(frame) = self.frames.front_mut() {
            frame.range.start = (frame.range.start + bytes).min(frame.range.end);
        }
    }

    /// Whether there is no room left behind the last byte.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.filled == self.arena.len()
    }

    /// Bytes read but not yet cut into messages.
    #[must_use]
    pub fn uncut(&self) -> &[u8] {
        &self.arena[self.cut..self.filled]
    }

    /// Room for reading into; `filled` tells how much was read. Uncut bytes move to the front
    /// first when no frame holds the arena.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.frames.is_empty() && self.cut > 0 {
            self.arena.copy_within(self.cut..self.filled, 0);
            self.filled -= self.cut;
            self.cut = 0;
        }
        &mut self.arena[self.filled..]
    }

    /// Makes room for `bytes` more, for a message longer than the arena.
    pub fn grow(&mut self, bytes: usize) {
        let wanted = self.filled + bytes;
        if self.arena.len() < wanted {
            self.arena.resize(wanted, 0);
        }
    }

    /// `bytes` more were read into the spare room.
    pub fn filled(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.arena.len());
    }

    /// The next `taken` uncut bytes are a message: those at `inside`, counted from the first uncut
    /// byte; the rest (a newline, a length) is dropped.
    pub fn cut(&mut self, inside: Range<usize>, taken: usize) {
        let at = self.cut;
        debug_assert!(inside.end <= taken && at + taken <= self.filled);
        self.frames.push_back(Frame {
            range: at + inside.start..at + inside.end,
            peer: None,
        });
        self.cut += taken;
    }

    /// Adds a message at a place in the arena chosen by the caller: batched receiving.
    pub fn place(&mut self, range: Range<usize>, peer: Option<SocketAddr>) {
        self.cut = self.cut.max(range.end);
        self.filled = self.filled.max(range.end);
        self.frames.push_back(Frame { range, peer });
    }

    /// Adds a message by copying its parts.
    pub fn push(&mut self, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.spare().len() < length {
            self.grow(length);
        }
        for part in parts {
            self.spare()[..part.len()].copy_from_slice(part);
            self.filled(part.len());
        }
        self.cut(0..length, length);
    }

    /// Forgets everything and hands out the whole arena.
    pub fn reset(&mut self) -> &mut [u8] {
        self.frames.clear();
        self.cut = 0;
        self.filled = 0;
        &mut self.arena
    }

    /// The whole arena, for receiving into the part that no frame holds.
    pub fn arena(&mut self) -> &mut [u8] {
        &mut self.arena
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_leave_in_order_and_uncut_bytes_stay() {
        let mut batch = Batch::new(8);
        batch.spare()[..6].copy_from_slice(b"ab\ncd\n");
        batch.filled(6);
        batch.cut(0..2, 3);
        assert_eq!(batch.front().unwrap().1, b"ab");
        assert_eq!(batch.uncut(), b"cd\n");
        batch.consume(1);
        assert_eq!(batch.front().unwrap().1, b"b");
        batch.pop();
        assert!(batch.is_empty());
        assert_eq!(batch.spare().len(), 5);
        assert_eq!(batch.uncut(), b"cd\n");
    }

    #[test]
    fn empty_messages_and_long_ones_are_messages() {
        let mut batch = Batch::new(2);
        batch.push(&[]);
        batch.push(&[b"longer ", b"than two"]);
        assert_eq!(batch.front().unwrap().1, b"");
        batch.pop();
        assert_eq!(batch.front().unwrap().1, b"longer than two");
    }
}
