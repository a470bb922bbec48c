//! Bytes as text with escapes: `\r \n \t \0 \\ \xHH`, both ways.

use std::fmt::Write as _;

/// The escapes there are, for whoever wrote another one.
pub const ESCAPES: &str = r"\r \n \t \0 \\ and \xHH are escapes";

/// The bytes that a text with escapes stands for.
///
/// # Errors
/// The first backslash with what follows it, where that is no escape.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let (byte, length) = match escape.as_bytes().first() {
            Some(b'r') => (b'\r', 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'0') => (0, 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => match escape.get(1..3).map(|digits| u8::from_str_radix(digits, 16)) {
                // A sign is no digit, though numbers may have one.
                Some(Ok(byte)) if !escape[1..].starts_with('+') => (byte, 3),
                _ => return Err(escape_at(escape, 3)),
            },
            _ => return Err(escape_at(escape, 1)),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// A backslash and at most so many characters of what follows it.
fn escape_at(rest: &str, most: usize) -> String {
    rest.chars().take(most).fold("\\".to_owned(), |mut all, character| {
        all.push(character);
        all
    })
}

/// Bytes as printable ASCII, with escapes for all others: what [`unescape`] reads back.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_back_and_stays_printable() {
        let all: Vec<u8> = (0..=255).collect();
        let text = escape(&all);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{text}");
        assert_eq!(unescape(&text), Ok(all));
    }

    #[test]
    fn text_without_a_backslash_is_its_bytes_and_other_escapes_are_named() {
        assert_eq!(unescape("gr\u{fc}n 1+1").unwrap(), "gr\u{fc}n 1+1".as_bytes());
        assert_eq!(unescape(r"a\r\n\x4a\xfF\0\t\\n").unwrap(), b"a\r\nJ\xff\0\t\\n");
        for (text, named) in [
            (r"a\q", r"\q"),
            ("a\\", "\\"),
            (r"\x4", r"\x4"),
            (r"\xg0.", r"\xg0"),
            (r"\x+1", r"\x+1"),
            ("\\x4\u{fc}", "\\x4\u{fc}"),
            ("\\\u{fc}", "\\\u{fc}"),
            (r"\N", r"\N"),
        ] {
            assert_eq!(unescape(text), Err(named.to_owned()), "{text}");
        }
    }
}
