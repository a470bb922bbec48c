//! One direction: source, batch, sink, with backpressure.
//!
//! The pump reads only when its batch is empty and the sink holds nothing back. That is the whole
//! of backpressure: a sink that takes nothing stops the source, and nothing grows.

use std::rc::Rc;
use std::time::Instant;

use crate::engine::batch::Batch;
use crate::engine::flow::{Allowance, BULK, Sink, Source};
use crate::engine::pace::Pace;
use crate::engine::splice::pipes::Pipes;
use crate::engine::splice::{Failed, Kernel, Splice, Step, System};
use crate::error::Error;
use crate::io::progress::Progress;
use crate::sys::Offload;

/// Steps that a pump takes while data flows, before its user looks for signals and deadlines.
pub(crate) const STEPS_BETWEEN_LOOKS: u32 = 16;

/// Steps that deliver the rest when a run ends early: more than the buffer of a socket holds, and few
/// enough that a peer which floods does not keep the run alive.
const STEPS_AT_THE_END: u32 = 256;

/// Bytes of the room that pumps without a batch of their own [borrow](Pump::borrow_room).
pub(crate) const LENT_ROOM: usize = 128 * 1024;

/// Which end of a pump failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What bytes come from. Everything it gave before has been delivered.
    Source(Error),
    /// What bytes go to.
    Sink(Error),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The source may have more.
    Flowing,
    /// The source has ended; what it gave has yet to be delivered.
    Finishing,
    /// Nothing will move again.
    Done,
}

/// How bytes get from the source to the sink; `P` is a pipe of our own.
#[derive(Debug)]
enum Conduit<P> {
    /// Through the batch. A bulk transfer may change over to splicing.
    Copy(Offload),
    /// Inside the kernel.
    Splice(Splice<P>),
}

/// The state of one direction.
#[derive(Debug)]
pub(crate) struct Pump<K: Kernel = System> {
    batch: Batch,
    phase: Phase,
    kernel: K,
    conduit: Conduit<K::Pipe>,
    /// Whether this is a bulk transfer.
    bulky: bool,
    failure: Option<Error>,
    pace: Option<Pace>,
    /// Whether the sink had no room the last time: then the pump waits for the sink, not for the pace.
    is_full: bool,
}

impl Pump {
    /// A pump with a batch of its own; `pace` slows its draining.
    #[must_use]
    pub(crate) fn new(batch: Batch, offload: Offload, pace: Option<Pace>) -> Self {
        Self::with_kernel(System::new(Pipes::new(1)), batch, offload, pace)
    }

    /// A pump that [borrows](Self::borrow_room) room and, when it splices, a pipe from `pipes`.
    #[must_use]
    pub(crate) fn borrowing(offload: Offload, pipes: &Rc<Pipes>) -> Self {
        Self::with_kernel(System::new(Rc::clone(pipes)), Batch::new(0), offload, None)
    }
}

impl<K: Kernel> Pump<K> {
    fn with_kernel(kernel: K, batch: Batch, offload: Offload, pace: Option<Pace>) -> Self {
        // A pace has to cut the stream into pieces, which splicing does not allow.
        let offload = if pace.is_some() { Offload::Portable } else { offload };
        Self {
            batch,
            phase: Phase::Flowing,
            kernel,
            conduit: Conduit::Copy(offload),
            bulky: false,
            failure: None,
            pace,
            is_full: false,
        }
    }

    /// Whether the source has failed and [`step`](Self::step) has yet to return that.
    #[must_use]
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// The source has failed, and the sink may be stuck, so that what came before is never delivered.
    ///
    /// # Errors
    /// Why the source has failed, if it is; [`step`](Self::step) will not return that, then.
    pub(crate) fn fail_if(&mut self, is_stuck: bool) -> Result<(), Error> {
        self.failure.take_if(|_| is_stuck).map_or(Ok(()), Err)
    }

