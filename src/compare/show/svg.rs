//! The same chart of round-trip times as a standalone SVG image, for light and dark pages (`--svg`).

use std::fmt::Write as _;
use std::time::Duration;

use crate::compare::Comparison;
use crate::compare::show::plot::Rows;
use crate::compare::show::text::{grouped, percent, time, time_or_dash};

/// The layout, in pixels.
const WIDTH: usize = 720;
const ROW: usize = 26;
const TOP: usize = 96;
const LEFT: usize = 84;
/// The length of the longest bar, which leaves room for the share after it.
const BAR: f64 = 560.0;

/// Blue and orange of medium lightness: they can be told apart by people who are red-green colour-blind,
/// and are visible on white and on black.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#555}\
.t{font-size:16px;font-weight:600}.n{font-size:10px}.e{text-anchor:end}\
.tcp{fill:#2f7fc1}.udp{fill:#d98218}line{stroke:#888;stroke-opacity:.4}\
@media(prefers-color-scheme:dark){text{fill:#bbb}}";

/// The SVG document.
#[must_use]
pub(crate) fn draw(comparison: &Comparison) -> String {
    let (tcp, udp) = (&comparison.tcp.round_trips, &comparison.udp.round_trips);
    let rows = Rows::new(tcp, udp);
    let count = rows.as_ref().map_or(1, |rows| rows.tcp.len());
    let height = TOP + count * ROW + 16;
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n\
         <title>Round trips over TCP and UDP</title>\n<style>{STYLE}</style>\n\
         <text class=\"t\" x=\"16\" y=\"28\">Round trips over TCP and UDP</text>\n"
    );
    for (place, class, name, trips) in [(0, "tcp", "TCP", tcp), (1, "udp", "UDP", udp)] {
        let y = 44 + place * 20;
        let [median, p99] = [0.5, 0.99].map(|share| time_or_dash(trips.quantile(share)));
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"16\" y=\"{y}\" width=\"12\" height=\"12\"/>\
             <text x=\"36\" y=\"{}\">{name}: {} replies, median {median}, 99% within {p99}</text>",
            y + 11,
            grouped(trips.count()),
        );
    }
    match rows {
        None => {
            let _ = writeln!(svg, "<text x=\"16\" y=\"{}\">No reply.</text>", TOP + 12);
        }
        Some(rows) => bars(&rows, tcp.count(), udp.count(), &mut svg),
    }
    svg.push_str("</svg>\n");
    svg
}

fn bars(rows: &Rows, of_tcp: u64, of_udp: u64, svg: &mut String) {
    let greatest = rows.greatest_share();
    for (row, start) in rows.starts.iter().enumerate() {
        let y = TOP + row * ROW;
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\"/>\
             <text class=\"e\" x=\"{}\" y=\"{}\">{}</text>",
            WIDTH - 16,
            LEFT - 8,
            y + 4,
            time(Duration::from_nanos(*start)),
        );
        let halves =
            [("tcp", rows.tcp.get(row), of_tcp, 2), ("udp", rows.udp.get(row), of_udp, 13)];
        for (class, n, of, below) in halves {
            let Some(n) = n.filter(|n| **n > 0) else { continue };
            let share = *n as f64 / of.max(1) as f64;
            let width = (share / greatest * BAR).max(1.0);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"10\"/>\
                 <text class=\"n\" x=\"{:.1}\" y=\"{}\">{}</text>",
                y + below,
                LEFT as f64 + width + 5.0,
                y + below + 9,
                percent(share),
            );
        }
    }
}
