//! The pipes that bytes are spliced through, shared by all connections of a run.
//!
//! A connection has a pipe while its bytes are in it, and no longer: ten thousand connections that
//! once were busy would else keep twenty thousand descriptors. One pipe that all use in turn is also
//! faster than one for each, because what describes its buffers stays in the processor's cache.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use crate::sys;

/// Empty pipes that are kept for whoever needs one next.
const KEPT: usize = 4;

/// Copying, 128 KiB at a time, is no slower than splicing through a pipe that holds less than this.
/// Linux gives a user whose pipes have reached `fs.pipe-user-pages-soft` new ones of two pages (pipe(7)).
const WORTH_SPLICING: usize = 64 * 1024;

/// Pipes that are open, and how many there may be.
#[derive(Debug)]
pub(crate) struct Pipes {
    spare: RefCell<Vec<(OwnedFd, OwnedFd)>>,
    /// How many are in use.
    taken: Cell<u64>,
    most: Cell<u64>,
}

/// A pipe in use.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// Where it is read.
    pub reader: OwnedFd,
    /// Where it is written.
    pub writer: OwnedFd,
    _place: Place,
}

/// One of the pipes that may be in use at the same time.
#[derive(Debug)]
struct Place(Rc<Pipes>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
    }
}

impl Pipes {
    /// None are open yet; at most `most` will be in use at the same time.
    #[must_use]
    pub(crate) fn new(most: u64) -> Rc<Self> {
        Rc::new(Self { spare: RefCell::default(), taken: Cell::default(), most: Cell::new(most) })
    }

    /// How many may be in use at the same time.
    #[must_use]
    pub(crate) fn most(&self) -> u64 {
        self.most.get()
    }

    /// An empty pipe; `None` when so many are in use that another one is not allowed, or would be too
    /// small to be of use.
    pub(crate) fn take(this: &Rc<Self>) -> Option<Pipe> {
        let taken = this.taken.get();
        if taken >= this.most.get() {
            return None;
        }
        let spare = this.spare.borrow_mut().pop();
        let (reader, writer) = spare.or_else(|| this.open())?;
        this.taken.set(taken + 1);
        Some(Pipe { reader, writer, _place: Place(Rc::clone(this)) })
    }

    /// Takes an empty pipe back.
    pub(crate) fn put_back(&self, pipe: Pipe) {
        let Pipe { reader, writer, _place } = pipe;
        let mut spare = self.spare.borrow_mut();
        if spare.len() < KEPT {
            spare.push((reader, writer));
        }
    }

    fn open(&self) -> Option<(OwnedFd, OwnedFd)> {
        let pipe = sys::pipe().ok()?;
        if sys::enlarge_pipe(&pipe.1, sys::BULK_PIPE).is_err()
            && sys::pipe_size(&pipe.1).is_ok_and(|size| size < WORTH_SPLICING)
        {
            // The user's other pipes leave no room for this one.
            self.most.set(self.taken.get());
            return None;
        }
        Some(pipe)
    }
}
