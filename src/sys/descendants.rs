//! Processes that descend from this one, and what they have open.

use std::io;
use std::os::fd::BorrowedFd;

pub(crate) use super::facts::Ended;
use super::{system, unix};

/// From now on a process whose parent has ended becomes our child, if it descends from us
/// (PR_SET_CHILD_SUBREAPER, prctl(2)).
///
/// # Errors
/// When the system does not know that.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    system::adopt_orphans()
}

/// A child that has ended.
#[must_use]
pub(crate) fn ended_child() -> Ended {
    unix::ended_child()
}

/// Lets go of an [ended child](ended_child) whose status nobody asks for; whether that was possible.
pub(crate) fn bury(child: i32) -> bool {
    unix::bury(child)
}

/// Whether a process that descends from us has this socket open; `except` are children that are
/// passed over together with their descendants.
///
/// # Errors
/// When the system does not tell.
pub(crate) fn is_held(socket: BorrowedFd<'_>, except: &[i32]) -> io::Result<bool> {
    system::is_held(socket, except)
}
