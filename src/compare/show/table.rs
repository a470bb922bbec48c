//! The result as a table: a column for each protocol, 80 characters wide unless a cell needs more.

mod notes;

use crate::chart::text::{
    Grid, counted, grouped, percent, rate, rounded, time, time_or_dash, wrap,
};
use crate::compare::measure::unfragmented::{Largest, Unfragmented};
use crate::compare::measure::wire::Traffic;
use crate::compare::{Came, Column, Comparison, ProtocolResult, Reach, Script};
use crate::engine::impair::Tally;
use crate::error::{Error, Status};
use crate::net::address::DisplayAddress;

/// The whole table, with the settings above it and notes on the counting below.
#[must_use]
pub(crate) fn table(comparison: &Comparison) -> String {
    let mut text = String::new();
    head(comparison, &mut text);
    let mut grid = Grid::default();
    grid.row("", ["TCP", "UDP"]);
    grid.rule();
    let columns = [&comparison.tcp, &comparison.udp];
    if columns.iter().any(|column| column.side().is_none()) {
        grid.row("outcome", columns.map(outcome));
    }
    if columns.iter().all(|column| column.side().is_none()) {
        grid.rule();
        grid.write(&mut text);
        return text;
    }
    for group in [delivery, fate, times, cost] {
        group(&mut Rows { grid: &mut grid, comparison });
        grid.rule();
    }
    grid.write(&mut text);
    notes::write(comparison, &mut text);
    text
}

/// Adds rows, a cell for each protocol that ran.
struct Rows<'a> {
    grid: &'a mut Grid,
    comparison: &'a Comparison,
}

impl Rows<'_> {
    fn row(&mut self, name: &str, cell: impl Fn(&ProtocolResult) -> String) {
        let Comparison { tcp, udp, .. } = self.comparison;
        let cells = [tcp, udp].map(|column| column.side().map_or_else(|| "-".to_owned(), &cell));
        self.grid.row(name, cells);
    }

    fn count(&mut self, name: &str, which: fn(&ProtocolResult) -> u64) {
        self.row(name, |side| grouped(which(side)));
    }

    /// Whether any protocol that ran has this.
    fn any(&self, test: impl Fn(&ProtocolResult) -> bool) -> bool {
        let Comparison { tcp, udp, .. } = self.comparison;
        [tcp, udp].into_iter().filter_map(Column::side).any(test)
    }
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
        (true, window) => format!("one and then {} at a time", grouped(window)),
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
    if let Some(impaired) = &comparison.impaired {
        let spec = impaired.spec;
        let sentence = match &impaired.reach {
            Reach::Packets => format!(
                "Impaired: {spec}: every packet of both protocols, each way, in a network of its \
                 own."
            ),
            Reach::Replies(why) => format!(
                "Impaired: {spec}: UDP replies only, as there is no network of its own to be had \
                 here: {why}."
            ),
        };
        wrap("", &sentence, text);
    }
    text.push('\n');
}

/// How a protocol ended, where one of the two failed.
fn outcome(column: &Column) -> String {
    match (column, column.end()) {
        (Column::Failed(error), _) => format!("{} (status {})", status(error), error.status.code()),
        (Column::Ran(_), None) => "done".to_owned(),
        (Column::Ran(_), Some(_)) => "no answer".to_owned(),
    }
}

fn delivery(rows: &mut Rows<'_>) {
    rows.row("set-up", |side| match side.set_up {
        Some(took) => format!("handshake, {}", time(took)),
        None => "none".to_owned(),
    });
    rows.count("sent", |side| side.counts.sent);
    rows.row("came back in", |side| match side.came {
        Came::Reads(n) => counted(n, "read"),
        Came::Datagrams(n) => counted(n, "datagram"),
    });
    rows.row("boundaries kept", |side| {
        format!("{} of {}", grouped(side.boundaries), grouped(side.answered()))
    });
}

/// Why a protocol has no cells, in two words at most.
fn status(error: &Error) -> &'static str {
    match error.status {
        Status::Refused => "refused",
        Status::TimedOut => "no answer",
        Status::Unreachable => "unreachable",
        Status::Broken => "broken off",
        _ => "failed",
    }
}

fn fate(rows: &mut Rows<'_>) {
    let limit = humantime::format_duration(rows.comparison.pacing.limit);
    if rows.comparison.impaired.is_some() {
        let share = |side: &ProtocolResult| {
            let share = side.counts.received as f64 / side.counts.sent.max(1) as f64;
            format!("{}, {}", grouped(side.counts.received), percent(share))
        };
        rows.row(&format!("received in {limit}"), share);
    } else {
        rows.count("received", |side| side.counts.received);
    }
    rows.count("lost", |side| side.counts.lost);
    rows.count(&format!("late (after {limit})"), |side| side.counts.late);
    rows.count("reordered", |side| side.counts.reordered);
    rows.count("duplicated", |side| side.counts.duplicated);
    rows.count("corrupted", |side| side.counts.corrupted);
    if rows.any(|side| side.counts.unmatched > 0) {
        rows.count("never sent", |side| side.counts.unmatched);
    }
    if rows.any(|side| side.packets.is_some()) {
        impaired(rows);
    }
}

