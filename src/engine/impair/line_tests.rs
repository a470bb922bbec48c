//! Tests of [`super`].

use std::collections::BTreeSet;

use super::*;

impl Message for u64 {
    fn length(&self) -> usize {
        100
    }

    fn corrupt(&mut self, draw: u64) -> bool {
        // Beyond all numbers that the tests send.
        *self ^= 1 << (32 + draw % 32);
        true
    }
}

const NOTHING: Spec = Spec {
    loss: None,
    duplicate: None,
    reorder: None,
    corrupt: None,
    delay: None,
    jitter: None,
    rate: None,
    queue: None,
    mtu: None,
    slice: None,
    reset: None,
    stall: None,
    seed: 1,
};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// What comes out of messages 0.. that go in one millisecond after the other, each with the
/// millisecond in which it comes.
fn through(spec: &Spec, count: u64) -> (Vec<(u64, u64)>, Tally) {
    let start = Instant::now();
    let mut line = Line::new(spec, 0, ms(5));
    let mut out = Vec::new();
    for n in 0..count + 1000 {
        let now = start + ms(n);
        if n < count {
            line.push(n, now);
        }
        while let Some(message) = line.pop_due(now) {
            out.push((message, n));
        }
        assert!(line.deadline().is_none_or(|at| at > now), "what is due was handed out");
        let Tally { offered, passed, lost, duplicated, dropped, .. } = line.tally();
        let waiting = line.on_their_way.len() as u64 + u64::from(line.held.is_some());
        assert!(offered + duplicated == passed + lost + dropped + waiting, "{:?}", line.tally());
    }
    assert!(line.is_empty() && line.deadline().is_none() && line.bytes == 0);
    let tally = line.tally();
    (out, tally)
}

fn numbers(out: &[(u64, u64)]) -> Vec<u64> {
    out.iter().map(|(message, _)| *message).collect()
}

#[test]
fn nothing_asked_for_is_nothing_done() {
    let (out, tally) = through(&NOTHING, 50);
    assert_eq!(out, (0..50).map(|n| (n, n)).collect::<Vec<_>>());
    assert_eq!(tally, Tally { offered: 50, passed: 50, ..Tally::default() });
}

#[test]
fn shares_are_kept_and_a_seed_always_does_the_same() {
    let spec = Spec {
        loss: Some(0.1),
        duplicate: Some(0.05),
        reorder: Some(0.02),
        corrupt: Some(0.03),
        seed: 7,
        ..NOTHING
    };
    let (out, tally) = through(&spec, 10_000);
    assert!((&out, tally) == (&through(&spec, 10_000).0, through(&spec, 10_000).1));
    assert_ne!(out, through(&Spec { seed: 8, ..spec }, 10_000).0);
    for (count, of, share) in [
        (tally.lost, 10_000, 0.1),
        (tally.duplicated, 10_000 - tally.lost, 0.05),
        (tally.corrupted, 10_000 - tally.lost, 0.03),
        (tally.reordered, 10_000 - tally.lost, 0.02),
    ] {
        // Five standard deviations of the binomial distribution.
        let (mean, n) = (of as f64 * share, of as f64);
        let off = 5.0 * (n * share * (1.0 - share)).sqrt();
        assert!((count as f64 - mean).abs() < off, "{count} of {of}: {tally:?}");
    }
    let changed = numbers(&out).into_iter().filter(|n| *n >= 1 << 32).collect::<BTreeSet<_>>();
    assert_eq!(changed.len() as u64, tally.corrupted);
    // The same messages are lost when nothing else is asked for.
    let (only_loss, _) = through(&Spec { loss: Some(0.1), seed: 7, ..NOTHING }, 10_000);
    let distinct: BTreeSet<_> = numbers(&out).into_iter().map(|n| n & 0xffff_ffff).collect();
    assert!(numbers(&only_loss).into_iter().eq(distinct));
}

#[test]
fn a_held_message_leaves_after_the_next_one_or_after_a_while() {
    let start = Instant::now();
    let at = |n| start + ms(n);
    let mut line = Line::new(&Spec { reorder: Some(1.0), ..NOTHING }, 0, ms(7));
    line.push(0, at(0));
    assert_eq!((line.pop_due(at(0)), line.deadline()), (None, Some(at(7))));
    line.push(1, at(1));
    assert_eq!((line.pop_due(at(1)), line.pop_due(at(1))), (Some(1), Some(0)));
    line.push(2, at(2));
    assert_eq!((line.pop_due(at(8)), line.pop_due(at(9))), (None, Some(2)));
    assert_eq!((line.tally().reordered, line.tally().passed), (1, 3));
}

#[test]
fn jitter_stays_around_the_delay_and_changes_no_order() {
    let (delay, jitter) = (Some(ms(20)), Some(ms(15)));
    let (out, tally) = through(&Spec { delay, jitter, ..NOTHING }, 1000);
    assert_eq!(numbers(&out), (0..1000).collect::<Vec<_>>());
    assert!(out.iter().all(|(sent, came)| (5..=36).contains(&(came - sent))));
    assert!(out.iter().any(|(sent, came)| came - sent < 15), "some are early");
    assert_eq!((tally.reordered, tally.passed), (0, 1000));
}

#[test]
fn the_rate_is_kept_and_its_queue_drops_the_tail() {
    // 100 bytes every millisecond, at 50 bytes a millisecond: half of them find no room.
    let spec = Spec { rate: Some(400_000), queue: Some(1000), ..NOTHING };
    let (out, tally) = through(&spec, 2000);
    let last = out.last().expect("something came").1;
    assert_eq!(tally.dropped + tally.passed, 2000);
    assert!(out.len() as u64 * 100 <= 50 * last + 100, "no faster than that");
    assert!(tally.passed >= 1000, "no slower either: {tally:?}");
    // 1000 bytes before one are 20 ms, and its own are 2.
    assert!(out.iter().all(|(sent, came)| came - sent <= 22));
}

#[test]
fn memory_is_bounded() {
    let mut line = Line::new(&Spec { delay: Some(ms(1000)), ..NOTHING }, 0, HOLD);
    let now = Instant::now();
    (0..1_000_000).for_each(|n| line.push(n, now));
    assert!(line.on_their_way.len() <= ROOM / COST);
    assert_eq!(line.tally().dropped + line.on_their_way.len() as u64, 1_000_000);
}

#[test]
fn lanes_have_their_own_draws() {
    let lost = |lane| {
        let mut line = Line::new(&Spec { loss: Some(0.5), ..NOTHING }, lane, HOLD);
        let now = Instant::now();
        (0..64).for_each(|n| line.push(n, now));
        std::iter::from_fn(|| line.pop_due(now)).collect::<Vec<_>>()
    };
    assert_eq!(lost(3), lost(3));
    assert!(lost(0) != lost(1) && lost(1) != lost(2));
}

#[test]
fn one_bit_is_changed_if_there_is_one() {
    for draw in [0, 7, 8, 1 << 40, u64::MAX] {
        let mut bytes = vec![0u8; 5];
        assert!(bytes.corrupt(draw));
        assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    }
    assert!(!Vec::new().corrupt(3));
}
