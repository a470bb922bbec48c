//! What has passed between a program and its client: nothing of it passes here, so the kernel is asked.

use std::os::fd::AsFd;

use crate::observe::course::Measured;
use crate::observe::tap::{Link, Side, Tap};
use crate::sys;

/// Whether the client's FIN has come, which the kernel counts like a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientFin {
    /// It has been read.
    Read,
    /// It has not been read; it may have come all the same.
    NotRead,
}

/// Notes in the link what the kernel has counted and measured, and adds it to the run's; where it does not tell,
/// nothing.
pub(super) fn note(socket: impl AsFd, link: &Link, fin: ClientFin, tap: &Tap) {
    let Ok(Some(counts)) = sys::tcp_counts(&socket) else { return };
    let has_come = fin == ClientFin::Read || sys::tcp_peer_has_closed(&socket).unwrap_or_default();
    link.set_bytes(counts.payload_out, counts.bytes_in.saturating_sub(u64::from(has_come)));
    tap.passed_elsewhere(link);
    let (round_trip, retransmissions) = (counts.round_trip, counts.retransmissions);
    link.course.set_measured(Measured { round_trip, retransmissions });
    link.course.closed_by(Side::Ours);
}

/// Notes that the client has closed first, if its FIN came before the program's.
pub(super) fn note_first(socket: impl AsFd, link: &Link) {
    if sys::tcp_peer_has_closed(socket).unwrap_or_default() {
        link.course.closed_by(Side::Peers);
    }
}
