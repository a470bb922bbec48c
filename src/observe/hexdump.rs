//! Formats bytes as `hexdump -C` lines.
//!
//! A dump is five times as long as its bytes, so it has to be fast: a line is formatted in a buffer
//! of fixed width, and many lines are written in one call.

use std::io::{self, Write};
use std::sync::LazyLock;

use anstyle::{AnsiColor, Style};

/// Bytes shown in one line.
pub const WIDTH: usize = 16;

/// A full line with its newline: 8 digits of offset, two groups of eight bytes, the characters.
const LINE: usize = 79;

/// The column of the first digit of a byte.
const FIRST_DIGIT: usize = 10;

/// The column of the bar before the characters.
const BAR: usize = 60;

/// Lines that are gathered for one write.
const GATHER: usize = 64;

/// The two hex digits of every byte, so that a byte costs one load and one store.
static DIGITS: LazyLock<[[u8; 2]; 256]> = LazyLock::new(|| {
    let mut pairs = [[0; 2]; 256];
    for (byte, pair) in (0..=u8::MAX).zip(&mut pairs) {
        // Cannot fail: the slice has room for the two digits of one byte.
        let _ = hex::encode_to_slice([byte], pair);
    }
    pairs
});

/// Whether a dump has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// Plain text.
    Plain,
    /// Colours for the direction and the class of each byte.
    Coloured,
}

/// Writes `bytes` as lines, the first of them labelled `offset`; nothing for no bytes.
///
/// # Errors
/// Those of the destination.
pub fn write(out: &mut impl Write, bytes: &[u8], offset: u64, paint: Paint) -> io::Result<()> {
    match paint {
        Paint::Plain => write_plain(out, bytes, offset),
        Paint::Coloured => write_coloured(out, bytes, offset),
    }
}

fn write_plain(out: &mut impl Write, bytes: &[u8], offset: u64) -> io::Result<()> {
    let digits = &*DIGITS;
    let mut lines = [0; GATHER * LINE];
    let mut at = offset;
    for chunk in bytes.chunks(GATHER * WIDTH) {
        if at + (chunk.len() as u64) <= 1 << 32 {
            let mut used = 0;
            for (row, line) in chunk.chunks(WIDTH).zip(lines.as_chunks_mut::<LINE>().0) {
                used += lay_out(line, row, at as u32, digits);
                at += row.len() as u64;
            }
            out.write_all(&lines[..used])?;
        } else {
            // Beyond 4 GiB an offset has more than 8 digits, which the fixed line has no room for.
            for row in chunk.chunks(WIDTH) {
                let mut line = [0; LINE];
                let used = lay_out(&mut line, row, at as u32, digits);
                if at >> 32 > 0 {
                    write!(out, "{:x}", at >> 32)?;
                }
                out.write_all(&line[..used])?;
                at += row.len() as u64;
            }
        }
    }
    Ok(())
}

/// The column of a byte's first digit.
const fn column(index: usize) -> usize {
    // A second space separates the two groups of eight.
    FIRST_DIGIT + 3 * index + if index < WIDTH / 2 { 0 } else { 1 }
}

/// Formats the line of up to 16 bytes and returns its length.
fn lay_out(line: &mut [u8; LINE], row: &[u8], offset: u32, digits: &[[u8; 2]; 256]) -> usize {
    for (index, byte) in offset.to_be_bytes().into_iter().enumerate() {
        line[2 * index..][..2].copy_from_slice(&digits[usize::from(byte)]);
    }
    line[8..BAR].fill(b' ');
    line[BAR] = b'|';
    match row.first_chunk::<WIDTH>() {
        // With a constant number of bytes the compiler removes the bounds checks.
        Some(row) => lay_out_bytes(line, row, digits),
        None => lay_out_bytes(line, row, digits),
    }
    let end = BAR + 1 + row.len();
    line[end] = b'|';
    line[end + 1] = b'\n';
    end + 2
}

#[inline(always)]
fn lay_out_bytes(line: &mut [u8; LINE], row: &[u8], digits: &[[u8; 2]; 256]) {
    for (index, byte) in row.iter().enumerate() {
        line[column(index)..][..2].copy_from_slice(&digits[usize::from(*byte)]);
    }
    for (shown, byte) in line[BAR + 1..].iter_mut().zip(row) {
        *shown = character(*byte);
    }
}

fn character(byte: u8) -> u8 {
    if matches!(byte, b' '..=b'~') { byte } else { b'.' }
}

/// The class of a byte, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Null,
    Printable,
    Space,
    Control,
    /// Not ASCII: a part of a UTF-8 character, or no text.
    High,
}

impl Class {
    fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Null,
            b'!'..=b'~' => Self::Printable,
            b' ' | b'\t'..=b'\r' => Self::Space,
            0x80.. => Self::High,
            _ => Self::Control,
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Null => AnsiColor::BrightBlack.on_default(),
            Self::Printable => AnsiColor::Cyan.on_default(),
            Self::Space => AnsiColor::Green.on_default(),
            Self::Control => AnsiColor::Magenta.on_default(),
            Self::High => AnsiColor::Yellow.on_default(),
        }
    }
}

