//! Descendants of this process, and which files they have open.

use std::io;
use std::os::fd::BorrowedFd;

pub(crate) use super::facts::Ended;
use super::{system, unix};

/// Makes this process the new parent of its orphaned descendants (PR_SET_CHILD_SUBREAPER, prctl(2)).
///
/// # Errors
/// When the kernel does not support that.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    system::adopt_orphans()
}

/// Looks for a child that has ended, without waiting for one.
#[must_use]
pub(crate) fn ended_child() -> Ended {
    unix::ended_child()
}

/// Reaps an [ended child](ended_child) whose status is of no interest; whether that succeeded.
pub(crate) fn bury(child: i32) -> bool {
    unix::bury(child)
}

/// Whether a descendant of this process has this socket open. The children `except` and their
/// descendants are not searched.
///
/// # Errors
/// When `/proc` cannot be read, or new descendants kept appearing during the search
/// (`ResourceBusy`).
pub(crate) fn is_held(socket: BorrowedFd<'_>, except: &[i32]) -> io::Result<bool> {
    system::is_held(socket, except)
}
