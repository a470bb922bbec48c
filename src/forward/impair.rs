//! The bad network that a forwarder makes on purpose: up, down, or both ways.

use std::time::Instant;

use crate::engine::impair::{HOLD, Line, Shaper, Spec, StreamTally, Tally};
use crate::observe::hits::Hits;

/// What is to be done to what goes up and to what goes down.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Impairment {
    pub up: Option<Spec>,
    pub down: Option<Spec>,
}

impl Impairment {
    /// Whether anything is to be done.
    #[must_use]
    pub(crate) fn is_any(&self) -> bool {
        self.up.is_some() || self.down.is_some()
    }

    /// Each client and direction draws numbers of its own, the same with the same seed.
    fn both<T>(&self, client: u64, of: impl Fn(&Spec, u64) -> T) -> [Option<T>; 2] {
        let up = self.up.as_ref().map(|spec| of(spec, 2 * client));
        [up, self.down.as_ref().map(|spec| of(spec, 2 * client + 1))]
    }

    /// For a client's stream.
    pub(super) fn shapers(&self, client: u64) -> [Option<Shaper>; 2] {
        self.both(client, Shaper::new)
    }

    /// For a client's messages.
    pub(super) fn lines(&self, client: u64) -> Option<Box<Lines>> {
        let line = |spec: &Spec, lane| Line::new(spec, lane, HOLD);
        let ways = self.both(client, line);
        self.is_any().then(|| Box::new(Lines { ways, told: Told::default() }))
    }
}

/// A client's messages on their way, up and down.
pub(super) struct Lines {
    ways: [Option<Line<Vec<u8>>>; 2],
    told: Told,
}

/// One of the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up = 0,
    Down = 1,
}

impl Lines {
    /// Lets a message in; `false` where nothing is done to this direction.
    pub(super) fn push(&mut self, way: Way, message: &[u8], now: Instant) -> bool {
        match &mut self.ways[way as usize] {
            Some(line) => {
                line.push(message.to_vec(), now);
                true
            }
            None => false,
        }
    }

    /// The next message that has arrived.
    pub(super) fn pop(&mut self, way: Way, now: Instant) -> Option<Vec<u8>> {
        self.ways[way as usize].as_mut()?.pop_due(now)
    }

    /// When the next one may arrive.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.ways.iter().flatten().filter_map(Line::deadline).min()
    }

    /// How many messages are on their way.
    pub(super) fn len(&self) -> usize {
        self.ways.iter().flatten().map(Line::len).sum()
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.ways.iter().flatten().all(Line::is_empty)
    }

    /// What was done since the last call.
    pub(super) fn news(&mut self) -> Option<[Hits; 2]> {
        let hits = |line: &Option<Line<Vec<u8>>>| {
            line.as_ref().map(|line| of_messages(line.tally())).unwrap_or_default()
        };
        let now = [hits(&self.ways[0]), hits(&self.ways[1])];
        self.told.news(now)
    }
}

/// How much of what was done has been told.
#[derive(Debug, Default)]
pub(super) struct Told([Hits; 2]);

impl Told {
    /// What is new, if anything is.
    pub(super) fn news(&mut self, now: [Hits; 2]) -> Option<[Hits; 2]> {
        let before = std::mem::replace(&mut self.0, now);
        (now != before).then(|| [now[0] - before[0], now[1] - before[1]])
    }
}

/// What was done to messages.
fn of_messages(tally: Tally) -> Hits {
    Hits {
        lost: tally.lost,
        duplicated: tally.duplicated,
        reordered: tally.reordered,
        corrupted: tally.corrupted,
        dropped: tally.dropped,
        ..Hits::default()
    }
}

/// What was done to a stream.
pub(super) fn of_stream(tally: StreamTally) -> Hits {
    let StreamTally { sliced, resets, stalls, .. } = tally;
    Hits { sliced, resets, stalls, ..Hits::default() }
}
