//! What a call on a socket says of the peer by its error: connect(2) of TCP, and sending and receiving datagrams, whose
//! errors are ICMP messages for the most part (icmp(7), ip(7), tcp(7)).
//!
//! Whoever asks many peers, or one again and again, looks here, so that a message of the network is an answer
//! everywhere, and never the end of a whole run.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::Socket;

use crate::net::socket::ends::is_its_own_peer;
use crate::net::socket::failure;
use crate::sys::errno;

/// How long to wait after descriptors, memory or source ports have run out.
pub(crate) const NO_ROOM_PAUSE: Duration = Duration::from_millis(5);

/// What is known of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing so far: the connection is being made.
    Waiting,
    /// TCP: a connection was made, and may have been broken since. Somebody listens.
    Open,
    /// TCP: the connection leads from the socket to the same socket. Nobody listens, or its port would not have been free.
    Itself,
    /// Nobody listens: a reset in answer to a SYN, or ICMP port unreachable.
    Refused,
    /// Nothing gets there: a router says so by ICMP, or a route or the firewall of this machine.
    Unreachable,
    /// The system has waited long enough.
    Silent,
    /// Nothing: the call found no descriptor, memory or source port. The same call may succeed later.
    NoRoom,
    /// Nothing, and the same call would fail again.
    Nothing,
}

/// What connect(2) says of `peer`, when it is first called for this TCP socket or again later.
#[must_use]
pub(crate) fn of_connecting(socket: &Socket, peer: SocketAddr, result: &io::Result<()>) -> Said {
    let said = result.as_ref().err().map_or(Said::Open, |cause| of_error(peer, cause));
    if said == Said::Open && is_its_own_peer(socket, peer) { Said::Itself } else { said }
}

/// What an error says of `peer`: one of connect(2), or of sending to it or receiving from it.
#[must_use]
pub(crate) fn of_error(peer: SocketAddr, cause: &io::Error) -> Said {
    let Some(code) = cause.raw_os_error() else { return Said::Nothing };
    match code {
        libc::EINPROGRESS | libc::EALREADY => Said::Waiting,
        // The handshake was completed before the connection was broken.
        libc::EISCONN | libc::ECONNRESET | libc::EPIPE => Said::Open,
        libc::ECONNREFUSED => Said::Refused,
        libc::ETIMEDOUT => Said::Silent,
        _ if errno::is_unreachable(cause) => Said::Unreachable,
        // ICMP: protocol unreachable, parameter problem, source route failed. And a connection that was given up
        // already, whose reason somebody else was told.
        libc::ENOPROTOOPT | libc::EPROTO | libc::EOPNOTSUPP | libc::ECONNABORTED => {
            Said::Unreachable
        }
        // ICMPv6 administratively prohibited, a prohibit route (ip-route(8)), the firewall of this machine.
        libc::EACCES | libc::EPERM => Said::Unreachable,
        // A blackhole route, which may be that of one port only (ip-rule(8)).
        libc::EINVAL if !failure::lacks_interface(peer) => Said::Unreachable,
        // IPv6 has another reason to say so than used up source ports.
        libc::EADDRNOTAVAIL if failure::is_out_of_reach(peer) => Said::Unreachable,
        _ if errno::is_no_room(cause) => Said::NoRoom,
        _ => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(peer: &str, code: i32) -> Said {
        of_error(peer.parse().unwrap(), &io::Error::from_raw_os_error(code))
    }

    #[test]
    fn every_error_that_the_manuals_name_has_its_meaning() {
        use Said::{NoRoom, Nothing, Open, Refused, Silent, Unreachable, Waiting};
        for (code, said) in [
            (libc::EINPROGRESS, Waiting),
            (libc::EALREADY, Waiting),
            (libc::EISCONN, Open),
            (libc::ECONNRESET, Open),
            (libc::EPIPE, Open),
            (libc::ECONNREFUSED, Refused),
            (libc::ETIMEDOUT, Silent),
            (libc::EHOSTUNREACH, Unreachable),
            (libc::ENETUNREACH, Unreachable),
            (libc::ENETDOWN, Unreachable),
            (libc::EHOSTDOWN, Unreachable),
            #[cfg(target_os = "linux")]
            (libc::ENONET, Unreachable),
            (libc::ENOPROTOOPT, Unreachable),
            (libc::EPROTO, Unreachable),
            (libc::EOPNOTSUPP, Unreachable),
            (libc::ECONNABORTED, Unreachable),
            (libc::EACCES, Unreachable),
            (libc::EPERM, Unreachable),
            (libc::EINVAL, Unreachable),
            (libc::EMFILE, NoRoom),
            (libc::ENFILE, NoRoom),
            (libc::ENOBUFS, NoRoom),
            (libc::ENOMEM, NoRoom),
            (libc::EAGAIN, NoRoom),
            (libc::EADDRNOTAVAIL, NoRoom),
            (libc::EADDRINUSE, Nothing),
            (libc::EAFNOSUPPORT, Nothing),
            (libc::EBADF, Nothing),
            (libc::EFAULT, Nothing),
            (libc::EINTR, Nothing),
            (libc::EMSGSIZE, Nothing),
            (libc::ENOSYS, Nothing),
            (libc::ENOTSOCK, Nothing),
            (libc::EPROTOTYPE, Nothing),
        ] {
            let cause = io::Error::from_raw_os_error(code);
            assert_eq!(by("127.0.0.1:9", code), said, "{cause}");
            assert_eq!(by("[::1]:9", code), said, "{cause}");
        }
    }

    #[test]
    fn an_address_without_its_interface_is_the_callers_fault() {
        assert_eq!(by("[fe80::1]:9", libc::EINVAL), Said::Nothing);
    }
}
