//! One question to one port, its answer, and what every way of asking can do.

use std::time::Instant;

use crate::error::Result;
use crate::io::reactor::Reactor;
use crate::scan::report::Found;

/// One question: a port at one of the addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    pub port: u16,
    /// Place in [`Plan::targets`](super::plan::Plan::targets).
    pub target: usize,
    /// What the addresses before this one answered.
    pub so_far: Option<Found>,
}

/// The answer to a question.
#[derive(Debug)]
pub(super) struct Answer {
    pub job: Job,
    pub found: Found,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is under way, or answered already.
    Yes,
    /// The system has no room for it now.
    NoRoom,
}

/// How ports are asked over one protocol.
pub(super) trait Prober {
    /// Sends a first probe.
    fn ask(&mut self, job: Job, reactor: &mut Reactor, answers: &mut Vec<Answer>) -> Result<Asked>;

    /// Repeats one probe whose answer may have been lost; `None` when it is too early for any.
    fn ask_again(&mut self, now: Instant, answers: &mut Vec<Answer>) -> Result<Option<Asked>>;

    /// Takes the answers that have come since the reactor last looked, and gives up on those
    /// that are too late.
    fn collect(
        &mut self,
        now: Instant,
        reactor: &mut Reactor,
        answers: &mut Vec<Answer>,
    ) -> Result<()>;

    /// Questions without an answer so far.
    fn in_flight(&self) -> usize;

    /// When a probe is to be repeated.
    fn again_at(&self) -> Option<Instant>;

    /// When a question is to be given up.
    fn deadline(&self) -> Option<Instant>;
}
