//! The histogram for the screen: round trips of one or two protocols, drawn with blocks on one scale.

use std::fmt::Write as _;
use std::time::Duration;

use crate::chart::round_trips::RoundTrips;
use crate::chart::series::{Captions, Series};
use crate::chart::text::{grouped, percent, time};

/// The most rows. Of the scales below, the finest that needs no more rows is used.
const MOST_ROWS: usize = 18;

/// The scales, from the finest to the coarsest: where rows begin within each power of ten. These are
/// round numbers, about evenly spaced on a logarithmic axis.
const SCALES: [&[u64]; 4] = [
    &[
        100, 110, 120, 130, 150, 160, 180, 200, 220, 240, 270, 300, 330, 360, 390, 430, 470, 510,
        560, 620, 680, 750, 820, 910,
    ],
    &[100, 120, 150, 180, 220, 270, 330, 390, 470, 560, 680, 820],
    &[100, 150, 200, 300, 500, 700],
    &[100, 200, 500],
];

/// Columns of a bar.
const BAR: usize = 25;

/// The share of round trips that the scale must cover. The slowest ones may all be in the last row.
const ORDINARY: f64 = 0.99;

/// The round trips of all series, counted in the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The least time of each row, in nanoseconds. A row ends where the next begins; the last one has no
    /// end.
    pub starts: Vec<u64>,
    /// Replies of each series, a row each.
    pub counts: Vec<Vec<u64>>,
    /// The greatest time, in nanoseconds.
    pub greatest: u64,
}