    /// Whether the pump holds nothing that the sink has yet to take.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        let held = match &self.conduit {
            Conduit::Copy(_) => 0,
            Conduit::Splice(splice) => splice.held(),
        };
        self.batch.is_empty() && held == 0
    }

    /// How many messages wait for the sink.
    #[must_use]
    pub(crate) fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// Takes room to read into for some steps, unless the pump still holds something.
    pub(crate) fn borrow_room(&mut self, room: &mut Batch) {
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, room);
        }
    }

    /// Gives the [borrowed](Self::borrow_room) room back, and the pipe. What the sink has yet to take
    /// stays here in that room, and `room` is new; or it stays in the pipe.
    pub(crate) fn give_room_back(&mut self, room: &mut Batch) {
        if let Conduit::Splice(splice) = &mut self.conduit {
            splice.rest(&mut self.kernel);
        }
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, room);
            self.batch = Batch::new(0);
        }
        if room.room() == 0 {
            *room = Batch::new(LENT_ROOM);
        }
    }

    /// When the pace allows the next message, if the pump waits for that.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.batch.is_empty() || self.is_full {
            true => None,
            false => self.pace.as_ref().and_then(Pace::next),
        }
    }

    /// Moves what can be moved in one step.
    ///
    /// # Errors
    /// When an end failed. A source's failure comes after all it gave has been delivered.
    pub(crate) fn step(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
        now: Instant,
    ) -> Result<Progress, Failure> {
        if self.phase == Phase::Done {
            return Ok(Progress::End);
        }
        if !self.batch.is_empty() {
            return self.drain(sink, now);
        }
        match sink.flush().map_err(Failure::Sink)? {
            Progress::End => {}
            other => return Ok(other),
        }
        if self.phase == Phase::Finishing {
            if let Some(error) = self.failure.take() {
                return Err(Failure::Source(error));
            }
            self.phase = Phase::Done;
            return Ok(Progress::End);
        }
        match &mut self.conduit {
            Conduit::Copy(offload) => {
                let offload = *offload;
                let progress = self.fill(source, sink)?;
                if let Progress::Moved(n) = progress
                    && n >= BULK
                    && !self.bulky
                {
                    self.begin_bulk(source, sink, offload);
                }
                Ok(progress)
            }
            Conduit::Splice(_) => self.splice(source, sink),
        }
    }

    /// Delivers what has arrived when a run ends early, as far as the sink takes it without waiting. A
    /// failure is not reported: the run has a reason to end already.
    pub(crate) fn deliver_the_rest(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
        now: Instant,
    ) {
        for _ in 0..STEPS_AT_THE_END {
            let Ok(Progress::Moved(_)) = self.step(source, sink, now) else { return };
        }
    }

    /// Reads from the source into the batch.
    fn fill(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
    ) -> Result<Progress, Failure> {
        match source.fill(&mut self.batch) {
            Ok(Progress::End) => self.finish(sink),
            // A source that has failed gives what it had left, and then no more.
            Ok(Progress::Blocked) if self.failure.is_some() => self.finish(sink),
            Ok(progress) => Ok(progress),
            Err(error) => {
                self.failure.get_or_insert(error);
                self.finish(sink)
            }
        }
    }

    /// This is a bulk transfer: changes over to splicing if that is possible. For little data, read
    /// and write need fewer system calls.
    fn begin_bulk(&mut self, source: &mut impl Source, sink: &mut impl Sink, offload: Offload) {
        self.bulky = true;
        source.widen();
        sink.widen();
        if offload == Offload::All
            && let Some(splice) = Splice::between(source, sink)
        {
            self.conduit = Conduit::Splice(splice);
        }
    }

    fn splice(
        &mut self,
        source: &mut impl Source,
        sink: &mut impl Sink,
    ) -> Result<Progress, Failure> {
        let Conduit::Splice(splice) = &mut self.conduit else { return Ok(Progress::Moved(0)) };
        match splice.step(&mut self.kernel, source, sink) {
            Ok(Step::Progress(progress)) => Ok(progress),
            Ok(Step::Read) => self.fill(source, sink),
            Ok(Step::SinkEnded) => {
                self.phase = Phase::Done;
                Ok(Progress::End)
            }
            Ok(Step::Refused) => {
                splice
                    .rescue(&mut self.kernel, &mut self.batch)
                    .map_err(|cause| Failure::Source(Error::system("splice", &cause)))?;
                self.conduit = Conduit::Copy(Offload::Portable);
                Ok(Progress::Moved(0))
            }
            Err(Failed::Sink(error)) => Err(Failure::Sink(error)),
            Err(Failed::Source(error)) => {
                // What came before the failure is read first: splice(2) may have stopped short.
                self.failure = Some(error);
                self.conduit = Conduit::Copy(Offload::Portable);
                Ok(Progress::Moved(0))
            }
        }
    }

    fn finish(&mut self, sink: &mut impl Sink) -> Result<Progress, Failure> {
        self.phase = Phase::Finishing;
        // A failure of the source explains an unfinished message better than the message does.
        if let (Err(error), None) = (sink.finish(), &self.failure) {
            self.failure = Some(error);
        }
        Ok(Progress::Moved(0))
    }

    fn drain(&mut self, sink: &mut impl Sink, now: Instant) -> Result<Progress, Failure> {
        let allowed = match &mut self.pace {
            None => Allowance::ALL,
            Some(pace) => match pace.allowance(now) {
                Some(allowed) => allowed,
                None => return Ok(Progress::Blocked),
            },
        };
        let before = self.batch.len();
        let progress = sink.drain(&mut self.batch, allowed).map_err(Failure::Sink)?;
        self.is_full = progress == Progress::Blocked;
        match (progress, &mut self.pace) {
            (Progress::Moved(bytes), Some(pace)) => pace.spent(before - self.batch.len(), bytes),
            (Progress::End, _) => {
                self.phase = Phase::Done;
                // Nobody takes what came before the source's failure: it waits for nothing any more.
                return self
                    .failure
                    .take()
                    .map_or(Ok(progress), |error| Err(Failure::Source(error)));
            }
            _ => {}
        }
        Ok(progress)
    }
}

#[cfg(test)]
mod tests;
