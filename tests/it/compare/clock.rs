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
    // One late wake-up does not delay all that follow: some of the last ones leave in time. A machine that is
    // busy all the while may hold up even these, but hardly again and again.
    let late = (0..5).map(|_| lateness_at_the_end()).find(|late| *late < 80_000_000);
    assert!(late.is_some(), "the last ones were late each time");
}

/// How many nanoseconds after its time the most punctual of the last messages left, in the protocol where
/// that is worse.
fn lateness_at_the_end() -> u64 {
    let peer = peer::echo();
    compare(&format!("127.0.0.1 {} --interval 3ms --count 100", peer.port));
    let streamed = peer.stream();
    let lateness = |messages: Vec<Vec<u8>>| {
        assert_eq!(messages.len(), 100);
        let first = time_in(&messages[0]);
        let late = (0..).zip(&messages).map(|(place, message)| {
            let (at, due) = (time_in(message) - first, place * 3_000_000);
            at.checked_sub(due)
                .unwrap_or_else(|| panic!("message {place} left {} ns early", due - at))
        });
        late.collect::<Vec<_>>()[80..].iter().copied().min().unwrap()
    };
    let udp = lateness(peer.datagrams());
    udp.max(lateness(streamed.chunks(64).map(<[u8]>::to_vec).collect()))
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
