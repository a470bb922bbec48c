//! The result as one JSON object on one line (`--json`). Times are in microseconds, rates per second.

use std::time::Duration;

use serde::Serialize;

use crate::compare::measure::run::RunEnd;
use crate::compare::{Came, Comparison, ProtocolResult, Script};
use crate::error::{Error, Result, Status};
use crate::net::address::DisplayAddress;

#[derive(Serialize)]
struct Whole {
    peer: String,
    built_in_peer: bool,
    messages: u64,
    message_bytes: u64,
    window: usize,
    interval_us: f64,
    reply_timeout_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    impair: Option<Impair>,
    tcp: One,
    udp: One,
}

/// What the built-in peer did to UDP replies.
#[derive(Serialize)]
struct Impair {
    applies_to: &'static str,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    delay_us: f64,
    jitter_us: f64,
    seed: u64,
}

#[derive(Serialize)]
struct One {
    sent: u64,
    received: u64,
    late: u64,
    lost: u64,
    reordered: u64,
    duplicated: u64,
    corrupted: u64,
    unmatched: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    datagrams: Option<u64>,
    boundaries_kept: u64,
    /// Null where there is no such number.
    set_up_us: Option<f64>,
    round_trip_us: RoundTrip,
    jitter_us: Option<f64>,
    duration_us: f64,
    messages_per_second: Option<f64>,
    packets_sent: Option<u64>,
    packets_received: Option<u64>,
    payload_bytes_sent: Option<u64>,
    payload_bytes_received: Option<u64>,
    wire_bytes_sent: Option<u64>,
    wire_bytes_received: Option<u64>,
    header_share_sent: Option<f64>,
    header_share_received: Option<f64>,
    retransmissions: Option<u64>,
    tear_down_us: Option<f64>,
    dropped_by_receive_buffers: u64,
    /// Whether the run ended before all messages were sent, because no replies came.
    stopped_early: bool,
}

#[derive(Serialize)]
struct RoundTrip {
    count: u64,
    min: Option<f64>,
    median: Option<f64>,
    p99: Option<f64>,
    max: Option<f64>,
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

impl One {
    fn new(side: &ProtocolResult) -> Self {
        let counts = side.counts;
        let quantile = |share: f64| side.round_trips.quantile(share).map(micros);
        let (out, back) = (side.wire.map(|wire| wire.out), side.wire.map(|wire| wire.back));
        Self {
            sent: counts.sent,
            received: counts.received,
            late: counts.late,
            lost: counts.lost,
            reordered: counts.reordered,
            duplicated: counts.duplicated,
            corrupted: counts.corrupted,
            unmatched: counts.unmatched,
            reads: if let Came::Reads(n) = side.came { Some(n) } else { None },
            datagrams: if let Came::Datagrams(n) = side.came { Some(n) } else { None },
            boundaries_kept: side.boundaries,
            set_up_us: side.set_up.map(micros),
            round_trip_us: RoundTrip {
                count: side.round_trips.count(),
                min: quantile(0.0),
                median: quantile(0.5),
                p99: quantile(0.99),
                max: quantile(1.0),
            },
            jitter_us: side.round_trips.jitter().map(micros),
            duration_us: micros(side.duration),
            messages_per_second: side.messages_per_second(),
            packets_sent: out.map(|traffic| traffic.packets),
            packets_received: back.map(|traffic| traffic.packets),
            payload_bytes_sent: out.map(|traffic| traffic.payload),
            payload_bytes_received: back.map(|traffic| traffic.payload),
            wire_bytes_sent: out.map(|traffic| traffic.bytes),
            wire_bytes_received: back.map(|traffic| traffic.bytes),
            header_share_sent: out.map(|traffic| traffic.overhead()),
            header_share_received: back.map(|traffic| traffic.overhead()),
            retransmissions: side.retransmissions,
            tear_down_us: side.tear_down.map(micros),
            dropped_by_receive_buffers: side.dropped_here,
            stopped_early: matches!(side.ending, RunEnd::Silence(_)),
        }
    }
}

/// The JSON object and a newline.
///
/// # Errors
/// When the result cannot be represented as JSON, which would be a bug.
pub(crate) fn object(comparison: &Comparison) -> Result<String> {
    let pacing = &comparison.pacing;
    let whole = Whole {
        peer: DisplayAddress(comparison.peer).to_string(),
        built_in_peer: comparison.is_built_in,
        messages: pacing.count,
        message_bytes: match &comparison.script {
            Script::Generated(size) => pacing.count * *size as u64,
            Script::Given(_, survey) => survey.bytes,
        },
        window: pacing.window,
        interval_us: micros(pacing.interval),
        reply_timeout_us: micros(pacing.limit),
        impair: comparison.impairment.map(|what| Impair {
            applies_to: "udp replies",
            loss: what.loss,
            duplicate: what.duplicate,
            reorder: what.reorder,
            delay_us: micros(what.delay),
            jitter_us: micros(what.jitter),
            seed: what.seed,
        }),
        tcp: One::new(&comparison.tcp),
        udp: One::new(&comparison.udp),
    };
    let mut text = serde_json::to_string(&whole)
        .map_err(|cause| Error::new(Status::Failure, "json", "", cause.to_string()))?;
    text.push('\n');
    Ok(text)
}
