//! Bytes that arrive in any chunks, made into whole messages again.

use crate::engine::framing::format::{Format, Malformed, Position};

/// Bytes that are kept for the next message once one is complete.
const KEPT: usize = 4096;

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
    /// What came that is no message: nobody can tell where behind it the next one begins.
    fault: Option<Box<Malformed>>,
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
            fault: None,
        }
    }

    /// Bytes of memory that the message that has begun takes.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.capacity()
    }

    /// The message that had begun is complete: little memory is kept for the next one, because
    /// there may be very many assemblers.
    fn forget(&mut self) {
        self.partial.clear();
        self.partial.shrink_to(KEPT);
    }

    /// Whether a message has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        !self.partial.is_empty() || self.hex.digits
    }

    /// Takes the next bytes and hands every message that they complete to `message`.
    ///
    /// # Errors
    /// At the first byte that cannot belong to a message, or that makes one too long, and from then
    /// on. Messages before it have been handed out; nothing of the faulty one has, or will be.
    pub fn feed(&mut self, bytes: &[u8], mut message: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.check()?;
        let fed = match self.format {
            Format::Raw => {
                if !bytes.is_empty() {
                    message(bytes);
                }
                Ok(())
            }
            Format::Lines => self.feed_lines(bytes, message),
            Format::Hex => self.feed_hex(bytes, message),
            Format::Frames => self.feed_frames(bytes, message),
        };
        if let Err(fault) = &fed {
            self.partial = Vec::new();
            self.fault = Some(Box::new(fault.clone()));
        }
        fed
    }

    /// The input has ended: hands out a last line that has no newline.
    ///
    /// # Errors
    /// When the input ends inside a byte or a frame, or held what is no message.
    pub fn finish(&mut self, mut message: impl FnMut(&[u8])) -> Result<(), Malformed> {
        self.check()?;
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

    fn check(&self) -> Result<(), Malformed> {
        self.fault.as_deref().map_or(Ok(()), |fault| Err(fault.clone()))
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
                self.forget();
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
                self.forget();
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
