//! How a stream of bytes and messages map to each other: raw, lines, hex and frames.
//!
//! An [`Assembler`] turns bytes that arrive in any chunks into whole messages; [`encode`] is the
//! way back. Neither knows where bytes come from or go to.

mod assembler;
mod escapes;
mod format;

pub use assembler::Assembler;
pub use escapes::{ESCAPES, escape, unescape};
pub use format::{Format, Malformed, Position};

/// The longest message of a byte stream in `lines`, `hex` or `frames`: 16 MiB. It has to be kept
/// until it is whole, and a peer without end must not take all memory.
pub const LONGEST_MESSAGE: usize = 16 << 20;

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

    /// Takes note of the next bytes, which are sent as they are.
    pub fn pass(&mut self, bytes: &[u8]) {
        if let Some(&last) = bytes.last() {
            self.after_cr = last == b'\r';
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
