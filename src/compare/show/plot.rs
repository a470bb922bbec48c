//! A bar chart of the round-trip times of both protocols, side by side, of block characters (`--plot`).

use std::fmt::Write as _;
use std::time::Duration;

use crate::compare::Comparison;
use crate::compare::measure::rtt::RoundTrips;
use crate::compare::show::text::{grouped, percent, time};

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

/// The length of the longest bar, in columns.
const BAR: usize = 26;

/// The share of round trips that the scale must cover. The slowest ones may all be in the last row.
const ORDINARY: f64 = 0.99;

/// The round trips of both protocols, counted in the same rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The least time of each row, in nanoseconds. A row ends where the next begins; the last one has no
    /// end.
    pub starts: Vec<u64>,
    /// The number of replies over TCP in each row.
    pub tcp: Vec<u64>,
    /// The number of replies over UDP in each row.
    pub udp: Vec<u64>,
}

impl Rows {
    /// The rows for both protocols; `None` when there were no replies.
    #[must_use]
    pub(crate) fn new(tcp: &RoundTrips, udp: &RoundTrips) -> Option<Self> {
        let nanos = |share: f64| {
            [tcp, udp].map(|trips| trips.quantile(share).map(|time| time.as_nanos() as u64))
        };
        let least = nanos(0.0).into_iter().flatten().min()?;
        let ordinary = nanos(ORDINARY).into_iter().flatten().max()?;
        let greatest = nanos(1.0).into_iter().flatten().max()?;
        let of_scale = |scale: &&[u64]| starts(scale, least, ordinary, greatest);
        // Should none need few enough rows, the coarsest is used, with three for each power of ten.
        let starts = SCALES.iter().map(of_scale).find(|starts| starts.len() <= MOST_ROWS);
        let starts = starts.or_else(|| SCALES.last().map(of_scale))?;
        let count = |trips: &RoundTrips| {
            let mut rows = vec![0; starts.len()];
            for (time, n) in trips.spread() {
                let time = time.as_nanos() as u64;
                rows[starts.partition_point(|start| *start <= time).saturating_sub(1)] += n;
            }
            rows
        };
        Some(Self { tcp: count(tcp), udp: count(udp), starts })
    }

    /// The greatest share of its replies that either protocol has in one row.
    #[must_use]
    pub(crate) fn greatest_share(&self) -> f64 {
        let greatest = |rows: &[u64]| {
            let all: u64 = rows.iter().sum();
            rows.iter().max().copied().unwrap_or(0) as f64 / all.max(1) as f64
        };
        greatest(&self.tcp).max(greatest(&self.udp))
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
pub(crate) fn draw(comparison: &Comparison) -> String {
    let mut text = String::from("\n");
    let (tcp, udp) = (&comparison.tcp.round_trips, &comparison.udp.round_trips);
    let Some(rows) = Rows::new(tcp, udp) else {
        text.push_str("  No reply, no round trips to draw.\n");
        return text;
    };
    let greatest = rows.greatest_share();
    let column = BAR + 7;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "  {:>9}  {:column$}UDP, {}",
        "from",
        replies("TCP", tcp),
        grouped(udp.count())
    );
    for (row, start) in rows.starts.iter().enumerate() {
        let part = |n: u64, of: u64| {
            let share = n as f64 / of.max(1) as f64;
            let bar = bar(share, greatest);
            if n == 0 { String::new() } else { format!("{bar} {}", percent(share)) }
        };
        let line = format!(
            "  {:>9} ▕{:column$}▕{}",
            time(Duration::from_nanos(*start)),
            part(rows.tcp[row], tcp.count()),
            part(rows.udp[row], udp.count()),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn replies(name: &str, trips: &RoundTrips) -> String {
    format!("{name}, {} round trips", grouped(trips.count()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let rows = Rows::new(&tcp, &udp).unwrap();
        assert!(rows.starts.len() <= MOST_ROWS, "{rows:?}");
        assert_eq!((rows.tcp.iter().sum::<u64>(), rows.udp.iter().sum::<u64>()), (3, 2));
        let narrow = Rows::new(&trips(&[10_000, 10_100]), &trips(&[])).unwrap();
        assert_eq!((narrow.starts, narrow.tcp), (vec![10_000], vec![2]));
        assert_eq!(Rows::new(&trips(&[]), &trips(&[])), None);
    }

    #[test]
    fn one_straggler_does_not_coarsen_the_scale() {
        let mut nanos = vec![10_000; 500];
        nanos.extend([12_000; 500]);
        let without = Rows::new(&trips(&nanos), &trips(&[])).unwrap();
        nanos.push(5_000_000);
        let with = Rows::new(&trips(&nanos), &trips(&[])).unwrap();
        assert_eq!(with.starts[..without.starts.len()], without.starts);
        assert_eq!((with.starts.len(), with.tcp.last()), (without.starts.len() + 1, Some(&1)));
    }

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 1.0), "█".repeat(BAR));
        assert_eq!(bar(0.0, 1.0), "");
        assert_eq!(bar(0.000_001, 1.0), "▏");
        assert_eq!(bar(1.5 / BAR as f64, 1.0), "█▌");
    }
}
