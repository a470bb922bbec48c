//! The results of probes as lines for people and objects for programs.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::chart::round_trips::{InMicroseconds, RoundTrips, micros};
use crate::chart::series::{Captions, Series};
use crate::chart::text::percent;
use crate::chart::{course, histogram};
use crate::net::address::{Address, DisplayAddress, Protocol};
use crate::observe::json::line::{Host, Time, seconds, write_line};
use crate::observe::stamps::Stamps;
use crate::ping::clock::Start;
use crate::ping::outages::Outage;
use crate::ping::plan::{LineFormat, Style};
use crate::ping::prober::{Answer, Outcome};
use crate::ping::tally::Tally;
use crate::units;

/// Hundredths of a millisecond, as in the lines of a scan.
fn short_time(took: Duration) -> String {
    format!("{:.2}ms", took.as_secs_f64() * 1e3)
}

/// What happened, for people: `tcp 127.0.0.1:80 seq 1 open 0.21ms`.
fn text(protocol: Protocol, outcome: &Outcome) -> String {
    let Outcome { seq, told, .. } = outcome;
    let address = DisplayAddress(told.address);
    let mut line = format!("{protocol} {address} seq {seq} {}", told.answer.word());
    if let Some(took) = told.took {
        line += &format!(" {}", short_time(took));
    }
    if let Answer::Answered(bytes) = told.answer {
        line += &format!(" {bytes} bytes");
    }
    line
}

/// The JSON object of a probe. Every line has every key; a missing value is null.
#[derive(Serialize)]
struct ProbeLine<'a> {
    event: &'static str,
    time: Time,
    elapsed: f64,
    host: Option<&'a str>,
    address: Host,
    port: u16,
    protocol: &'static str,
    seq: u64,
    state: &'static str,
    round_trip_us: Option<f64>,
    bytes: Option<usize>,
    /// On the same clock as `elapsed`.
    left: f64,
}

/// Adds the line of a probe whose end became known at `now`.
pub(super) fn write_probe(
    out: &mut Vec<u8>,
    style: &Style,
    protocol: Protocol,
    outcome: &Outcome,
    (start, now): (&Start, Instant),
) {
    let Outcome { seq, left, told } = *outcome;
    match style.format {
        LineFormat::Nothing => {}
        LineFormat::Text => out.extend_from_slice((text(protocol, outcome) + "\n").as_bytes()),
        LineFormat::Timed => {
            Stamps::WallClock.begin(out);
            out.extend_from_slice((text(protocol, outcome) + "\n").as_bytes());
        }
        LineFormat::Json => write_line(
            out,
            &ProbeLine {
                event: "probe",
                time: Time(start.wall_at(now)),
                elapsed: seconds(start.since(now)),
                host: style.host.as_deref(),
                address: Host(Address::Internet(told.address)),
                port: told.address.port(),
                protocol: protocol.name(),
                seq,
                state: told.answer.word(),
                round_trip_us: told.took.map(micros),
                bytes: match told.answer {
                    Answer::Answered(bytes) => Some(bytes),
                    _ => None,
                },
                left: seconds(start.since(left)),
            },
        ),
    }
}

/// The counts of one protocol, and whom they are about.
pub(super) struct Counted<'a> {
    /// Over which protocol was asked.
    pub protocol: Protocol,
    /// Who was asked.
    pub address: SocketAddr,
    /// What was found.
    pub tally: &'a Tally,
}

/// Microseconds are what the clock is good for: `0.052ms`, `1.234ms`, `1012.0ms`.
fn exact_time(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1e3;
    match millis {
        m if m < 10.0 => format!("{m:.3}ms"),
        m if m < 100.0 => format!("{m:.2}ms"),
        m => format!("{m:.1}ms"),
    }
}

/// `min 0.041ms, median 0.052ms, p99 0.080ms, max 0.081ms`
fn quantiles(trips: &RoundTrips) -> Option<String> {
    let time = |share| trips.quantile(share).map(exact_time);
    let (min, median, p99, max) = (time(0.0)?, time(0.5)?, time(0.99)?, time(1.0)?);
    Some(format!("min {min}, median {median}, p99 {p99}, max {max}"))
}

/// The summary for people, some lines for each protocol.
pub(super) fn summary_text(counted: &Counted<'_>, start: &Start, now: Instant) -> String {
    let Counted { protocol, address, tally } = counted;
    let mut text = format!("{protocol} {}: ", DisplayAddress(*address));
    let (sent, answered, lost) = (tally.sent, tally.answered, tally.lost());
    // Writing to a string cannot fail.
    let _ = write!(text, "sent {sent}, answered {answered}");
    for (what, count) in [("refused", tally.refused), ("unreachable", tally.unreachable)] {
        if count > 0 {
            let _ = write!(text, ", {what} {count}");
        }
    }
    let _ = write!(text, ", lost {lost} ({})", percent(tally.loss()));
    let awaited = tally.awaited();
    if awaited > 0 {
        let _ = write!(text, ", still awaited {awaited}");
    }
    text.push('\n');
    if let Some(times) = quantiles(&tally.round_trips) {
        let _ = write!(text, "  {times}");
        if let Some(jitter) = tally.round_trips.jitter() {
            let _ = write!(text, ", jitter {}", exact_time(jitter));
        }
        text.push('\n');
    }
    if let Some(times) = quantiles(&tally.refusals) {
        let _ = writeln!(text, "  refused: {times}");
    }
    if let Some(outage) = tally.longest_outage(now) {
        let begun = humantime::format_rfc3339_millis(units::writable(start.wall_at(outage.begun)));
        let length = outage.length.as_secs_f64();
        let over = if outage.over { "" } else { ", not over" };
        let of = match tally.outages() {
            1 => String::new(),
            n => format!(" of {n}"),
        };
        let _ = writeln!(text, "  longest outage{of} {length:.3}s from {begun}{over}");
    }
    text
}

