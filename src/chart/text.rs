//! Formats numbers, sentences and tables for people.

use std::fmt::Write as _;
use std::time::Duration;

/// The width of the widest line, in columns.
pub(crate) const WIDTH: usize = 80;

/// A number with its digits in groups: `1234567` as `1,234,567`.
#[must_use]
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three significant digits: `1.23`, `12.3`, `123`.
fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// A time: `870 ns`, `12.3 µs`, `1.23 ms`, `1.23 s`.
#[must_use]
pub(crate) fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (unit, size) = match time.as_nanos() {
        0..1_000 => return format!("{} ns", time.as_nanos()),
        1_000..999_500 => ("µs", 1e3),
        999_500..999_500_000 => ("ms", 1e6),
        _ => ("s", 1e9),
    };
    format!("{} {unit}", three_digits(nanos / size))
}

/// A time, or a dash if there is none.
#[must_use]
pub(crate) fn time_or_dash(value: Option<Duration>) -> String {
    value.map_or_else(|| "-".to_owned(), time)
}

/// A measured number, rounded to the three digits that are significant: `210,000`.
#[must_use]
pub(crate) fn rounded(value: f64) -> String {
    if value < 1000.0 {
        return three_digits(value);
    }
    let unit = 10f64.powf(value.log10().floor() - 2.0);
    grouped(((value / unit).round() * unit).round() as u64)
}

/// Sizes in the units of IEC 80000-13.
const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const GIB: f64 = 1024.0 * MIB;

/// Bytes a second, in the units of all commands: `12.8 MiB/s`.
#[must_use]
pub(crate) fn rate(bytes: f64) -> String {
    let (unit, size) = match bytes {
        b if b < KIB => ("B/s", 1.0),
        b if b < MIB => ("KiB/s", KIB),
        b if b < GIB => ("MiB/s", MIB),
        _ => ("GiB/s", GIB),
    };
    format!("{} {unit}", three_digits(bytes / size))
}

/// A share: `5%`, `2.5%`.
#[must_use]
pub(crate) fn percent(share: f64) -> String {
    let percent = (share * 1000.0).round() / 10.0;
    format!("{percent}%")
}

/// A number and a noun, in the plural unless the number is 1: `1 message`, `2 messages`.
#[must_use]
pub(crate) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Appends a paragraph in lines of at most [`WIDTH`] columns to `out`. The first begins with `mark`, and
/// the others are indented as far.
pub(crate) fn wrap(mark: &str, paragraph: &str, out: &mut String) {
    let indent = mark.chars().count();
    let mut column = indent;
    out.push_str(mark);
    for (i, word) in paragraph.split_whitespace().enumerate() {
        let width = word.chars().count();
        if i > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if i > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

/// The least widths in columns: of the names and of the first protocol's cells, and below of a rule.
const LEAST: [usize; 2] = [20, 29];
const RULE: usize = 78;

/// The least number of spaces between two cells.
const GAP: usize = 2;

/// A table of rows with a name and two cells. Each column is as wide as its longest cell needs.
#[derive(Debug, Default)]
pub(crate) struct Grid(Vec<Line>);

#[derive(Debug)]
enum Line {
    Row([String; 3]),
    Rule,
}

impl Grid {
    /// Adds a row.
    pub(crate) fn row(&mut self, name: &str, [first, second]: [impl Into<String>; 2]) {
        self.0.push(Line::Row([name.to_owned(), first.into(), second.into()]));
    }

    /// Adds a horizontal rule.
    pub(crate) fn rule(&mut self) {
        self.0.push(Line::Rule);
    }

    /// The length of the longest cell of a column, in characters.
    fn longest(&self, column: usize) -> usize {
        let length = |line: &Line| match line {
            Line::Row(cells) => cells[column].chars().count(),
            Line::Rule => 0,
        };
        self.0.iter().map(length).max().unwrap_or(0)
    }

    /// Appends the table to `out`, indented by two columns.
    pub(crate) fn write(&self, out: &mut String) {
        let [name, first] = [0, 1].map(|at| LEAST[at].max(self.longest(at) + GAP));
        let rule = RULE.max(name + first + self.longest(2));
        for line in &self.0 {
            let line = match line {
                Line::Row([fact, one, other]) => format!("  {fact:name$}{one:first$}{other}"),
                Line::Rule => format!("  {}", "─".repeat(rule)),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", line.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_they_deserve() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
        for (nanos, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_234, "1.23 µs"),
            (99_949, "99.9 µs"),
            (99_951, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (59_900_000_000, "59.9 s"),
            (600_000_000_000, "600 s"),
        ] {
            assert_eq!(time(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(rounded(210_498.0), "210,000");
        assert_eq!(rounded(12.345), "12.3");
        assert_eq!(rounded(999_999.0), "1,000,000");
        assert_eq!(rate(13_400_000.0), "12.8 MiB/s");
        assert_eq!([rate(1000.0), rate(2048.0)], ["1000 B/s", "2.00 KiB/s"]);
        assert_eq!([percent(0.05), percent(0.025), percent(0.30434)], ["5%", "2.5%", "30.4%"]);
    }

    #[test]
    fn paragraphs_fit_the_width() {
        let mut out = String::new();
        wrap("- ", &"word ".repeat(40), &mut out);
        assert!(out.lines().all(|line| line.len() <= WIDTH && line.len() > 1));
        assert!(out.lines().skip(1).all(|line| line.starts_with("  word")));
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut grid = Grid::default();
        grid.row("a name that is longer than most", ["short", "x"]);
        grid.row("b", ["a cell that is longer than its column", "y"]);
        grid.rule();
        let mut out = String::new();
        grid.write(&mut out);
        let lines: Vec<Vec<char>> = out.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines[0].iter().position(|c| *c == 'x'), Some(lines[0].len() - 1));
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(out.contains("column  y") && out.contains("most  short"), "{out}");
        assert!(lines[2].len() >= lines[1].len());
    }
}
