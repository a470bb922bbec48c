//! What the system is asked and told, in the same words on every system.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

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

/// Which children have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// This one, and nobody has waited for it yet; it is left so.
    One(i32),
    /// None more for now.
    NoMore,
    /// All of them, and somebody else has waited for them (ECHILD, wait(2)).
    All,
}

/// What a host or router on the way says about a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux keeps ICMP messages"))]
pub(crate) enum IcmpKind {
    /// The host itself: nobody is at this port.
    PortUnreachable,
    /// There is no such host, or it does not speak UDP.
    HostUnreachable,
    /// There is no way to its network.
    NetworkUnreachable,
    /// A router or firewall does not let it pass.
    Prohibited,
    /// It was passed on too often, or its fragments did not come together.
    TimeExceeded,
    /// It is too long for the next hop; the system cuts the next ones.
    TooLong,
}

/// An ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// Where the datagram was going that it is about.
    pub about: SocketAddr,
    /// Who says so.
    pub from: Option<IpAddr>,
}
