//! Explains the result (`--explain`): a sentence for each row of the table in which the two protocols
//! differ.

use crate::compare::show::text::{counted, grouped, percent, time, wrap};
use crate::compare::{Came, Comparison, ProtocolResult, Script};

/// All sentences as a list, wrapped to the width of the table.
#[must_use]
pub(crate) fn sentences(comparison: &Comparison) -> String {
    let Comparison { tcp, udp, .. } = comparison;
    let mut all = Vec::new();
    set_up(tcp, &mut all);
    cuts(comparison, &mut all);
    fates(comparison, &mut all);
    times(comparison, &mut all);
    cost(tcp, udp, &mut all);
    let mut text = String::from("\n");
    for (row, sentence) in all {
        wrap("  - ", &format!("{row}: {sentence}"), &mut text);
    }
    text
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

fn cuts(comparison: &Comparison, all: &mut Sentences) {
    let Comparison { tcp, udp, .. } = comparison;
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

fn fates(comparison: &Comparison, all: &mut Sentences) {
    let (tcp, udp) = (comparison.tcp.counts, comparison.udp.counts);
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

fn times(comparison: &Comparison, all: &mut Sentences) {
    let Comparison { tcp, udp, .. } = comparison;
    let is_impaired = comparison.impairment.is_some();
    let (Some(of_tcp), Some(of_udp)) =
        (tcp.round_trips.quantile(0.5), udp.round_trips.quantile(0.5))
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
            "half of the replies came within {} over TCP and {} over UDP: a stream carries \
             several messages in one packet, a datagram costs a system call each way.",
            time(of_tcp),
            time(of_udp)
        )
    } else {
        format!(
            "half of the replies came within {} over UDP and {} over TCP, which also has to \
             acknowledge, keep the order and wait for what is missing.",
            time(of_udp),
            time(of_tcp)
        )
    };
    all.push(("round trip", sentence));
    if let (Some(fast), Some(other)) = (tcp.messages_per_second(), udp.messages_per_second())
        && !(0.9..1.1).contains(&(fast / other))
    {
        let (winner, times) =
            if fast > other { ("TCP", fast / other) } else { ("UDP", other / fast) };
        let why = if is_impaired {
            "UDP's replies were impaired on purpose, and the window waits for them."
        } else {
            "both had as many outstanding."
        };
        let sentence = format!("{winner} moved {times:.1} times as many messages a second; {why}");
        all.push(("throughput", sentence));
    }
}

fn cost(tcp: &ProtocolResult, udp: &ProtocolResult, all: &mut Sentences) {
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
    if let Some(again) = tcp.retransmissions.filter(|again| *again > 0) {
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
