//! Tests of [`super`].

use std::time::Duration;

use super::*;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What one stream brings: when each write comes, after how many milliseconds, and how it ends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Brought {
    bytes: Vec<u8>,
    writes: Vec<(u64, usize)>,
    end: Option<(u64, &'static str)>,
    tally: StreamTally,
}

/// Sends these bytes as fast as they are taken, looking each millisecond for a while.
fn through(spec: &Spec, bytes: &[u8], length: u64) -> Brought {
    let start = Instant::now();
    let mut shaper = Shaper::new(spec, 0);
    let (mut sent, mut brought) = (0, Brought::default());
    for n in 0..length {
        let now = start + ms(n);
        sent += shaper.push(&bytes[sent..], now);
        if sent == bytes.len() {
            shaper.end(now);
        }
        while brought.end.is_none() {
            let count = match shaper.next(now) {
                Passage::Bytes(some) => {
                    brought.bytes.extend(some);
                    brought.writes.push((n, some.len()));
                    some.len()
                }
                Passage::Reset => {
                    brought.end = Some((n, "reset"));
                    break;
                }
                Passage::End => {
                    brought.end = Some((n, "end"));
                    break;
                }
                Passage::Nothing => break,
            };
            shaper.passed(count);
            sent += shaper.push(&bytes[sent..], now);
            if sent == bytes.len() {
                shaper.end(now);
            }
        }
        let idle = brought.end.is_none() && shaper.deadline().is_some_and(|at| at <= now);
        assert!(!idle, "a deadline that has passed brings something");
    }
    brought.tally = shaper.tally();
    brought
}

fn noise(length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..length).map(|_| random.u8(..)).collect()
}

#[test]
fn nothing_asked_for_is_nothing_done() {
    let bytes = noise(10 << 20);
    let brought = through(&Spec::default(), &bytes, 2);
    assert!(brought.bytes == bytes && brought.end == Some((0, "end")));
    assert_eq!(brought.tally, StreamTally { passed: 10 << 20, ..StreamTally::default() });
}

#[test]
fn bytes_and_the_end_come_after_the_delay() {
    let spec = Spec { delay: Some(ms(20)), ..Spec::default() };
    let brought = through(&spec, b"hello", 40);
    assert_eq!(brought.writes, [(20, 5)]);
    assert_eq!((&brought.bytes[..], brought.end), (&b"hello"[..], Some((20, "end"))));
    let brought = through(&spec, b"", 40);
    assert_eq!((brought.writes.len(), brought.end), (0, Some((20, "end"))));
}

#[test]
fn jitter_changes_no_order() {
    let spec = Spec { delay: Some(ms(20)), jitter: Some(ms(20)), ..Spec::default() };
    let bytes = noise(3 << 20);
    let brought = through(&spec, &bytes, 1000);
    assert!(brought.bytes == bytes && brought.end.is_some_and(|(_, how)| how == "end"));
}

#[test]
fn the_rate_is_kept_evenly_and_the_sender_is_held_back() {
    // 100 bytes a millisecond, which a sender offers at once.
    let spec = Spec { rate: Some(800_000), delay: Some(ms(50)), ..Spec::default() };
    let bytes = noise(100_000);
    let brought = through(&spec, &bytes, 2000);
    assert!(brought.bytes == bytes);
    let (end, _) = brought.end.expect("an end");
    assert!((1050..=1056).contains(&end), "{end}");
    let most = brought.writes.iter().map(|(_, length)| *length).max();
    assert!(most.is_some_and(|most| most <= 1000), "{most:?}");
    let mut shaper = Shaper::new(&spec, 0);
    let taken = shaper.push(&vec![0; 10 << 20], Instant::now());
    // 5000 bytes on their way and what may wait.
    assert!((5000..=QUEUE + 5000).contains(&taken), "{taken}");
}

#[test]
fn memory_is_bounded_for_small_pieces_too() {
    let mut shaper = Shaper::new(&Spec { delay: Some(ms(1000)), ..Spec::default() }, 0);
    let now = Instant::now();
    let taken: usize = (0..10 << 20).map(|_| shaper.push(b"x", now)).sum();
    assert!(taken <= MOST / COST && shaper.room() == 0, "{taken}");
}

#[test]
fn writes_are_as_short_as_asked() {
    let brought = through(&Spec { slice: Some(3), ..Spec::default() }, b"0123456789", 2);
    assert_eq!(brought.writes, [(0, 3), (0, 3), (0, 3), (0, 1)]);
    assert_eq!((&brought.bytes[..], brought.tally.sliced), (&b"0123456789"[..], 3));
    let brought = through(&Spec { slice: Some(5), ..Spec::default() }, b"0123456789", 2);
    assert_eq!((brought.writes.len(), brought.tally.sliced), (2, 1));
}

#[test]
fn a_reset_comes_after_its_bytes_and_a_stall_lets_nothing_pass() {
    let bytes = noise(1000);
    for (reset, stall, passed, end) in [
        (Some(300), None, 300, Some((0, "reset"))),
        (Some(0), None, 0, Some((0, "reset"))),
        // The stream ends before.
        (Some(1001), Some(1001), 1000, Some((0, "end"))),
        (None, Some(300), 300, None),
        (None, Some(1000), 1000, None),
        (None, Some(0), 0, None),
        (Some(300), Some(200), 200, None),
        (Some(300), Some(300), 300, Some((0, "reset"))),
    ] {
        let brought = through(&Spec { reset, stall, ..Spec::default() }, &bytes, 50);
        assert!(brought.bytes == bytes[..passed], "{reset:?} {stall:?}");
        assert_eq!(brought.end, end, "{reset:?} {stall:?}");
        let want = StreamTally {
            passed: passed as u64,
            sliced: 0,
            resets: u64::from(end.is_some_and(|(_, how)| how == "reset")),
            stalls: u64::from(end.is_none()),
        };
        assert_eq!(brought.tally, want, "{reset:?} {stall:?}");
    }
}

#[test]
fn what_could_not_leave_is_offered_again() {
    let mut shaper = Shaper::new(&Spec { slice: Some(4), ..Spec::default() }, 0);
    let now = Instant::now();
    assert_eq!(shaper.push(b"abcdef", now), 6);
    assert_eq!(shaper.next(now), Passage::Bytes(b"abcd"));
    assert_eq!(shaper.next(now), Passage::Bytes(b"abcd"));
    shaper.passed(1);
    assert_eq!(shaper.next(now), Passage::Bytes(b"bcde"));
    shaper.passed(4);
    assert_eq!(shaper.next(now), Passage::Bytes(b"f"));
}
