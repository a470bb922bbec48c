//! A relay between scripted sides, walked through random orders of data, pauses, ends, failures, short reads
//! and short writes.
//!
//! `PKTCAT_SEED=N` walks one order again; a failure names its seed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;

use super::*;
use crate::engine::ends::{Reader, Silence, Standing};
use crate::engine::flow::{Allowance, Sink, Source};
use crate::engine::seeds::walk_seeds;
use crate::error::Status;
use crate::observe::tap::Activity;

/// Orders that are walked.
const SEEDS: u64 = 100_000;

/// Turns after which a run must have ended, once everything has happened that could.
const MOST_TURNS: usize = 2_000;

/// How a stream of bytes ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Fin,
    Failure,
    Never,
}

/// One direction of a side: what it has to give, or what it has taken.
#[derive(Debug)]
struct Pipe {
    rng: Rng,
    /// Bytes to be given, numbered from 0 (modulo 251).
    left: usize,
    end: End,
    given: usize,
    /// Bytes that have been taken.
    taken: usize,
    /// Whether the next call finds nothing, or no room. The world clears it.
    blocked: bool,
    /// After so many bytes taking fails.
    breaks_at: Option<usize>,
    /// Bytes that have been taken, and wait for room.
    held: usize,
}

type Shared = Rc<RefCell<Pipe>>;

fn byte(number: usize) -> u8 {
    (number % 251) as u8
}

impl Pipe {
    fn new(seed: u64, left: usize, end: End, breaks_at: Option<usize>) -> Shared {
        let rng = Rng::with_seed(seed);
        let pipe = Self { rng, left, end, given: 0, taken: 0, blocked: true, breaks_at, held: 0 };
        Rc::new(RefCell::new(pipe))
    }

    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        if self.blocked {
            return Ok(Progress::Blocked);
        }
        if self.left == 0 {
            return match self.end {
                End::Fin => Ok(Progress::End),
                End::Failure => Err(broken("receive")),
                End::Never => {
                    self.blocked = true;
                    Ok(Progress::Blocked)
                }
            };
        }
        let n = self.rng.usize(1..=self.left.min(800));
        for (at, place) in batch.spare()[..n].iter_mut().enumerate() {
            *place = byte(self.given + at);
        }
        batch.filled(n);
        batch.cut(n, n);
        self.given += n;
        self.left -= n;
        self.blocked = self.rng.u8(0..4) == 0;
        Ok(Progress::Moved(n))
    }

    fn drain(&mut self, batch: &mut Batch) -> Result<Progress> {
        let mut moved = 0;
        while let Some((_, bytes)) = batch.front() {
            if self.breaks_at.is_some_and(|at| self.taken >= at) {
                return Err(broken("send"));
            }
            if self.blocked {
                break;
            }
            let n = self.rng.usize(1..=bytes.len());
            let is_next = bytes[..n].iter().enumerate().all(|(i, &b)| b == byte(self.taken + i));
            assert!(is_next, "a byte was lost, invented or moved");
            self.taken += n;
            batch.consume(n);
            moved += n;
            self.blocked = self.rng.u8(0..4) == 0;
        }
        Ok(if moved == 0 { Progress::Blocked } else { Progress::Moved(moved) })
    }
}

fn broken(what: &str) -> Error {
    Error::new(Status::Broken, what, "scripted", "broken")
}

struct Typist(Shared);

impl Source for Typist {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        self.0.borrow_mut().fill(batch)
    }
}

impl Speaker for Typist {
    fn is_terminal(&self) -> bool {
        false
    }

    fn has_more(&self) -> bool {
        self.0.borrow().left > 0
    }
}

struct Page {
    pipe: Shared,
    gone: Rc<Cell<bool>>,
    /// Bytes of a last line, which is written once it is known to be the last.
    last_line: usize,
}

impl Sink for Page {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        self.pipe.borrow_mut().drain(batch)
    }

    fn flush(&mut self) -> Result<Progress> {
        let mut pipe = self.pipe.borrow_mut();
        match (pipe.held, pipe.blocked) {
            (0, _) => Ok(Progress::End),
            (_, true) => Ok(Progress::Blocked),
            (held, false) => {
                pipe.held = 0;
                Ok(Progress::Moved(held))
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.pipe.borrow_mut().held += self.last_line;
        Ok(())
    }
}

impl Listener for Page {
    fn reader(&self) -> Reader {
        if self.gone.get() { Reader::Gone } else { Reader::Wants }
    }

    fn is_drained(&self) -> bool {
        self.pipe.borrow().held == 0
    }
}

/// The peer: what it sends, what it takes, and when it acknowledges.
struct Peer {
    sends: Shared,
    takes: Shared,
    closed: Rc<Cell<bool>>,
    acknowledges: Rc<Cell<bool>>,
    activity: Activity,
}

impl Source for Peer {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        let progress = self.sends.borrow_mut().fill(batch)?;
        self.activity.received(usize::from(matches!(progress, Progress::Moved(_))));
        Ok(progress)
    }
}

impl Sink for Peer {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        let progress = self.takes.borrow_mut().drain(batch)?;
        self.activity.sent(usize::from(matches!(progress, Progress::Moved(_))));
        Ok(progress)
    }
}

impl Standing for Peer {
    fn has_settled(&self) -> Result<bool> {
        Ok(self.acknowledges.get())
    }

