//! One train to every peer heard, some of them at a time: with many peers that takes seconds, and
//! signals are to be heard in between.

use crate::net::address::{Address, Route};

/// Peers that are sent to before the loop has its turn.
pub(super) const PORTION: usize = 256;

/// What has become of a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handed {
    /// So many of its bytes are dealt with.
    Bytes(usize),
    /// Some peers have it: the same call goes on with the others.
    ToSome,
    /// Nobody has room now.
    NoRoom,
}

/// How far a train has come.
#[derive(Debug)]
pub(super) struct Round {
    /// Its length.
    length: usize,
    /// Whose turn it is.
    next: usize,
    /// Bytes that this one has already.
    offset: usize,
    /// Datagrams that found no room, which are lost if others found some.
    missed: usize,
    /// Whether anybody has had it.
    anybody: bool,
}

impl Round {
    /// A train of this length, which nobody has yet.
    pub(super) fn new(length: usize) -> Self {
        Self { length, next: 0, offset: 0, missed: 0, anybody: false }
    }

    /// Peers are about to be taken off the list.
    pub(super) fn forget(&mut self, all: &[Route], is_kept: impl Fn(&Address) -> bool) {
        if all.get(self.next).is_some_and(|route| !is_kept(&route.peer)) {
            self.offset = 0;
        }
        let done = &all[..self.next.min(all.len())];
        self.next = done.iter().filter(|route| is_kept(&route.peer)).count();
    }

    /// Whose turn it is: a place among the peers.
    pub(super) fn next(&self) -> usize {
        self.next
    }

    /// The train: its sender may be allowed more by now, but this is what the first ones have got.
    pub(super) fn train<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[..self.length.min(bytes.len())]
    }

    /// What the next peer still has to get of the train.
    pub(super) fn rest<'a>(&self, train: &'a [u8]) -> &'a [u8] {
        &train[self.offset..]
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
        self.missed += rest.len().div_ceil(segment.max(1)).max(1);
        self.pass();
    }

    /// All peers have had their turn: how many datagrams were lost on some of them, or `None` when
    /// nobody had room.
    pub(super) fn lost(&self) -> Option<usize> {
        self.anybody.then_some(self.missed)
    }

    fn pass(&mut self) {
        self.next += 1;
        self.offset = 0;
    }
}
