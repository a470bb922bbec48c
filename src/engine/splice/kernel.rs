//! The system calls that splicing needs, so that a test can put a scripted kernel in their place.

use std::io;
use std::os::fd::AsFd as _;
use std::rc::Rc;

use crate::engine::splice::pipes::{Pipe, Pipes};
use crate::io::splice_end::SpliceEnd;
use crate::sys;

/// Who moves the bytes. Errors are those of splice(2).
pub(crate) trait Kernel {
    /// A pipe of our own.
    type Pipe;

    /// An empty pipe; `None` when there is none to be had now that is worth splicing through.
    fn pipe(&mut self) -> Option<Self::Pipe>;

    /// Gives an empty pipe back that is not needed for now.
    fn put_back(&mut self, pipe: Self::Pipe);

    /// Moves up to `most` bytes from one end to the other, one of which is a pipe.
    ///
    /// # Errors
    /// `EAGAIN` when either end is not ready; [`ready`](Self::ready) tells which.
    fn across(
        &mut self,
        from: &SpliceEnd<'_>,
        to: &SpliceEnd<'_>,
        most: usize,
    ) -> io::Result<usize>;

    /// Moves up to `most` bytes from an end to our own pipe, which is empty.
    ///
    /// # Errors
    /// `EAGAIN` when there is nothing for now, or urgent data is next.
    fn fill_pipe(
        &mut self,
        from: &SpliceEnd<'_>,
        pipe: &Self::Pipe,
        most: usize,
    ) -> io::Result<usize>;

    /// Moves up to `most` bytes from our own pipe, which holds them, to an end.
    ///
    /// # Errors
    /// `EAGAIN` when there is no room.
    fn drain_pipe(
        &mut self,
        pipe: &Self::Pipe,
        to: &SpliceEnd<'_>,
        most: usize,
    ) -> io::Result<usize>;

    /// Reads the `bytes` that our own pipe holds.
    ///
    /// # Errors
    /// When it does not give them.
    fn take_back(&mut self, pipe: &Self::Pipe, bytes: usize) -> io::Result<Vec<u8>>;

    /// Whether the one can be read and the other written.
    fn ready(&self, from: &SpliceEnd<'_>, to: &SpliceEnd<'_>) -> (bool, bool);
}

/// The kernel that this program runs on, and the pipes that were opened for splicing.
#[derive(Debug)]
pub(crate) struct System {
    pipes: Rc<Pipes>,
}

impl System {
    /// Takes its pipes from there.
    #[must_use]
    pub(crate) fn new(pipes: Rc<Pipes>) -> Self {
        Self { pipes }
    }
}

impl Kernel for System {
    type Pipe = Pipe;

    fn pipe(&mut self) -> Option<Pipe> {
        Pipes::take(&self.pipes)
    }

    fn put_back(&mut self, pipe: Pipe) {
        self.pipes.put_back(pipe);
    }

    fn across(
        &mut self,
        from: &SpliceEnd<'_>,
        to: &SpliceEnd<'_>,
        most: usize,
    ) -> io::Result<usize> {
        sys::splice(from.fd, to.fd, most)
    }

    fn fill_pipe(&mut self, from: &SpliceEnd<'_>, pipe: &Pipe, most: usize) -> io::Result<usize> {
        sys::splice(from.fd, pipe.writer.as_fd(), most)
    }

    fn drain_pipe(&mut self, pipe: &Pipe, to: &SpliceEnd<'_>, most: usize) -> io::Result<usize> {
        sys::splice(pipe.reader.as_fd(), to.fd, most)
    }

    fn take_back(&mut self, pipe: &Pipe, bytes: usize) -> io::Result<Vec<u8>> {
        sys::take_from_pipe(&pipe.reader, bytes)
    }

    fn ready(&self, from: &SpliceEnd<'_>, to: &SpliceEnd<'_>) -> (bool, bool) {
        sys::ready(from.fd, to.fd)
    }
}
