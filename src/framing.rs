//! How a stream of bytes and messages map to each other: raw, lines, hex and frames.
//!
//! An [`Assembler`] turns bytes that arrive in any chunks into whole messages; [`encode`] is the
//! way back. Knows nothing of where bytes come from or go to.

use std::fmt;

/// The longest message of a byte stream in `lines`, `hex` or `frames`: 16 MiB. It has to be kept
/// until it is whole, and a peer without end must not take all memory.
pub const LONGEST_MESSAGE: usize = 16 << 20;

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

/// Whole messages out of chunks of any size. Holds at most one message's bytes.
#[derive(Debug)]
pub struct Assembler {
    format: Format,
    /// The most bytes a message may have.
    limit: usize,
    /// The message that has begun; for frames with its length before it.
    partial: Vec<u8>,
    line: u64,
    column: u64,
    /// Bytes of input seen in whole frames.
    offset: u64,
    hex: HexState,
}

#[derive(Debug, Clone, Copy, Default)]
struct HexState {
    /// The first digit of a byte.
    nibble: Option<u8>,
    /// Between `#` and the end of the line.
    comment: bool,
    /// Whether the line has any digit.
    digits: bool,
}

impl Assembler {
    /// An assembler for messages of at most `limit` bytes.
    #[must_use]
    pub fn new(format: Format, limit: usize) -> Self {
        Self {
            format,
            limit,
            partial: Vec::new(),
            line: 1,
            column: 1,
            offset: 0,
            hex: HexState::default(),
        }
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        !self.partial.is_empty() || self.hex.digits
    }

    /// Takes the next bytes and hands every message that they complete to `message`.
    ///
    /// # Errors
    /// At the first byte that cannot belong to a message, or that makes one too long. Messages
    /// before it have been handed out; nothing of the faulty one has.
    pub fn feed(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), Malformed> {
        match self.format {
            Format::Raw => {
                if !bytes.is_empty() {
                    message(bytes);
                }
                Ok(())
            }
            Format::Lines => self.feed_lines(bytes, message),
            Format::Hex => self.feed_hex(bytes, message),
            Format::Frames => self.feed_frames(bytes, message),
        }
    }

    /// The input has ended: hands out a last line that has no newline.
    ///
    /// # Errors
    /// When the input ends inside a byte or a frame.
    pub fn finish(&mut self, mut message: impl FnMut(&[u8])) -> Result<(), Malformed> {
        match self.format {
            Format::Raw => {}
            Format::Lines => {
                if !self.partial.is_empty() {
                    message(&self.partial);
                }
            }
            Format::Hex => self.end_hex_line(&mut message)?,
            Format::Frames => {
                if !self.partial.is_empty() {
                    let why = format!(
                        "the input ends inside a frame, {} bytes into it",
                        self.partial.len()
                    );
                    return Err(Malformed { position: Position::Byte(self.offset), why });
                }
            }
        }
        self.partial.clear();
        Ok(())
    }

    fn text_error(&self, column: u64, why: impl Into<String>) -> Malformed {
        Malformed { position: Position::Text { line: self.line, column }, why: why.into() }
    }

    fn too_long(&self, column: u64) -> Malformed {
        self.text_error(column, format!("the message is longer than {} bytes", self.limit))
    }