fn write_coloured(out: &mut impl Write, bytes: &[u8], offset: u64) -> io::Result<()> {
    let digits = &*DIGITS;
    let dim = AnsiColor::BrightBlack.on_default();
    let mut at = offset;
    for row in bytes.chunks(WIDTH) {
        let mut line = [0; LINE];
        lay_out(&mut line, row, at as u32, digits);
        write!(out, "{dim}")?;
        if at >> 32 > 0 {
            write!(out, "{:x}", at >> 32)?;
        }
        out.write_all(&line[..8])?;
        write!(out, "{dim:#}  ")?;
        let mut end = FIRST_DIGIT;
        in_runs(row, |run, style| {
            // Spaces have no visible colour, so a run is coloured as a whole; those before it stay
            // outside.
            let (first, last) = (column(run.start), column(run.end - 1) + 2);
            out.write_all(&line[end..first])?;
            write!(out, "{style}")?;
            out.write_all(&line[first..last])?;
            end = last;
            write!(out, "{style:#}")
        })?;
        out.write_all(&line[end..=BAR])?;
        in_runs(row, |run, style| {
            write!(out, "{style}")?;
            out.write_all(&line[BAR + 1 + run.start..BAR + 1 + run.end])?;
            write!(out, "{style:#}")
        })?;
        out.write_all(b"|\n")?;
        at += row.len() as u64;
    }
    Ok(())
}

/// Calls `show` for each run of bytes of one class.
fn in_runs(
    row: &[u8],
    mut show: impl FnMut(std::ops::Range<usize>, Style) -> io::Result<()>,
) -> io::Result<()> {
    let mut start = 0;
    for run in row.chunk_by(|a, b| Class::of(*a) == Class::of(*b)) {
        let end = start + run.len();
        show(start..end, Class::of(run[0]).style())?;
        start = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dumped(bytes: &[u8], offset: u64, paint: Paint) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes, offset, paint).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Offsets, bytes and characters of a dump, read by columns.
    fn read_back(text: &str) -> Vec<(u64, Vec<u8>, String)> {
        let one = |line: &str| {
            let digits = line.find(' ').unwrap();
            let rest = &line[digits..];
            let (bytes, characters) = rest.split_at(BAR - 8);
            let bytes = bytes.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap());
            let characters = characters.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
            (
                u64::from_str_radix(&line[..digits], 16).unwrap(),
                bytes.collect(),
                characters.to_owned(),
            )
        };
        text.lines().map(one).collect()
    }

    #[test]
    fn lines_are_those_of_the_contract() {
        assert_eq!(
            dumped(b"hello, world", 0, Paint::Plain),
            "00000000  68 65 6c 6c 6f 2c 20 77  6f 72 6c 64              |hello, world|\n"
        );
        assert_eq!(
            dumped(b"\x00\x1f ~\x7f\xff0123456789x", 0xABC, Paint::Plain),
            "00000abc  00 1f 20 7e 7f ff 30 31  32 33 34 35 36 37 38 39  |.. ~..0123456789|\n\
             00000acc  78                                                |x|\n"
        );
        assert_eq!(dumped(b"", 7, Paint::Plain), "");
    }

    #[test]
    fn offsets_grow_beyond_eight_digits() {
        let text = dumped(&[b'a'; 40], (1 << 32) - 16, Paint::Plain);
        let offsets: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(offsets, ["fffffff0", "100000000", "100000010"]);
        assert!(text.lines().nth(1).unwrap().ends_with("  |aaaaaaaaaaaaaaaa|"));
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let bytes: Vec<u8> = (0..=255).chain([0, 0, b'a', b'b', b' ']).collect();
        for offset in [0, (1 << 32) + 5] {
            let coloured = dumped(&bytes, offset, Paint::Coloured);
            let mut plain = String::new();
            for (index, part) in coloured.split("\x1b[").enumerate() {
                plain += if index == 0 { part } else { part.split_once('m').unwrap().1 };
            }
            assert_eq!(plain, dumped(&bytes, offset, Paint::Plain));
        }
    }

    proptest! {
        #[test]
        fn the_bytes_come_back_from_the_lines(
            bytes in prop::collection::vec(any::<u8>(), 0..3000),
            offset in prop_oneof![0u64..100_000, (1u64 << 32) - 2000..(1u64 << 32) + 2000],
        ) {
            let lines = read_back(&dumped(&bytes, offset, Paint::Plain));
            let mut at = offset;
            let mut all = Vec::new();
            for (label, row, characters) in lines {
                prop_assert_eq!(label, at);
                prop_assert_eq!(row.len(), characters.len());
                at += row.len() as u64;
                all.extend(row);
            }
            prop_assert_eq!(all, bytes);
        }
    }
}
