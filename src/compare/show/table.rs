//! The result as a table: a column for each protocol, 80 characters wide unless a cell needs more.

use std::time::Duration;

use crate::compare::measure::run::RunEnd;
use crate::compare::measure::wire::Traffic;
use crate::compare::show::text::{
    Grid, counted, grouped, percent, rate, rounded, time, time_or_dash, wrap,
};
use crate::compare::{Came, Comparison, ProtocolResult, Script};
use crate::net::address::DisplayAddress;

/// The whole table, with the settings above it and notes on the counting below.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let Comparison { tcp, udp, .. } = comparison;
    let mut text = String::new();
    head(comparison, &mut text);
    let mut grid = Grid::default();
    grid.row("", ["TCP", "UDP"]);
    grid.rule();
    for group in [delivery, fate, times, cost] {
        group(&mut grid, comparison, tcp, udp);
        grid.rule();
    }
    grid.write(&mut text);
    notes(comparison, &mut text);
    text
}

fn head(comparison: &Comparison, text: &mut String) {
    let pacing = &comparison.pacing;
    let messages = match &comparison.script {
        Script::Generated(size) => {
            format!("{} of {}", counted(pacing.count, "message"), counted(*size as u64, "byte"))
        }
        Script::Given(_, survey) => {
            let all = counted(survey.bytes, "byte");
            format!("{} of yours, {all} in all", counted(survey.count, "message"))
        }
    };
    let pace = match (pacing.interval.is_zero(), pacing.window as u64) {
        (true, 1) => "one at a time".to_owned(),
        (true, window) => format!("{} at a time", grouped(window)),
        (false, window) => {
            let interval = humantime::format_duration(pacing.interval);
            format!("one every {interval}, {} at a time at most", grouped(window))
        }
    };
    let peer = DisplayAddress(comparison.peer);
    let whom = if comparison.is_built_in { "its own echo at" } else { "the echo at" };
    let sentence = format!("{messages}, {pace}, to {whom} {peer}");
    wrap("", &sentence, text);
    if pacing.window < comparison.window_asked {
        let why = format!(
            "Not {} at a time: the receive buffers of this machine hold no more.",
            grouped(comparison.window_asked as u64)
        );
        wrap("", &why, text);
    }
    text.push('\n');
}

fn delivery(grid: &mut Grid, _: &Comparison, tcp: &ProtocolResult, udp: &ProtocolResult) {
    let set_up = |side: &ProtocolResult| match side.set_up {
        Some(took) => format!("handshake, {}", time(took)),
        None => "none".to_owned(),
    };
    grid.row("set-up", [tcp, udp].map(set_up));
    grid.row("sent", [tcp, udp].map(|side| grouped(side.counts.sent)));
    let came = |side: &ProtocolResult| match side.came {
        Came::Reads(n) => counted(n, "read"),
        Came::Datagrams(n) => counted(n, "datagram"),
    };
    grid.row("came back in", [tcp, udp].map(came));
    let boundaries = |side: &ProtocolResult| {
        let answered = side.counts.received + side.counts.late;
        format!("{} of {}", grouped(side.boundaries), grouped(answered))
    };
    grid.row("boundaries kept", [tcp, udp].map(boundaries));
}

fn fate(grid: &mut Grid, comparison: &Comparison, tcp: &ProtocolResult, udp: &ProtocolResult) {
    let mut count = |name: &str, which: fn(&ProtocolResult) -> u64| {
        grid.row(name, [tcp, udp].map(|side| grouped(which(side))));
    };
    count("received", |side| side.counts.received);
    count("lost", |side| side.counts.lost);
    let limit = humantime::format_duration(comparison.pacing.limit);
    count(&format!("late (after {limit})"), |side| side.counts.late);
    count("reordered", |side| side.counts.reordered);
    count("duplicated", |side| side.counts.duplicated);
    count("corrupted", |side| side.counts.corrupted);
    if tcp.counts.unmatched + udp.counts.unmatched > 0 {
        count("never sent", |side| side.counts.unmatched);
    }
}

