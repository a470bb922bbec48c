//! A relay of datagrams between scripted ends, walked through random orders of datagrams, refusals, pauses,
//! ends, failures, deadlines and short writes.
//!
//! `PKTCAT_SEED=N` walks one order again; a failure names its seed.

mod world;

use std::cell::RefCell;

use fastrand::Rng;

use super::*;
use crate::engine::ends::Silence;
use crate::engine::flow::Cuts;
use crate::engine::seeds::walk_seeds;
use world::{End, Net, Page, Shared, Typist, World};

/// Orders that are walked.
const SEEDS: u64 = 100_000;

/// Turns after which a run must have ended, once everything has happened that could.
const MOST_TURNS: usize = 1_000;

/// Turns in a row that may say that something moved though no end has noticed: the pump's own steps.
const MOST_QUIET_TURNS: usize = 3;

/// One order of events, and what is known of it from outside.
struct Walk {
    rng: Rng,
    world: Shared,
    relay: DatagramRelay<Typist, Page, Net>,
    rules: Rules,
    started: Instant,
    now: Instant,
    looked_at: Instant,
    congested: bool,
    /// Other addresses of the name, which are tried after a refusal.
    others: usize,
    count: u64,
    came: Option<Instant>,
    moved_at: Option<Instant>,
    arrived_at: Option<Instant>,
    input_ended_at: Option<Instant>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let connected = rng.u8(0..4) > 0;
        let count = (rng.u8(0..4) == 0).then(|| rng.u64(1..12));
        let started = Instant::now();
        let world = World::new(&mut rng, connected, count, started);
        let mut limit =
            |one_in: u8| (rng.u8(0..one_in) == 0).then(|| Duration::from_millis(rng.u64(1..200)));
        let (first, idle) = (limit(4), limit(4));
        let silence = limit(2).map_or(Silence::Ignored, Silence::AfterInput);
        let (silence, interval) = match silence {
            Silence::AfterInput(given) if rng.u8(0..4) == 0 => (Silence::AfterFirst(given), None),
            silence => {
                (silence, (rng.u8(0..3) == 0).then(|| Duration::from_millis(rng.u64(1..30))))
            }
        };
        let rules =
            Rules { until_fin: false, send_only: rng.u8(0..8) == 0, silence, count, first, idle };
        let pace = Pace::new(interval, None, Cuts::BetweenMessages);
        let world = Rc::new(RefCell::new(world));
        let ends = (Typist(Rc::clone(&world)), Page(Rc::clone(&world)), Net(Rc::clone(&world)));
        let relay = DatagramRelay::new(ends.0, ends.1, ends.2, rules, pace, started);
        Self {
            others: if connected { rng.usize(0..3) } else { 0 },
            rng,
            world,
            relay,
            rules,
            started,
            now: started,
            looked_at: started,
            congested: false,
            count: count.unwrap_or(0),
            came: connected.then_some(started),
            moved_at: None,
            arrived_at: None,
            input_ended_at: None,
        }
    }

    fn walk(&mut self) {
        let mut quiet = 0;
        for turns in 0.. {
            assert!(turns < MOST_TURNS, "no end");
            let events = self.world.borrow().events;
            match self.turn() {
                Ok(Turn::Moved) => {
                    let is_quiet = self.world.borrow().events == events;
                    quiet = if is_quiet { quiet + 1 } else { 0 };
                    assert!(
                        quiet <= MOST_QUIET_TURNS,
                        "says that something moved, and nothing did"
                    );
                    self.now += Duration::from_millis(self.rng.u64(0..2));
                    self.congested = self.rng.u8(0..16) == 0;
                    continue;
                }
                Ok(Turn::Over) => return self.ended_well(),
                Err(error) if self.goes_on_elsewhere(&error) => continue,
                Err(error) => return self.failed(&error),
                Ok(Turn::Idle) => quiet = 0,
            }
            let deadline = self.relay.deadline(self.now, self.congested);
            self.has_reason_to_wait(deadline);
            if self.rng.u8(0..100) == 0 {
                return self.stopped();
            }
            if !self.wait(deadline, turns > MOST_TURNS / 2) {
                return;
            }
        }
    }

    fn turn(&mut self) -> Result<Turn> {
        self.world.borrow_mut().now = self.now;
        let before = self.world.borrow().activity;
        let result = self.relay.turn(self.now, self.looked_at, self.congested);
        let after = self.world.borrow().activity;
        if after.arrived != before.arrived {
            self.arrived_at = Some(self.now);
        }
        if after != before {
            self.moved_at = Some(self.now);
            self.came.get_or_insert(self.now);
        }
        if self.relay.ends.has_input_ended() {
            self.input_ended_at.get_or_insert(self.now);
        }
        result
    }

    /// The socket gets another address while nothing has come from this one.
    fn goes_on_elsewhere(&mut self, error: &Error) -> bool {
        let is_possible = error.status == Status::Refused
            && self.others > 0
            && self.world.borrow().activity.arrived == 0;
        if is_possible {
            self.others -= 1;
            self.relay.begin_anew(self.now);
            self.input_ended_at = self.input_ended_at.map(|_| self.now);
            let mut world = self.world.borrow_mut();
            (world.unreadable, world.unwritable) = (false, false);
            world.full_until = None;
        }
        is_possible
    }

    /// Nothing moved: each direction waits for an end that is not ready, or for a time to come.
    fn has_reason_to_wait(&self, deadline: Option<Instant>) {
        let is_news = self.looked_at < self.now;
        assert!(deadline.is_none_or(|at| at > self.now || is_news), "the loop would spin");
        if self.congested {
            return;
        }
        let world = self.world.borrow();
        assert!(world.unreadable || world.output_blocked, "receives no more, and could");
        let up_waits = world.input_blocked
            || world.unwritable
            || world.full_until.is_some_and(|at| deadline.is_some_and(|deadline| deadline <= at))
            || !world.has_peer
            || self.relay.ends.has_input_ended()
            || self.relay.down.has_failed()
            || self.relay.up.deadline().is_some_and(|at| at > self.now);
        assert!(up_waits, "sends no more, and could");
    }

    /// Lets time pass and something happen; `false` when nothing ever will.
    fn wait(&mut self, deadline: Option<Instant>, hurry: bool) -> bool {
        self.now += Duration::from_millis(self.rng.u64(0..20));
        if hurry || self.rng.u8(0..4) == 0 {
            self.now = deadline.unwrap_or(self.now).max(self.now);
        }
        self.looked_at = self.now;
        self.congested = !hurry && self.rng.u8(0..8) == 0;
        let mut world = self.world.borrow_mut();
        let is_silent =
            world.up_left == 0 && world.input_end == End::Silence && world.input_blocked;
        if world.rng.u8(0..40) == 0 {
            world.refusal = true;
            world.unreadable = false;
        }
        world.gone |= self.rng.u8(0..200) == 0;
        world.input_blocked &= is_silent || self.rng.bool();
        world.unwritable &= self.rng.bool();
        world.output_blocked &= self.rng.u8(0..4) > 0;
        let has_more = world.down_left > 0;
        world.unreadable &= !has_more || self.rng.bool();
        let is_finished =
            !has_more && world.unreadable && (is_silent || self.relay.ends.has_input_ended());
        !(hurry && is_finished && deadline.is_none() && !world.output_blocked)
    }

    fn all_is_sent(&self) -> bool {
        let world = self.world.borrow();
        self.relay.ends.has_input_ended() && world.up_left == 0 && world.up.is_settled()
    }

    fn all_is_written(&self) -> bool {
        let world = self.world.borrow();
        world.down.is_settled() && world.held == 0
    }

    fn is_silent(&self) -> bool {
        let (given, since) = match self.rules.silence {
            Silence::Ignored => return false,
            Silence::AfterInput(given) => {
                (given, self.came.max(self.input_ended_at).max(self.arrived_at))
            }
            Silence::AfterFirst(given) => (given, self.arrived_at),
        };
        let is_due = !matches!(self.rules.silence, Silence::AfterInput(_)) || self.all_is_sent();
        let is_read = self.world.borrow().unreadable;
        is_due
            && is_read
            && since.is_some_and(|since| self.now >= since + given)
            && self.all_is_written()
    }

    fn ended_well(&self) {
        let world = self.world.borrow();
        assert!(!self.relay.down.has_failed(), "ended well, and a failure is not told");
        let is_satisfied = self.rules.count.is_some() && world.wanted == Some(0) && world.held == 0;
        let is_sent = self.rules.send_only && self.all_is_sent();
        let is_silent = self.is_silent() && self.rules.count.is_none();
        assert!(world.gone || is_satisfied || is_sent || is_silent, "ended without a reason");
        // These ends do not care for what standard input still holds.
        let is_whatever = matches!(self.rules.silence, Silence::AfterFirst(_));
        let is_input_whole = !world.input_failed || world.gone || is_satisfied || is_whatever;
        assert!(is_input_whole, "ended well although standard input failed");
    }

    fn failed(&mut self, error: &Error) {
        let text = error.to_string();
        match error.status {
            Status::TimedOut if text.contains("--accept-timeout") => {
                let first = self.rules.first.expect("a limit");
                assert!(self.came.is_none() && self.now >= self.started + first, "too early");
            }
            Status::TimedOut if text.contains("--idle-timeout") => {
                let since = self.came.max(self.moved_at).expect("somebody has come");
                assert!(self.now >= since + self.rules.idle.expect("a limit"), "too early");
            }
            Status::TimedOut => {
                assert!(self.is_silent(), "{text}: too early");
                let came = self.count - self.world.borrow().wanted.expect("messages are counted");
                let says_so = match came {
                    0 => text.contains("no reply"),
                    came => text.contains(&format!("{came} of {} messages came", self.count)),
                };
                assert!(came < self.count && says_so, "{text}");
            }
            Status::Refused => {}
            Status::LocalIo => {
                let world = self.world.borrow();
                let is_broken = world.output_breaks.is_some_and(|at| world.down.taken >= at);
                assert!(world.input_failed || is_broken, "{text}");
                assert!(
                    is_broken || world.up.is_settled(),
                    "failed before all was sent that had been read"
                );
            }
            _ => panic!("{text}"),
        }
        self.stopped();
    }

    /// The run ends early: what has arrived is written, as far as standard output takes it.
    fn stopped(&mut self) {
        self.relay.down.deliver_the_rest(&mut self.relay.socket, &mut self.relay.output, self.now);
        let world = self.world.borrow();
        let takes = !world.output_blocked && !world.gone && world.output_breaks.is_none();
        assert!(!takes || self.all_is_written(), "what had arrived was not written");
        assert!(!takes || world.down_left == 0 || world.unreadable, "what was there was not read");
    }
}

#[test]
fn every_order_of_datagrams_ends_as_it_should() {
    walk_seeds(SEEDS, |seed| Walk::new(seed).walk());
}