    fn feed_lines(
        &mut self,
        mut bytes: &[u8],
        mut message: impl FnMut(&[u8]),
    ) -> Result<(), Malformed> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let line = &bytes[..end];
            if self.partial.len() + line.len() > self.limit {
                return Err(self.too_long(self.limit as u64 + 1));
            }
            if self.partial.is_empty() {
                message(line);
            } else {
                self.partial.extend_from_slice(line);
                message(&self.partial);
                self.partial.clear();
            }
            self.line += 1;
            bytes = &bytes[end + 1..];
        }
        if self.partial.len() + bytes.len() > self.limit {
            return Err(self.too_long(self.limit as u64 + 1));
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    fn feed_hex(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), Malformed> {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_hex_line(&mut message)?;
                continue;
            }
            self.hex_byte(byte)?;
            self.column += 1;
        }
        Ok(())
    }

    fn hex_byte(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.hex.comment {
            return Ok(());
        }
        if let Some(digit) = char::from(byte).to_digit(16) {
            // A hex digit is below 16.
            let digit = digit as u8;
            self.hex.digits = true;
            match self.hex.nibble.take() {
                None => self.hex.nibble = Some(digit),
                Some(_) if self.partial.len() == self.limit => {
                    return Err(self.too_long(self.column - 1));
                }
                Some(high) => self.partial.push(high << 4 | digit),
            }
            return Ok(());
        }
        if byte == b'#' || byte == b':' || byte.is_ascii_whitespace() {
            if self.hex.nibble.is_some() {
                return Err(self.odd_digits());
            }
            self.hex.comment = byte == b'#';
            return Ok(());
        }
        let shown = byte.escape_ascii();
        Err(self.text_error(self.column, format!("'{shown}' is no hex digit")))
    }

    fn odd_digits(&self) -> Malformed {
        self.text_error(self.column - 1, "odd number of hex digits")
    }

    fn end_hex_line(&mut self, message: &mut impl FnMut(&[u8])) -> Result<(), Malformed> {
        if self.hex.nibble.is_some() {
            return Err(self.odd_digits());
        }
        if self.hex.digits {
            message(&self.partial);
        }
        self.partial.clear();
        self.hex = HexState::default();
        self.line += 1;
        self.column = 1;
        Ok(())
    }

    fn feed_frames(
        &mut self,
        mut bytes: &[u8],
        mut message: impl FnMut(&[u8]),
    ) -> Result<(), Malformed> {
        loop {
            if self.partial.is_empty()
                && let Some((length, rest)) = bytes.split_first_chunk::<4>()
            {
                let length = self.frame_length(*length)?;
                if let Some((payload, rest)) = rest.split_at_checked(length) {
                    message(payload);
                    self.offset += 4 + length as u64;
                    bytes = rest;
                    continue;
                }
            }
            if bytes.is_empty() {
                return Ok(());
            }
            if self.partial.len() < 4 {
                let some = bytes.len().min(4 - self.partial.len());
                self.partial.extend_from_slice(&bytes[..some]);
                bytes = &bytes[some..];
            }
            let Some(length) = self.partial.first_chunk::<4>().copied() else {
                return Ok(());
            };
            let length = self.frame_length(length)?;
            let some = bytes.len().min(4 + length - self.partial.len());
            self.partial.extend_from_slice(&bytes[..some]);
            bytes = &bytes[some..];
            if self.partial.len() == 4 + length {
                message(&self.partial[4..]);
                self.partial.clear();
                self.offset += 4 + length as u64;
            }
        }
    }

    fn frame_length(&self, bytes: [u8; 4]) -> Result<usize, Malformed> {
        let length = u32::from_be_bytes(bytes) as usize;
        if length <= self.limit {
            return Ok(length);
        }
        let why = format!("a frame of {length} bytes, and the most is {}", self.limit);
        Err(Malformed { position: Position::Byte(self.offset), why })
    }
}

/// Writes a message down in a format, at the end of `out`. A datagram that ends in a newline is a
/// line already: `echo x | nc -u` sends one.
pub fn encode(format: Format, message: &[u8], out: &mut Vec<u8>) {
    match format {
        Format::Raw => out.extend_from_slice(message),
        Format::Lines => {
            out.extend_from_slice(message);
            if !message.ends_with(b"\n") {
                out.push(b'\n');
            }
        }
        Format::Hex => {
            let start = out.len();
            out.resize(start + 2 * message.len(), 0);
            // The slice has exactly the length that encoding needs.
            let _ = hex::encode_to_slice(message, &mut out[start..]);
            out.push(b'\n');
        }
        Format::Frames => {
            out.extend_from_slice(&length_prefix(message));
            out.extend_from_slice(message);
        }
    }
}

