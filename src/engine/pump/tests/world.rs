//! A scripted source and a scripted sink, and all that is known of them.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::sync::OnceLock;

use fastrand::Rng;

use crate::engine::batch::Batch;
use crate::engine::flow::{Allowance, BULK, Sink, Source};
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::io::progress::Progress;
use crate::io::splice_end::{SpliceEnd, SpliceKind};

/// The most bytes that a source has, and then some.
const MOST: usize = 256 * 1024;

/// Every so many bytes the stream looks the same.
const PERIOD: usize = 251;

/// What a source ends with, when it has given all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Clean,
    /// A connection broke, which whoever asks first is told, and nobody after.
    Reset,
    /// A device failed, and does so again.
    Failure,
}

/// What becomes of the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// Nobody reads any more, which is an end.
    End,
    Failure,
}

/// All that the scripted ends and the kernel have in common.
#[derive(Debug)]
pub(super) struct World {
    rng: RefCell<Rng>,
    pub end: End,
    /// Whether a reset was told.
    told: Cell<bool>,
    left: Cell<usize>,
    given: Cell<usize>,
    taken: Cell<usize>,
    /// What is true of the ends; the latches say what the pump knows of that.
    pub empty: Cell<bool>,
    pub full: Cell<bool>,
    pub from: Rc<Latch>,
    pub to: Rc<Latch>,
    /// What can be spliced, if that is possible at all.
    pub kinds: Option<(SpliceKind, SpliceKind)>,
    /// Splicing stops in front of the byte with this number until it was read.
    pub mark: Option<usize>,
    /// Taking fails from the byte with this number on.
    pub breaks_at: Option<usize>,
    pub gone: Gone,
    /// One call in so many is refused; 0 for none.
    pub refuses: u16,
    /// Whether our own pipe does not give back what it holds.
    pub loses: bool,
    /// Whether it has not.
    pub lost: Cell<bool>,
    pub in_pipe: Cell<usize>,
    /// Whether the sink holds back what it took, and what a last line adds to that.
    pub holds: bool,
    pub held: Cell<usize>,
    pub last_line: usize,
    pub finish_fails: bool,
    pub finished: Cell<bool>,
    /// Whether so much is read at a time that splicing begins.
    bulky: bool,
    /// Calls that have changed anything.
    pub events: Cell<usize>,
}

/// The bytes of the stream from this one on.
pub(super) fn stream(at: usize, length: usize) -> &'static [u8] {
    static STREAM: OnceLock<Vec<u8>> = OnceLock::new();
    let all = STREAM.get_or_init(|| (0..MOST + PERIOD).map(|at| (at % PERIOD) as u8).collect());
    &all[at % PERIOD..][..length]
}

fn null() -> BorrowedFd<'static> {
    static NULL: OnceLock<File> = OnceLock::new();
    NULL.get_or_init(|| File::open("/dev/null").expect("the system has /dev/null")).as_fd()
}

fn add(cell: &Cell<usize>, more: usize) {
    cell.set(cell.get() + more);
}

impl World {
    pub(super) fn new(rng: Rng, left: usize, end: End, bulky: bool) -> Self {
        Self {
            rng: RefCell::new(rng),
            end,
            told: Cell::new(false),
            left: Cell::new(left),
            given: Cell::new(0),
            taken: Cell::new(0),
            empty: Cell::new(false),
            full: Cell::new(false),
            from: Latch::scripted(),
            to: Latch::scripted(),
            kinds: None,
            mark: None,
            breaks_at: None,
            gone: Gone::Failure,
            refuses: 0,
            loses: false,
            lost: Cell::new(false),
            in_pipe: Cell::new(0),
            holds: false,
            held: Cell::new(0),
            last_line: 0,
            finish_fails: false,
            finished: Cell::new(false),
            bulky,
            events: Cell::new(0),
        }
    }

    pub(super) fn left(&self) -> usize {
        self.left.get()
    }

