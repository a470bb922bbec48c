//! The round trips of both protocols, drawn: for the screen, and for a page.

use crate::chart::series::{Captions, Series};
use crate::chart::{course, histogram, svg as picture};
use crate::compare::Comparison;

fn series(comparison: &Comparison) -> [Series<'_>; 2] {
    [("TCP", &comparison.tcp), ("UDP", &comparison.udp)].map(|(name, side)| Series {
        name,
        trips: &side.round_trips,
        timeline: &side.timeline,
    })
}

const CAPTIONS: Captions<'_> =
    Captions { title: "Round trips over TCP and UDP", counted: "Round trips", numbered: "message" };

/// Histogram and time line, 80 columns wide.
#[must_use]
pub(crate) fn text(comparison: &Comparison) -> String {
    let series = series(comparison);
    histogram::draw(&series, &CAPTIONS) + &course::draw(&series, &CAPTIONS)
}

/// Both as an SVG.
#[must_use]
pub(crate) fn svg(comparison: &Comparison) -> String {
    picture::draw(&series(comparison), &CAPTIONS)
}