/// The JSON object of a summary.
#[derive(Serialize)]
struct SummaryLine<'a> {
    event: &'static str,
    time: Time,
    elapsed: f64,
    #[serde(rename = "final")]
    last: bool,
    host: Option<&'a str>,
    /// The exit status, once the run is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<OneSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp: Option<OneSummary>,
}

#[derive(Serialize)]
struct OneSummary {
    address: Host,
    port: u16,
    sent: u64,
    answered: u64,
    refused: u64,
    unreachable: u64,
    lost: u64,
    loss: f64,
    awaited: u64,
    round_trip_us: InMicroseconds,
    refusal_us: InMicroseconds,
    jitter_us: Option<f64>,
    outages: u64,
    longest_outage: Option<OutageFields>,
}

#[derive(Serialize)]
struct OutageFields {
    time: Time,
    elapsed: f64,
    duration_us: f64,
    over: bool,
}

impl OneSummary {
    fn of(counted: &Counted<'_>, start: &Start, now: Instant) -> Self {
        let tally = counted.tally;
        let outage = |outage: Outage| OutageFields {
            time: Time(start.wall_at(outage.begun)),
            elapsed: seconds(start.since(outage.begun)),
            duration_us: micros(outage.length),
            over: outage.over,
        };
        Self {
            address: Host(Address::Internet(counted.address)),
            port: counted.address.port(),
            sent: tally.sent,
            answered: tally.answered,
            refused: tally.refused,
            unreachable: tally.unreachable,
            lost: tally.lost(),
            loss: tally.loss(),
            awaited: tally.awaited(),
            round_trip_us: tally.round_trips.in_microseconds(),
            refusal_us: tally.refusals.in_microseconds(),
            jitter_us: tally.round_trips.jitter().map(micros),
            outages: tally.outages(),
            longest_outage: tally.longest_outage(now).map(outage),
        }
    }
}

/// Whether a summary is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// SIGUSR1 asked for it.
    Between,
    /// The run is over.
    End,
}

/// Adds the summary of all protocols as one object.
pub(super) fn write_summary(
    out: &mut Vec<u8>,
    host: Option<&str>,
    all: &[Counted<'_>],
    status: u8,
    moment: Moment,
    (start, now): (&Start, Instant),
) {
    let of = |protocol| {
        let counted = all.iter().find(|counted| counted.protocol == protocol)?;
        Some(OneSummary::of(counted, start, now))
    };
    let line = SummaryLine {
        event: "summary",
        time: Time(start.wall_at(now)),
        elapsed: seconds(start.since(now)),
        last: moment == Moment::End,
        host,
        status: (moment == Moment::End).then_some(status),
        tcp: of(Protocol::Tcp),
        udp: of(Protocol::Udp),
    };
    write_line(out, &line);
}

/// The round trips as a histogram, and in the order of the probes.
pub(super) fn plot(all: &[Counted<'_>]) -> String {
    let series: Vec<_> = all
        .iter()
        .map(|counted| Series {
            name: match counted.protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
            },
            trips: &counted.tally.round_trips,
            timeline: &counted.tally.timeline,
        })
        .collect();
    let captions = Captions { title: "Round trips", counted: "Round trips", numbered: "probe" };
    histogram::draw(&series, &captions) + &course::draw(&series, &captions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ping::prober::Told;

    fn line(protocol: Protocol, answer: Answer, micros: Option<u64>) -> String {
        let address = "127.0.0.1:80".parse().unwrap();
        let told = Told { address, answer, took: micros.map(Duration::from_micros) };
        text(protocol, &Outcome { seq: 1, left: Instant::now(), told })
    }

    #[test]
    fn lines_are_those_of_the_contract() {
        use Protocol::{Tcp, Udp};
        for (got, want) in [
            (line(Tcp, Answer::Open, Some(211)), "tcp 127.0.0.1:80 seq 1 open 0.21ms"),
            (line(Tcp, Answer::Refused, Some(49)), "tcp 127.0.0.1:80 seq 1 refused 0.05ms"),
            (line(Tcp, Answer::Silent, None), "tcp 127.0.0.1:80 seq 1 no answer"),
            (line(Udp, Answer::Unreachable, None), "udp 127.0.0.1:80 seq 1 unreachable"),
            (
                line(Udp, Answer::Answered(64), Some(351)),
                "udp 127.0.0.1:80 seq 1 answered 0.35ms 64 bytes",
            ),
        ] {
            assert_eq!(got, want);
        }
    }
}
