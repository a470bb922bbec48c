//! The histogram in the picture.

use std::fmt::Write as _;
use std::time::Duration;

use super::paper::{CLASSES, LEFT, MARGIN, RIGHT};
use crate::chart::histogram::Rows;
use crate::chart::series::{Captions, Series};
use crate::chart::text::{percent, time};

/// Pixels of a bar, and of what is above and below the bars of a row.
const BAR: usize = 11;
const GAP: usize = 4;

/// A share stands behind each bar.
const LABEL: usize = 48;

/// Pixels of the longest bar.
const LONGEST: usize = RIGHT - LEFT - LABEL;

/// Draws it below `top`; how high it is.
pub(super) fn draw(
    series: &[Series<'_>],
    captions: &Captions<'_>,
    top: usize,
    svg: &mut String,
) -> usize {
    let first = top + 18;
    // Writing to a string cannot fail.
    let _ =
        writeln!(svg, "<text class=\"c\" x=\"{MARGIN}\" y=\"{top}\">{}</text>", captions.counted);
    let Some(rows) = Rows::new(series) else {
        let _ = writeln!(svg, "<text x=\"{MARGIN}\" y=\"{}\">No reply.</text>", first + 8);
        return 40;
    };
    let greatest = rows.greatest_share();
    let height = series.len() * (BAR + 1) + GAP;
    for (row, start) in rows.starts.iter().enumerate() {
        let y = first + row * height;
        line(y, *start, svg);
        for (place, (one, counts)) in series.iter().zip(&rows.counts).enumerate() {
            if counts[row] == 0 {
                continue;
            }
            let share = counts[row] as f64 / one.trips.count().max(1) as f64;
            let width = (share / greatest * LONGEST as f64).max(1.0);
            let y = y + GAP / 2 + 1 + place * (BAR + 1);
            let _ = writeln!(
                svg,
                "<rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>\
                 <text class=\"n\" x=\"{:.1}\" y=\"{}\">{}</text>",
                CLASSES[place],
                LEFT as f64 + width + 5.0,
                y + BAR - 1,
                percent(share),
            );
        }
    }
    let end = first + rows.starts.len() * height;
    line(end, rows.greatest, svg);
    scale(end + 20, greatest, svg);
    end + 24 - top
}

/// The time at which a row begins or the last one ends, in nanoseconds, and the line there.
fn line(y: usize, nanos: u64, svg: &mut String) {
    let _ = writeln!(
        svg,
        "<line class=\"g\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{RIGHT}\" y2=\"{y}\"/>\
         <text class=\"e\" x=\"{}\" y=\"{}\">{}</text>",
        LEFT - 8,
        y + 4,
        time(Duration::from_nanos(nanos)),
    );
}

/// The ends of the bars' scale, its title between them, and that of the rows.
fn scale(y: usize, greatest: f64, svg: &mut String) {
    let end = LEFT + LONGEST;
    let _ = writeln!(
        svg,
        "<text class=\"m\" x=\"{LEFT}\" y=\"{y}\">0</text>\
         <text class=\"m\" x=\"{}\" y=\"{y}\">share of the replies over each</text>\
         <text class=\"m\" x=\"{end}\" y=\"{y}\">{}</text>\
         <text class=\"e\" x=\"{}\" y=\"{y}\">round trip</text>",
        (LEFT + end) / 2,
        percent(greatest),
        LEFT - 20,
    );
}