    pub(super) fn given(&self) -> usize {
        self.given.get()
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.get()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.breaks_at.is_some_and(|at| self.taken() >= at)
    }

    /// A latch that is clear while its end is ready would wait for an event that never comes.
    pub(super) fn latches_are_true(&self) {
        assert!(self.from.readable() || self.empty.get(), "the latch of a ready source is clear");
        assert!(self.to.writable() || self.full.get(), "the latch of a ready sink is clear");
    }

    /// Something happens while the pump waits.
    pub(super) fn happens(&self, rng: &mut Rng) {
        let (filled, emptied) = (self.empty.get() && rng.bool(), self.full.get() && rng.bool());
        self.empty.set(self.empty.get() && !filled);
        self.full.set(self.full.get() && !emptied);
        self.from.is_ready(filled, false);
        self.to.is_ready(false, emptied);
    }

    pub(super) fn chance(&self, one_in: u16) -> bool {
        one_in > 0 && self.rng.borrow_mut().u16(0..one_in) == 0
    }

    pub(super) fn up_to(&self, most: usize) -> usize {
        self.rng.borrow_mut().usize(1..=most)
    }

    fn kind_from(&self) -> Option<SpliceKind> {
        self.kinds.map(|(from, _)| from)
    }

    fn kind_to(&self) -> Option<SpliceKind> {
        self.kinds.map(|(_, to)| to)
    }

    /// So many bytes have left the source.
    pub(super) fn give(&self, count: usize) {
        add(&self.events, 1);
        add(&self.given, count);
        self.left.set(self.left() - count);
        // A file is always ready.
        self.empty.set(self.kind_from() != Some(SpliceKind::File) && self.chance(4));
    }

    /// These bytes have reached the sink.
    fn take(&self, bytes: &[u8]) {
        assert!(bytes == stream(self.taken(), bytes.len()), "a byte was lost, invented or moved");
        self.took(bytes.len());
    }

    pub(super) fn took(&self, count: usize) {
        add(&self.events, 1);
        add(&self.taken, count);
        assert!(self.taken() <= self.given(), "a byte was invented");
        self.full.set(self.kind_to() != Some(SpliceKind::File) && self.chance(4));
    }

    /// How many bytes the sink takes before it breaks.
    pub(super) fn until_break(&self, most: usize) -> usize {
        self.breaks_at.map_or(most, |at| most.min(at - self.taken()))
    }

    /// What a call may always meet.
    pub(super) fn interruption(&self) -> io::Result<()> {
        add(&self.events, 1);
        if self.chance(self.refuses) {
            let refusals = [libc::EINVAL, libc::EPERM, libc::ENOSYS, libc::EIO, libc::ENOMEM];
            let which = self.rng.borrow_mut().usize(0..refusals.len());
            return Err(io::Error::from_raw_os_error(refusals[which]));
        }
        if self.chance(20) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }

