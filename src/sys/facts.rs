//! Types that the system layer shares with its users, the same for every operating system.

use std::io;

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::segmented;
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
    /// Payload bytes sent; retransmitted ones count once.
    pub payload_out: u64,
    /// Bytes received; the peer's FIN counts as one.
    pub bytes_in: u64,
    /// Segments retransmitted.
    pub retransmissions: u64,
    /// The smoothed round trip (RFC 6298); `None` before the first was measured.
    pub round_trip: Option<Duration>,
    /// Whether segments carry timestamps (RFC 7323), 12 bytes each.
    pub timestamps: bool,
    /// The most payload bytes that a segment from here carries: the peer's maximum segment size (RFC 9293,
    /// 3.7.1) and the path MTU allow no more, and options such as timestamps are taken off
    /// (`tcpi_snd_mss`).
    pub segment_out: u64,
    /// The same of the peer's segments, as far as the kernel knows: what both ends allow (the lesser of
    /// `tcpi_advmss` and `tcpi_snd_mss`, by which it makes its own first guess), or the longest that
    /// has come (`tcpi_rcv_mss`).
    pub segment_in: u64,
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
        segmented::count(self.range.len(), self.segment)
    }
}

/// Which child has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The child of this process id. It stays a zombie until it is waited for.
    One(i32),
    /// None that has not been waited for.
    NoMore,
    /// There are no children at all, so those that were started have been waited for elsewhere, or
    /// without anybody (SIGCHLD ignored; ECHILD, wait(2)).
    All,
}

/// What an ICMP error says about a datagram: why the destination host, or a router on the path to it,
/// did not deliver it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux keeps ICMP errors"))]
pub(crate) enum IcmpKind {
    /// From the host itself: no socket is bound to this port.
    PortUnreachable,
    /// The host cannot be reached, or does not implement UDP.
    HostUnreachable,
    /// There is no route to its network.
    NetworkUnreachable,
    /// A router or firewall drops it on purpose (administratively prohibited).
    Prohibited,
    /// Its time to live (hop limit) was used up, or not all of its fragments arrived in time.
    TimeExceeded,
    /// Somebody on the path could make nothing of its header and has dropped it.
    ParameterProblem,
    /// It is longer than the MTU of the next hop and must not be fragmented there. The kernel lowers the
    /// path MTU, so that later datagrams arrive.
    TooLong,
}

/// An ICMP error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// The destination of the datagram that it is about.
    pub about: SocketAddr,
    /// The host or router that sent the error, if the kernel tells.
    pub from: Option<IpAddr>,
}

/// Why there is no network of our own: what was refused, and in the system's words why.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Such as `open /dev/net/tun`.
    pub what: &'static str,
    /// The system's answer.
    pub cause: io::Error,
}

/// A datagram, and what the kernel says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped {
    /// Its whole length in bytes, also of what found no room in the buffer (MSG_TRUNC, recv(2)).
    pub length: usize,
    /// Who sent it; `None` when the kernel does not tell.
    pub from: Option<SocketAddr>,
    /// When the kernel received it, by the wall clock; `None` when it keeps no time.
    pub arrived: Option<SystemTime>,
}

/// In how many packets a datagram came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
pub(crate) enum Pieces {
    /// In one.
    One,
    /// In fragments.
    Fragments {
        /// Bytes of the longest, IP header included.
        longest: usize,
    },
}

/// A datagram that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Bytes of it that are in the buffer.
    pub length: usize,
    /// In how many packets it came.
    pub pieces: Pieces,
}
