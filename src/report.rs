//! Counters as text for people.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use crate::address::Protocol;
use crate::tap::Tap;

/// The summary of a run, one line: bytes and messages each way, duration, rate; for UDP also
/// what the kernel dropped, what was cut, and how many peers were heard.
#[must_use]
pub fn summary(tap: &Tap, protocol: Protocol, elapsed: Duration) -> String {
    let (out, into) = match protocol {
        Protocol::Tcp => ("write", "read"),
        Protocol::Udp => ("datagram", "datagram"),
    };
    let seconds = elapsed.as_secs_f64();
    let (sent, received) = (tap.sent_bytes.get(), tap.received_bytes.get());
    let rate = (sent + received) as f64 / seconds.max(1e-6);
    let mut line = format!(
        "sent {sent} bytes in {}, received {received} bytes in {}, {seconds:.3} s, {}/s",
        counted(tap.sent_messages.get(), out),
        counted(tap.received_messages.get(), into),
        ByteSize(rate as u64).display().iec(),
    );
    if protocol == Protocol::Udp {
        let _ = write!(
            line,
            ", kernel drops {}, cut {}, peers {}",
            tap.kernel_drops.get(),
            tap.cut.get(),
            tap.peers.get()
        );
    }
    line
}

/// A number with its noun: `1 read`, `2 reads`.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    if n == 1 {
        format!("1 {noun}")
    } else {
        format!("{n} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_bytes_messages_duration_and_rate() {
        let tap = Tap::default();
        tap.sent(14);
        tap.received(10);
        tap.received(5);
        assert_eq!(
            summary(&tap, Protocol::Tcp, Duration::from_millis(1000)),
            "sent 14 bytes in 1 write, received 15 bytes in 2 reads, 1.000 s, 29 B/s"
        );
        tap.kernel_drops.set(3);
        assert!(
            summary(&tap, Protocol::Udp, Duration::from_secs(1)).ends_with(
                "15 bytes in 2 datagrams, 1.000 s, 29 B/s, kernel drops 3, cut 0, peers 0"
            )
        );
    }
}
