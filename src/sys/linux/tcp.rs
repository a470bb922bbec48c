//! Linux: TCP_INFO and the other options of tcp(7).

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use socket2::SockRef;

use crate::sys::facts::{TcpCounts, TcpState};
use crate::sys::unix::get_option;

/// `tcpi_state` of TCP_INFO (tcp(7)); the numbers are those of `enum` in `netinet/tcp.h`.
pub(crate) fn tcp_state(fd: BorrowedFd<'_>) -> io::Result<TcpState> {
    // The state is the first byte of struct tcp_info.
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(match state {
        4 | 9 | 11 => TcpState::FinSent,
        5 => TcpState::FinAcknowledged,
        6 | 7 => TcpState::Closed,
        _ => TcpState::Open,
    })
}

pub(crate) fn tcp_peer_has_closed(fd: BorrowedFd<'_>) -> io::Result<bool> {
    const CLOSE_WAIT: u8 = 8;
    const LAST_ACK: u8 = 9;
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(matches!(state, CLOSE_WAIT | LAST_ACK))
}

pub(crate) fn tcp_unanswered_probes(fd: BorrowedFd<'_>) -> io::Result<u8> {
    // The fourth byte of struct tcp_info.
    let ([.., probes], _) = get_option::<[u8; 4]>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(probes)
}

/// Words of `struct tcp_info` (`linux/tcp.h`), counted in 32-bit units; the structure only grows,
/// and older kernels fill in less of it.
mod tcp_info {
    /// The byte of options is the second of the second word.
    pub(super) const OPTIONS: usize = 1;
    pub(super) const SND_MSS: usize = 4;
    pub(super) const RCV_MSS: usize = 5;
    /// In microseconds.
    pub(super) const RTT: usize = 17;
    pub(super) const ADVMSS: usize = 21;
    pub(super) const TOTAL_RETRANS: usize = 25;
    pub(super) const BYTES_RECEIVED: usize = 32;
    pub(super) const SEGS_OUT: usize = 34;
    pub(super) const SEGS_IN: usize = 35;
    /// Since Linux 4.19.
    pub(super) const BYTES_SENT: usize = 50;
    pub(super) const BYTES_RETRANS: usize = 52;
    pub(super) const LENGTH: usize = 54;
}

/// TCPI_OPT_TIMESTAMPS (`linux/tcp.h`).
const OPTION_TIMESTAMPS: u8 = 1;

pub(crate) fn tcp_counts(fd: BorrowedFd<'_>) -> io::Result<Option<TcpCounts>> {
    let (info, length) =
        get_option::<[u32; tcp_info::LENGTH]>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok((length >= size_of_val(&info)).then(|| counts(&info)).flatten())
}

/// What `struct tcp_info` says; `None` of a kernel that does not count.
fn counts(info: &[u32; tcp_info::LENGTH]) -> Option<TcpCounts> {
    let word = |at: usize| u64::from(info[at]);
    let long = |at: usize| {
        let ([a, b, c, d], [e, f, g, h]) = (info[at].to_ne_bytes(), info[at + 1].to_ne_bytes());
        u64::from_ne_bytes([a, b, c, d, e, f, g, h])
    };
    let [_, options, ..] = info[tcp_info::OPTIONS].to_ne_bytes();
    let counts = TcpCounts {
        segments_out: word(tcp_info::SEGS_OUT),
        segments_in: word(tcp_info::SEGS_IN),
        bytes_out: long(tcp_info::BYTES_SENT),
        // A retransmission for which the kernel has no memory counts as one, and is not sent.
        payload_out: long(tcp_info::BYTES_SENT).saturating_sub(long(tcp_info::BYTES_RETRANS)),
        bytes_in: long(tcp_info::BYTES_RECEIVED),
        retransmissions: word(tcp_info::TOTAL_RETRANS),
        round_trip: match word(tcp_info::RTT) {
            0 => None,
            micros => Some(Duration::from_micros(micros)),
        },
        timestamps: options & OPTION_TIMESTAMPS != 0,
        segment_out: word(tcp_info::SND_MSS),
        segment_in: word(tcp_info::ADVMSS)
            .min(word(tcp_info::SND_MSS))
            .max(word(tcp_info::RCV_MSS)),
    };
    // Every connection has sent a SYN or SYN-ACK: a count of 0 means that this kernel does not count.
    (counts.segments_out > 0).then_some(counts)
}

pub(crate) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes.unsigned_abs())
}

/// The prefix of the names of congestion controls that pace: there are several versions of BBR.
const PACES: &[u8] = b"bbr";

/// A congestion control that does not pace. It is part of every kernel and allowed to every user by
/// default (`net.ipv4.tcp_allowed_congestion_control`, tcp(7)).
const NEVER_PACES: &[u8] = b"reno";

pub(crate) fn congestion_control(fd: BorrowedFd<'_>) -> io::Result<String> {
    let name = SockRef::from(&fd).tcp_congestion()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(crate) fn set_congestion_control(fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_congestion(name.as_bytes())
}

pub(crate) fn stop_pacing(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    if socket.tcp_congestion()?.starts_with(PACES) {
        socket.set_tcp_congestion(NEVER_PACES)?;
    }
    Ok(())
}

/// With a negative time `tcp_rcv_state_process` drops an orphaned socket in FIN-WAIT-1 when the FIN is
/// acknowledged, and `__tcp_close` resets one in FIN-WAIT-2 (Linux, `net/ipv4`).
pub(crate) fn forget_once_closed(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seconds: libc::c_int = -1;
    // SAFETY: the pointer and the length describe `seconds`, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_LINGER2,
            (&raw const seconds).cast(),
            size_of_val(&seconds) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_sent_again_may_be_more_than_bytes_sent() {
        let mut info = [0; tcp_info::LENGTH];
        info[tcp_info::SEGS_OUT] = 3;
        let low = |long: u64| (long.to_ne_bytes()[..4].try_into().map(u32::from_ne_bytes)).unwrap();
        let high =
            |long: u64| (long.to_ne_bytes()[4..].try_into().map(u32::from_ne_bytes)).unwrap();
        for (at, long) in [(tcp_info::BYTES_SENT, 100), (tcp_info::BYTES_RETRANS, 140)] {
            (info[at], info[at + 1]) = (low(long), high(long));
        }
        let counts = counts(&info).unwrap();
        assert_eq!((counts.bytes_out, counts.payload_out), (100, 0));
    }

    #[test]
    fn a_kernel_that_does_not_count_says_nothing() {
        assert!(counts(&[0; tcp_info::LENGTH]).is_none());
    }
}
