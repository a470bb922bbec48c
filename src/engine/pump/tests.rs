//! A pump between scripted ends, walked through random orders of short reads and writes, pauses, ends and
//! failures: by copying, with and without a pace, and by splicing over a scripted kernel that refuses at any
//! moment.
//!
//! `PKTCAT_SEED=N` walks one order again; a failure names its seed.

mod kernel;
mod world;

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::engine::flow::Cuts;
use crate::engine::seeds::walk_seeds;
use crate::io::splice_end::SpliceKind;
use kernel::ScriptedKernel;
use world::{End, Gone, Mouth, Spring, World};

/// Orders that are walked, of each kind.
const SEEDS: u64 = 100_000;

/// Steps after which all must have been moved.
const MOST_STEPS: usize = 3_000;

/// Steps in a row that may say that something moved though no end has noticed.
const MOST_QUIET_STEPS: usize = 3;

/// Room of the batch.
const ROOM: usize = 40 * 1024;

/// Which kind of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copied,
    Spliced,
}

fn any_end(rng: &mut Rng) -> End {
    [End::Clean, End::Clean, End::Reset, End::Failure][rng.usize(0..4)]
}

fn any_kind(rng: &mut Rng) -> SpliceKind {
    [SpliceKind::Pipe, SpliceKind::Socket, SpliceKind::File][rng.usize(0..3)]
}

fn world(rng: &mut Rng, way: Way) -> World {
    let is_spliced = way == Way::Spliced;
    let left = if is_spliced { rng.usize(0..100_000) } else { rng.usize(0..2_000) };
    let kinds = is_spliced.then(|| (any_kind(rng), any_kind(rng)));
    // Only sockets are reset.
    let end = match any_end(rng) {
        End::Reset if kinds.is_some_and(|(from, _)| from != SpliceKind::Socket) => End::Failure,
        end => end,
    };
    let mut world = World::new(rng.fork(), left, end, is_spliced);
    world.kinds = kinds;
    if rng.u8(0..6) == 0 {
        world.breaks_at = Some(rng.usize(0..=left));
        world.gone = if rng.bool() { Gone::Failure } else { Gone::End };
    }
    // Where urgent data is; only TCP has it.
    let is_tcp = world.kinds.is_some_and(|(from, _)| from == SpliceKind::Socket);
    world.mark = (is_tcp && rng.u8(0..3) == 0).then(|| rng.usize(0..=left));
    if is_spliced {
        world.refuses = [0, 0, 30, 200][rng.usize(0..4)];
        world.loses = rng.u8(0..8) == 0;
    } else {
        world.last_line = rng.usize(0..3);
        world.finish_fails = rng.u8(0..8) == 0;
        world.holds = rng.bool();
    }
    world
}

struct Walk {
    rng: Rng,
    world: Rc<World>,
    pump: Pump<ScriptedKernel>,
    rate: Option<u64>,
    started: Instant,
    now: Instant,
}

impl Walk {
    fn new(seed: u64, way: Way) -> Self {
        let mut rng = Rng::with_seed(seed);
        let world = Rc::new(world(&mut rng, way));
        let rate = (way == Way::Copied && rng.u8(0..4) == 0).then(|| rng.u64(5_000..500_000));
        let pace = Pace::new(None, rate, Cuts::Anywhere);
        let offload = if way == Way::Spliced { Offload::All } else { Offload::Portable };
        let kernel = ScriptedKernel(Rc::clone(&world));
        let pump = Pump::with_kernel(kernel, Batch::new(ROOM), offload, pace);
        let started = Instant::now();
        Self { rng, world, pump, rate, started, now: started }
    }

    fn step(&mut self) -> Result<Progress, Failure> {
        let mut spring = Spring(Rc::clone(&self.world));
        let mut mouth = Mouth(Rc::clone(&self.world));
        let result = self.pump.step(&mut spring, &mut mouth, self.now);
        self.world.latches_are_true();
        result
    }