/// What the network did, and what TCP made of it.
fn impaired(rows: &mut Rows<'_>) {
    rows.row("retransmissions", again);
    rows.row("held up", |side| match &side.held_up {
        None => "none: each on its own".to_owned(),
        Some(waits) => match (waits.quantile(0.5), waits.quantile(1.0)) {
            (Some(median), Some(longest)) => {
                let [median, longest] = [median, longest].map(time);
                format!("{}; median {median}, max {longest}", grouped(waits.count()))
            }
            _ => "0".to_owned(),
        },
    });
    let packets = |which: fn(&Tally) -> u64| {
        move |side: &ProtocolResult| match &side.packets {
            Some(packets) => {
                let [out, back] = [packets.out, packets.back].map(|tally| grouped(which(&tally)));
                format!("{out} / {back}")
            }
            None => "-".to_owned(),
        }
    };
    type Which = fn(&Tally) -> u64;
    let all: [(&str, Which); 5] = [
        ("lost", |tally| tally.lost),
        ("doubled", |tally| tally.duplicated),
        ("overtaken", |tally| tally.reordered),
        ("damaged", |tally| tally.corrupted),
        ("no room", |tally| tally.dropped),
    ];
    let mut name = "packets ";
    for (what, which) in all {
        let is_there =
            |side: &ProtocolResult| side.packets.is_some_and(|packets| which(&packets.both()) > 0);
        if rows.any(is_there) {
            rows.row(&format!("{name:8}{what}"), packets(which));
            name = "";
        }
    }
}

fn again(side: &ProtocolResult) -> String {
    match (side.sent_again(), side.came) {
        (Some(n), _) => grouped(n),
        (None, Came::Reads(_)) => "-".to_owned(),
        (None, Came::Datagrams(_)) => "none: lost is lost".to_owned(),
    }
}

fn times(rows: &mut Rows<'_>) {
    let pacing = rows.comparison.pacing;
    let goes_alone = pacing.alone > 0;
    if goes_alone {
        rows.row("one at a time", |side| counted(side.alone, "message"));
    }
    for (name, share) in [
        ("round trip  min", 0.0),
        ("            median", 0.5),
        ("            p99", 0.99),
        ("            max", 1.0),
    ] {
        rows.row(name, |side| time_or_dash(side.times.alone.quantile(share)));
    }
    rows.row("jitter", |side| time_or_dash(side.times.alone.jitter()));
    if goes_alone {
        let name = format!("{} at a time", grouped(pacing.window as u64));
        rows.row(&name, |side| counted(side.counts.sent - side.alone, "message"));
    }
    rows.row("throughput", |side| match side.throughput {
        Some(all) => {
            let [messages, bytes] = [all.messages, all.bytes].map(|of| all.per_second(of));
            format!("{} msg/s, {}", rounded(messages), rate(bytes))
        }
        None => "-".to_owned(),
    });
}

fn cost(rows: &mut Rows<'_>) {
    let traffic = |which: fn(&Traffic) -> String| {
        move |side: &ProtocolResult| {
            let [out, back] = match side.wire {
                Some(wire) => [which(&wire.out), which(&wire.back)],
                None => ["-".to_owned(), "-".to_owned()],
            };
            format!("{out} / {back}")
        }
    };
    rows.row("packets out / in", traffic(|traffic| grouped(traffic.packets)));
    rows.row("bytes   out / in", traffic(|traffic| grouped(traffic.bytes)));
    rows.row("headers out / in", traffic(|traffic| percent(traffic.overhead())));
    rows.row("max unfragmented", |side| largest(&side.unfragmented));
    if !rows.any(|side| side.packets.is_some()) {
        rows.row("retransmissions", again);
    }
    rows.row("tear-down", |side| match (side.tear_down, side.came) {
        (Some(took), _) => format!("FIN both ways, {}", time(took)),
        (None, Came::Reads(_)) => "FIN, and the peer's never came".to_owned(),
        (None, Came::Datagrams(_)) => "none".to_owned(),
    });
}

/// The most payload in one packet, out and in.
fn largest(Unfragmented { out, back }: &Unfragmented) -> String {
    let [out, back] = [out, back].map(Largest::bytes);
    if out.or(back).is_none() {
        return "not known".to_owned();
    }
    let [out, back] = [out, back].map(|way| way.map_or_else(|| "-".to_owned(), grouped));
    format!("{out} / {back} bytes")
}
