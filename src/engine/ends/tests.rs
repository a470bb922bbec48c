//! The rules of how a run ends, walked through random orders of events by a virtual clock.
//!
//! `PKTCAT_SEED=N` walks one order again; a failure names its seed.

use std::cell::Cell;

use fastrand::Rng;

use super::*;
use crate::engine::seeds::walk_seeds;
use crate::error::{Error, Status};

/// Orders that are walked.
const SEEDS: u64 = 100_000;

/// Events in one order.
const STEPS: usize = 24;

/// A socket whose answers the test decides.
#[derive(Default)]
struct Scripted {
    settled: Cell<bool>,
    acknowledged: Cell<bool>,
    broken: Cell<bool>,
    cut_off: Cell<bool>,
    /// It is gone, which makes it broken unless that is in peace.
    farewell: Cell<Option<Farewell>>,
}

impl Scripted {
    fn standing(&self, yes: &Cell<bool>) -> Result<bool> {
        self.check().map(|()| yes.get())
    }
}

impl Standing for Scripted {
    fn has_settled(&self) -> Result<bool> {
        self.standing(&self.settled)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        self.standing(&self.acknowledged)
    }

    fn check(&self) -> Result<()> {
        if self.broken.get() {
            return Err(Error::new(Status::Broken, "send", "peer", "reset"));
        }
        Ok(())
    }

    fn is_whole(&self) -> Result<()> {
        match self.cut_off.get() {
            true => Err(Error::new(Status::Broken, "receive", "peer", "cut off")),
            false => Ok(()),
        }
    }

