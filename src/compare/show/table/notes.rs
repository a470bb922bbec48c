//! What stands below the table: how things were counted, and what was unusual.

use crate::chart::text::{counted, grouped, wrap};
use crate::compare::measure::run::RunEnd;
use crate::compare::{Column, Comparison, ProtocolResult};

/// Writes all notes.
pub(super) fn write(comparison: &Comparison, text: &mut String) {
    let mut note = |sentence: &str| wrap("  ", sentence, text);
    let Comparison { tcp, udp, .. } = comparison;
    note(counting(tcp.side()));
    if let Some(name) = tcp.side().and_then(|side| side.congestion_control.as_ref()) {
        note(&format!("TCP's congestion control: {name}."));
    }
    for (name, column) in [("TCP", tcp), ("UDP", udp)] {
        if let Column::Ran(side) = column
            && let RunEnd::Silence(silence) = side.ending
        {
            note(&format!(
                "{name} stopped after {}: nothing came back for {}.",
                counted(side.counts.sent, "message"),
                humantime::format_duration(silence)
            ));
        }
    }
    let Some(udp) = udp.side() else { return };
    if udp.counts.recut > 0 {
        note(&format!(
            "The peer merges or splits datagrams: {} of {} messages came back with others in one, or \
             in pieces, as through a pipe (socat EXEC:cat, ncat -e cat). They count as received.",
            grouped(udp.counts.recut),
            grouped(udp.answered()),
        ));
    }
    if udp.dropped_here > 0 {
        let were = match udp.dropped_here {
            1 => "1 was".to_owned(),
            n => format!("{} were", grouped(n)),
        };
        note(&format!("Of UDP's, {were} lost on this machine: a receive buffer was full."));
    }
    let damaged = udp.packets.map_or(0, |packets| packets.both().corrupted);
    if damaged > 0 {
        note(
            "Damaged packets are lost: the system drops what has a wrong checksum, of UDP as of \
             TCP.",
        );
    }
}

fn counting(tcp: Option<&ProtocolResult>) -> &'static str {
    match tcp {
        Some(side) if side.wire.is_some() => {
            "Packets: TCP's counted by the kernel (TCP_INFO), SYN, ACK and FIN included; UDP's \
             counted here. Bytes: IP packets; header sizes computed."
        }
        Some(_) => {
            "Packets: UDP's counted here, header sizes computed; this system does not tell TCP's."
        }
        None => "Packets: counted here, header sizes computed.",
    }
}
