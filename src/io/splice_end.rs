//! A descriptor that the kernel can move bytes from or to by itself (splice(2)).

use std::os::fd::BorrowedFd;

use crate::io::latch::Latch;

/// The kind of a descriptor that can be spliced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpliceKind {
    /// A pipe or FIFO.
    Pipe,
    /// A stream socket.
    Socket,
    /// A regular file or `/dev/null`: always ready.
    File,
}

/// A descriptor that can be spliced. The bytes do not pass through this program.
#[derive(Debug)]
pub(crate) struct SpliceEnd<'a> {
    /// The descriptor, non-blocking.
    pub fd: BorrowedFd<'a>,
    /// Its readiness.
    pub latch: &'a Latch,
    /// What it is.
    pub kind: SpliceKind,
}
