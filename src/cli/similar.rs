//! Words that are nearly the same.

/// Whether one word was probably meant by the other: the parser finds words alike that only have
/// letters in common.
pub(super) fn is_close(known: &str, written: &str) -> bool {
    let (known, written) = (known.trim_start_matches('-'), written.trim_start_matches('-'));
    let shorter = known.len().min(written.len());
    let begins = known.starts_with(written) || written.starts_with(known);
    strsim::osa_distance(known, written) <= shorter / 4 || begins && shorter >= 4
}
