//! An end whose bytes the kernel can move without anybody seeing them (splice(2)).

use std::os::fd::BorrowedFd;

use crate::io::reactor::Latch;

/// What kind of descriptor bytes could be spliced from or to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceKind {
    /// A pipe or FIFO.
    Pipe,
    /// A stream socket.
    Socket,
    /// A regular file or `/dev/null`: always ready.
    File,
}

/// An end that lets the kernel move bytes without anybody seeing them.
#[derive(Debug)]
pub struct SpliceEnd<'a> {
    /// The descriptor, non-blocking.
    pub fd: BorrowedFd<'a>,
    /// Its readiness.
    pub latch: &'a Latch,
    /// What it is.
    pub kind: SpliceKind,
}
