//! Sending the same datagrams to all peers, some peers at a time: with many peers that takes seconds,
//! and signals have to be handled in between.

use crate::net::address::{Address, Route};
use crate::sys::segmented;

/// Peers that are sent to before the loop has its turn.
pub(super) const PORTION: usize = 256;

/// What has become of a frame that was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    /// This many of its bytes need not be sent again.
    Bytes(usize),
    /// Some peers have it. The same call, made again, goes on with the others.
    ToSome,
    /// There is no room now.
    NoRoom,
}

/// How many peers have got a frame.
#[derive(Debug)]
pub(super) struct Round {
    /// Its length.
    length: usize,
    /// The place of the peer that is next.
    next: usize,
    /// Bytes that this peer has got already.
    offset: usize,
    /// Datagrams that found no room, which are lost if others found some.
    missed: usize,
    /// Whether any peer has got it.
    anybody: bool,
}

impl Round {
    /// A frame of this length, which no peer has got yet.
    pub(super) fn new(length: usize) -> Self {
        Self { length, next: 0, offset: 0, missed: 0, anybody: false }
    }

    /// Called before peers are removed from the list.
    pub(super) fn forget(&mut self, all: &[Route], is_kept: impl Fn(&Address) -> bool) {
        if all.get(self.next).is_some_and(|route| !is_kept(&route.peer)) {
            self.offset = 0;
        }
        let done = &all[..self.next.min(all.len())];
        self.next = done.iter().filter(|route| is_kept(&route.peer)).count();
    }

    /// The place of the next peer.
    pub(super) fn next(&self) -> usize {
        self.next
    }

    /// The frame: the pace may allow more by now, but this is what the first peers have got.
    pub(super) fn frame<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..self.length.min(bytes.len())]
    }

    /// What the next peer still has to get of the frame.
    pub(super) fn rest<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        &frame[self.offset..]
    }

    /// So many bytes of what it had to get were sent to the next peer.
    pub(super) fn sent(&mut self, bytes: usize, rest: &[u8]) {
        self.anybody = true;
        self.offset += bytes;
        if bytes == rest.len() {
            self.pass();
        }
    }

    /// The next peer goes without the rest.
    pub(super) fn miss(&mut self, rest: &[u8], segment: usize) {
        self.missed += segmented::count(rest.len(), segment);
        self.pass();
    }

    /// After the last peer: how many datagrams some of them have missed, or `None` when there was no
    /// room for any peer.
    pub(super) fn lost(&self) -> Option<usize> {
        self.anybody.then_some(self.missed)
    }

    fn pass(&mut self) {
        self.next += 1;
        self.offset = 0;
    }
}
