//! Several datagrams in one buffer, one behind the other: all of the same length but the last, which
//! may be shorter. Nothing is one empty datagram.

/// How many datagrams a buffer of this length holds, of which each but the last has `segment` bytes.
#[must_use]
pub(crate) fn count(length: usize, segment: usize) -> usize {
    if length == 0 { 1 } else { length.div_ceil(segment.max(1)) }
}

/// The datagrams in a buffer, of which each but the last has `segment` bytes.
pub(crate) fn messages(bytes: &[u8], segment: usize) -> impl Iterator<Item = &[u8]> {
    let empty = bytes.is_empty().then_some(bytes);
    empty.into_iter().chain(bytes.chunks(segment.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_one_empty_datagram_and_the_last_may_be_shorter() {
        let check = |bytes: &[u8], segment, want: &[&str]| {
            let found: Vec<_> = messages(bytes, segment).map(String::from_utf8_lossy).collect();
            assert_eq!(found, want);
            assert_eq!(count(bytes.len(), segment), want.len());
        };
        check(b"", 0, &[""]);
        check(b"", 7, &[""]);
        check(b"abc", 3, &["abc"]);
        check(b"abcd", 3, &["abc", "d"]);
        check(b"abcd", 9, &["abcd"]);
    }
}
