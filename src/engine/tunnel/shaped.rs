//! One direction of a tunnel through a bad network that is made on purpose.

use std::time::Instant;

use crate::engine::batch::Batch;
use crate::engine::duplex::Side;
use crate::engine::flow::Allowance;
use crate::engine::impair::{Passage, Shaper, StreamTally};
use crate::engine::pump::Failure;
use crate::error::Error;
use crate::io::progress::Progress;

/// Bytes that are read at a time.
const READ: usize = 32 * 1024;

/// What became of a step.
#[derive(Debug)]
pub(super) enum Step {
    /// Something moved; there may be more.
    Moved,
    /// Nothing can be done before an end is ready or the [deadline](Shaped::deadline) has come.
    Idle,
    /// The source has ended, and everything before that is delivered.
    Ended,
    /// An end failed. A source's failure comes after all it gave has been delivered.
    Failed(Failure),
    /// Both ends are to be reset: that was asked for.
    Reset,
}

/// A shaper with what waits to go into it.
#[derive(Debug)]
pub(super) struct Shaped {
    shaper: Shaper,
    /// What was read and finds no room yet.
    read: Batch,
    /// What is being written.
    written: Batch,
    /// Why the source gives no more, once what it gave has been delivered; `None` at its FIN.
    failure: Option<Error>,
    has_ended: bool,
}

impl Shaped {
    pub(super) fn new(shaper: Shaper) -> Self {
        let (read, written) = (Batch::new(READ), Batch::new(0));
        Self { shaper, read, written, failure: None, has_ended: false }
    }

    /// What was done to the stream so far.
    pub(super) fn tally(&self) -> StreamTally {
        self.shaper.tally()
    }

    /// Whether nothing has come that is not delivered.
    pub(super) fn is_empty(&self) -> bool {
        self.read.is_empty() && self.written.is_empty() && self.shaper.is_empty()
    }

    /// When something that is on its way arrives.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        // What has arrived waits for the sink and not for the time.
        self.shaper.deadline().filter(|at| *at > now)
    }

    pub(super) fn step(
        &mut self,
        source: &mut impl Side,
        sink: &mut impl Side,
        now: Instant,
    ) -> Step {
        let moved = self.read(source, now);
        match self.write(sink, now) {
            Step::Idle if moved => Step::Moved,
            step => step,
        }
    }

    /// Lets in what there is room for; whether there was anything.
    fn read(&mut self, source: &mut impl Side, now: Instant) -> bool {
        let mut moved = false;
        if self.read.is_empty() && !self.has_ended && self.shaper.room() > 0 {
            match source.fill(&mut self.read) {
                Ok(Progress::Moved(_)) => moved = true,
                Ok(Progress::Blocked) => {}
                Ok(Progress::End) => self.has_ended = true,
                Err(error) => {
                    self.failure = Some(error);
                    self.has_ended = true;
                }
            }
        }
        while let Some((_, bytes)) = self.read.front() {
            let taken = self.shaper.push(bytes, now);
            if taken == 0 {
                return moved;
            }
            self.read.consume(taken);
            moved = true;
        }
        if self.has_ended {
            self.shaper.end(now);
        }
        moved
    }

    /// Hands on what has arrived.
    fn write(&mut self, sink: &mut impl Side, now: Instant) -> Step {
        let mut step = Step::Idle;
        loop {
            // What the sink holds of what it took before comes first, and before an end or a failure, too.
            match sink.flush() {
                Ok(Progress::End) => {}
                // Interrupted: no event would follow.
                Ok(Progress::Moved(_)) => return Step::Moved,
                Ok(Progress::Blocked) => return step,
                Err(error) => return Step::Failed(Failure::Sink(error)),
            }
            let bytes = match self.shaper.next(now) {
                Passage::Bytes(bytes) => bytes,
                Passage::Nothing => return step,
                Passage::Reset => return Step::Reset,
                Passage::End => {
                    return match self.failure.take() {
                        Some(error) => Step::Failed(Failure::Source(error)),
                        None => Step::Ended,
                    };
                }
            };
            let offered = bytes.len();
            self.written.push(&[bytes]);
            let result = sink.drain(&mut self.written, Allowance::ALL);
            let left = self.written.front().map_or(0, |(_, rest)| rest.len());
            self.written.reset();
            self.shaper.passed(offered - left);
            match result {
                Err(error) => return Step::Failed(Failure::Sink(error)),
                Ok(Progress::Blocked) => return step,
                // Interrupted, as above.
                Ok(_) if left == offered => return Step::Moved,
                Ok(_) => step = Step::Moved,
            }
        }
    }
}
