//! Events as lines for people: the observer behind `-v`, and the summary.

use std::fmt::Write as _;
use std::time::Duration;

use bytesize::ByteSize;

use crate::net::address::{Protocol, transport};
use crate::observe::connections::Connections;
use crate::observe::handshake::Handshake;
use crate::observe::journal::{Journal, Verbosity};
use crate::observe::stamps::Stamps;
use crate::observe::tap::{Event, Forwarded, Link, Observer, Side, Summary, Transfer};
use crate::peer::printable;

/// Writes a line for every event that the verbosity includes.
#[derive(Debug)]
pub(crate) struct Lines {
    journal: Journal,
    verbosity: Verbosity,
    stamps: Stamps,
    leaving: Leaving,
}

/// Whether a line says that a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Leaving {
    /// No: the run ends with it, and its summary says the same.
    #[default]
    Untold,
    /// Yes: it is one of many (`listen -k`).
    Told,
}

impl Lines {
    /// An observer with this verbosity.
    #[must_use]
    pub(crate) fn new(journal: Journal, verbosity: Verbosity) -> Self {
        Self { journal, verbosity, stamps: Stamps::None, leaving: Leaving::Untold }
    }

    /// The same observer, with or without a line for each connection that is over.
    #[must_use]
    pub(crate) fn telling(self, leaving: Leaving) -> Self {
        Self { leaving, ..self }
    }

    /// The same observer, with or without the wall-clock time before each line that is no error.
    #[must_use]
    pub(crate) fn stamped(self, stamps: Stamps) -> Self {
        Self { stamps, ..self }
    }