impl Rows {
    /// The rows that fit all; none when nothing came back.
    #[must_use]
    pub(crate) fn new(series: &[Series<'_>]) -> Option<Self> {
        let nanos = |share: f64| {
            let quantiles = series.iter().filter_map(move |one| one.trips.quantile(share));
            quantiles.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        let least = nanos(0.0).min()?;
        let ordinary = nanos(ORDINARY).max()?;
        let greatest = nanos(1.0).max()?;
        let of_scale = |scale: &&[u64]| starts(scale, least, ordinary, greatest);
        // Should none need few enough rows, the coarsest is used, with three for each power of ten.
        let starts = SCALES.iter().map(of_scale).find(|starts| starts.len() <= MOST_ROWS);
        let starts = starts.or_else(|| SCALES.last().map(of_scale))?;
        let count = |trips: &RoundTrips| {
            let mut rows = vec![0; starts.len()];
            for (time, n) in trips.spread() {
                let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                rows[starts.partition_point(|start| *start <= time).saturating_sub(1)] += n;
            }
            rows
        };
        let counts = series.iter().map(|one| count(one.trips)).collect();
        Some(Self { counts, starts, greatest })
    }

    /// The greatest share of a series' replies in one row.
    #[must_use]
    pub(crate) fn greatest_share(&self) -> f64 {
        let greatest = |rows: &Vec<u64>| {
            let all: u64 = rows.iter().sum();
            rows.iter().max().copied().unwrap_or(0) as f64 / all.max(1) as f64
        };
        self.counts.iter().map(greatest).fold(0.0, f64::max)
    }
}

/// Where the rows of a scale begin: from the row of `least` to the row of `ordinary`, and one more row for
/// greater times.
fn starts(scale: &[u64], least: u64, ordinary: u64, greatest: u64) -> Vec<u64> {
    let mut starts: Vec<u64> = Vec::new();
    for decade in 0..17 {
        for step in scale {
            let start = step * 10u64.pow(decade);
            if start > ordinary.min(greatest) && !starts.is_empty() {
                if greatest >= start {
                    starts.push(start);
                }
                return starts;
            }
            if start <= least {
                starts.clear();
            }
            starts.push(start);
        }
    }
    starts
}

/// A bar for `share`, to an eighth of a column; `greatest` is the share of the longest bar.
fn bar(share: f64, greatest: f64) -> String {
    let eighths = (share / greatest * (BAR * 8) as f64).round() as usize;
    // However small, a share that is not 0 is visible.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    if let Some(part) = " ▏▎▍▌▋▊▉".chars().nth(eighths % 8).filter(|part| *part != ' ')
    {
        bar.push(part);
    }
    bar
}

/// The chart as text.
#[must_use]
pub(crate) fn draw(series: &[Series<'_>], captions: &Captions<'_>) -> String {
    let mut text = String::from("\n");
    let Some(rows) = Rows::new(series) else {
        text.push_str("  No reply, no round trips to draw.\n");
        return text;
    };
    let greatest = rows.greatest_share();
    let column = BAR + 7;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {}", captions.counted);
    let names =
        series.iter().map(|one| format!("{}, {} replies", one.name, grouped(one.trips.count())));
    row("from", " ", names, column, &mut text);
    for (at, start) in rows.starts.iter().enumerate() {
        let parts = series.iter().zip(&rows.counts).map(|(one, counts)| {
            let share = counts[at] as f64 / one.trips.count().max(1) as f64;
            let bar = bar(share, greatest);
            if counts[at] == 0 { String::new() } else { format!("{bar} {}", percent(share)) }
        });
        row(&time(Duration::from_nanos(*start)), "▕", parts, column, &mut text);
    }
    // Both ends of each bar's scale, and the upper end of the times.
    let most = format!("{} of all", percent(greatest));
    let ends = series.iter().map(|_| format!("0{most:>0$}", BAR - 1));
    row(&format!("to {}", time(Duration::from_nanos(rows.greatest))), " ", ends, column, &mut text);
    text
}

fn row(
    label: &str,
    edge: &str,
    cells: impl Iterator<Item = String>,
    column: usize,
    text: &mut String,
) {
    let cells: String = cells.map(|cell| format!("{edge}{cell:column$}")).collect();
    let _ = writeln!(text, "{}", format!("  {label:>11} {cells}").trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::timeline::Timeline;

    fn rows_of(trips: &[&RoundTrips]) -> Option<Rows> {
        let timeline = Timeline::default();
        let series = |trips| Series { name: "", trips, timeline: &timeline };
        Rows::new(&trips.iter().copied().map(series).collect::<Vec<_>>())
    }

    fn trips(nanos: &[u64]) -> RoundTrips {
        let mut trips = RoundTrips::default();
        for n in nanos {
            trips.record(Duration::from_nanos(*n));
        }
        trips
    }

    #[test]
    fn scales_are_rising_and_round() {
        for scale in SCALES {
            assert!(scale.is_sorted() && scale[0] == 100 && scale.iter().all(|s| *s < 1000));
        }
        let coarse =
            |least, ordinary, greatest| starts(&[100, 200, 500], least, ordinary, greatest);
        assert_eq!(coarse(1500, 4999, 4999), [1000, 2000]);
        assert_eq!(coarse(1500, 5000, 5000), [1000, 2000, 5000]);
        assert_eq!(coarse(1500, 1600, 9_999_999), [1000, 2000], "one row for the rest");
        assert_eq!(coarse(7, 7, 7), [100]);
    }

    #[test]
    fn every_round_trip_is_in_one_row_and_the_rows_fit() {
        let (tcp, udp) = (trips(&[10_000, 11_000, 90_000]), trips(&[3_000_000_000, 12_000]));
        let rows = rows_of(&[&tcp, &udp]).unwrap();
        assert!(rows.starts.len() <= MOST_ROWS, "{rows:?}");
        assert_eq!(rows.counts.iter().map(|rows| rows.iter().sum()).collect::<Vec<u64>>(), [3, 2]);
        let narrow = rows_of(&[&trips(&[10_000, 10_100]), &trips(&[])]).unwrap();
        assert_eq!((narrow.starts, &narrow.counts[0]), (vec![10_000], &vec![2]));
        assert_eq!(rows_of(&[&trips(&[]), &trips(&[])]), None);
    }

    #[test]
    fn one_straggler_does_not_coarsen_the_scale() {
        let mut nanos = vec![10_000; 500];
        nanos.extend([12_000; 500]);
        let without = rows_of(&[&trips(&nanos)]).unwrap();
        nanos.push(5_000_000);
        let with = rows_of(&[&trips(&nanos)]).unwrap();
        assert_eq!(with.starts[..without.starts.len()], without.starts);
        assert_eq!(
            (with.starts.len(), with.counts[0].last()),
            (without.starts.len() + 1, Some(&1))
        );
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 1.0), "█".repeat(BAR));
        assert_eq!(bar(0.0, 1.0), "");
        assert_eq!(bar(0.000_001, 1.0), "▏");
        assert_eq!(bar(1.5 / BAR as f64, 1.0), "█▌");
    }
}
