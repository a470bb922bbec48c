//! One train to every peer heard, some of them at a time: with many peers that takes seconds, and
//! signals are to be heard in between.

use crate::engine::datagram::{Datagram, Peers};
use crate::error::Result;
use crate::net::address::{Address, Route};

/// Peers that are sent to before the loop has its turn.
const PORTION: usize = 256;

/// What has become of a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
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
    fn new(length: usize) -> Self {
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

    fn pass(&mut self) {
        self.next += 1;
        self.offset = 0;
    }
}

impl Datagram {
    /// Sends a train to the peer heard last or to all, as far as there are any.
    pub fn send_to_peers(&mut self, bytes: &[u8], segment: usize) -> Handed {
        match &self.peers {
            Peers::Last(Some(to)) | Peers::Connected(to) => {
                let to = to.clone();
                self.answer(bytes, segment, &to).map_or(Handed::NoRoom, Handed::Bytes)
            }
            Peers::Last(None) => Handed::Bytes(bytes.len()),
            Peers::All(all) if all.is_empty() => Handed::Bytes(bytes.len()),
            // Not connected: no error comes back.
            Peers::All(_) => self.step_round(bytes, segment).unwrap_or(Handed::NoRoom),
        }
    }

    /// Sends a train to the next peers. A UDP socket that has no room has none for anybody, and has
    /// it again soon; a local one may have none for one peer that does not read, which the others do
    /// not wait for: what it misses is lost, and counted.
    pub(super) fn step_round(&mut self, bytes: &[u8], segment: usize) -> Result<Handed> {
        let mut round = self.round.take().unwrap_or_else(|| Round::new(bytes.len()));
        // The pace may allow more by now, but this is what the first ones have got.
        let train = &bytes[..round.length.min(bytes.len())];
        for _ in 0..PORTION {
            let Peers::All(all) = &self.peers else { return Ok(Handed::NoRoom) };
            let Some(to) = all.get(round.next).cloned() else {
                if round.anybody {
                    self.tap.unsent(round.missed);
                    return Ok(Handed::Bytes(train.len()));
                }
                return Ok(Handed::NoRoom);
            };
            let rest = &train[round.offset..];
            match self.send(rest, segment, &to)? {
                Some(sent) => {
                    round.anybody = true;
                    round.offset += sent;
                    if sent == rest.len() {
                        round.pass();
                    }
                }
                None if to.peer.internet().is_some() => {
                    self.round = Some(round);
                    return Ok(Handed::NoRoom);
                }
                None => {
                    round.missed += rest.len().div_ceil(segment.max(1)).max(1);
                    round.pass();
                }
            }
        }
        self.round = Some(round);
        Ok(Handed::ToSome)
    }
}
