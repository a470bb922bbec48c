//! The scripted ends of a relay of datagrams, and all that is known of them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use fastrand::Rng;

use crate::engine::batch::Batch;
use crate::engine::datagram::patience::ROOM_CHECK;
use crate::engine::duplex::{DatagramEnd, Listener};
use crate::engine::ends::{Reader, Standing};
use crate::engine::flow::{Allowance, Sink, Source};
use crate::engine::traffic::{Entry, Traffic};
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::tap::Activity;

/// How a source ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is no more: standard input.
    Clean,
    Failure,
    /// It gives no more and does not say so.
    Silence,
}

/// Everything that the scripted ends have in common.
pub(super) struct World {
    pub rng: Rng,
    /// From standard input to the network, and back to standard output.
    pub up: Traffic,
    pub down: Traffic,
    /// Messages that the sources still have.
    pub up_left: usize,
    pub down_left: usize,
    pub input_end: End,
    pub input_blocked: bool,
    pub input_failed: bool,
    /// Whether the socket has nothing to be received, or no room.
    pub unreadable: bool,
    pub unwritable: bool,
    /// The queue of its device is full, of which no event tells the end: until then it is not to be tried.
    pub full_until: Option<Instant>,
    pub now: Instant,
    pub has_peer: bool,
    /// What the network has said of a datagram and nobody has asked for.
    pub refusal: bool,
    pub activity: Activity,
    /// Whether standard output takes bytes of a stream, or else whole messages.
    pub takes_bytes: bool,
    pub output_blocked: bool,
    /// Bytes that the output has taken and not written.
    pub held: usize,
    /// Messages that are still wanted.
    pub wanted: Option<u64>,
    pub output_breaks: Option<usize>,
    pub gone: bool,
    /// Calls that have changed anything.
    pub events: usize,
}

pub(super) type Shared = Rc<RefCell<World>>;

impl World {
    /// A world of up to so many messages; `connected` says that there is somebody to send to.
    pub(super) fn new(rng: &mut Rng, connected: bool, count: Option<u64>, now: Instant) -> Self {
        Self {
            rng: Rng::with_seed(rng.u64(..)),
            up: Traffic::default(),
            down: Traffic::default(),
            up_left: rng.usize(0..10),
            down_left: rng.usize(0..16),
            input_end: [End::Clean, End::Clean, End::Silence, End::Failure][rng.usize(0..4)],
            input_blocked: rng.bool(),
            input_failed: false,
            unreadable: rng.bool(),
            unwritable: rng.bool(),
            full_until: None,
            now,
            has_peer: connected,
            refusal: false,
            activity: Activity::default(),
            takes_bytes: count.is_none() && rng.bool(),
            output_blocked: rng.bool(),
            held: 0,
            wanted: count,
            output_breaks: (rng.u8(0..8) == 0).then(|| rng.usize(0..10)),
            gone: false,
            events: 0,
        }
    }

    fn chance(&mut self, one_in: u8) -> bool {
        self.rng.u8(0..one_in) == 0
    }

    /// What the network has said, to whoever asks first.
    fn refused(&mut self) -> Result<()> {
        match std::mem::take(&mut self.refusal) {
            true => Err(failed(Status::Refused)),
            false => Ok(()),
        }
    }

    fn read_input(&mut self, batch: &mut Batch) -> Result<Progress> {
        assert!(batch.is_empty(), "read although something waits to be sent");
        assert!(self.has_peer, "read although there is nobody to send to");
        if self.input_blocked {
            return Ok(Progress::Blocked);
        }
        self.events += 1;
        if self.chance(12) {
            return Ok(Progress::Moved(0));
        }
        let mut bytes = 0;
        while self.up_left > 0 {
            let before = self.up.given;
            bytes += self.up.give(&mut self.rng, self.up_left, Entry::Cut, batch);
            self.up_left -= self.up.given - before;
            if self.chance(2) {
                break;
            }
        }
        self.input_blocked = self.up_left > 0 && self.chance(3);
        // A failure may come with the last messages or behind them.
        if self.up_left == 0
            && self.input_end == End::Failure
            && (batch.is_empty() || self.chance(2))
        {
            self.input_failed = true;
            return Err(failed(Status::LocalIo));
        }
        match (batch.is_empty(), self.input_end) {
            (false, _) => Ok(Progress::Moved(bytes)),
            (true, End::Clean | End::Failure) => Ok(Progress::End),
            (true, End::Silence) => {
                self.input_blocked = true;
                Ok(Progress::Blocked)
            }
        }
    }

    fn receive(&mut self, batch: &mut Batch) -> Result<Progress> {
        assert!(batch.is_empty(), "received although something waits to be written");
        assert_eq!(self.held, 0, "received although the output holds something");
        if self.unreadable {
            return Ok(Progress::Blocked);
        }
        self.events += 1;
        if self.chance(12) {
            return Ok(Progress::Moved(0));
        }
        batch.reset();
        let mut bytes = 0;
        let before = self.down.given;
        while self.down_left > 0 {
            let before = self.down.given;
            bytes += self.down.give(&mut self.rng, self.down_left, Entry::Placed, batch);
            self.down_left -= self.down.given - before;
            if self.chance(2) {
                break;
            }
        }
        let received = self.down.given - before;
        if received == 0 {
            self.refused()?;
            self.unreadable = true;
            return Ok(Progress::Blocked);
        }
        self.activity.received(received);
        self.has_peer = true;
        self.unreadable = !self.refusal && self.chance(3);
        Ok(Progress::Moved(bytes))
    }

