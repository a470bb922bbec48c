//! The result as one JSON object on one line (`--json`). Times are in microseconds, rates per second.

use std::time::SystemTime;

use serde::Serialize;

use crate::chart::round_trips::{InMicroseconds, RoundTrips, micros};
use crate::compare::measure::ledger::Throughput;
use crate::compare::measure::run::RunEnd;
use crate::compare::{Came, Column, Comparison, ProtocolResult, Reach, Script};
use crate::engine::impair::{Spec, Tally};
use crate::error::{Error, Result, Status};
use crate::net::address::DisplayAddress;
use crate::observe::json::line::Time;

/// What the results of every command begin with.
#[derive(Serialize)]
struct About {
    event: &'static str,
    time: Time,
    /// In the words of the command line; none for the built-in peer.
    host: Option<String>,
    /// The exit status.
    status: u8,
}

#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    about: About,
    peer: String,
    built_in_peer: bool,
    messages: u64,
    message_bytes: u64,
    window: usize,
    interval_us: f64,
    reply_timeout_us: f64,
    /// `packets` or `udp replies`, and in the second case why.
    #[serde(skip_serializing_if = "Option::is_none")]
    impaired: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_packets_because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impair: Option<Impair>,
    tcp: Protocol,
    udp: Protocol,
}

/// A protocol's account, or why there is none.
#[derive(Serialize)]
#[serde(untagged)]
enum Protocol {
    Ran(Box<One>),
    Failed { error: String, status: u8 },
}

impl Protocol {
    fn new(column: &Column) -> Self {
        match column {
            Column::Ran(side) => Self::Ran(Box::new(One::new(side))),
            Column::Failed(error) => {
                Self::Failed { error: error.to_string(), status: error.status.code() }
            }
        }
    }
}

/// What was asked for.
#[derive(Serialize)]
struct Impair {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    corrupt: f64,
    delay_us: f64,
    jitter_us: f64,
    /// Bits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
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
    /// Messages that a peer merged with others or split.
    merged_or_split: u64,
    /// Null where there is no such number.
    set_up_us: Option<f64>,
    /// Of messages that went one at a time, where some did; else of all.
    round_trip_us: InMicroseconds,
    jitter_us: Option<f64>,
    one_at_a_time: u64,
    /// Of all messages.
    all_round_trips_us: InMicroseconds,
    duration_us: f64,
    /// Those after the ones that went one at a time.
    messages_per_second: Option<f64>,
    bytes_per_second: Option<f64>,
    packets_sent: Option<u64>,
    packets_received: Option<u64>,
    payload_bytes_sent: Option<u64>,
    payload_bytes_received: Option<u64>,
    wire_bytes_sent: Option<u64>,
    wire_bytes_received: Option<u64>,
    header_share_sent: Option<f64>,
    header_share_received: Option<f64>,
    /// Bytes of payload.
    largest_unfragmented_bytes_sent: Option<u64>,
    largest_unfragmented_bytes_received: Option<u64>,
    retransmissions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmissions_sent: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retransmissions_received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    congestion_control: Option<String>,
    /// Messages that waited behind a lost one.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_up_us: Option<InMicroseconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packets_impaired: Option<Ways>,
    /// The share answered within the reply timeout.
    answered_in_time: f64,
    tear_down_us: Option<f64>,
    dropped_by_receive_buffers: u64,
    /// Whether the run ended before all messages were sent, because no replies came.
    stopped_early: bool,
}

/// What became of the packets of the network of our own.
#[derive(Serialize)]
struct Ways {
    out: Packets,
    back: Packets,
}

#[derive(Serialize)]
struct Packets {
    offered: u64,
    passed: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    corrupted: u64,
    queue_dropped: u64,
}

impl From<Tally> for Packets {
    fn from(tally: Tally) -> Self {
        let Tally { offered, passed, lost, duplicated, reordered, corrupted, dropped } = tally;
        let queue_dropped = dropped;
        Self { offered, passed, lost, duplicated, reordered, corrupted, queue_dropped }
    }
}

