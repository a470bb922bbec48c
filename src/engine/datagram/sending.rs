//! Sending to whoever is to get it: the peer that was heard last, or all of them.

use super::Datagram;
use super::peers::{Peers, Target};
use super::rounds::{Handed, PORTION, Round};
use crate::error::Result;

impl Datagram {
    /// Sends datagrams to the peer that was heard last or to all peers, as far as there are any.
    pub(crate) fn send_to_peers(&mut self, bytes: &[u8], segment: usize) -> Handed {
        match &self.known.peers {
            Peers::Last(Some(to)) | Peers::Connected(to) | Peers::Open(Target { to, .. }) => {
                let to = to.clone();
                self.answer(bytes, segment, &to).map_or(Handed::NoRoom, Handed::Bytes)
            }
            Peers::Last(None) => Handed::Bytes(bytes.len()),
            Peers::All(all) if all.is_empty() => Handed::Bytes(bytes.len()),
            // The socket is not connected: no error is returned.
            Peers::All(_) => self.step_round(bytes, segment).unwrap_or(Handed::NoRoom),
        }
    }

    /// Sends datagrams to some more of all peers. If a UDP socket has no room, it has none for any peer,
    /// and will have some soon or is given up. A local socket may have no room for a single peer that does not read; the
    /// others do not wait for that one, and what it misses is counted as lost.
    pub(super) fn step_round(&mut self, bytes: &[u8], segment: usize) -> Result<Handed> {
        let mut round = self.known.round.take().unwrap_or_else(|| Round::new(bytes.len()));
        let frame = round.frame(bytes);
        for _ in 0..PORTION {
            let Some(to) = self.known.at(round.next()).cloned() else {
                let Some(lost) = round.lost() else { return Ok(Handed::NoRoom) };
                self.passed.tap.unsent(lost);
                return Ok(Handed::Bytes(frame.len()));
            };
            let rest = round.rest(frame);
            match self.send(rest, segment, &to)? {
                Some(sent) => round.sent(sent, rest),
                None if to.peer.internet().is_some() => {
                    self.known.round = Some(round);
                    return Ok(Handed::NoRoom);
                }
                None => round.miss(rest, segment),
            }
        }
        self.known.round = Some(round);
        Ok(Handed::ToSome)
    }
}
