//! Explains the result (`--explain`): a sentence for each row of the table in which the two protocols
//! differ.

use crate::chart::text::{counted, grouped, percent, time, wrap};
use crate::compare::show::longer;
use crate::compare::{Came, Column, Comparison, ProtocolResult, Reach, Script};
use crate::engine::impair::Tally;

/// All sentences as a list, wrapped to the width of the table.
#[must_use]
pub(crate) fn sentences(comparison: &Comparison) -> String {
    let mut all = Vec::new();
    if let (Column::Ran(tcp), Column::Ran(udp)) = (&comparison.tcp, &comparison.udp) {
        let pair = Pair { comparison, tcp, udp };
        lesson(pair, &mut all);
        set_up(tcp, &mut all);
        cuts(pair, &mut all);
        fates(pair, &mut all);
        times(pair, &mut all);
        cost(pair, &mut all);
    }
    for (name, column) in [("TCP", &comparison.tcp), ("UDP", &comparison.udp)] {
        if let Column::Failed(error) = column {
            all.push(("outcome", format!("over {name} nothing could be compared: {error}.")));
        }
    }
    let mut text = String::from("\n");
    for (row, sentence) in all {
        wrap("  - ", &format!("{row}: {sentence}"), &mut text);
    }
    text
}

/// Both, where both ran.
#[derive(Clone, Copy)]
struct Pair<'a> {
    comparison: &'a Comparison,
    tcp: &'a ProtocolResult,
    udp: &'a ProtocolResult,
}

/// What a bad network is to either: waiting, or gaps.
fn lesson(Pair { comparison, tcp, udp }: Pair<'_>, all: &mut Sentences) {
    let (Some(of_tcp), Some(of_udp)) = (tcp.packets, udp.packets) else { return };
    let gone = |tally: Tally| tally.lost + tally.dropped + tally.corrupted;
    let [lost_tcp, lost_udp] = [of_tcp, of_udp].map(|packets| gone(packets.both()));
    if lost_tcp + lost_udp > 0 {
        let held = match &tcp.held_up {
            Some(waits) if waits.count() > 0 => format!(
                "{} behind one that was missing, half of them {} or longer, the longest {}",
                match waits.count() {
                    1 => "1 message waited".to_owned(),
                    n => format!("{} messages waited", grouped(n)),
                },
                time(waits.quantile(0.5).unwrap_or_default()),
                time(waits.quantile(1.0).unwrap_or_default()),
            ),
            _ => "no message waited behind another".to_owned(),
        };
        let sentence = format!(
            "the network lost {} of TCP's {} packets, and TCP sent {} again: of {} messages {} \
             missing at the end, but {held}. Loss became waiting.",
            grouped(lost_tcp),
            grouped(of_tcp.both().offered),
            grouped(tcp.sent_again().unwrap_or(0)),
            grouped(tcp.counts.sent),
            match tcp.counts.lost {
                0 => "none was".to_owned(),
                1 => "1 was".to_owned(),
                n => format!("{} were", grouped(n)),
            },
        );
        all.push(("TCP", sentence));
        let sentence = format!(
            "the network lost {} of UDP's {} packets, and {} of {} messages never came back; the \
             others never noticed: their slowest took {}. Loss became gaps.",
            grouped(lost_udp),
            grouped(of_udp.both().offered),
            grouped(udp.counts.lost),
            grouped(udp.counts.sent),
            time(udp.times.all.quantile(1.0).unwrap_or_default()),
        );
        all.push(("UDP", sentence));
        let share = |side: &ProtocolResult| {
            percent(side.counts.received as f64 / side.counts.sent.max(1) as f64)
        };
        let sentence = format!(
            "within {} TCP had answered {} and UDP {}. Which is better depends on whether a late \
             message is worth waiting for.",
            humantime::format_duration(comparison.pacing.limit),
            share(tcp),
            share(udp),
        );
        all.push(("in time", sentence));
    }
}

