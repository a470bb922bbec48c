//! `--wait`: which ports are open by now, and when to ask the others again.
//!
//! It reads no clock and asks nobody. Ports come and go, so that having seen each open once is not
//! enough: at the end all are asked once more, and have to be open in a row.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::net::address::Protocol;
use crate::scan::report::{Found, PortState, PortTally, Wanted};

/// Between the answer of a port that is not open and the next question.
const PAUSE: Duration = Duration::from_millis(20);

/// The share of each port where there are many, so that a host is asked a thousand times a second at
/// most.
const SHARE: Duration = Duration::from_millis(1);

/// Waits for ports to open.
#[derive(Debug)]
pub(crate) struct Waiting {
    until: Instant,
    wanted: Wanted,
    /// The latest answer of each port.
    latest: BTreeMap<u16, Option<Found>>,
    /// Ports to ask again, and when; earliest first.
    due: VecDeque<(Instant, u16)>,
    /// How many ports are open as far as is known.
    open: usize,
    /// Whether a port was found not open since all were asked for the last time.
    is_mixed: bool,
    /// The ports that have not answered since then. What is known of them is older than that.
    unanswered: BTreeSet<u16>,
}

/// Whether the wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Wait,
    /// What was wanted is open, or the time is over.
    Over,
}

impl Waiting {
    /// A wait for these ports that is over at `until` at the latest. Each of them is being asked.
    pub(crate) fn new(ports: &[u16], wanted: Wanted, until: Instant) -> Self {
        let latest = ports.iter().map(|port| (*port, None)).collect();
        let unanswered = ports.iter().copied().collect();
        let due = VecDeque::new();
        Self { until, wanted, latest, due, open: 0, is_mixed: false, unanswered }
    }

    /// A port has answered.
    pub(crate) fn answered(&mut self, port: u16, found: Found, now: Instant) {
        let is_open = |found: &Found| found.state == PortState::Open;
        let Some(latest) = self.latest.get_mut(&port) else { return };
        let was_open = latest.replace(found).as_ref().is_some_and(is_open);
        self.unanswered.remove(&port);
        self.open -= usize::from(was_open);
        if is_open(&found) {
            self.open += 1;
            return;
        }
        self.is_mixed = true;
        let left = u32::try_from(self.latest.len() - self.open).unwrap_or(u32::MAX);
        self.due.push_back((now + PAUSE.max(SHARE * left), port));
    }

    /// Whether the wait is over at `now`; if not, the ports to ask now are added.
    pub(crate) fn verdict(&mut self, now: Instant, ask: &mut Vec<u16>) -> Verdict {
        let enough = match self.wanted {
            Wanted::All => self.latest.len(),
            Wanted::Any => 1,
        };
        if now >= self.until {
            return Verdict::Over;
        }
        // One port that is open now is what was wanted.
        if self.open >= enough && (enough == 1 || self.unanswered.is_empty()) {
            if !self.is_mixed || enough == 1 {
                return Verdict::Over;
            }
            self.is_mixed = false;
            self.unanswered.extend(self.latest.keys());
            ask.extend(self.latest.keys());
        }
        while let Some(&(at, port)) = self.due.front()
            && at <= now
        {
            self.due.pop_front();
            ask.push(port);
        }
        Verdict::Wait
    }

    /// When to ask for the [`verdict`](Self::verdict) again.
    pub(crate) fn deadline(&self) -> Instant {
        self.due.front().map_or(self.until, |(at, _)| self.until.min(*at))
    }

    /// What is known of each port in the end. Silence is what nothing is known of.
    pub(crate) fn results(&self) -> impl Iterator<Item = (u16, Found)> {
        let silence = Found { state: PortState::Silent, time: None };
        self.latest.iter().map(move |(port, latest)| (*port, latest.unwrap_or(silence)))
    }

