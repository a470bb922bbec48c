//! The hex dump of a run: the observer behind `-x` and `--hex-file`.
//!
//! Every transfer is a header line (direction, time, peer, length, and the offset in the stream or
//! the number of the datagram) followed by `hexdump -C` lines. Events of a connection, such as its
//! end, are lines of their own. It must not know where its text goes.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::net::address::Protocol;
use crate::observe::hexdump::{self, Paint};
use crate::observe::journal::Journal;
use crate::observe::report::counted;
use crate::observe::stamps::Stamps;
use crate::observe::tap::{Direction, Event, Link, Observer, Transfer};

/// Writes every transfer and event as text.
#[derive(Debug)]
pub(crate) struct Dump {
    journal: Journal,
    paint: Paint,
    stamps: Stamps,
}

/// The time of a line: seconds since the start, with microseconds.
struct At(Duration);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// Whom a line is about: the peer, or the number and the address of a forwarder's client.
struct Who<'a>(&'a Link);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.forwarded {
            Some(forwarded) => write!(f, "#{} {}", forwarded.client, self.0.local),
            None => self.0.peer.fmt(f),
        }
    }
}

/// The words for an event at one of our own ends, or at one of a forwarder's two sides.
fn of(link: &Link, ours: &'static str, forwarded: &'static str) -> &'static str {
    if link.forwarded.is_some() { forwarded } else { ours }
}

impl Dump {
    /// A dump into this journal.
    #[must_use]
    pub(crate) fn new(journal: Journal, paint: Paint) -> Self {
        Self { journal, paint, stamps: Stamps::None }
    }

    /// The same dump, with or without the wall-clock time before each header and mark.
    #[must_use]
    pub(crate) fn stamped(self, stamps: Stamps) -> Self {
        Self { stamps, ..self }
    }

    fn style(&self, colour: AnsiColor) -> Style {
        match self.paint {
            Paint::Plain => Style::new(),
            Paint::Coloured => colour.on_default().bold(),
        }
    }

    fn mark(&self, at: Duration, link: &Link, what: impl fmt::Display) {
        self.mark_all(at, format_args!("{} {} {what}", link.transport(), Who(link)));
    }

    fn mark_all(&self, at: Duration, what: impl fmt::Display) {
        let style = self.style(AnsiColor::Yellow);
        let at = At(at);
        // Writing into memory cannot fail, here and below.
        self.journal.append(|out| {
            self.stamps.begin(out);
            let _ = writeln!(out, "{style}* {at} {what}{style:#}");
        });
    }
}

impl Observer for Dump {
    fn transfer(&mut self, at: Duration, transfer: &Transfer<'_>) {
        let Transfer { direction, link, bytes, offset, number, cut_from } = *transfer;
        let (sign, colour) = match direction {
            Direction::Sent => ('>', AnsiColor::Green),
            Direction::Received => ('<', AnsiColor::Blue),
        };
        let style = self.style(colour);
        let (at_text, protocol, peer, length) = (At(at), link.transport(), Who(link), bytes.len());
        self.journal.append(|out| {
            self.stamps.begin(out);
            let _ = write!(out, "{style}{sign} {at_text} {protocol} {peer} {length} bytes ");
            let first = match link.protocol {
                // The boundaries of reads and writes mean nothing in a stream, so the offsets
                // continue.
                Protocol::Tcp => {
                    let _ = writeln!(out, "at {offset}{style:#}");
                    offset
                }
                // Every datagram is a message of its own, so its offsets start at 0.
                Protocol::Udp => {
                    let _ = writeln!(out, "#{number}{style:#}");
                    0
                }
            };
            let _ = hexdump::write(out, bytes, first, self.paint);
        });
        if let Some(length) = cut_from {
            self.mark(at, link, format_args!("cut from {length} bytes"));
        }
    }