    /// How many bytes can be spliced from the source now; 0 at an end, and in front of urgent data.
    pub(super) fn spliceable(&self, most: usize) -> io::Result<usize> {
        if self.mark == Some(self.given()) && self.left() > 0 {
            return if self.chance(2) { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        if self.empty.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.left() == 0 {
            return match self.end {
                End::Clean => Ok(0),
                End::Reset if self.told.replace(true) => Ok(0),
                End::Reset => Err(io::ErrorKind::ConnectionReset.into()),
                End::Failure => Err(io::Error::from_raw_os_error(libc::EIO)),
            };
        }
        let until_mark = self.mark.filter(|&mark| mark > self.given());
        let most = until_mark.map_or(most, |mark| most.min(mark - self.given()));
        Ok(self.up_to(most.min(self.left()).min(40_000)))
    }
}

fn failed(what: &str) -> Error {
    Error::new(Status::Broken, what, "scripted", "failed")
}

/// The source.
pub(super) struct Spring(pub Rc<World>);

impl Source for Spring {
    fn fill(&mut self, batch: &mut Batch) -> Result<Progress> {
        let world = &*self.0;
        assert!(batch.is_empty(), "read although something waits to be written");
        assert_eq!(world.held.get(), 0, "read although the sink holds something back");
        assert!(!world.finished.get(), "read after the end");
        if !world.from.readable() {
            return Ok(Progress::Blocked);
        }
        if world.empty.get() {
            world.from.not_readable();
            return Ok(Progress::Blocked);
        }
        add(&world.events, 1);
        if world.chance(20) {
            return Ok(Progress::Moved(0));
        }
        if world.left() == 0 {
            return match world.end {
                End::Clean => Ok(Progress::End),
                End::Reset if world.told.replace(true) => Ok(Progress::End),
                End::Reset | End::Failure => Err(failed("read")),
            };
        }
        let spare = batch.spare();
        let most = spare.len().min(world.left());
        let is_much = world.bulky && most >= BULK && world.chance(2);
        let count = if is_much { most } else { world.up_to(most.min(600)) };
        spare[..count].copy_from_slice(stream(world.given(), count));
        batch.filled(count);
        batch.cut(count, count);
        world.give(count);
        Ok(Progress::Moved(count))
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        let kind = self.0.kind_from()?;
        Some(SpliceEnd { fd: null(), latch: &self.0.from, kind })
    }

    fn splice_failed(&mut self, _: &io::Error) -> Error {
        failed("splice")
    }
}

/// The sink.
pub(super) struct Mouth(pub Rc<World>);

impl Mouth {
    fn broken(&self) -> Result<Progress> {
        match self.0.gone {
            Gone::End => Ok(Progress::End),
            Gone::Failure => Err(failed("write")),
        }
    }
}

impl Sink for Mouth {
    fn drain(&mut self, batch: &mut Batch, allowed: Allowance) -> Result<Progress> {
        let world = &*self.0;
        let mut moved = 0;
        while let Some((_, bytes)) = batch.front() {
            if moved >= allowed.bytes || !world.to.writable() {
                break;
            }
            if world.is_gone() {
                return self.broken();
            }
            if world.full.get() {
                world.to.not_writable();
                break;
            }
            if world.chance(20) {
                // Interrupted.
                add(&world.events, 1);
                return Ok(Progress::Moved(moved));
            }
            let bytes = allowed.front(bytes, moved);
            let most = world.until_break(bytes.len());
            let count = if world.chance(2) { most } else { world.up_to(most) };
            world.take(&bytes[..count]);
            batch.consume(count);
            moved += count;
            if world.holds {
                add(&world.held, count);
            }
        }
        Ok(if moved == 0 { Progress::Blocked } else { Progress::Moved(moved) })
    }

    fn flush(&mut self) -> Result<Progress> {
        let world = &*self.0;
        if world.held.get() == 0 {
            return Ok(Progress::End);
        }
        if world.is_gone() {
            world.held.set(0);
            return self.broken();
        }
        if !world.to.writable() || world.full.get() {
            world.to.not_writable();
            return Ok(Progress::Blocked);
        }
        add(&world.events, 1);
        let some = world.up_to(world.held.get());
        world.held.set(world.held.get() - some);
        world.full.set(world.chance(4));
        Ok(Progress::Moved(some))
    }

    fn finish(&mut self) -> Result<()> {
        assert!(!self.0.finished.replace(true), "finished a second time");
        add(&self.0.held, self.0.last_line);
        if self.0.finish_fails { Err(failed("finish")) } else { Ok(()) }
    }

    fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        let kind = self.0.kind_to()?;
        Some(SpliceEnd { fd: null(), latch: &self.0.to, kind })
    }

    fn splice_failed(&mut self, _: &io::Error) -> Option<Error> {
        (self.0.gone == Gone::Failure).then(|| failed("splice"))
    }
}
