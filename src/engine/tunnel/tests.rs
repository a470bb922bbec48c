//! A tunnel between scripted sides, walked through random orders of data, pauses, ends, failures,
//! short reads and short writes, with and without a bad network on the way. Some sides hold part of
//! what they have taken, as TLS does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fastrand::Rng;

use super::*;
use crate::engine::duplex::Duplex;
use crate::engine::ends::Standing;
use crate::engine::flow::{Allowance, Sink, Source};
use crate::engine::impair::Spec;
use crate::engine::seeds::walk_seeds;
use crate::engine::splice::pipes::Pipes;
use crate::error::Status;

/// Orders that are walked.
const SEEDS: u64 = 100_000;

/// Turns after which a walk must have ended.
const MOST_TURNS: usize = 5_000;

/// What a side does once it has given all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
}

/// What is known of a side, which the walk looks at and the tunnel does not.
#[derive(Debug)]
struct Facts {
    rng: RefCell<Rng>,
    /// Bytes it has yet to give; the byte at an offset is the offset's low byte.
    left: Cell<usize>,
    given: Cell<usize>,
    end: End,
    has_ended: Cell<bool>,
    gave_fin: Cell<bool>,
    /// Bytes it takes before it breaks; `None` when it never does.
    breaks_after: Option<usize>,
    is_broken: Cell<bool>,
    taken: Cell<usize>,
    /// Whether it may hold part of what it takes, and how much it holds.
    holds: bool,
    held: Cell<usize>,
    unacknowledged: Cell<u32>,
    got_fin: Cell<bool>,
    got_reset: Cell<bool>,
    readable: Cell<bool>,
    writable: Cell<bool>,
}

impl Facts {
    fn new(rng: &mut Rng) -> Rc<Self> {
        let end = if rng.u8(..4) == 0 { End::Reset } else { End::Fin };
        let breaks_after = (rng.u8(..6) == 0).then(|| rng.usize(..400));
        Rc::new(Self {
            rng: RefCell::new(rng.fork()),
            left: Cell::new(rng.usize(..600)),
            given: Cell::new(0),
            end,
            has_ended: Cell::new(false),
            gave_fin: Cell::new(false),
            breaks_after,
            is_broken: Cell::new(false),
            taken: Cell::new(0),
            holds: rng.bool(),
            held: Cell::new(0),
            unacknowledged: Cell::new(0),
            got_fin: Cell::new(false),
            got_reset: Cell::new(false),
            readable: Cell::new(true),
            writable: Cell::new(true),
        })
    }

    fn chance(&self, of: u8) -> bool {
        self.rng.borrow_mut().u8(..of) == 0
    }

    fn up_to(&self, most: usize) -> usize {
        self.rng.borrow_mut().usize(1..=most)
    }

    /// Whether there is room for something; now and then the last has just been taken.
    fn has_room(&self) -> bool {
        if self.chance(4) {
            self.writable.set(false);
        }
        self.writable.get()
    }

    fn breaks(&self) -> Result<()> {
        let breaks = self.breaks_after.is_some_and(|n| self.taken.get() >= n);
        self.is_broken.set(self.is_broken.get() || breaks);
        if self.is_broken.get() { Err(broken()) } else { Ok(()) }
    }

    /// Something happens outside: it is ready again, and has acknowledged something.
    fn wake(&self) {
        self.readable.set(self.readable.get() || self.chance(2));
        self.writable.set(self.writable.get() || self.chance(2));
        let left = self.unacknowledged.get();
        self.unacknowledged.set(if self.chance(2) { 0 } else { left });
    }
}

fn broken() -> Error {
    Error::new(Status::Broken, "script", "", "reset")
}

struct Peer(Rc<Facts>);

impl Source for Peer {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        let facts = &self.0;
        assert!(!facts.has_ended.get(), "read after its end");
        if !facts.readable.get() || facts.chance(4) {
            facts.readable.set(false);
            return Ok(Progress::Blocked);
        }
        if facts.chance(8) {
            // Interrupted.
            return Ok(Progress::Moved(0));
        }
        if facts.is_broken.get() {
            facts.has_ended.set(true);
            return if facts.chance(2) { Ok(Progress::End) } else { Err(broken()) };
        }
        if facts.left.get() == 0 {
            facts.has_ended.set(true);
            facts.gave_fin.set(facts.end == End::Fin);
            return match facts.end {
                End::Fin => Ok(Progress::End),
                End::Reset => Err(broken()),
            };
        }
        let n = facts.up_to(facts.left.get().min(100));
        let spare = batch.spare();
        for (at, byte) in spare[..n].iter_mut().enumerate() {
            *byte = (facts.given.get() + at) as u8;
        }
        batch.filled(n);
        batch.cut(n, n);
        facts.given.set(facts.given.get() + n);
        facts.left.set(facts.left.get() - n);
        Ok(Progress::Moved(n))
    }
}