    fn walk(mut self) {
        let mut quiet = 0;
        for steps in 0.. {
            assert!(steps < MOST_STEPS, "no end");
            let events = self.world.events.get();
            match self.step() {
                Ok(Progress::Moved(_)) => {
                    let is_quiet = self.world.events.get() == events;
                    quiet = if is_quiet { quiet + 1 } else { 0 };
                    assert!(
                        quiet <= MOST_QUIET_STEPS,
                        "says that something moved, and nothing did"
                    );
                }
                Ok(Progress::Blocked) => {
                    quiet = 0;
                    self.has_reason_to_wait();
                    self.wait();
                }
                Ok(Progress::End) => return self.ended(),
                Err(failure) => return self.failed(&failure),
            }
            self.is_not_too_fast();
            let (held, sent) = (self.world.given() - self.world.taken(), self.pump.is_empty());
            assert_eq!(held == 0, sent, "the pump does not know what it holds");
        }
    }

    /// Blocked: by the sink if something waits to leave, else by the source, or by both as one.
    fn has_reason_to_wait(&self) {
        let world = &self.world;
        assert!(self.pump.deadline().is_none_or(|at| at > self.now), "the loop would spin");
        let (readable, writable) = (world.from.readable(), world.to.writable());
        if self.pump.is_empty() {
            assert!(!readable || !writable, "reads no more, and could");
            return;
        }
        let is_early = self.pump.deadline().is_some_and(|at| at > self.now);
        assert!(!writable || is_early, "writes no more, and could");
    }

    fn wait(&mut self) {
        self.now = match self.pump.deadline() {
            Some(deadline) if self.rng.bool() => deadline.max(self.now),
            _ => self.now + Duration::from_millis(self.rng.u64(0..5)),
        };
        self.world.happens(&mut self.rng);
    }

    /// What a pace allows at most: its rate, what late wake-ups may catch up with, and one piece.
    fn is_not_too_fast(&self) {
        let Some(rate) = self.rate else { return };
        let time = self.now - self.started + Duration::from_millis(20);
        let most = time.as_secs_f64() * rate as f64 + (rate / 1000).max(1) as f64 + 1.0;
        assert!(self.world.taken() as f64 <= most, "{} bytes in {time:?}", self.world.taken());
    }

    fn ended(mut self) {
        let is_gone = self.world.is_gone();
        let is_whole = self.world.left() == 0 && self.world.taken() == self.world.given();
        assert!(is_whole || is_gone, "ended with bytes missing");
        assert!(is_gone || self.world.held.get() == 0, "ended with bytes held back");
        assert!(is_gone || self.world.finished.get(), "ended without finishing the sink");
        assert!(is_gone || self.world.end == End::Clean, "a failure is not told");
        assert!(is_gone || !self.world.finish_fails, "an unfinished message is not told");
        assert!(!self.pump.has_failed(), "a failure is kept that nobody asks for any more");
        let events = self.world.events.get();
        assert!(matches!(self.step(), Ok(Progress::End)), "an end that is none");
        assert_eq!(self.world.events.get(), events, "something is asked for after the end");
    }

    fn failed(self, failure: &Failure) {
        match failure {
            Failure::Source(error) => {
                let world = &self.world;
                assert!(
                    !world.is_gone()
                        || world.lost.get()
                        || world.finish_fails
                        || world.end != End::Clean
                );
                // What came before cannot be delivered where nobody takes it.
                if world.lost.get() || world.is_gone() {
                    return;
                }
                assert_eq!(
                    world.taken(),
                    world.given(),
                    "{error}: what came before is not delivered"
                );
                assert_eq!(world.held.get(), 0, "{error}: what came before is held back");
                assert_eq!(world.left(), 0, "{error}: before the source has given all");
                assert!(
                    world.end != End::Clean || world.finish_fails,
                    "{error}: nothing has failed"
                );
            }
            Failure::Sink(error) => assert!(self.world.is_gone(), "{error}: nothing has failed"),
        }
    }
}

#[test]
fn every_order_of_reads_and_writes_is_delivered() {
    walk_seeds(SEEDS, |seed| Walk::new(seed, Way::Copied).walk());
}

#[test]
fn every_order_of_splices_and_refusals_is_delivered() {
    walk_seeds(SEEDS, |seed| Walk::new(seed, Way::Spliced).walk());
}
