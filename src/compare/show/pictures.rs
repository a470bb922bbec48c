//! The round trips of both protocols, drawn: for the screen, and for a page.

use crate::chart::series::{Captions, Series};
use crate::chart::{course, histogram, svg as picture};
use crate::compare::Comparison;

/// What there is to draw: on a bad network all replies, else those that show the network alone.
fn series(comparison: &Comparison) -> (Vec<Series<'_>>, Captions<'static>) {
    let all = comparison.impaired.is_some() || comparison.pacing.alone == 0;
    let sides = [("TCP", &comparison.tcp), ("UDP", &comparison.udp)];
    let series = sides.into_iter().filter_map(|(name, column)| {
        let side = column.side()?;
        let trips = if all { &side.times.all } else { &side.times.alone };
        Some(Series { name, trips, timeline: &side.times.timeline })
    });
    let captions = Captions {
        title: "Round trips over TCP and UDP",
        counted: match (all, comparison.pacing.window) {
            (false, _) => "Round trips, one message at a time",
            (true, 1) => "Round trips, one message at a time",
            (true, _) => "Round trips of all messages",
        },
        numbered: "message",
    };
    (series.collect(), captions)
}

/// Histogram and time line, 80 columns wide.
#[must_use]
pub(crate) fn text(comparison: &Comparison) -> String {
    let (series, captions) = series(comparison);
    histogram::draw(&series, &captions) + &course::draw(&series, &captions)
}

/// Both as an SVG.
#[must_use]
pub(crate) fn svg(comparison: &Comparison) -> String {
    let (series, captions) = series(comparison);
    picture::draw(&series, &captions)
}
