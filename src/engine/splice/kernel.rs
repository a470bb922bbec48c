//! The system calls that splicing needs, so that a test can put a scripted kernel in their place.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::io::splice_end::SpliceEnd;
use crate::sys;

/// Who moves the bytes. Errors are those of splice(2).
pub(crate) trait Kernel {
    /// A pipe of our own.
    type Pipe;

    /// Opens a pipe that holds up to `bytes`, or less where the system does not give so much.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    fn pipe(&mut self, bytes: usize) -> io::Result<Self::Pipe>;

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

/// The kernel that this program runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System;

impl Kernel for System {
    /// Where it is read, and where it is written.
    type Pipe = (OwnedFd, OwnedFd);

    fn pipe(&mut self, bytes: usize) -> io::Result<Self::Pipe> {
        let pipe = sys::pipe()?;
        let _ = sys::enlarge_pipe(&pipe.1, bytes);
        Ok(pipe)
    }

    fn across(
        &mut self,
        from: &SpliceEnd<'_>,
        to: &SpliceEnd<'_>,
        most: usize,
    ) -> io::Result<usize> {
        sys::splice(from.fd, to.fd, most)
    }

    fn fill_pipe(
        &mut self,
        from: &SpliceEnd<'_>,
        (_, pipe): &Self::Pipe,
        most: usize,
    ) -> io::Result<usize> {
        sys::splice(from.fd, pipe.as_fd(), most)
    }

    fn drain_pipe(
        &mut self,
        (pipe, _): &Self::Pipe,
        to: &SpliceEnd<'_>,
        most: usize,
    ) -> io::Result<usize> {
        sys::splice(pipe.as_fd(), to.fd, most)
    }

    fn take_back(&mut self, (pipe, _): &Self::Pipe, bytes: usize) -> io::Result<Vec<u8>> {
        sys::take_from_pipe(pipe, bytes)
    }

    fn ready(&self, from: &SpliceEnd<'_>, to: &SpliceEnd<'_>) -> (bool, bool) {
        sys::ready(from.fd, to.fd)
    }
}