impl Sink for Peer {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        match self.flush()? {
            Progress::End => {}
            other => return Ok(other),
        }
        let facts = &self.0;
        assert!(!facts.got_fin.get() && !facts.got_reset.get(), "sent after its end");
        if !facts.has_room() {
            return Ok(Progress::Blocked);
        }
        facts.breaks()?;
        if facts.chance(8) {
            // Interrupted.
            return Ok(Progress::Moved(0));
        }
        let Some((_, bytes)) = batch.front() else { return Ok(Progress::Moved(0)) };
        let n = facts.up_to(bytes.len());
        for (at, byte) in bytes[..n].iter().enumerate() {
            assert_eq!(*byte, (facts.taken.get() + at) as u8, "a byte lost or invented");
        }
        facts.taken.set(facts.taken.get() + n);
        batch.consume(n);
        let held = if facts.holds && facts.chance(2) { facts.up_to(n) } else { 0 };
        facts.held.set(held);
        facts.writable.set(held == 0);
        facts.unacknowledged.set(facts.unacknowledged.get() + (n - held) as u32);
        Ok(Progress::Moved(n))
    }

    fn flush(&mut self) -> Result<Progress> {
        let facts = &self.0;
        if facts.held.get() == 0 {
            return Ok(Progress::End);
        }
        if !facts.has_room() {
            return Ok(Progress::Blocked);
        }
        facts.breaks()?;
        if facts.chance(8) {
            // Interrupted.
            return Ok(Progress::Moved(0));
        }
        let left = facts.up_to(facts.held.get());
        facts.held.set(facts.held.get() - left);
        facts.unacknowledged.set(facts.unacknowledged.get() + left as u32);
        facts.writable.set(facts.held.get() == 0);
        Ok(if facts.held.get() == 0 { Progress::End } else { Progress::Blocked })
    }
}

impl Standing for Peer {
    fn has_settled(&self) -> Result<bool> {
        Ok(self.0.unacknowledged.get() == 0)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        Ok(self.0.unacknowledged.get() == 0)
    }

    fn check(&self) -> Result<()> {
        if self.0.is_broken.get() { Err(broken()) } else { Ok(()) }
    }
}

impl Duplex for Peer {
    fn activity(&self) -> Activity {
        Activity::default()
    }

    fn is_drained(&self) -> bool {
        !self.0.readable.get()
    }

    fn held(&self) -> usize {
        self.0.held.get()
    }

    fn close_write(&mut self) -> Result<Progress> {
        if self.0.is_broken.get() {
            return Err(broken());
        }
        match self.flush()? {
            Progress::End => {}
            other => return Ok(other),
        }
        if self.0.chance(3) {
            self.0.writable.set(false);
            return Ok(Progress::Blocked);
        }
        self.0.got_fin.set(true);
        Ok(Progress::End)
    }
}

impl Side for Peer {
    fn reset(&self) {
        self.0.got_reset.set(true);
    }

    fn cut_off(&self) {
        self.reset();
    }

    fn unacknowledged(&self) -> Option<u32> {
        Some(self.0.unacknowledged.get() + self.0.held.get() as u32)
    }
}

/// A bad network one way, or none; slow enough that some is on its way most of the time.
fn shaper(rng: &mut Rng) -> Option<Shaper> {
    let mut spec = Spec { seed: rng.u64(..), ..Spec::default() };
    let mut some = |most: u64| rng.bool().then(|| rng.u64(1..most));
    spec.delay = some(100).map(Duration::from_millis);
    spec.jitter = some(50).map(Duration::from_millis);
    spec.slice = some(100).map(|most| most as usize);
    rng.bool().then(|| Shaper::new(&spec, 0))
}

