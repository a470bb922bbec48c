//! Explains what becomes of messages that are longer than a packet.

use std::net::SocketAddr;

use crate::chart::text::{counted, grouped};
use crate::compare::ProtocolResult;
use crate::compare::measure::unfragmented::{Largest, Why};
use crate::engine::datagram::longest_to;
use crate::net::address::canonical;

/// The sentence that goes with the row, with the figures of the run. `longest` is the length of its
/// longest message in bytes.
#[must_use]
pub(super) fn sentence(
    tcp: &ProtocolResult,
    udp: &ProtocolResult,
    peer: SocketAddr,
    longest: usize,
) -> String {
    let (of_tcp, of_udp) = (tcp.unfragmented.out.bytes(), udp.unfragmented.out.bytes());
    let longest = longest as u64;
    let over_udp = match of_udp {
        Some(most) if most == longest_to(&canonical(peer).into()) as u64 => format!(
            "a datagram goes in one packet up to {} bytes, the most that UDP carries at all",
            grouped(most)
        ),
        Some(most) => format!(
            "IP cuts a datagram of more than {} bytes into fragments, and one lost fragment loses \
             them all{}",
            grouped(most),
            if longest > most {
                format!(", as with the run's messages of {} bytes", grouped(longest))
            } else {
                String::new()
            }
        ),
        None => "IP cuts a datagram that is longer than a packet into fragments, and one lost \
                 fragment loses them all"
            .to_owned(),
    };
    let over_tcp = match of_tcp {
        Some(most) => format!("segments of {} bytes at most", grouped(most)),
        None => "segments that fit".to_owned(),
    };
    let mut text = format!(
        "{over_udp}; TCP cuts its stream into {over_tcp}, and of what is lost sends only the \
         missing segment again."
    );
    // Both have the same IP header; 20 bytes of TCP's own (RFC 9293), 8 of UDP's (RFC 768).
    if let (Some(segment), Some(datagram)) = (of_tcp, of_udp)
        && segment + 20 > datagram + 8
    {
        text.push_str(
            " No segment was long enough to find out that the path takes less than that.",
        );
    }
    let (out, back) = (&udp.unfragmented.out, &udp.unfragmented.back);
    match (out, back) {
        (Largest::NotKnown(why), _) => text.push_str(&format!(" UDP: {}.", reason(why))),
        (_, Largest::NotKnown(why)) => {
            text.push_str(&format!(" The way back over UDP: {}.", reason(why)));
        }
        (Largest::Bytes(_), Largest::Bytes(_)) => {}
    }
    text
}

/// Why a number is missing.
fn reason(why: &Why) -> String {
    let bytes = |n: usize| counted(n as u64, "byte");
    match why {
        Why::NotTold => "not known, as this system does not tell".to_owned(),
        Why::NoReplies => "not known, as no message came back unchanged at the end".to_owned(),
        Why::Silent(size) => {
            format!("not known, as no datagram of {} came back", bytes(*size))
        }
        Why::TooLong(size) => format!(
            "not known, as {} are too long for the path, and nobody says what is not",
            bytes(*size)
        ),
        Why::Shortened { sent, came } => format!(
            "not known, as of {} the peer sent back {}",
            bytes(*sent),
            grouped(*came as u64)
        ),
        Why::Fragmented { sent, longest } => format!(
            "not known, as {} came back in fragments, the longest a packet of {}",
            bytes(*sent),
            bytes(*longest)
        ),
        Why::Failed(error) => format!("not known, as the system says: {error}"),
    }
}
