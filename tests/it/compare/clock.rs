//! Times: when messages leave, and how long replies take.

use super::compare;
use super::peer::{self, Peer, Tcp};
use crate::tests;
use crate::util::pktcat_line;
use libtest_mimic::Trial;

pub(super) fn tests() -> Vec<Trial> {
    tests![no_message_leaves_before_its_time, the_window_bounds_what_is_outstanding,]
}

/// The time that a made-up message carries, in nanoseconds since the start of the run.
fn time_in(message: &[u8]) -> u64 {
    u64::from_be_bytes(message[8..16].try_into().unwrap())
}

fn no_message_leaves_before_its_time() {
    let peer = peer::echo();
    compare(&format!("127.0.0.1 {} --interval 3ms --count 100", peer.port));
    let streamed = peer.stream();
    for messages in [peer.datagrams(), streamed.chunks(64).map(<[u8]>::to_vec).collect()] {
        assert_eq!(messages.len(), 100);
        let first = time_in(&messages[0]);
        for (place, message) in (0..).zip(&messages) {
            let (at, due) = (time_in(message) - first, place * 3_000_000);
            assert!(at >= due, "message {place} left {} ns early", due - at);
        }
        // On average it keeps its time: one late wake-up does not delay all that follow.
        let last = time_in(&messages[99]) - first;
        assert!(last < 99 * 3_000_000 + 100_000_000, "the last one left after {last} ns");
    }
}

fn the_window_bounds_what_is_outstanding() {
    // Nobody answers, so that a stream never gets beyond its first window.
    let peer = Peer::start(Tcp::Discard, Box::new(|_, _| Vec::new()));
    let words = "--window 5 --size 100 -w 100ms";
    pktcat_line(&format!("compare 127.0.0.1 {} {words}", peer.port)).run().expect_code(5);
    assert_eq!(peer.stream().len(), 5 * 100);
    // Datagrams go on, a window at a time, until the silence has lasted: three seconds.
    let datagrams = peer.datagrams().len();
    assert!((5..=5 * 32).contains(&datagrams), "{datagrams} datagrams");
}
