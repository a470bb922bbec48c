//! Stops endless loops between two UDP services that answer each other. One datagram with a forged sender
//! is enough to start one. Where the port numbers do not show it, the rate does: a loop never pauses.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::net::address::Address;

/// A peer that gets more answers than this in each of several successive seconds is taken for a loop.
pub(super) const MOST_A_SECOND: u64 = 1000;

/// For how many successive seconds.
pub(super) const SECONDS: u32 = 10;

/// How long such a peer then gets no answers. A loop has ended by then.
pub(super) const PAUSE: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// The most peers that are remembered.
const MOST_PEERS: usize = 65_536;

/// Whether a peer is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopVerdict {
    Answer,
    /// The first one that is not answered, which is to be reported.
    Pause,
    /// Not answered, which has been reported already.
    Paused,
}

/// Counts the recent answers to each peer.
#[derive(Debug, Default)]
pub(super) struct LoopGuard {
    peers: HashMap<Address, Tally>,
}

#[derive(Debug)]
struct Tally {
    /// When the present second of counting began.
    begun: Instant,
    answers: u64,
    /// How many successive seconds had too many answers.
    busy: u32,
    paused_until: Option<Instant>,
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self { begun: now, answers: 0, busy: 0, paused_until: None }
    }

    /// Adds answers; whether there have been too many for too long.
    fn count(&mut self, answers: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.begun);
        if passed >= SECOND {
            let was_busy = self.answers > MOST_A_SECOND && passed < 2 * SECOND;
            self.busy = if was_busy { self.busy + 1 } else { 0 };
            self.begun = if was_busy { self.begun + SECOND } else { now };
            self.answers = 0;
        }
        self.answers += answers;
        self.busy >= SECONDS
    }
}

impl LoopGuard {
    /// Whether a peer may be given this many answers now. They are counted if so.
    pub(super) fn judge(&mut self, peer: &Address, answers: usize, now: Instant) -> LoopVerdict {
        if !self.peers.contains_key(peer) {
            if self.peers.len() == MOST_PEERS {
                // So many peers are nearly all forged and sent once; only busy ones are kept.
                self.peers.retain(|_, tally| tally.busy > 0);
            }
            self.peers.insert(peer.clone(), Tally::new(now));
        }
        let Some(tally) = self.peers.get_mut(peer) else { return LoopVerdict::Answer };
        match tally.paused_until {
            Some(end) if now < end => return LoopVerdict::Paused,
            Some(_) => *tally = Tally::new(now),
            None => {}
        }
        if tally.count(answers as u64, now) {
            tally.paused_until = Some(now + PAUSE);
            return LoopVerdict::Pause;
        }
        LoopVerdict::Answer
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(port: u16) -> Address {
        Address::from(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// Answers `rate` datagrams a second for so many seconds; when the first one was refused.
    fn run(guard: &mut LoopGuard, start: Instant, rate: u32, seconds: u32) -> Option<Duration> {
        let times = (0..rate * seconds).map(|n| SECOND * n / rate);
        times.into_iter().find(|at| guard.judge(&peer(1), 1, start + *at) != LoopVerdict::Answer)
    }

    #[test]
    fn a_peer_is_paused_after_ten_seconds_of_more_than_a_thousand() {
        let (mut guard, start) = (LoopGuard::default(), Instant::now());
        let at = run(&mut guard, start, 1100, 30).unwrap();
        assert!(at >= SECONDS * SECOND && at < (SECONDS + 1) * SECOND, "{at:?}");
        assert_eq!(guard.judge(&peer(1), 1, start + at + PAUSE / 2), LoopVerdict::Paused);
        // Others are answered all the while, and it is again later.
        assert_eq!(guard.judge(&peer(2), 1, start + at + PAUSE / 2), LoopVerdict::Answer);
        assert_eq!(guard.judge(&peer(1), 1, start + at + PAUSE), LoopVerdict::Answer);
    }

    #[test]
    fn a_slower_peer_and_one_that_rests_are_always_answered() {
        let (mut guard, mut start) = (LoopGuard::default(), Instant::now());
        assert_eq!(run(&mut guard, start, 1000, 30), None);
        for _ in 0..5 {
            start += 60 * SECOND;
            assert_eq!(run(&mut guard, start, 5000, SECONDS - 1), None);
        }
    }

    #[test]
    fn forged_peers_take_no_more_memory_than_there_is_for_them() {
        let (mut guard, now) = (LoopGuard::default(), Instant::now());
        for n in 0..3 * MOST_PEERS as u32 {
            let forged = SocketAddr::from((n.to_be_bytes(), 2000));
            assert_eq!(guard.judge(&forged.into(), 1, now), LoopVerdict::Answer);
            assert!(guard.peers.len() <= MOST_PEERS);
        }
    }
}