/// How a walk ended.
fn walk(seed: u64) -> (Turn, Rc<Facts>, Rc<Facts>) {
    let mut rng = Rng::with_seed(seed);
    let (client, server) = (Facts::new(&mut rng), Facts::new(&mut rng));
    let finish = if rng.bool() { Finish::AtOnce } else { Finish::Acknowledged };
    let sides = (Peer(Rc::clone(&client)), Peer(Rc::clone(&server)));
    let tunnel = Tunnel::new(sides.0, sides.1, Offload::Portable, &Pipes::new(0), finish);
    let mut tunnel = tunnel.impaired([shaper(&mut rng), shaper(&mut rng)]);
    let mut room = Batch::new(256);
    let mut now = Instant::now();
    for _ in 0..MOST_TURNS {
        match tunnel.turn(&mut room, now, now) {
            Turn::Moved => assert!(room.room() > 0, "no room is left behind"),
            Turn::Idle => {
                let waits = [&client, &server]
                    .into_iter()
                    .any(|side| !side.readable.get() || !side.writable.get());
                assert!(waits || tunnel.deadline(now).is_some(), "nothing to wait for");
                for side in [&client, &server].into_iter().filter(|side| !side.is_broken.get()) {
                    let is_stuck = side.held.get() > 0 && side.writable.get();
                    assert!(!is_stuck || tunnel.breakage.is_some(), "it holds what could leave");
                }
                if tunnel.half_closed_since().is_some() {
                    assert_eq!(client.held.get() + server.held.get(), 0, "something is under way");
                }
                now += ACKNOWLEDGED_CHECK;
                client.wake();
                server.wake();
            }
            over => return (over, client, server),
        }
    }
    panic!("no end");
}

#[test]
fn every_order_ends_and_loses_nothing() {
    walk_seeds(SEEDS, |seed| {
        let (over, client, server) = walk(seed);
        let both = [(&client, &server), (&server, &client)];
        for (from, to) in both {
            assert!(to.taken.get() <= from.given.get(), "more was taken than given");
            if to.got_fin.get() {
                assert!(from.gave_fin.get(), "a FIN that nobody sent");
                let delivered = to.taken.get() - to.held.get();
                assert_eq!(delivered, from.given.get(), "a FIN before all was delivered");
            }
        }
        match over {
            Turn::Done => {
                for (from, to) in both {
                    assert!(from.gave_fin.get() && to.got_fin.get() && !to.got_reset.get());
                }
            }
            Turn::Broken(_) => {
                let survivors: Vec<_> =
                    both.into_iter().filter(|(_, to)| to.got_reset.get()).collect();
                let [(dead, survivor)] = survivors[..] else { panic!("who was reset?") };
                assert!(dead.end == End::Reset || dead.is_broken.get());
                // What the dead one gave has arrived, unless the survivor takes nothing either.
                if !survivor.is_broken.get() {
                    let delivered = survivor.taken.get() - survivor.held.get();
                    assert_eq!(delivered, dead.given.get(), "lost before the reset");
                }
            }
            Turn::Moved | Turn::Idle => unreachable!(),
        }
    });
}

#[test]
fn a_reset_waits_for_who_acknowledges_nothing_for_so_long_and_no_longer() {
    let mut rng = Rng::with_seed(1);
    let (mut client, mut server) = (Facts::new(&mut rng), Facts::new(&mut rng));
    for (side, end) in [(&mut client, End::Reset), (&mut server, End::Fin)] {
        let facts = Rc::get_mut(side).unwrap();
        facts.breaks_after = None;
        facts.holds = false;
        facts.end = end;
    }
    server.left.set(0);
    server.readable.set(false);
    let sides = (Peer(Rc::clone(&client)), Peer(Rc::clone(&server)));
    let mut tunnel =
        Tunnel::new(sides.0, sides.1, Offload::Portable, &Pipes::new(0), Finish::AtOnce);
    let (mut room, start) = (Batch::new(256), Instant::now());
    while !client.has_ended.get() {
        client.readable.set(true);
        server.writable.set(true);
        tunnel.turn(&mut room, start, start);
    }
    assert!(server.unacknowledged.get() > 0);
    let late = start + PATIENCE - ACKNOWLEDGED_CHECK;
    assert!(matches!(tunnel.turn(&mut room, late, late), Turn::Idle));
    assert!(!server.got_reset.get());
    let over = start + 2 * PATIENCE;
    assert!(matches!(tunnel.turn(&mut room, over, over), Turn::Broken(_)));
    assert!(server.got_reset.get());
}