    fn event(&mut self, at: Duration, event: &Event<'_>) {
        match event {
            // connect(2) on a datagram socket sends nothing, so there is nothing to report.
            Event::Connected(link) if link.protocol == Protocol::Tcp => match &link.forwarded {
                None => self.mark(at, link, "connected"),
                Some(_) => self.mark(at, link, format_args!("connected to {}", link.peer)),
            },
            Event::Accepted(link) if link.protocol == Protocol::Tcp => {
                self.mark(at, link, "accepted");
            }
            Event::PeerClosed(link) => {
                self.mark(at, link, of(link, "peer closed", "server closed"))
            }
            Event::WeClosed(link) => self.mark(at, link, of(link, "we closed", "client closed")),
            Event::Reset(link) => self.mark(at, link, of(link, "reset", "server reset")),
            Event::WeReset(link) => self.mark(at, link, of(link, "we reset", "client reset")),
            Event::CutOff(link) => self.mark(at, link, "we reset"),
            Event::Refused(link) => self.mark(at, link, "refused (ICMP)"),
            Event::Dropped(more) => {
                let what = counted(*more, "datagram");
                self.mark_all(at, format_args!("udp {what} dropped by the kernel"));
            }
            Event::Connected(_)
            | Event::Accepted(_)
            | Event::Listening { .. }
            | Event::Tls(..)
            | Event::OwnCertificate(_)
            | Event::Peer(_)
            | Event::Closed(_)
            | Event::Error(_)
            | Event::Detail(_)
            | Event::Summary(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::stamps;
    use std::net::SocketAddr;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn transfer<'a>(link: &'a Link, direction: Direction, bytes: &'a [u8]) -> Transfer<'a> {
        Transfer { direction, link, bytes, offset: 20, number: 3, cut_from: None }
    }

    #[test]
    fn headers_and_marks_begin_with_the_wall_clock_time_where_that_is_asked_for() {
        let journal = Journal::default();
        let mut dump = Dump::new(journal.clone(), Paint::Plain).stamped(stamps::tests::fixed());
        let link = Link::new(Protocol::Tcp, address("127.0.0.1:1"), address("127.0.0.1:9000"));
        dump.event(Duration::from_micros(301), &Event::Connected(&link));
        dump.transfer(Duration::from_micros(412), &transfer(&link, Direction::Sent, b"hello"));
        let mut text = Vec::new();
        journal.append(|out| text.clone_from(out));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "2001-09-09T01:46:41.002Z * 0.000301 tcp 127.0.0.1:9000 connected\n\
             2001-09-09T01:46:41.002Z > 0.000412 tcp 127.0.0.1:9000 5 bytes at 20\n\
             00000014  68 65 6c 6c 6f                                    |hello|\n"
        );
    }

    #[test]
    fn headers_tell_offsets_of_streams_and_numbers_of_datagrams() {
        let journal = Journal::default();
        let mut dump = Dump::new(journal.clone(), Paint::Plain);
        let (local, peer) = (address("127.0.0.1:1"), address("127.0.0.1:9000"));
        let tcp = Link::new(Protocol::Tcp, local, peer);
        let udp = Link::new(Protocol::Udp, local, address("[::1]:9000"));
        dump.event(Duration::from_micros(301), &Event::Connected(&tcp));
        dump.event(Duration::from_micros(301), &Event::Connected(&udp));
        dump.transfer(Duration::from_micros(412), &transfer(&tcp, Direction::Sent, b"hello"));
        let cut = Transfer { cut_from: Some(9), ..transfer(&udp, Direction::Received, b"hello") };
        dump.transfer(Duration::from_millis(1655), &cut);
        dump.transfer(Duration::from_secs(70), &transfer(&udp, Direction::Received, b""));
        dump.event(Duration::from_secs(71), &Event::Dropped(2));
        dump.event(Duration::from_secs(71), &Event::Refused(&udp));
        let mut text = Vec::new();
        journal.append(|out| text.clone_from(out));
        let hello = "68 65 6c 6c 6f                                    |hello|";
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!(
                "* 0.000301 tcp 127.0.0.1:9000 connected\n\
                 > 0.000412 tcp 127.0.0.1:9000 5 bytes at 20\n\
                 00000014  {hello}\n\
                 < 1.655000 udp [::1]:9000 5 bytes #3\n\
                 00000000  {hello}\n\
                 * 1.655000 udp [::1]:9000 cut from 9 bytes\n\
                 < 70.000000 udp [::1]:9000 0 bytes #3\n\
                 * 71.000000 udp 2 datagrams dropped by the kernel\n\
                 * 71.000000 udp [::1]:9000 refused (ICMP)\n"
            )
        );
    }
}
