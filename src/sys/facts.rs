//! What the system is asked and told, in the same words on every system.

use std::ops::Range;
use std::time::Duration;

use crate::peer::Route;

/// How far a TCP connection has come towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpState {
    /// We have not sent a FIN.
    Open,
    /// Our FIN is sent and not acknowledged: FIN-WAIT-1, CLOSING, LAST-ACK.
    FinSent,
    /// Our FIN, and so all our data, is acknowledged: FIN-WAIT-2.
    FinAcknowledged,
    /// Both ends are done: TIME-WAIT, CLOSED.
    Closed,
}

/// What a TCP connection has put on the wire and taken from it, as the kernel counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TcpCounts {
    /// Segments sent, with SYN, FIN, pure acknowledgments and retransmissions.
    pub segments_out: u64,
    /// Segments received, with SYN, FIN and pure acknowledgments.
    pub segments_in: u64,
    /// Payload bytes sent, the retransmitted ones each time.
    pub bytes_out: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// The smoothed round trip (RFC 6298); `None` before the first was measured.
    pub round_trip: Option<Duration>,
    /// Whether segments carry timestamps (RFC 7323), 12 bytes each.
    pub timestamps: bool,
}

/// Which ways of moving data may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Everything this system has.
    All,
    /// Only what every system has (`--portable`).
    Portable,
}

/// How many datagrams are fetched at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// As many as there are.
    Many,
    /// One, because nobody may want the next.
    One,
}

/// A datagram that was received, or a train of them from one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// Where in the buffer its bytes are.
    pub range: Range<usize>,
    /// Bytes of each datagram of the train, the last may be shorter.
    pub segment: usize,
    /// The real length, if that is not all of it (MSG_TRUNC, recv(2)).
    pub cut_from: Option<usize>,
    /// Who sent it, and to which of our addresses if we [asked](crate::sys::tell_destinations).
    pub from: Option<Route>,
}

impl Received {
    /// How many datagrams the train has.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        if self.range.is_empty() { 1 } else { self.range.len().div_ceil(self.segment) }
    }
}
