//! The time line for the screen: messages from left to right, their round trips upwards, losses below.

use std::fmt::Write as _;

use crate::chart::scale::{Scale, Spread};
use crate::chart::series::{Captions, Series};
use crate::chart::text::{grouped, time};
use crate::chart::timeline::Bin;

/// Columns and rows of the drawing itself.
const WIDTH: usize = 64;
const HEIGHT: usize = 15;

/// How each series is drawn, and where both are.
const MARKS: [char; 2] = ['▓', '•'];
const BOTH: char = '◘';
const LOST: char = '×';

/// The drawing.
#[must_use]
pub(crate) fn draw(series: &[Series<'_>], captions: &Captions<'_>) -> String {
    let mut text = String::from("\n");
    let Some(scale) = Scale::new(series) else {
        text.push_str("  No reply, no time line to draw.\n");
        return text;
    };
    let length = series.iter().map(|one| one.timeline.length()).max().unwrap_or(0);
    let columns: Vec<_> = series.iter().map(|one| one.timeline.columns(length, WIDTH)).collect();
    legend(series, &scale, &mut text);
    for (row, label) in labels(&scale).into_iter().enumerate().rev() {
        let cell = |column: usize| cell(&columns, column, row, &scale);
        line(&label, (0..WIDTH).map(cell), &mut text);
    }
    for (one, columns) in series.iter().zip(&columns) {
        if columns.iter().any(|bin| bin.lost() > 0) {
            let mark = |bin: &Bin| if bin.lost() > 0 { LOST } else { ' ' };
            line(&format!("{} lost", one.name), columns.iter().map(mark), &mut text);
        }
    }
    let (first, last) = ("1", grouped(length));
    let middle = WIDTH.saturating_sub(first.len() + last.len());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {:>9}  {first}{:^middle$}{last}", "", captions.numbered);
    text
}

fn legend(series: &[Series<'_>], scale: &Scale, text: &mut String) {
    let spread = match scale.spread {
        Spread::Straight => "",
        Spread::Logarithmic => ", logarithmic",
    };
    let _ = write!(text, "  round trip{spread}   ");
    for (mark, one) in MARKS.iter().zip(series) {
        let _ = write!(text, " {mark} {}", one.name);
    }
    if series.len() > 1 {
        let _ = write!(text, " {BOTH} both");
    }
    text.push('\n');
}

fn line(label: &str, cells: impl Iterator<Item = char>, text: &mut String) {
    let cells: String = cells.collect();
    let _ = writeln!(text, "{}", format!("  {label:>9} ▕{cells}").trim_end());
}

/// What stands beside each row, from the lowest.
fn labels(scale: &Scale) -> Vec<String> {
    let mut labels = vec![String::new(); HEIGHT];
    for tick in scale.ticks() {
        let label = &mut labels[row(scale.place(tick))];
        if label.is_empty() {
            *label = if tick.is_zero() { "0".to_owned() } else { time(tick) };
        }
    }
    // The upper end in any case.
    if let (Some(last), Some(label)) = (scale.ticks().last(), labels.last_mut()) {
        *label = time(*last);
    }
    labels
}

fn row(place: f64) -> usize {
    ((place * (HEIGHT - 1) as f64).round() as usize).min(HEIGHT - 1)
}

fn cell(columns: &[Vec<Bin>], column: usize, at: usize, scale: &Scale) -> char {
    let is_there = |columns: &Vec<Bin>| {
        let bin = columns[column];
        let rows = row(scale.place(bin.least))..=row(scale.place(bin.greatest));
        bin.answered > 0 && rows.contains(&at)
    };
    let mut there = columns.iter().map(is_there);
    match (there.next() == Some(true), there.next() == Some(true)) {
        (true, true) => BOTH,
        (true, false) => MARKS[0],
        (false, true) => MARKS[1],
        (false, false) => ' ',
    }
}