    fn farewell(&self, _: OurFin) -> Option<Farewell> {
        self.farewell.get()
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// The world of one order: what has happened, kept apart from what [`Ends`] makes of it.
struct World {
    rng: Rng,
    rules: Rules,
    ends: Ends,
    socket: Scripted,
    reader: Reader,
    subject: Subject,
    started: Instant,
    came_at: Instant,
    now: Instant,
    activity: Activity,
    pending: Pending,
    came: bool,
    input_ended: Option<Instant>,
    last_arrival: Option<Instant>,
    last_move: Option<Instant>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let now = Instant::now();
        let limit = |rng: &mut Rng| rng.bool().then(|| ms(rng.u64(1..200)));
        let rules = Rules {
            until_fin: rng.bool(),
            send_only: rng.u8(0..4) == 0,
            silence: match (rng.u8(0..3), ms(rng.u64(1..200))) {
                (0, _) => Silence::Ignored,
                (1, given) => Silence::AfterInput(given),
                (_, given) => Silence::AfterFirst(given),
            },
            count: (rng.u8(0..4) == 0).then_some(3),
            first: limit(&mut rng),
            idle: limit(&mut rng),
        };
        let subject = match rng.u8(0..3) {
            0 => Subject::Datagrams,
            1 => Subject::Service { deserted: false },
            _ => Subject::Connection(Halves {
                sending: Sending::Open,
                peer_closed: false,
                saying: match rng.u8(0..4) {
                    0 => Saying::Terminal,
                    1 => Saying::Unsent,
                    _ => Saying::More,
                },
            }),
        };
        let company = if rng.bool() { Company::Here } else { Company::Awaited };
        Self {
            ends: Ends::new(rules, company, now),
            rng,
            rules,
            socket: Scripted::default(),
            reader: Reader::Wants,
            subject,
            started: now,
            came_at: now,
            now,
            activity: Activity::default(),
            pending: Pending::Nothing,
            came: company == Company::Here,
            input_ended: None,
            last_arrival: None,
            last_move: None,
        }
    }

    /// Lets something happen.
    fn event(&mut self) {
        self.now += ms(self.rng.u64(0..60));
        match self.rng.u8(0..10) {
            0 | 1 => {
                self.activity.received(1);
                self.pending = Pending::of(self.rng.bool(), self.rng.bool());
                self.last_arrival = Some(self.now);
                self.last_move = Some(self.now);
                if !std::mem::replace(&mut self.came, true) {
                    self.came_at = self.now;
                }
            }
            2 if self.came => {
                self.activity.sent(1);
                self.last_move = Some(self.now);
            }
            3 => {
                self.ends.input_ended(self.now);
                self.input_ended.get_or_insert(self.now);
                self.sending(|sending, rng| match sending {
                    Sending::Open if rng.bool() => Sending::Held,
                    Sending::Open => Sending::Closed,
                    other => other,
                });
            }
            4 => self.sending(|sending, _| match sending {
                Sending::Open => Sending::Broken,
                other => other,
            }),
            5 if self.rng.u8(0..3) == 0 => match &mut self.subject {
                Subject::Connection(halves) => {
                    halves.peer_closed = true;
                    self.socket.cut_off.set(self.rng.u8(0..4) == 0);
                }
                Subject::Service { deserted } => *deserted = true,
                Subject::Datagrams => {}
            },
            6 => self.socket.settled.set(true),
            7 => self.socket.acknowledged.set(true),
            8 if self.rng.u8(0..4) == 0 => {
                self.socket.broken.set(true);
                let learned = if self.rng.bool() { Learned::ByAsking } else { Learned::ByReset };
                let farewell = Farewell { learned, unacknowledged: self.rng.u32(0..3) };
                self.socket.farewell.set(self.rng.bool().then_some(farewell));
            }
            9 if self.rng.u8(0..8) == 0 => {
                self.reader = if self.rng.bool() { Reader::Gone } else { Reader::Satisfied };
            }
            _ => self.pending = Pending::Nothing,
        }
        if self.pending == Pending::Unwritten {
            self.last_arrival = self.last_arrival.map(|_| self.now);
        }
        self.ends.note(self.activity, self.pending, self.now);
    }

    fn sending(&mut self, change: impl FnOnce(Sending, &mut Rng) -> Sending) {
        if let Subject::Connection(halves) = &mut self.subject {
            halves.sending = change(halves.sending, &mut self.rng);
            if halves.sending != Sending::Open {
                halves.saying = Saying::Nothing;
            }
        }
    }

    fn verdict(&self, looked_at: Instant) -> Result<Verdict> {
        self.ends.verdict(self.reader, self.subject, &self.socket, looked_at)
    }

    /// What must be true of a verdict, judged by what has happened.
    fn check(&self, looked_at: Instant, verdict: &Result<Verdict>) {
        let since = |at: Option<Instant>| at.map(|at| looked_at.saturating_duration_since(at));
        match verdict {
            Ok(Verdict::GoOn) => {
                assert_eq!(self.reader, Reader::Wants, "nobody reads, and the run goes on");
                if let (true, Some(limit)) = (self.came, self.rules.idle) {
                    let idle = since(self.last_move).unwrap_or_default();
                    assert!(idle < limit, "idle for {idle:?}");
                }
            }
            Ok(Verdict::BrokenSending) => {
                let Subject::Connection(halves) = self.subject else { panic!("no halves") };
                assert!(halves.peer_closed && halves.sending == Sending::Broken);
            }
            Ok(Verdict::TooFew { wanted, .. }) => {
                assert_eq!(self.rules.count, Some(*wanted));
                assert!(self.is_silent(looked_at), "too few before it was silent");
            }
            Ok(Verdict::Done) => assert!(self.may_be_done(looked_at), "done without a reason"),
            Err(error) if error.status == Status::TimedOut => {
                assert_eq!(self.reader, Reader::Wants);
                let is_over = |limit: Option<Duration>, since: Instant| {
                    limit.is_some_and(|limit| looked_at >= since + limit)
                };
                let last = self.last_move.unwrap_or(self.came_at);
                let late = self.came && is_over(self.rules.idle, last)
                    || !self.came && is_over(self.rules.first, self.started);
                assert!(late, "timed out before any limit was over");
            }
            Err(error) => {
                assert_eq!(error.status, Status::Broken);
                assert!(self.socket.broken.get() || self.socket.cut_off.get());
            }
        }
    }

    fn is_silent(&self, looked_at: Instant) -> bool {
        let (limit, last) = match self.rules.silence {
            Silence::Ignored => return false,
            Silence::AfterInput(limit) => {
                (limit, self.input_ended.and_then(|end| Some(end).max(self.last_arrival)))
            }
            Silence::AfterFirst(limit) => (limit, self.last_arrival),
        };
        self.pending == Pending::Nothing
            && self.came
            && last.is_some_and(|last| looked_at >= last + limit)
    }

    /// Whether there is any reason at all for the run to be over with all well.
    fn may_be_done(&self, looked_at: Instant) -> bool {
        let done = match self.subject {
            Subject::Service { deserted } => deserted && self.pending == Pending::Nothing,
            Subject::Datagrams => self.rules.send_only && self.input_ended.is_some(),
            Subject::Connection(Halves { sending, peer_closed, saying }) => {
                let fin = peer_closed
                    && match sending {
                        Sending::Open => self.rules.until_fin || saying == Saying::Terminal,
                        Sending::Closed => self.rules.until_fin || self.socket.settled.get(),
                        Sending::Held | Sending::Broken => false,
                    };
                let left = match (sending, self.socket.farewell.get()) {
                    (Sending::Open, _) if saying == Saying::Unsent => false,
                    (Sending::Open | Sending::Held, Some(farewell)) => {
                        farewell.learned == Learned::ByAsking && farewell.unacknowledged == 0
                    }
                    (Sending::Closed, Some(farewell)) => farewell.unacknowledged == 1,
                    (_, None) | (Sending::Broken, _) => false,
                };
                let sent = match sending {
                    Sending::Closed => self.socket.settled.get(),
                    Sending::Held => self.socket.acknowledged.get(),
                    Sending::Open | Sending::Broken => false,
                };
                fin || peer_closed && left || self.rules.send_only && sent
            }
        };
        // Only who has asked for no more takes a stream that was cut off for a whole one.
        let is_whole = !self.socket.cut_off.get() || self.rules.send_only;
        self.reader != Reader::Wants
            || is_whole && done
            || is_whole && self.rules.count.is_none() && self.is_silent(looked_at)
    }
}

fn walk(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.event();
        let verdict = world.verdict(world.now);
        world.check(world.now, &verdict);
        if !matches!(verdict, Ok(Verdict::GoOn)) {
            return;
        }
        // A wait has a length, or the loop would spin; and it is not longer than it has to be.
        let Some(deadline) = world.ends.deadline(world.subject, world.now) else { continue };
        assert!(deadline > world.now, "the loop would spin");
        let just_before = deadline - Duration::from_nanos(1);
        assert!(matches!(world.verdict(just_before), Ok(Verdict::GoOn)), "late by its own account");
        let then = world.verdict(deadline);
        world.check(deadline, &then);
        let asks_again = matches!(world.subject, Subject::Connection(_))
            && deadline == world.now + ACKNOWLEDGED_CHECK;
        assert!(asks_again || !matches!(then, Ok(Verdict::GoOn)), "woken for nothing");
    }
}

