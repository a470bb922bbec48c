//! The formats, and the error for bytes that do not follow theirs.

use std::fmt;

/// How messages are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// No messages: bytes as they are.
    Raw,
    /// One line is one message; the newline is not part of it.
    Lines,
    /// One line of hex digits is one message.
    Hex,
    /// A 4-byte big-endian length stands before every message.
    Frames,
}

/// Bytes that are no message of their format, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Line and column, or the offset of a byte.
    pub position: Position,
    /// What is wrong there.
    pub why: String,
}

/// A place in the input, counted from 1 (lines, columns) or 0 (byte offsets).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// For formats made of lines.
    Text {
        /// Counted from 1.
        line: u64,
        /// In bytes, counted from 1.
        column: u64,
    },
    /// For `frames`.
    Byte(u64),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Text { line, column } => write!(f, "line {line}, column {column}: ")?,
            Position::Byte(offset) => write!(f, "byte {offset}: ")?,
        }
        f.write_str(&self.why)
    }
}