impl One {
    fn new(side: &ProtocolResult) -> Self {
        let counts = side.counts;
        let per_second = |of: fn(&Throughput) -> u64| {
            side.throughput.map(|throughput| throughput.per_second(of(&throughput)))
        };
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
            merged_or_split: counts.recut,
            set_up_us: side.set_up.map(micros),
            round_trip_us: side.times.alone.in_microseconds(),
            jitter_us: side.times.alone.jitter().map(micros),
            one_at_a_time: side.alone,
            all_round_trips_us: side.times.all.in_microseconds(),
            duration_us: micros(side.duration),
            messages_per_second: per_second(|throughput| throughput.messages),
            bytes_per_second: per_second(|throughput| throughput.bytes),
            packets_sent: out.map(|traffic| traffic.packets),
            packets_received: back.map(|traffic| traffic.packets),
            payload_bytes_sent: out.map(|traffic| traffic.payload),
            payload_bytes_received: back.map(|traffic| traffic.payload),
            wire_bytes_sent: out.map(|traffic| traffic.bytes),
            wire_bytes_received: back.map(|traffic| traffic.bytes),
            header_share_sent: out.map(|traffic| traffic.overhead()),
            header_share_received: back.map(|traffic| traffic.overhead()),
            largest_unfragmented_bytes_sent: side.unfragmented.out.bytes(),
            largest_unfragmented_bytes_received: side.unfragmented.back.bytes(),
            retransmissions: side.sent_again(),
            retransmissions_sent: side.retransmissions.map(|[ours, _]| ours),
            retransmissions_received: side.retransmissions.map(|[_, of_peer]| of_peer),
            congestion_control: side.congestion_control.clone(),
            held_up: side.held_up.as_ref().map(RoundTrips::count),
            held_up_us: side.held_up.as_ref().map(RoundTrips::in_microseconds),
            packets_impaired: side
                .packets
                .map(|packets| Ways { out: packets.out.into(), back: packets.back.into() }),
            answered_in_time: counts.received as f64 / counts.sent.max(1) as f64,
            tear_down_us: side.tear_down.map(micros),
            dropped_by_receive_buffers: side.dropped_here,
            stopped_early: matches!(side.ending, RunEnd::Silence(_)),
        }
    }
}

fn impair(spec: &Spec) -> Impair {
    Impair {
        loss: spec.loss.unwrap_or_default(),
        duplicate: spec.duplicate.unwrap_or_default(),
        reorder: spec.reorder.unwrap_or_default(),
        corrupt: spec.corrupt.unwrap_or_default(),
        delay_us: micros(spec.delay.unwrap_or_default()),
        jitter_us: micros(spec.jitter.unwrap_or_default()),
        rate: spec.rate,
        queue: spec.queue,
        mtu: spec.mtu,
        seed: spec.seed,
    }
}

/// The object and a newline.
///
/// # Errors
/// When the result cannot be represented as JSON, which would be a bug.
pub(crate) fn object(comparison: &Comparison, host: Option<&str>) -> Result<String> {
    let pacing = &comparison.pacing;
    let status = comparison.check().err().map_or(0, |error| error.status.code());
    let (time, host) = (Time(SystemTime::now()), host.map(str::to_owned));
    let whole = Whole {
        about: About { event: "comparison", time, host, status },
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
        impaired: comparison.impaired.as_ref().map(|impaired| match impaired.reach {
            Reach::Packets => "packets",
            Reach::Replies(_) => "udp replies",
        }),
        not_packets_because: comparison.impaired.as_ref().and_then(|impaired| {
            match &impaired.reach {
                Reach::Packets => None,
                Reach::Replies(why) => Some(why.clone()),
            }
        }),
        impair: comparison.impaired.as_ref().map(|impaired| impair(&impaired.spec)),
        tcp: Protocol::new(&comparison.tcp),
        udp: Protocol::new(&comparison.udp),
    };
    let mut text = serde_json::to_string(&whole)
        .map_err(|cause| Error::new(Status::Failure, "json", "", cause.to_string()))?;
    text.push('\n');
    Ok(text)
}
