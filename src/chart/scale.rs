//! An axis of times: where a time is on it, and which round times are written beside it.

use std::time::Duration;

use crate::chart::series::Series;

/// Above this ratio of the greatest time to the least an axis is logarithmic, as a straight one
/// would have most of the replies in its lowest row.
const STRAIGHT: f64 = 30.0;

/// How times are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// From zero.
    Straight,
    /// By their logarithm.
    Logarithmic,
}

/// An axis, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    pub spread: Spread,
    least: f64,
    greatest: f64,
}

impl Scale {
    /// The axis that has room for all replies; none when there is none.
    #[must_use]
    pub(crate) fn new(series: &[Series<'_>]) -> Option<Self> {
        let bins = series.iter().flat_map(|one| one.timeline.bins());
        let times =
            bins.filter(|(_, bin)| bin.answered > 0).map(|(_, bin)| (bin.least, bin.greatest));
        let (least, greatest) = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        Some(Self::of(least.as_nanos() as f64, greatest.as_nanos() as f64))
    }

    fn of(least: f64, greatest: f64) -> Self {
        let (least, greatest) = (least.max(1.0), greatest.max(1.0));
        if greatest <= least * STRAIGHT {
            let step = step(greatest);
            let greatest = (greatest / step).ceil() * step;
            return Self { spread: Spread::Straight, least: 0.0, greatest };
        }
        let (least, greatest) = (round_down(least), round_up(greatest));
        Self { spread: Spread::Logarithmic, least, greatest }
    }

    /// Where a time is: 0 is the lower end, 1 the upper one.
    #[must_use]
    pub(crate) fn place(&self, time: Duration) -> f64 {
        let nanos = time.as_nanos() as f64;
        let place = match self.spread {
            Spread::Straight => nanos / self.greatest,
            Spread::Logarithmic => {
                (nanos.max(1.0) / self.least).ln() / (self.greatest / self.least).ln()
            }
        };
        place.clamp(0.0, 1.0)
    }

    /// The times written beside it, both ends among them, from the lower end.
    #[must_use]
    pub(crate) fn ticks(&self) -> Vec<Duration> {
        let mut ticks = Vec::new();
        match self.spread {
            Spread::Straight => {
                let step = step(self.greatest);
                let count = (self.greatest / step).round() as u64;
                ticks.extend((0..=count).map(|n| n as f64 * step));
            }
            Spread::Logarithmic => {
                let mut at = self.least;
                while at <= self.greatest * 1.001 {
                    ticks.push(at);
                    at = next(at);
                }
            }
        }
        ticks.into_iter().map(|nanos| Duration::from_nanos(nanos.round() as u64)).collect()
    }
}

/// A round step that fits three to six times into `greatest`.
fn step(greatest: f64) -> f64 {
    let power = 10f64.powf((greatest / 6.0).log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
    // The last one is ten times the first, which is above a sixtieth.
    steps.into_iter().find(|step| greatest / step <= 6.0).unwrap_or(power * 10.0)
}

/// 1, 2 and 5 in each power of ten.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];

fn round_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let below = ROUND.iter().rev().find(|step| **step * power <= value * 1.000_001);
    below.map_or(power, |step| step * power)
}

fn next(value: f64) -> f64 {
    let power = 10f64.powf((value * 1.001).log10().floor());
    let above = ROUND.iter().find(|step| **step * power > value * 1.001);
    above.map_or(power * 10.0, |step| step * power)
}

fn round_up(value: f64) -> f64 {
    let below = round_down(value);
    if below >= value * 0.999_999 { below } else { next(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_straight_axis_begins_at_zero_and_ends_at_a_round_time() {
        let scale = Scale::of(40e6, 287e6);
        assert_eq!(scale.ticks(), [0, 50, 100, 150, 200, 250, 300].map(ms));
        assert_eq!(
            (scale.place(ms(0)), scale.place(ms(150)), scale.place(ms(300))),
            (0.0, 0.5, 1.0)
        );
    }

    #[test]
    fn far_apart_times_are_on_a_logarithmic_one() {
        let scale = Scale::of(30e3, 4.1e6);
        assert_eq!(scale.spread, Spread::Logarithmic);
        let micros = [20, 50, 100, 200, 500, 1000, 2000, 5000].map(Duration::from_micros);
        assert_eq!(scale.ticks(), micros);
        assert_eq!((scale.place(micros[0]), scale.place(micros[7])), (0.0, 1.0));
        assert!(scale.place(ms(100)) <= 1.0 && scale.place(Duration::ZERO) >= 0.0);
    }

    #[test]
    fn every_axis_has_a_few_round_ticks_and_room_for_both_ends() {
        for least in [1.0, 7.0, 1e3, 3.3e6, 9.99e9] {
            for ratio in [1.0, 1.3, 9.0, 29.9, 31.0, 1e4] {
                let scale = Scale::of(least, least * ratio);
                let ticks = scale.ticks();
                assert!((3..=24).contains(&ticks.len()), "{least} {ratio}: {ticks:?}");
                let last = ticks[ticks.len() - 1].as_nanos() as f64;
                assert!(last >= (least * ratio).floor(), "{least} {ratio}: {ticks:?}");
                assert!(ticks[0].as_nanos() as f64 <= least && ticks.is_sorted());
            }
        }
    }
}
