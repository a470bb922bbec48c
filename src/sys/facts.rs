//! Types that the system layer shares with its users, the same for every operating system.

use std::ops::Range;
use std::time::Duration;

use crate::peer::Route;

/// How far a TCP connection has come towards its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpState {
    /// No FIN has been sent from here.
    Open,
    /// A FIN has been sent from here and not been acknowledged: FIN-WAIT-1, CLOSING, LAST-ACK (RFC 9293,
    /// 3.3.2).
    FinSent,
    /// The FIN sent from here is acknowledged, and so is all data before it: FIN-WAIT-2.
    FinAcknowledged,
    /// Both FINs are sent and acknowledged, or the connection was reset: TIME-WAIT, CLOSED.
    Closed,
}

/// What a TCP connection has sent and received, as counted by the kernel (TCP_INFO, tcp(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TcpCounts {
    /// Segments sent, with SYN, FIN, pure acknowledgments and retransmissions.
    pub segments_out: u64,
    /// Segments received, with SYN, FIN and pure acknowledgments.
    pub segments_in: u64,
    /// Payload bytes sent; retransmitted ones count each time.
    pub bytes_out: u64,
    /// Segments retransmitted.
    pub retransmissions: u64,
    /// The smoothed round trip (RFC 6298); `None` before the first was measured.
    pub round_trip: Option<Duration>,
    /// Whether segments carry timestamps (RFC 7323), 12 bytes each.
    pub timestamps: bool,
}

/// Which interfaces of the system may be used to move data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Everything this system has.
    All,
    /// Only ordinary reads and writes, and single datagrams (`--portable`).
    Portable,
}

/// How many datagrams are received at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// As many as there are.
    Many,
    /// One, because the run may end with it, and whatever is received beyond it would be lost.
    One,
}

/// A datagram that was received, or several of one peer that the kernel has combined (UDP_GRO,
/// udp(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// Where in the receive buffer the bytes are.
    pub range: Range<usize>,
    /// Bytes of each datagram; the last one may be shorter.
    pub segment: usize,
    /// The full length in bytes, if the datagram was truncated (MSG_TRUNC, recv(2)).
    pub cut_from: Option<usize>,
    /// The sender, and the local address it was sent to if that was
    /// [asked for](crate::sys::tell_destinations).
    pub from: Option<Route>,
}

impl Received {
    /// How many datagrams these are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        if self.range.is_empty() { 1 } else { self.range.len().div_ceil(self.segment) }
    }
}
