//! What the kernel tells of a TCP connection, and how it is told to treat one.

use std::io;
use std::os::fd::AsFd;

use super::facts::{TcpCounts, TcpState};
use super::system;

/// Asks the kernel how far a TCP connection has come towards its end (`tcpi_state` of TCP_INFO,
/// tcp(7)).
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_state(socket: impl AsFd) -> io::Result<TcpState> {
    system::tcp_state(socket.as_fd())
}

/// Asks the kernel whether the peer's FIN has come, before ours was sent (CLOSE-WAIT, LAST-ACK).
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_peer_has_closed(socket: impl AsFd) -> io::Result<bool> {
    system::tcp_peer_has_closed(socket.as_fd())
}

/// Asks the kernel how many probes a TCP connection has sent since its peer last answered (`tcpi_probes` of
/// TCP_INFO, tcp(7)). A reset does not count as an answer.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_unanswered_probes(socket: impl AsFd) -> io::Result<u8> {
    system::tcp_unanswered_probes(socket.as_fd())
}

/// Asks the kernel what a TCP connection has sent and received (TCP_INFO, tcp(7)); `None` when
/// this system does not count segments.
///
/// # Errors
/// When the socket is no TCP socket.
pub(crate) fn tcp_counts(socket: impl AsFd) -> io::Result<Option<TcpCounts>> {
    system::tcp_counts(socket.as_fd())
}

/// Bytes written to a stream socket that the peer's kernel has not acknowledged (SIOCOUTQ, tcp(7)).
///
/// # Errors
/// When the socket does not know that request.
pub(crate) fn unacknowledged(socket: impl AsFd) -> io::Result<u32> {
    system::unacknowledged(socket.as_fd())
}

/// Gives a TCP socket whose packets never leave this machine a congestion control without pacing, if
/// its own one paces (BBR; `net.ipv4.tcp_congestion_control`, tcp(7)). It is best called before the
/// socket is connected: once the kernel has begun to pace a socket it goes on, though at a higher
/// rate.
///
/// Pacing spreads packets over time so that they do not queue up in a network whose rate has yet to
/// be found. On one machine there is no such network, and pacing only costs a timer interrupt for
/// every packet.
///
/// # Errors
/// When the socket has no congestion control, or the system does not allow another one.
pub(crate) fn stop_pacing(socket: impl AsFd) -> io::Result<()> {
    system::stop_pacing(socket.as_fd())
}

/// The name of what decides how fast a connection sends (TCP_CONGESTION, tcp(7)).
///
/// # Errors
/// When the system does not tell.
pub(crate) fn congestion_control(socket: impl AsFd) -> io::Result<String> {
    system::congestion_control(socket.as_fd())
}

/// Has a TCP socket use another one.
///
/// # Errors
/// What setsockopt(2) says; `Unsupported` where there is no choice.
pub(crate) fn set_congestion_control(socket: impl AsFd, name: &str) -> io::Result<()> {
    system::set_congestion_control(socket.as_fd(), name)
}

/// Has a TCP connection forgotten as soon as the peer has acknowledged the FIN that closing the socket
/// sends (TCP_LINGER2, tcp(7)).
///
/// The peer reads the end of the stream, as ever, and its own FIN is answered by a reset, so that
/// neither end is left in TIME-WAIT (RFC 9293, 3.6), which would take a source port out of use for a
/// minute.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn forget_once_closed(socket: impl AsFd) -> io::Result<()> {
    system::forget_once_closed(socket.as_fd())
}