    fn send(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let before = batch.len();
        let mut moved = 0;
        while let Some((frame, bytes)) = batch.front() {
            let gone = before - batch.len();
            let Some(part) = allowed.whole_messages(bytes, frame.segment, gone, moved) else {
                break;
            };
            if self.unwritable || self.full_until.is_some_and(|at| self.now < at) {
                break;
            }
            self.full_until = None;
            self.events += 1;
            if self.rng.u8(0..16) == 0 {
                self.full_until = Some(self.now + ROOM_CHECK);
                break;
            }
            if self.rng.u8(0..20) == 0 {
                // Interrupted.
                return Ok(Progress::Moved(moved));
            }
            self.refused()?;
            let messages: Vec<_> = frame.messages(part).collect();
            let some = &messages[..self.rng.usize(1..=messages.len())];
            some.iter().for_each(|message| self.up.take(message));
            self.activity.sent(some.len());
            let sent = some.iter().map(|message| message.len()).sum();
            batch.consume(sent);
            moved += sent;
            self.unwritable = self.chance(6);
        }
        Ok(if batch.len() == before { Progress::Blocked } else { Progress::Moved(moved) })
    }

    /// Writes what the output holds; `End` when that is nothing.
    fn write_held(&mut self) -> Result<Progress> {
        if self.gone || self.held == 0 {
            self.held = 0;
            return Ok(Progress::End);
        }
        if self.output_blocked {
            return Ok(Progress::Blocked);
        }
        self.events += 1;
        if self.output_breaks.is_some_and(|at| self.down.taken >= at) {
            return Err(failed(Status::LocalIo));
        }
        let written = self.rng.usize(0..=self.held);
        self.held -= written;
        self.output_blocked = self.chance(4);
        Ok(Progress::Moved(written))
    }

    fn write(&mut self, batch: &mut Batch) -> Result<Progress> {
        if self.gone {
            return Ok(Progress::End);
        }
        if self.write_held()? == Progress::Blocked {
            return Ok(Progress::Blocked);
        }
        let mut moved = 0;
        while let Some((frame, bytes)) = batch.front() {
            self.events += 1;
            if self.takes_bytes {
                if self.output_blocked {
                    break;
                }
                let written = self.rng.usize(bytes.len().min(1)..=bytes.len());
                self.down.take_bytes(&bytes[..written]);
                batch.consume(written);
                moved += written;
            } else {
                for message in frame.messages(bytes) {
                    self.down.take(message);
                    let is_wanted = self.wanted != Some(0);
                    self.wanted = self.wanted.map(|wanted| wanted.saturating_sub(1));
                    self.held += if is_wanted { message.len() + 1 } else { 0 };
                }
                moved += bytes.len();
                batch.pop();
            }
            self.output_blocked |= self.chance(6);
            if self.chance(4) {
                return Ok(Progress::Moved(moved));
            }
        }
        Ok(if moved == 0 && !batch.is_empty() { Progress::Blocked } else { Progress::Moved(moved) })
    }
}

fn failed(status: Status) -> Error {
    Error::new(status, "walk", "scripted", "failed")
}

pub(super) struct Typist(pub Shared);

impl Source for Typist {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        self.0.borrow_mut().read_input(batch)
    }
}

pub(super) struct Page(pub Shared);

impl Sink for Page {
    fn drain(&mut self, batch: &mut Batch, _: Allowance) -> Result<Progress> {
        self.0.borrow_mut().write(batch)
    }

    fn flush(&mut self) -> Result<Progress> {
        self.0.borrow_mut().write_held()
    }
}

impl Listener for Page {
    fn reader(&self) -> Reader {
        let world = self.0.borrow();
        match (world.gone, world.wanted, world.held) {
            (true, ..) => Reader::Gone,
            (false, Some(0), 0) => Reader::Satisfied,
            _ => Reader::Wants,
        }
    }

    fn is_drained(&self) -> bool {
        self.0.borrow().held == 0
    }

    fn still_wanted(&self) -> u64 {
        self.0.borrow().wanted.unwrap_or(0)
    }
}

pub(super) struct Net(pub Shared);

impl Source for Net {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        self.0.borrow_mut().receive(batch)
    }
}

impl Sink for Net {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        self.0.borrow_mut().send(batch, allowed)
    }
}

impl Standing for Net {
    fn has_settled(&self) -> Result<bool> {
        self.check().map(|()| true)
    }

    fn has_acknowledged(&self) -> Result<bool> {
        self.check().map(|()| true)
    }

    fn check(&self) -> Result<()> {
        self.0.borrow_mut().refused()
    }
}

impl DatagramEnd for Net {
    fn activity(&self) -> Activity {
        self.0.borrow().activity
    }

    fn is_drained(&self) -> bool {
        self.0.borrow().unreadable
    }

    fn has_peer(&self) -> bool {
        self.0.borrow().has_peer
    }

    fn again_at(&self) -> Option<Instant> {
        self.0.borrow().full_until
    }
}
