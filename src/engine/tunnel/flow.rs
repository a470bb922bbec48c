//! One direction of a tunnel: from one connection to the other.

use std::rc::Rc;
use std::time::Instant;

use super::shaped::{Shaped, Step};
use crate::engine::batch::Batch;
use crate::engine::duplex::Side;
use crate::engine::pump::{Failure, Pump};
use crate::engine::splice::pipes::Pipes;
use crate::io::progress::Progress;
use crate::sys::Offload;

/// Steps of one direction before the others get their turn.
const STEPS_AT_ONCE: u32 = 16;

/// The end of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// More may come.
    Open,
    /// The source has ended and all of it is delivered; the sink has yet to get its FIN.
    Ended,
    /// The FIN is passed on.
    Closed,
    /// The sink took no more.
    Broken,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Flow {
    pump: Pump,
    /// A bad network on the way, if one was asked for; nothing goes through the pump then.
    pub(super) shaped: Option<Box<Shaped>>,
    pub(super) half: Half,
}

/// Why a direction goes no further.
#[derive(Debug)]
pub(super) enum FlowEnd {
    /// One of its ends failed.
    Failed(Failure),
    /// Both ends are to be reset: that was asked for.
    Reset,
}

impl Flow {
    /// A direction in which nothing has come yet. Room is lent when there is something to read: most
    /// connections wait most of the time.
    pub(super) fn new(offload: Offload, pipes: &Rc<Pipes>) -> Self {
        Self { pump: Pump::borrowing(offload, pipes), shaped: None, half: Half::Open }
    }

    /// Whether nothing has arrived that is not delivered.
    pub(super) fn is_empty(&self) -> bool {
        self.pump.is_empty() && self.shaped.as_ref().is_none_or(|shaped| shaped.is_empty())
    }

    /// Moves what can be moved in a few steps; whether anything moved, and which end failed.
    pub(super) fn step(
        &mut self,
        source: &mut impl Side,
        sink: &mut impl Side,
        room: &mut Batch,
        now: Instant,
    ) -> (bool, Option<FlowEnd>) {
        let mut moved = false;
        if self.half != Half::Open {
            return (moved, None);
        }
        if let Some(shaped) = &mut self.shaped {
            return match shaped.step(source, sink, now) {
                Step::Moved => (true, None),
                Step::Idle => (false, None),
                Step::Ended => {
                    self.half = Half::Ended;
                    (true, None)
                }
                Step::Failed(failure) => (false, Some(FlowEnd::Failed(failure))),
                Step::Reset => (false, Some(FlowEnd::Reset)),
            };
        }
        self.pump.borrow_room(room);
        let mut failure = None;
        for _ in 0..STEPS_AT_ONCE {
            match self.pump.step(source, sink, now) {
                Ok(Progress::Moved(_)) => moved = true,
                Ok(Progress::Blocked) => break,
                Ok(Progress::End) => {
                    moved = true;
                    self.half = Half::Ended;
                    break;
                }
                Err(met) => {
                    failure = Some(met);
                    break;
                }
            }
        }
        self.pump.give_room_back(room);
        (moved, failure.map(FlowEnd::Failed))
    }
}