#[test]
fn every_order_of_events_has_its_right_end() {
    walk_seeds(SEEDS, walk);
}

#[test]
fn the_sending_half_is_closed_by_these_rules() {
    use Fin::{AtInputEnd, AtPeerClose, Never};
    use Saying::{More, Nothing, Terminal};
    let table = [
        // (when, --until-fin, what may still be said, the peer's FIN has come) -> closed
        (AtInputEnd, false, Nothing, false, true),
        (AtPeerClose, false, Nothing, false, false),
        (Never, false, Nothing, false, false),
        (AtInputEnd, false, Nothing, true, true),
        (AtPeerClose, false, Nothing, true, true),
        (Never, false, Nothing, true, true),
        (AtInputEnd, false, More, true, false),
        (AtInputEnd, true, More, true, true),
        (AtInputEnd, true, More, false, false),
        (AtInputEnd, false, Terminal, true, true),
        (AtInputEnd, false, Terminal, false, false),
    ];
    for (fin, until_fin, saying, peer_closed, closed) in table {
        let found = closes_sending(fin, until_fin, saying, peer_closed);
        assert_eq!(found, closed, "{fin:?} {until_fin} {saying:?} {peer_closed}");
    }
}

#[test]
fn silence_counts_from_the_last_of_what_it_waits_for() {
    let start = Instant::now();
    let rules = |silence| Rules {
        until_fin: false,
        send_only: false,
        silence,
        count: None,
        first: None,
        idle: None,
    };
    let heard = |ends: &mut Ends, arrived, at| {
        ends.note(Activity { arrived, moved: arrived }, Pending::Nothing, start + ms(at));
    };
    let deadline = |ends: &Ends| ends.deadline(Subject::Datagrams, start).map(|at| at - start);
    let mut ends = Ends::new(rules(Silence::AfterInput(ms(100))), Company::Here, start);
    assert_eq!(deadline(&ends), None, "standard input still flows");
    ends.input_ended(start + ms(10));
    assert_eq!(deadline(&ends), Some(ms(110)));
    heard(&mut ends, 1, 50);
    assert_eq!(deadline(&ends), Some(ms(150)));
    let mut ends = Ends::new(rules(Silence::AfterFirst(ms(100))), Company::Awaited, start);
    ends.input_ended(start + ms(10));
    assert_eq!(deadline(&ends), None, "nobody has come");
    heard(&mut ends, 1, 50);
    assert_eq!(deadline(&ends), Some(ms(150)));
}