    fn say(&self, least: Verbosity, line: &str) {
        if self.verbosity >= least {
            self.journal.append(|text| self.stamps.begin(text));
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
        let line = format!("tls with {}: {}", link.peer, handshake.line());
        self.say(Verbosity::Verbose, &printable(&line));
        let all = handshake.chain.len();
        for (number, certificate) in (1..).zip(&handshake.chain) {
            let line = certificate.line();
            let line = format!("certificate {number} of {all} of {}: {line}", link.peer);
            self.say(Verbosity::Verbose, &printable(&line));
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

    fn event(&mut self, at: Duration, event: &Event<'_>) {
        match event {
            Event::Listening { protocol, address, must_be_told } => {
                let least = if *must_be_told { Verbosity::Normal } else { Verbosity::Verbose };
                self.say(
                    least,
                    &format!("listening on {address} ({})", transport(*protocol, address)),
                );
            }
            Event::Connected(link) => self.say(Verbosity::Verbose, &connected(link)),
            Event::Accepted(link) => self.say(Verbosity::Verbose, &accepted(link)),
            // A client of a forwarder was accepted before.
            Event::Peer(link) if link.forwarded.is_none() => {
                self.say(Verbosity::Verbose, &format!("peer {link}"));
            }
            Event::Tls(link, handshake) => self.say_handshake(link, handshake),
            Event::OwnCertificate(sha256) => {
                self.say(Verbosity::Normal, &format!("certificate for this run: SHA-256 {sha256}"));
            }
            // Errors have the one form that scripts look for, `pktcat: what: where: why`.
            Event::Error(error) => self.journal.line(&format!("pktcat: {error}")),
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
            Event::Closed(link) if self.leaving == Leaving::Told => {
                self.say(Verbosity::Verbose, &closed(link, at));
            }
            Event::Peer(_)
            | Event::Closed(_)
            | Event::PeerClosed(_)
            | Event::WeClosed(_)
            | Event::Reset(_)
            | Event::WeReset(_)
            | Event::CutOff(_)
            | Event::Refused(_)
            | Event::Dropped(_) => {}
        }
    }
}

fn connected(link: &Link) -> String {
    match &link.forwarded {
        Some(forwarded) => format!("#{} connected {}", forwarded.client, link.peer),
        None => format!("connected to {link}"),
    }
}

fn accepted(link: &Link) -> String {
    match &link.forwarded {
        Some(forwarded) => format!("#{} accepted {}", forwarded.client, link.local),
        None => format!("accepted {link}"),
    }
}

/// The summary of a run, one line: bytes and messages each way, duration, rate; for UDP also
/// what the kernel dropped, what was cut, and how many peers were heard.
#[must_use]
pub(crate) fn summary(counters: &Summary) -> String {
    let all = &counters.connections;
    let (out, into) = match counters.protocol {
        Protocol::Tcp => ("write", "read"),
        // A listener for both protocols, whose clients over TCP are among them.
        Protocol::Udp if all.count > 0 && !all.are_forwarded => ("message", "message"),
        Protocol::Udp => ("datagram", "datagram"),
    };
    let seconds = counters.elapsed.as_secs_f64();
    let (sent, received) = (counters.sent_bytes, counters.received_bytes);
    let rate = (sent + received) as f64 / seconds.max(1e-6);
    let mut line = format!(
        "sent {sent} bytes{}, received {received} bytes{}, {seconds:.3} s, {}/s",
        in_messages(sent, counters.sent_messages, out),
        in_messages(received, counters.received_messages, into),
        ByteSize(rate as u64).display().iec(),
    );
    let Summary { kernel_drops, cut, peers, ignored, unsent, .. } = *counters;
    let is_udp = counters.protocol == Protocol::Udp;
    // A forwarder leads streams to datagrams, too, of which only losses are told.
    for (what, count, is_told) in [
        ("kernel drops", kernel_drops, is_udp || kernel_drops > 0),
        ("cut", cut, is_udp || cut > 0),
        ("peers", peers, is_udp),
        ("ignored", ignored, ignored > 0),
        ("not sent", unsent, unsent > 0),
    ] {
        if is_told {
            let _ = write!(line, ", {what} {count}");
        }
    }
    add_connections(&mut line, all);
    for (way, hits) in ["up", "down"].into_iter().zip(counters.impaired.iter().flatten()) {
        let mut done = hits.named().into_iter().filter(|(_, times)| *times > 0).peekable();
        let begin = if done.peek().is_some() { "" } else { " nothing" };
        let _ = write!(line, ", impaired {way}:{begin}");
        for (at, (what, times)) in done.enumerate() {
            let _ = write!(line, "{} {what} {times}", if at > 0 { "," } else { "" });
        }
    }
    line
}

/// In how many messages so many bytes were; nothing where that is not known, because other programs moved them.
fn in_messages(bytes: u64, messages: u64, noun: &str) -> String {
    match (bytes, messages) {
        (1.., 0) => String::new(),
        _ => format!(" in {}", counted(messages, noun)),
    }
}

/// Who closed first, and what the kernel measured: of the one connection, or of all together.
fn add_connections(line: &mut String, all: &Connections) {
    let (peer, we) = if all.are_forwarded { ("server", "client") } else { ("peer", "we") };
    // Writing into memory cannot fail.
    let _ = match (all.count, all.closed_first()) {
        (0, _) => return,
        (1, Some(Side::Peers)) => write!(line, ", {peer} closed first"),
        (1, Some(Side::Ours)) => write!(line, ", {we} closed first"),
        (1, Some(Side::Between)) => write!(line, ", we closed first"),
        (1, None) => Ok(()),
        (count, _) => {
            write!(line, ", {count} connections, {peer} closed first in {}", all.peer_first)
        }
    };
    if let Some(round_trip) = all.round_trip() {
        let _ = write!(line, ", round trip {:.3} ms", round_trip.as_secs_f64() * 1e3);
        if all.count > 1 {
            line.push_str(" on average");
        }
    }
    if let Some(retransmissions) = all.retransmissions {
        let _ = write!(line, ", retransmissions {retransmissions}");
    }
}

/// That a connection is over, one line: its peer, bytes each way, duration.
fn closed(link: &Link, at: Duration) -> String {
    let (sent, received) = (link.sent_bytes(), link.received_bytes());
    let seconds = link.duration(at).as_secs_f64();
    match &link.forwarded {
        Some(Forwarded { client, .. }) => {
            format!("#{client} closed, {sent} bytes up, {received} bytes down, {seconds:.3} s")
        }
        None if !link.is_counted() => format!("closed {link}, {seconds:.3} s"),
        None => {
            format!("closed {link}, sent {sent} bytes, received {received} bytes, {seconds:.3} s")
        }
    }
}

/// A number with its noun: `1 read`, `2 reads`.
#[must_use]
pub(crate) fn counted(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::observe::course::Measured;
    use crate::observe::stamps;
    use std::net::SocketAddr;

    #[test]
    fn a_summary_says_bytes_messages_duration_and_rate() {
        let mut counters = Summary {
            protocol: Protocol::Tcp,
            elapsed: Duration::from_secs(1),
            sent_bytes: 14,
            sent_messages: 1,
            received_bytes: 15,
            received_messages: 2,
            kernel_drops: 0,
            cut: 0,
            peers: 4,
            ignored: 0,
            unsent: 0,
            impaired: None,
            connections: Connections::default(),
            last: true,
            status: None,
        };
        let both = "sent 14 bytes in 1 write, received 15 bytes in 2 reads, 1.000 s, 29 B/s";
        assert_eq!(summary(&counters), both);
        // Of a forwarder from a stream to datagrams.
        (counters.kernel_drops, counters.unsent) = (3, 2);
        assert_eq!(summary(&counters), format!("{both}, kernel drops 3, not sent 2"));
        (counters.protocol, counters.unsent) = (Protocol::Udp, 0);
        let tail = "15 bytes in 2 datagrams, 1.000 s, 29 B/s, kernel drops 3, cut 0, peers 4";
        assert!(summary(&counters).ends_with(tail));
        counters.connections = Connections::default().and(&link(2));
        assert!(summary(&counters).contains("15 bytes in 2 messages, "));
    }

    fn link(port: u16) -> Link {
        let end = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Link::new(Protocol::Tcp, end(1), end(port))
    }

    #[test]
    fn a_summary_says_who_closed_first_and_what_the_kernel_measured() {
        let with = |all: &Connections| {
            let mut line = String::new();
            add_connections(&mut line, all);
            line
        };
        let (one, other) = (link(2), link(3));
        assert_eq!(with(&Connections::default()), "");
        one.course.closed_by(Side::Peers);
        let silent = Connections::default().and(&one);
        assert_eq!(with(&silent), ", peer closed first");
        let round_trip = Some(Duration::from_micros(45));
        one.course.set_measured(Measured { round_trip, retransmissions: 1 });
        let first = Connections::default().and(&one);
        let measured = ", peer closed first, round trip 0.045 ms, retransmissions 1";
        assert_eq!(with(&first), measured);
        other.course.closed_by(Side::Ours);
        assert_eq!(with(&Connections::default().and(&other)), ", we closed first");
        other.course.set_measured(Measured { round_trip: None, retransmissions: 0 });
        let both = ", 2 connections, peer closed first in 1, round trip 0.045 ms on average, \
                    retransmissions 1";
        assert_eq!(with(&first.and(&other)), both);
    }

    #[test]
    fn lines_but_errors_begin_with_the_wall_clock_time_where_that_is_asked_for() {
        let journal = Journal::default();
        let mut lines = Lines::new(journal.clone(), Verbosity::Verbose)
            .stamped(stamps::tests::fixed())
            .telling(Leaving::Told);
        let (at, link) = (Duration::from_millis(1500), link(9000));
        let address = link.local.clone();
        let (protocol, must_be_told) = (Protocol::Tcp, false);
        lines.event(at, &Event::Listening { protocol, address, must_be_told });
        link.course.begin(at);
        lines.event(at, &Event::Accepted(&link));
        lines.event(at, &Event::Error(&Error::usage("this", "is wrong")));
        lines.event(at + Duration::from_millis(2250), &Event::Closed(&link));
        let mut text = Vec::new();
        journal.append(|out| text.clone_from(out));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "2001-09-09T01:46:41.002Z listening on 127.0.0.1:1 (tcp)\n\
             2001-09-09T01:46:41.002Z accepted 127.0.0.1:9000 (tcp)\n\
             pktcat: usage: this: is wrong\n\
             2001-09-09T01:46:41.002Z closed 127.0.0.1:9000 (tcp), sent 0 bytes, received 0 bytes, 2.250 s\n"
        );
    }
}
