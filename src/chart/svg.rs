//! Histogram and time line as a picture: a standalone SVG for light and dark pages.

mod bars;
mod course;
mod paper;

use std::fmt::Write as _;

use crate::chart::series::{Captions, Series};
use crate::chart::text::{grouped, percent, time_or_dash};
use paper::{MARGIN, WIDTH};

/// Colours of middling lightness, told apart also by those who see no red or no green, and seen
/// on white and on black.
const STYLE: &str = "\
text{font:13px system-ui,'DejaVu Sans',sans-serif;fill:#444}\
.h{font-size:17px;font-weight:600}.c{font-weight:600}.n{font-size:11px}.e{text-anchor:end}.m{text-anchor:middle}\
.a{fill:#2f7fc1}.b{fill:#d98218}\
.la{fill:none;stroke:#2f7fc1;stroke-width:1.6;stroke-linejoin:round}\
.lb{fill:none;stroke:#d98218;stroke-width:4;stroke-linecap:round}\
.xa,.xb{fill:none;stroke-width:1.6}.xa{stroke:#2f7fc1}.xb{stroke:#d98218}\
.g{stroke:#888;stroke-opacity:.35}\
@media(prefers-color-scheme:dark){text{fill:#ccc}}";

/// The picture.
#[must_use]
pub(crate) fn draw(series: &[Series<'_>], captions: &Captions<'_>) -> String {
    let mut body = String::new();
    let mut top = MARGIN + 16;
    let title = captions.title;
    // Writing to a string cannot fail.
    let _ = writeln!(body, "<text class=\"h\" x=\"{MARGIN}\" y=\"{top}\">{title}</text>");
    top += 14;
    for (one, class) in series.iter().zip(paper::CLASSES) {
        let [median, p99] = [0.5, 0.99].map(|share| time_or_dash(one.trips.quantile(share)));
        let _ = writeln!(
            body,
            "<rect class=\"{class}\" x=\"{MARGIN}\" y=\"{top}\" width=\"12\" height=\"12\"/>\
             <text x=\"{}\" y=\"{}\">{}: {} replies, median {median}, 99% within {p99}{}</text>",
            MARGIN + 20,
            top + 11,
            one.name,
            grouped(one.trips.count()),
            lost(one),
        );
        top += 20;
    }
    top += 22;
    top += course::draw(series, captions, top, &mut body);
    top += 22;
    top += bars::draw(series, captions, top, &mut body);
    let height = top + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// How many of all messages were lost, if any.
fn lost(one: &Series<'_>) -> String {
    let (mut sent, mut lost) = (0, 0);
    for (_, bin) in one.timeline.bins() {
        sent += bin.sent;
        lost += bin.lost();
    }
    match lost {
        0 => String::new(),
        _ => format!(
            "; {} of {} lost ({})",
            grouped(lost),
            grouped(sent),
            percent(lost as f64 / sent as f64)
        ),
    }
}