fn times(grid: &mut Grid, _: &Comparison, tcp: &ProtocolResult, udp: &ProtocolResult) {
    for (name, share) in [
        ("round trip  min", 0.0),
        ("            median", 0.5),
        ("            p99", 0.99),
        ("            max", 1.0),
    ] {
        let quantile = |side: &ProtocolResult| time_or_dash(side.round_trips.quantile(share));
        grid.row(name, [tcp, udp].map(quantile));
    }
    grid.row("jitter", [tcp, udp].map(|side| time_or_dash(side.round_trips.jitter())));
    let throughput =
        |side: &ProtocolResult| match (side.messages_per_second(), side.bytes_per_second()) {
            (Some(messages), Some(bytes)) => {
                format!("{} msg/s, {}", rounded(messages), rate(bytes))
            }
            _ => "-".to_owned(),
        };
    grid.row("throughput", [tcp, udp].map(throughput));
}

fn cost(grid: &mut Grid, _: &Comparison, tcp: &ProtocolResult, udp: &ProtocolResult) {
    let traffic = |side: &ProtocolResult, which: fn(&Traffic) -> String| {
        let [out, back] = match side.wire {
            Some(wire) => [which(&wire.out), which(&wire.back)],
            None => ["-".to_owned(), "-".to_owned()],
        };
        format!("{out} / {back}")
    };
    let packets = |traffic: &Traffic| grouped(traffic.packets);
    grid.row("packets out / in", [tcp, udp].map(|side| traffic(side, packets)));
    let bytes = |traffic: &Traffic| grouped(traffic.bytes);
    grid.row("bytes   out / in", [tcp, udp].map(|side| traffic(side, bytes)));
    let headers = |traffic: &Traffic| percent(traffic.overhead());
    grid.row("headers out / in", [tcp, udp].map(|side| traffic(side, headers)));
    let again = |side: &ProtocolResult| match (side.retransmissions, side.came) {
        (Some(n), _) => grouped(n),
        (None, Came::Reads(_)) => "-".to_owned(),
        (None, Came::Datagrams(_)) => "none: lost is lost".to_owned(),
    };
    grid.row("retransmissions", [tcp, udp].map(again));
    let tear_down = |side: &ProtocolResult| match (side.tear_down, side.came) {
        (Some(took), _) => format!("FIN both ways, {}", time(took)),
        (None, Came::Reads(_)) => "FIN, and the peer's never came".to_owned(),
        (None, Came::Datagrams(_)) => "none".to_owned(),
    };
    grid.row("tear-down", [tcp, udp].map(tear_down));
}

fn notes(comparison: &Comparison, text: &mut String) {
    if let Some(what) = &comparison.impairment {
        let mut parts = Vec::new();
        let mut share = |name: &str, share: f64| {
            if share > 0.0 {
                parts.push(format!("{name} {}", percent(share)));
            }
        };
        share("loss", what.loss);
        share("duplication", what.duplicate);
        share("reordering", what.reorder);
        let mut duration = |name: &str, duration: Duration| {
            if !duration.is_zero() {
                parts.push(format!("{name} {}", humantime::format_duration(duration)));
            }
        };
        duration("delay", what.delay);
        duration("jitter", what.jitter);
        let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        let note = format!(
            "Impaired: {parts} (seed {}). On UDP replies only: a program cannot drop TCP's \
             segments.",
            what.seed
        );
        wrap("  ", &note, text);
    }
    let source = if comparison.tcp.wire.is_some() {
        "Packets: TCP's counted by the kernel (TCP_INFO), SYN, ACK and FIN included; UDP's \
         counted here. Bytes: IP packets; header sizes computed."
    } else {
        "Packets: UDP's counted here, header sizes computed; this system does not tell TCP's."
    };
    wrap("  ", source, text);
    for (name, side) in [("TCP", &comparison.tcp), ("UDP", &comparison.udp)] {
        if let RunEnd::Silence(silence) = side.ending {
            let note = format!(
                "{name} stopped after {}: nothing came back for {}.",
                counted(side.counts.sent, "message"),
                humantime::format_duration(silence)
            );
            wrap("  ", &note, text);
        }
    }
    let dropped = comparison.udp.dropped_here;
    if dropped > 0 {
        let note = format!(
            "Of UDP's, {} lost on this machine: a receive buffer was full.",
            if dropped == 1 { "1 was".to_owned() } else { format!("{} were", grouped(dropped)) }
        );
        wrap("  ", &note, text);
    }
}