type Sentences = Vec<(&'static str, String)>;

fn set_up(tcp: &ProtocolResult, all: &mut Sentences) {
    if let Some(took) = tcp.set_up {
        let sentence = format!(
            "TCP shook hands for {} before the first message could leave (SYN, SYN-ACK, ACK: one \
             round trip); UDP's first packet was the first message.",
            time(took)
        );
        all.push(("set-up", sentence));
    }
}

fn cuts(Pair { comparison, tcp, udp }: Pair<'_>, all: &mut Sentences) {
    if tcp.counts.sent != udp.counts.sent {
        let sentence = "a run stops early when its peer falls silent, so that fewer messages were \
                        sent over the one than over the other.";
        all.push(("sent", sentence.to_owned()));
    }
    if let (Came::Reads(reads), Came::Datagrams(datagrams)) = (tcp.came, udp.came)
        && (reads != datagrams || tcp.boundaries != udp.boundaries)
    {
        let sentence = format!(
            "TCP carries a stream of bytes and brought {} in {}, cut wherever it suited; UDP \
             carries messages, and each of its {} is one.",
            counted(tcp.counts.received + tcp.counts.late, "message"),
            counted(reads, "read"),
            counted(datagrams, "datagram"),
        );
        all.push(("came back in", sentence));
        let sentence = format!(
            "over TCP {} happened to be a read of its own, and nothing promises that it is so the \
             next time: a program must mark the borders itself. Over UDP the border is the \
             packet's.",
            match tcp.boundaries {
                0 => "no message".to_owned(),
                n => counted(n, "message"),
            }
        );
        all.push(("boundaries kept", sentence));
    }
    if let Script::Given(_, survey) = &comparison.script
        && survey.empty > 0
    {
        let sentence = format!(
            "{} of yours had no bytes. UDP sends a datagram for it all the same; a stream of \
             bytes carries nothing of it, and TCP counts it as received.",
            counted(survey.empty, "message")
        );
        all.push(("sent", sentence));
    }
}

fn fates(Pair { comparison, tcp, udp }: Pair<'_>, all: &mut Sentences) {
    let (tcp, udp) = (tcp.counts, udp.counts);
    let limit = humantime::format_duration(comparison.pacing.limit);
    if tcp.lost != udp.lost {
        let share = |lost: u64, sent: u64| percent(lost as f64 / sent.max(1) as f64);
        let sentence = if udp.lost > tcp.lost {
            format!(
                "{} of {} ({}) never came back over UDP, and UDP neither notices nor sends again; \
                 TCP does both, below the program.",
                grouped(udp.lost),
                grouped(udp.sent),
                share(udp.lost, udp.sent)
            )
        } else {
            format!(
                "{} of {} ({}) never came back over TCP: it does not lose, so the peer, or the \
                 way to it, stopped.",
                grouped(tcp.lost),
                grouped(tcp.sent),
                share(tcp.lost, tcp.sent)
            )
        };
        all.push(("lost", sentence));
    }
    if tcp.late != udp.late {
        let sentence = format!(
            "a reply after {limit} counts as late. TCP makes everything wait behind what is \
             missing; over UDP only the message itself is late."
        );
        all.push(("late", sentence));
    }
    if tcp.reordered != udp.reordered {
        let sentence = format!(
            "{} after the reply to a later message. TCP numbers its bytes and hands them out in \
             order; UDP hands out packets as they come.",
            came(udp.reordered)
        );
        all.push(("reordered", sentence));
    }
    if tcp.duplicated != udp.duplicated {
        let sentence = format!(
            "{} a second time. TCP drops bytes that it has already; UDP delivers every copy.",
            came(udp.duplicated)
        );
        all.push(("duplicated", sentence));
    }
    if tcp.corrupted != udp.corrupted {
        let sentence = format!(
            "{} changed over TCP, {} over UDP. Both have a checksum, so the change was made at an \
             end and not on the wire.",
            counted(tcp.corrupted, "reply").replace("replys", "replies"),
            grouped(udp.corrupted)
        );
        all.push(("corrupted", sentence));
    }
}

/// `1 reply came`, `2 replies came`.
fn came(n: u64) -> String {
    if n == 1 { "1 reply came".to_owned() } else { format!("{} replies came", grouped(n)) }
}

fn times(Pair { comparison, tcp, udp }: Pair<'_>, all: &mut Sentences) {
    // What is done to UDP's replies alone makes the two hard to compare.
    let is_impaired = comparison
        .impaired
        .as_ref()
        .is_some_and(|impaired| matches!(impaired.reach, Reach::Replies(_)));
    let (Some(of_tcp), Some(of_udp)) =
        (tcp.times.alone.quantile(0.5), udp.times.alone.quantile(0.5))
    else {
        return;
    };
    let ratio = of_tcp.as_secs_f64() / of_udp.as_secs_f64().max(1e-9);
    let sentence = if is_impaired {
        format!(
            "half of the replies came within {} over TCP and {} over UDP, whose replies were \
             impaired on purpose.",
            time(of_tcp),
            time(of_udp)
        )
    } else if (0.9..1.1).contains(&ratio) {
        "the medians are within a tenth of each other: the same way there and back, and the \
         protocol in between hardly matters."
            .to_owned()
    } else if ratio < 1.0 {
        format!(
            "one at a time, half of the replies came within {} over TCP and {} over UDP.",
            time(of_tcp),
            time(of_udp)
        )
    } else {
        format!(
            "one at a time, half of the replies came within {} over UDP and {} over TCP, which \
             also has to acknowledge, keep the order and wait for what is missing.",
            time(of_udp),
            time(of_tcp)
        )
    };
    all.push(("round trip", sentence));
    let a_second = |side: &ProtocolResult| side.throughput.map(|all| all.per_second(all.messages));
    if let (Some(fast), Some(other)) = (a_second(tcp), a_second(udp))
        && !(0.9..1.1).contains(&(fast / other))
    {
        let (winner, times) =
            if fast > other { ("TCP", fast / other) } else { ("UDP", other / fast) };
        let why = if is_impaired {
            "UDP's replies were impaired on purpose, and the window waits for them."
        } else {
            "both had as many outstanding: a stream carries several messages in one packet and \
             waits for what is missing, a datagram costs a system call each way and waits for \
             nothing."
        };
        let sentence = format!("{winner} moved {times:.1} times as many messages a second; {why}");
        all.push(("throughput", sentence));
    }
}

fn cost(Pair { comparison, tcp, udp }: Pair<'_>, all: &mut Sentences) {
    if let (Some(of_tcp), Some(of_udp)) = (tcp.wire, udp.wire) {
        let (t, u) = (of_tcp.out.with(of_tcp.back), of_udp.out.with(of_udp.back));
        if t.packets != u.packets {
            let sentence = format!(
                "{} over TCP, {} over UDP, both ways together: TCP opens, acknowledges and \
                 closes, and puts several messages into one packet where it can.",
                counted(t.packets, "packet"),
                grouped(u.packets)
            );
            all.push(("packets", sentence));
        }
        let sentence = format!(
            "{} of all bytes over TCP and {} over UDP were headers: 20 bytes and options a \
             segment against 8 a datagram, after those of IP.",
            percent(t.overhead()),
            percent(u.overhead())
        );
        all.push(("headers", sentence));
    }
    let sentence = longer::sentence(tcp, udp, comparison.peer, comparison.script.longest());
    all.push(("max unfragmented", sentence));
    if let Some(again) = tcp.sent_again().filter(|again| *again > 0) {
        let sentence = format!(
            "TCP sent {} again, unasked; over UDP that is the program's task.",
            counted(again, "segment")
        );
        all.push(("retransmissions", sentence));
    }
    if let Some(took) = tcp.tear_down {
        let sentence = format!(
            "TCP took {} to agree that both are done, so that each knows the other has \
             everything; UDP has no end, it only stops.",
            time(took)
        );
        all.push(("tear-down", sentence));
    }
}