/// The 4-byte big-endian length that stands before a message in `frames`.
#[must_use]
pub fn length_prefix(message: &[u8]) -> [u8; 4] {
    u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Reads hex digits given as one word of the command line: one message, also an empty one.
///
/// # Errors
/// At the first character that is no hex digit, white space, `:` or comment.
pub fn parse_hex(text: &str, limit: usize) -> Result<Vec<u8>, Malformed> {
    let mut assembler = Assembler::new(Format::Hex, limit);
    let mut message = Vec::new();
    let mut keep = |bytes: &[u8]| message.extend_from_slice(bytes);
    assembler.feed(text.as_bytes(), &mut keep)?;
    assembler.finish(&mut keep)?;
    Ok(message)
}

/// Turns LF into CRLF; a CRLF stays one, also when it is cut between two chunks.
#[derive(Debug, Default)]
pub struct Crlf {
    after_cr: bool,
}

impl Crlf {
    /// Converts the next bytes, to the end of `out`.
    pub fn convert(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if byte == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            out.push(byte);
            self.after_cr = byte == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(format: Format, limit: usize, chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut assembler = Assembler::new(format, limit);
        let mut messages = Vec::new();
        for chunk in chunks {
            assembler.feed(chunk, |m| messages.push(m.to_vec()))?;
        }
        assembler.finish(|m| messages.push(m.to_vec()))?;
        Ok(messages)
    }

    #[test]
    fn a_last_line_needs_no_newline_and_an_empty_line_is_a_message() {
        let got = all(Format::Lines, 9, &[b"a\n\nb", b"c"]).unwrap();
        assert_eq!(got, [&b"a"[..], b"", b"bc"]);
    }

    #[test]
    fn hex_errors_name_line_and_column() {
        let error = all(Format::Hex, 9, &[b"00\n\n00 11 2\n"]).unwrap_err();
        assert_eq!(error.to_string(), "line 3, column 7: odd number of hex digits");
        let error = all(Format::Hex, 9, &[b"0g"]).unwrap_err();
        assert_eq!(error.to_string(), "line 1, column 2: 'g' is no hex digit");
        let got = all(Format::Hex, 9, &[b"00:01 0", b"2 # zero one two\n# nothing\n\nff"]).unwrap();
        assert_eq!(got, [&[0u8, 1, 2][..], &[255]]);
    }

    #[test]
    fn frames_that_are_too_long_or_cut_short_are_errors_at_their_offset() {
        let error = all(Format::Frames, 3, &[b"\0\0\0\x01a\0\0\0\x04"]).unwrap_err();
        assert_eq!(error.position, Position::Byte(5));
        let error = all(Format::Frames, 3, &[b"\0\0\0\x01a\0\0\0\x02x"]).unwrap_err();
        assert_eq!(error.position, Position::Byte(5));
    }

    #[test]
    fn a_message_has_a_limit_in_every_format() {
        assert!(all(Format::Lines, 3, &[b"abc"]).is_ok());
        assert!(all(Format::Lines, 3, &[b"abcd"]).is_err());
        assert!(all(Format::Lines, 3, &[b"ab", b"cd\n"]).is_err());
        assert!(all(Format::Hex, 1, &[b"0000"]).is_err());
    }

    #[test]
    fn crlf_stays_one_also_across_chunks() {
        let mut crlf = Crlf::default();
        let mut out = Vec::new();
        for chunk in [&b"a\nb\r"[..], b"\nc\n", b"\n"] {
            crlf.convert(chunk, &mut out);
        }
        assert_eq!(out, b"a\r\nb\r\nc\r\n\r\n");
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_read_back_whatever_the_chunks(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            chunk in 1usize..50,
            which in 0usize..2,
        ) {
            let format = [Format::Frames, Format::Hex][which];
            let mut wire = Vec::new();
            for message in &messages {
                encode(format, message, &mut wire);
            }
            let chunks: Vec<&[u8]> = wire.chunks(chunk).collect();
            let mut want = messages.clone();
            if format == Format::Hex {
                want.retain(|m| !m.is_empty());
            }
            prop_assert_eq!(all(format, 40, &chunks).unwrap(), want);
        }

        #[test]
        fn any_bytes_in_any_chunks_are_messages_or_an_error_and_never_more_than_the_limit(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            chunk in 1usize..50,
            limit in 0usize..30,
            which in 0usize..3,
        ) {
            let format = [Format::Lines, Format::Hex, Format::Frames][which];
            let chunks: Vec<&[u8]> = bytes.chunks(chunk).collect();
            let whole = all(format, limit, &[&bytes]);
            prop_assert_eq!(&all(format, limit, &chunks), &whole);
            if let Ok(messages) = whole {
                prop_assert!(messages.iter().all(|m| m.len() <= limit));
            }
        }
    }
}