    /// What is known by now, counted.
    pub(crate) fn tally(&self, protocol: Protocol) -> PortTally {
        let mut tally = PortTally::new(protocol, self.latest.len());
        self.latest.values().flatten().for_each(|found| tally.count(found.state));
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Found = Found { state: PortState::Open, time: None };
    const CLOSED: Found = Found { state: PortState::Closed, time: None };

    fn waiting(ports: &[u16], wanted: Wanted) -> (Waiting, Instant) {
        let now = Instant::now();
        (Waiting::new(ports, wanted, now + Duration::from_secs(10)), now)
    }

    fn verdict(waiting: &mut Waiting, now: Instant) -> (Verdict, Vec<u16>) {
        let mut ask = Vec::new();
        (waiting.verdict(now, &mut ask), ask)
    }

    /// Two ports were seen open one after the other. The first may have gone meanwhile, so both are asked.
    fn asked_once_more() -> (Waiting, Instant) {
        let (mut waiting, now) = waiting(&[1, 2], Wanted::All);
        waiting.answered(1, OPEN, now);
        waiting.answered(2, CLOSED, now);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![2]));
        waiting.answered(2, OPEN, now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![1, 2]));
        (waiting, now)
    }

    #[test]
    fn a_port_is_asked_again_until_it_is_open() {
        let (mut waiting, now) = waiting(&[1], Wanted::All);
        waiting.answered(1, CLOSED, now);
        assert_eq!(verdict(&mut waiting, now), (Verdict::Wait, vec![]));
        assert_eq!(waiting.deadline(), now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![1]));
        waiting.answered(1, OPEN, now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Over, vec![]));
    }

    #[test]
    fn all_have_to_be_open_in_a_row() {
        let (mut waiting, now) = asked_once_more();
        waiting.answered(1, CLOSED, now + PAUSE);
        waiting.answered(2, OPEN, now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![]));
        assert_eq!(verdict(&mut waiting, now + PAUSE * 2), (Verdict::Wait, vec![1]));
        waiting.answered(1, OPEN, now + PAUSE * 2);
        assert_eq!(verdict(&mut waiting, now + PAUSE * 2), (Verdict::Wait, vec![1, 2]));
        waiting.answered(1, OPEN, now + PAUSE * 2);
        waiting.answered(2, OPEN, now + PAUSE * 2);
        assert_eq!(verdict(&mut waiting, now + PAUSE * 2), (Verdict::Over, vec![]));
    }

    #[test]
    fn an_answer_from_before_all_were_asked_is_none() {
        let (mut waiting, now) = asked_once_more();
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![]));
        waiting.answered(2, OPEN, now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Wait, vec![]));
        waiting.answered(1, OPEN, now + PAUSE);
        assert_eq!(verdict(&mut waiting, now + PAUSE), (Verdict::Over, vec![]));
    }

    #[test]
    fn all_that_are_open_at_once_are_asked_once() {
        let (mut waiting, now) = waiting(&[1, 2], Wanted::All);
        waiting.answered(1, OPEN, now);
        waiting.answered(2, OPEN, now);
        assert_eq!(verdict(&mut waiting, now), (Verdict::Over, vec![]));
    }

    #[test]
    fn one_is_enough_for_any() {
        let (mut waiting, now) = waiting(&[1, 2, 3], Wanted::Any);
        waiting.answered(2, CLOSED, now);
        assert_eq!(verdict(&mut waiting, now).0, Verdict::Wait);
        waiting.answered(3, OPEN, now);
        assert_eq!(verdict(&mut waiting, now).0, Verdict::Over);
        let states: Vec<_> = waiting.results().map(|(_, found)| found.state).collect();
        assert_eq!(states, [PortState::Silent, PortState::Closed, PortState::Open]);
    }

    #[test]
    fn the_time_ends_it() {
        let (mut waiting, now) = waiting(&[1], Wanted::All);
        waiting.answered(1, CLOSED, now);
        let end = now + Duration::from_secs(10);
        assert_eq!(verdict(&mut waiting, end), (Verdict::Over, vec![]));
    }
}
