//! The results of a scan as text or JSON, and the exit status they lead to.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::Status;
use crate::net::address::Protocol;
use crate::observe::json::line::{self, Time};

/// What a port answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PortState {
    /// No answer in time, or a router said that the host is unreachable.
    Silent,
    /// Refused: a reset over TCP, ICMP port unreachable over UDP.
    Closed,
    /// A connection was made over TCP, or a datagram came back over UDP.
    Open,
}

impl PortState {
    /// The word for it in the results. Over TCP every host should answer, so silence means a
    /// filter. Over UDP an open port need not answer, so silence means nothing.
    #[must_use]
    pub(crate) fn word(self, protocol: Protocol) -> &'static str {
        match (self, protocol) {
            (Self::Open, _) => "open",
            (Self::Closed, _) => "closed",
            (Self::Silent, Protocol::Tcp) => "filtered",
            (Self::Silent, Protocol::Udp) => "no answer",
        }
    }
}

/// What is known of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its answer.
    pub state: PortState,
    /// How long the answer took; `None` for silence.
    pub time: Option<Duration>,
}

/// What the lines on standard output look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// `22/tcp open 0.14ms ssh`
    Text,
    /// One JSON object per line (`--json`).
    Json,
}

/// The JSON object of one port. Every line has every key; a missing value is null.
#[derive(Serialize)]
struct PortLine<'a> {
    event: &'static str,
    time: Time,
    host: Option<&'a str>,
    port: u16,
    protocol: &'a str,
    state: &'a str,
    round_trip_us: Option<f64>,
    service: Option<&'a str>,
}

/// Whom the lines are about.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// The host in the words of the command line; `None` is this machine.
    pub name: Option<String>,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Adds a port's line. `service` is the name that the system's list has for the port; the scan does
/// not identify what runs there.
pub(crate) fn write_line(
    out: &mut Vec<u8>,
    format: LineFormat,
    (host, port): (&Host, u16),
    found: Found,
    service: Option<&str>,
) {
    let Host { name, protocol } = host;
    let state = found.state.word(*protocol);
    match format {
        LineFormat::Text => {
            let mut line = format!("{port}/{protocol} {state}");
            if let (PortState::Open, Some(time)) = (found.state, found.time) {
                line += &format!(" {:.2}ms", time.as_secs_f64() * 1e3);
            }
            if let Some(service) = service {
                line += &format!(" {service}");
            }
            line.push('\n');
            out.extend_from_slice(line.as_bytes());
        }
        LineFormat::Json => {
            let object = PortLine {
                event: "port",
                time: Time(SystemTime::now()),
                host: name.as_deref(),
                port,
                protocol: protocol.name(),
                state,
                round_trip_us: found.time.map(|time| time.as_nanos() as f64 / 1e3),
                service,
            };
            line::write_line(out, &object);
        }
    }
}

/// How many ports gave which answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortTally {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Ports that were to be probed.
    pub asked: usize,
    /// Open ports.
    pub open: usize,
    /// Closed ports.
    pub closed: usize,
    /// Ports that gave no answer.
    pub silent: usize,
}

/// What makes a scan a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Every port is open.
    All,
    /// One port is open (`--any`).
    Any,
}

impl PortTally {
    /// Counts for `asked` ports without an answer yet.
    #[must_use]
    pub(crate) fn new(protocol: Protocol, asked: usize) -> Self {
        Self { protocol, asked, open: 0, closed: 0, silent: 0 }
    }

    /// Counts the answer of one more port.
    pub(crate) fn count(&mut self, state: PortState) {
        *match state {
            PortState::Open => &mut self.open,
            PortState::Closed => &mut self.closed,
            PortState::Silent => &mut self.silent,
        } += 1;
    }

    /// Ports whose answer is known.
    #[must_use]
    pub(crate) fn known(&self) -> usize {
        self.open + self.closed + self.silent
    }

    /// The exit status of a complete scan; `None` when it is a success.
    #[must_use]
    pub(crate) fn failure(&self, wanted: Wanted) -> Option<Status> {
        let enough = match wanted {
            Wanted::All => self.asked,
            Wanted::Any => 1,
        };
        match self {
            _ if self.open >= enough => None,
            Self { closed: 0, .. } => Some(Status::TimedOut),
            _ => Some(Status::Refused),
        }
    }
}

impl fmt::Display for PortTally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silent = PortState::Silent.word(self.protocol);
        write!(f, "{} open, {} closed, {} {silent}", self.open, self.closed, self.silent)?;
        match self.asked - self.known() {
            0 => Ok(()),
            left => write!(f, ", {left} not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(
        format: LineFormat,
        state: PortState,
        micros: Option<u64>,
        service: Option<&str>,
    ) -> String {
        let mut out = Vec::new();
        let found = Found { state, time: micros.map(Duration::from_micros) };
        let host = Host { name: Some("here".to_owned()), protocol: Protocol::Tcp };
        write_line(&mut out, format, (&host, 22), found, service);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_for_people() {
        let text = |state, micros, service| line(LineFormat::Text, state, micros, service);
        assert_eq!(text(PortState::Open, Some(141), Some("ssh")), "22/tcp open 0.14ms ssh\n");
        assert_eq!(text(PortState::Open, Some(1_012_000), None), "22/tcp open 1012.00ms\n");
        assert_eq!(text(PortState::Closed, Some(141), None), "22/tcp closed\n");
        assert_eq!(text(PortState::Silent, None, None), "22/tcp filtered\n");
        assert_eq!(PortState::Silent.word(Protocol::Udp), "no answer");
    }

    #[test]
    fn lines_for_programs() {
        let after_time = |line: String| line.split_once("Z\",").unwrap().1.to_owned();
        assert_eq!(
            after_time(line(LineFormat::Json, PortState::Open, Some(141), Some("ssh"))),
            "\"host\":\"here\",\"port\":22,\"protocol\":\"tcp\",\"state\":\"open\",\
             \"round_trip_us\":141.0,\"service\":\"ssh\"}\n"
        );
        assert_eq!(
            after_time(line(LineFormat::Json, PortState::Silent, None, None)),
            "\"host\":\"here\",\"port\":22,\"protocol\":\"tcp\",\"state\":\"filtered\",\
             \"round_trip_us\":null,\"service\":null}\n"
        );
    }

    #[test]
    fn the_status_follows_from_the_counts() {
        let tally = |open, closed, silent| PortTally {
            protocol: Protocol::Tcp,
            asked: open + closed + silent,
            open,
            closed,
            silent,
        };
        for (counts, all, any) in [
            (tally(2, 0, 0), None, None),
            (tally(1, 1, 1), Some(Status::Refused), None),
            (tally(1, 0, 1), Some(Status::TimedOut), None),
            (tally(0, 1, 1), Some(Status::Refused), Some(Status::Refused)),
            (tally(0, 0, 2), Some(Status::TimedOut), Some(Status::TimedOut)),
        ] {
            assert_eq!(counts.failure(Wanted::All), all, "{counts}");
            assert_eq!(counts.failure(Wanted::Any), any, "{counts}");
        }
    }

    #[test]
    fn the_counts_say_what_is_not_known() {
        let mut tally = PortTally::new(Protocol::Udp, 3);
        tally.count(PortState::Open);
        assert_eq!(tally.to_string(), "1 open, 0 closed, 0 no answer, 2 not known");
        tally.count(PortState::Silent);
        tally.count(PortState::Closed);
        assert_eq!(tally.to_string(), "1 open, 1 closed, 1 no answer");
    }
}
