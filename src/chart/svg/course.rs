//! The time line in the picture.

use std::fmt::Write as _;
use std::time::Duration;

use super::paper::{CLASSES, LEFT, MARGIN, RIGHT};
use crate::chart::scale::{Scale, Spread};
use crate::chart::series::{Captions, Series};
use crate::chart::text::{grouped, time};

const HEIGHT: usize = 220;

/// Pixels of a row of losses.
const LOSSES: usize = 18;

/// Draws it below `top`; how high it is.
pub(super) fn draw(
    series: &[Series<'_>],
    captions: &Captions<'_>,
    top: usize,
    svg: &mut String,
) -> usize {
    let Some(scale) = Scale::new(series) else { return 0 };
    let spread = match scale.spread {
        Spread::Straight => "",
        Spread::Logarithmic => ", logarithmic",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text class=\"c\" x=\"{MARGIN}\" y=\"{top}\">Round trip of each {}{spread}</text>",
        captions.numbered
    );
    let first = top + 18;
    let length = series.iter().map(|one| one.timeline.length()).max().unwrap_or(0).max(1);
    let x = |number: f64| LEFT as f64 + number / length as f64 * (RIGHT - LEFT) as f64;
    let y = |took: Duration| first as f64 + (1.0 - scale.place(took)) * HEIGHT as f64;
    for tick in scale.ticks() {
        let label = if tick.is_zero() { "0".to_owned() } else { time(tick) };
        let _ = writeln!(
            svg,
            "<line class=\"g\" x1=\"{LEFT}\" y1=\"{0:.1}\" x2=\"{RIGHT}\" y2=\"{0:.1}\"/>\
             <text class=\"e\" x=\"{1}\" y=\"{2:.1}\">{label}</text>",
            y(tick),
            LEFT - 8,
            y(tick) + 4.5,
        );
    }
    for (place, (one, class)) in series.iter().zip(CLASSES).enumerate() {
        let path = match place {
            0 => staircase(one, x, y),
            _ => dots(one, x, y),
        };
        let _ = writeln!(svg, "<path class=\"l{class}\" d=\"{path}\"/>");
    }
    let mut end = first + HEIGHT + 6;
    for (one, class) in series.iter().zip(CLASSES) {
        let marks = losses(one, x, end + LOSSES / 2 + 2);
        if !marks.is_empty() {
            end += LOSSES;
            let _ = writeln!(
                svg,
                "<text class=\"e\" x=\"{}\" y=\"{}\">{} lost</text><path class=\"x{class}\" d=\"{marks}\"/>",
                LEFT - 8,
                end - LOSSES / 2 + 6,
                one.name,
            );
        }
    }
    axis(length, captions, x, end, svg);
    end + 38 - top
}

/// One line through all replies; where several share a place, through the quickest and the slowest.
fn staircase(one: &Series<'_>, x: impl Fn(f64) -> f64, y: impl Fn(Duration) -> f64) -> String {
    let mut path = String::new();
    for (number, bin) in one.timeline.bins().filter(|(_, bin)| bin.answered > 0) {
        let letter = if path.is_empty() { 'M' } else { 'L' };
        let x = x(number as f64 + one.timeline.width() as f64 / 2.0);
        let _ = write!(path, "{letter}{x:.1} {:.1}", y(bin.least));
        if bin.greatest > bin.least {
            let _ = write!(path, "V{:.1}", y(bin.greatest));
        }
    }
    path
}

/// A dot for each reply; where several share a place, a stroke from the quickest to the slowest.
fn dots(one: &Series<'_>, x: impl Fn(f64) -> f64, y: impl Fn(Duration) -> f64) -> String {
    let mut path = String::new();
    for (number, bin) in one.timeline.bins().filter(|(_, bin)| bin.answered > 0) {
        let x = x(number as f64 + one.timeline.width() as f64 / 2.0);
        let (least, greatest) = (y(bin.least), y(bin.greatest));
        // A line of no length is drawn as a dot, by its round ends.
        let _ = write!(path, "M{x:.1} {least:.1}V{greatest:.1}");
    }
    path
}

/// A cross for each loss; losses of one place share one.
fn losses(one: &Series<'_>, x: impl Fn(f64) -> f64, y: usize) -> String {
    let mut path = String::new();
    for (number, _) in one.timeline.bins().filter(|(_, bin)| bin.lost() > 0) {
        let x = x(number as f64 + one.timeline.width() as f64 / 2.0);
        let _ = write!(path, "M{:.1} {}l6 6m0 -6l-6 6", x - 3.0, y - 3);
    }
    path
}

/// The numbers of the messages, both ends among them.
fn axis(
    length: u64,
    captions: &Captions<'_>,
    x: impl Fn(f64) -> f64,
    end: usize,
    svg: &mut String,
) {
    let step = (length / 4).max(1);
    let ticks = (1..4).map(|n| n * step).filter(|n| *n > 1 && *n < length);
    let mut ticks: Vec<_> = [1].into_iter().chain(ticks).collect();
    if length > 1 {
        ticks.push(length);
    }
    for tick in ticks {
        let _ = write!(
            svg,
            "<text class=\"m\" x=\"{:.1}\" y=\"{}\">{}</text>",
            x(tick as f64 - 0.5),
            end + 18,
            grouped(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"m\" x=\"{}\" y=\"{}\">{}</text>",
        (LEFT + RIGHT) / 2,
        end + 36,
        captions.numbered
    );
}