    fn has_acknowledged(&self) -> Result<bool> {
        Ok(self.acknowledges.get())
    }

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl Duplex for Peer {
    fn activity(&self) -> Activity {
        self.activity
    }

    fn is_drained(&self) -> bool {
        self.sends.borrow().blocked
    }

    fn close_write(&mut self) -> Result<Progress> {
        assert!(!self.closed.replace(true), "a second FIN");
        Ok(Progress::End)
    }
}

fn walk(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let end = |rng: &mut Rng| match rng.u8(0..8) {
        0 => End::Failure,
        1 => End::Never,
        _ => End::Fin,
    };
    let breaks = |rng: &mut Rng| (rng.u8(0..6) == 0).then(|| rng.usize(0..3_000));
    let size = |rng: &mut Rng| if rng.bool() { rng.usize(0..3_000) } else { rng.usize(0..10) };
    let (up, down) = (size(&mut rng), size(&mut rng));
    let stdin = Pipe::new(rng.u64(..), up, end(&mut rng), None);
    let stdout = Pipe::new(rng.u64(..), 0, End::Never, breaks(&mut rng));
    let sends = Pipe::new(rng.u64(..), down, end(&mut rng), None);
    let takes = Pipe::new(rng.u64(..), 0, End::Never, breaks(&mut rng));
    let (gone, closed, acknowledges) = (Rc::default(), Rc::default(), Rc::<Cell<bool>>::default());
    let start = Instant::now();
    let limit = |rng: &mut Rng| (rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(1..500)));
    let rules = Rules {
        until_fin: rng.u8(0..4) == 0,
        send_only: rng.u8(0..8) == 0,
        silence: limit(&mut rng).map_or(Silence::Ignored, Silence::AfterInput),
        count: None,
        first: None,
        idle: limit(&mut rng),
    };
    let fin = [Fin::AtInputEnd, Fin::AtPeerClose, Fin::Never][rng.usize(0..3)];
    let peer = Peer {
        sends: Rc::clone(&sends),
        takes: Rc::clone(&takes),
        closed: Rc::clone(&closed),
        acknowledges: Rc::clone(&acknowledges),
        activity: Activity::default(),
    };
    let last_line = rng.usize(0..3);
    let page = Page { pipe: Rc::clone(&stdout), gone: Rc::clone(&gone), last_line };
    let sides = (Typist(Rc::clone(&stdin)), page);
    let mut relay = Relay::new(sides, peer, fin, rules, Offload::Portable, None, start);
    let mut now = start;
    let mut congested = false;
    for turns in 0.. {
        assert!(turns < MOST_TURNS, "no end");
        let result = relay.turn(now, now, congested);
        match result {
            Ok(Turn::Moved) => {
                congested = rng.u8(0..16) == 0;
                continue;
            }
            Ok(Turn::Over) => {
                is_right(&relay, &stdin, &sends, &stdout, &takes, &gone, rules);
                return;
            }
            Err(error) => {
                let late = error.status == Status::TimedOut && rules.idle.is_some();
                assert!(late || error.status == Status::Broken, "{error}");
                return;
            }
            Ok(Turn::Idle) => {}
        }
        // Nothing moved: something is waited for, and only that can go on.
        let deadline = relay.deadline(now, congested);
        assert!(deadline.is_none_or(|deadline| deadline > now), "the loop would spin");
        let pipes = [&stdin, &sends, &stdout, &takes];
        let waits = pipes.iter().any(|pipe| pipe.borrow().blocked);
        if !waits && !congested {
            // All ends are ready, and the run goes on: only time can end it, or nobody ever.
            let Some(deadline) = deadline else { return };
            now = deadline;
            acknowledges.set(true);
            continue;
        }
        now += Duration::from_millis(rng.u64(0..20));
        if turns > MOST_TURNS / 2 {
            now = deadline.unwrap_or(now).max(now);
        }
        congested = rng.u8(0..8) == 0;
        gone.set(gone.get() || rng.u8(0..200) == 0);
        acknowledges.set(acknowledges.get() || rng.u8(0..4) == 0);
        let mut any = false;
        for pipe in pipes {
            let mut pipe = pipe.borrow_mut();
            let is_over = pipe.left == 0 && pipe.end == End::Never && pipe.given > 0;
            if pipe.blocked && rng.bool() && !is_over {
                pipe.blocked = false;
                any = true;
            }
        }
        if !any && deadline.is_none() && turns > MOST_TURNS / 2 {
            // Whoever could still speak never will: such a run goes on until it is stopped.
            return;
        }
    }
}

/// Whether a run that has ended well has a reason to.
fn is_right(
    relay: &Relay<Typist, Page, Peer>,
    stdin: &Shared,
    sends: &Shared,
    stdout: &Shared,
    takes: &Shared,
    gone: &Rc<Cell<bool>>,
    rules: Rules,
) {
    if gone.get() {
        return;
    }
    let sent_all = stdin.borrow().left == 0 && takes.borrow().taken == stdin.borrow().given;
    if rules.send_only && sent_all {
        return;
    }
    let written_all = stdout.borrow().taken == sends.borrow().given && stdout.borrow().held == 0;
    if matches!(rules.silence, Silence::AfterInput(_)) && !relay.peer_closed {
        assert!(written_all, "done by silence with bytes that are not written");
        return;
    }
    let received_all = sends.borrow().left == 0 && written_all;
    assert!(relay.peer_closed, "done although the peer has not ended");
    assert!(received_all, "done with bytes missing on standard output");
    let is_silent = matches!(rules.silence, Silence::AfterInput(_));
    assert!(rules.until_fin || is_silent || sent_all, "done with bytes missing at the peer");
}

#[test]
fn every_order_of_events_ends_as_it_should() {
    walk_seeds(SEEDS, walk);
}
