//! How long datagrams wait for room of which no event tells: in the queue of a local socket, whose
//! reader may be slow, and in that of a device.

use std::time::{Duration, Instant};

/// How long they wait for the first room.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is tried whether there is room.
pub(crate) const ROOM_CHECK: Duration = Duration::from_millis(20);

/// Since when there has been no room.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// When there was none first, and when it is tried again.
    without: Option<(Instant, Instant)>,
}

impl Patience {
    /// Something was sent.
    pub(crate) fn found_room(&mut self) {
        self.without = None;
    }

    /// There was no room. Where nothing was tried for long, the wait begins anew.
    pub(crate) fn found_none(&mut self, now: Instant) {
        let still = self.without.filter(|(_, again)| now < *again + PATIENCE);
        let since = still.map_or(now, |(since, _)| since);
        self.without = Some((since, now + ROOM_CHECK));
    }

    /// Whether there has been none for so long that what waits for it is lost.
    #[must_use]
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.without.is_some_and(|(since, _)| now >= since + PATIENCE)
    }

    /// When to try again; `None` where there was room the last time.
    #[must_use]
    pub(crate) fn again_at(&self) -> Option<Instant> {
        self.without.map(|(_, again)| again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_a_second_after_the_first_try_until_there_is_room() {
        let (start, mut patience) = (Instant::now(), Patience::default());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!((patience.again_at(), patience.is_over(at(0))), (None, false));
        patience.found_none(at(0));
        patience.found_none(at(990));
        assert_eq!(patience.again_at(), Some(at(1010)));
        assert_eq!([at(999), at(1000)].map(|now| patience.is_over(now)), [false, true]);
        // What comes behind waits no longer.
        patience.found_none(at(1010));
        assert!(patience.is_over(at(1010)));
        patience.found_room();
        patience.found_none(at(1020));
        assert!(!patience.is_over(at(2000)));
        // What was given up long ago says nothing of now.
        patience.found_none(at(60_000));
        assert!(!patience.is_over(at(60_999)));
    }
}
