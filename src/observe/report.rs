//! Events as lines for people: the observer behind `-v`, and the summary.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use crate::net::address::{Protocol, transport};
use crate::observe::handshake::Handshake;
use crate::observe::journal::{Journal, Verbosity};
use crate::observe::tap::{Event, Link, Observer, Summary, Transfer};
use crate::peer::printable;

/// Writes a line for every event that the verbosity includes.
#[derive(Debug)]
pub(crate) struct Lines {
    journal: Journal,
    verbosity: Verbosity,
}

impl Lines {
    /// An observer with this verbosity.
    #[must_use]
    pub(crate) fn new(journal: Journal, verbosity: Verbosity) -> Self {
        Self { journal, verbosity }
    }

    fn say(&self, least: Verbosity, line: &str) {
        if self.verbosity >= least {
            self.journal.line(line);
        }
    }
}

impl Lines {
    fn say_handshake(&self, link: &Link, handshake: &Handshake) {
        if self.verbosity < Verbosity::Verbose {
            return;
        }
        // What a certificate says comes from the peer.
        self.journal.line(&printable(&format!("tls with {}: {}", link.peer, handshake.line())));
        let all = handshake.chain.len();
        for (number, certificate) in (1..).zip(&handshake.chain) {
            let line = certificate.line();
            let line = format!("certificate {number} of {all} of {}: {line}", link.peer);
            self.journal.line(&printable(&line));
        }
    }

    fn say_losses(&self, counters: &Summary) {
        let Summary { kernel_drops, unsent, .. } = *counters;
        for (what, lost, why) in [
            ("receive", kernel_drops, "dropped by the kernel"),
            ("send", unsent, "could not be sent"),
        ] {
            if lost > 0 {
                self.journal.line(&format!("pktcat: {what}: {} {why}", counted(lost, "datagram")));
            }
        }
    }
}

impl Observer for Lines {
    fn wants_bytes(&self) -> bool {
        false
    }

    fn transfer(&mut self, _: Duration, _: &Transfer<'_>) {}

    fn event(&mut self, _: Duration, event: &Event<'_>) {
        match event {
            Event::Listening { protocol, address, must_be_told } => {
                let least = if *must_be_told { Verbosity::Normal } else { Verbosity::Verbose };
                self.say(
                    least,
                    &format!("listening on {address} ({})", transport(*protocol, address)),
                );
            }
            Event::Connected(link) => {
                self.say(Verbosity::Verbose, &format!("connected to {link}"));
            }
            Event::Accepted(link) => self.say(Verbosity::Verbose, &format!("accepted {link}")),
            Event::Tls(link, handshake) => self.say_handshake(link, handshake),
            Event::OwnCertificate(sha256) => {
                self.say(Verbosity::Normal, &format!("certificate for this run: SHA-256 {sha256}"));
            }
            Event::Peer(link) => self.say(Verbosity::Verbose, &format!("peer {link}")),
            Event::Error(error) => self.say(Verbosity::Quiet, &format!("pktcat: {error}")),
            Event::Detail(line) => self.say(Verbosity::Verbose, line),
            Event::Summary(counters) => {
                // SIGUSR1 asks for a summary in the middle of a run, which is printed at every
                // verbosity.
                let least = if counters.last { Verbosity::Verbose } else { Verbosity::Quiet };
                self.say(least, &summary(counters));
                // Losses are reported unless `--quiet` was given.
                if counters.last && self.verbosity == Verbosity::Normal {
                    self.say_losses(counters);
                }
            }
            Event::PeerClosed(_)
            | Event::WeClosed(_)
            | Event::Closed(_)
            | Event::Reset(_)
            | Event::WeReset(_)
            | Event::Refused(_)
            | Event::Dropped(_) => {}
        }
    }
}

/// The summary of a run, one line: bytes and messages each way, duration, rate; for UDP also
/// what the kernel dropped, what was cut, and how many peers were heard.
#[must_use]
pub(crate) fn summary(counters: &Summary) -> String {
    let (out, into) = match counters.protocol {
        Protocol::Tcp => ("write", "read"),
        Protocol::Udp => ("datagram", "datagram"),
    };
    let seconds = counters.elapsed.as_secs_f64();
    let (sent, received) = (counters.sent_bytes, counters.received_bytes);
    let rate = (sent + received) as f64 / seconds.max(1e-6);
    let mut line = format!(
        "sent {sent} bytes in {}, received {received} bytes in {}, {seconds:.3} s, {}/s",
        counted(counters.sent_messages, out),
        counted(counters.received_messages, into),
        ByteSize(rate as u64).display().iec(),
    );
    if counters.protocol == Protocol::Udp {
        let Summary { kernel_drops, cut, peers, .. } = counters;
        let _ = write!(line, ", kernel drops {kernel_drops}, cut {cut}, peers {peers}");
        if counters.ignored > 0 {
            let _ = write!(line, ", ignored {}", counters.ignored);
        }
        if counters.unsent > 0 {
            let _ = write!(line, ", not sent {}", counters.unsent);
        }
    }
    line
}

/// A number with its noun: `1 read`, `2 reads`.
#[must_use]
pub(crate) fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_bytes_messages_duration_and_rate() {
        let mut counters = Summary {
            protocol: Protocol::Tcp,
            elapsed: Duration::from_secs(1),
            sent_bytes: 14,
            sent_messages: 1,
            received_bytes: 15,
            received_messages: 2,
            kernel_drops: 3,
            cut: 0,
            peers: 4,
            ignored: 0,
            unsent: 0,
            last: true,
        };
        let both = "sent 14 bytes in 1 write, received 15 bytes in 2 reads, 1.000 s, 29 B/s";
        assert_eq!(summary(&counters), both);
        counters.protocol = Protocol::Udp;
        let tail = "15 bytes in 2 datagrams, 1.000 s, 29 B/s, kernel drops 3, cut 0, peers 4";
        assert!(summary(&counters).ends_with(tail));
    }
}
