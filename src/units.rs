//! Durations and sizes as they are written on the command line.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// Reads a duration: `250ms`, `2s`, `1.5m`; a bare number is seconds.
///
/// # Errors
/// When the text is not written like that, or the duration is longer than a thousand years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let seconds: f64 =
            text.parse().map_err(|_| "write it as 250ms, 2s, 1m or a number of seconds")?;
        return Duration::try_from_secs_f64(seconds)
            .map_err(|e| e.to_string())
            .and_then(for_the_clock);
    }
    // humantime reads `M` as months, which somebody who writes `1M` for a minute does not expect.
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return Err("write it as 250ms, 2s, 1m or a number of seconds".to_owned());
    }
    humantime::parse_duration(text)
        .map_err(|e| format!("{e}; write it as 250ms, 2s, 1m or a number of seconds"))
        .and_then(for_the_clock)
}

/// Refuses durations so long that a sum of several could overflow `Instant`.
fn for_the_clock(duration: Duration) -> Result<Duration, String> {
    match duration.as_secs() <= LONGEST.as_secs() {
        true => Ok(duration),
        false => Err("is longer than a thousand years".to_owned()),
    }
}

/// A thousand years: longer than anybody waits, and still far from overflowing `Instant`.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// Reads a size in bytes: `1400`, `64k` = 64,000, `64KiB` = 65,536.
///
/// # Errors
/// When the text is no number, alone or followed by one of the units k, M, G, KiB, MiB, GiB and so on.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    if digits.is_empty() {
        return text.parse().map_err(|_| "the number is too large".to_owned());
    }
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("write it as 1400, 64k (64,000) or 64KiB (65,536)".to_owned());
    }
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| "write it as 1400, 64k (64,000) or 64KiB (65,536)".to_owned())
}

/// Reads bits a second: `10M` = 10,000,000, `500kbit`, `64Ki`.
///
/// # Errors
/// When the text is no number with one of the units k, M, G, Ki, Mi, Gi ...
pub fn bits(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let number = number.strip_suffix("bit").unwrap_or(number);
    size(number).map_err(|_| "write it as 10M or 10Mbit: bits a second".to_owned())
}

/// A number of bytes for people: `5 bytes`, `1.5 MiB`.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    if bytes < 10_000 {
        format!("{bytes} bytes")
    } else {
        ByteSize(bytes).display().iec().to_string()
    }
}

/// A time that can be written as RFC 3339 has it: not before 1970, which humantime refuses by a panic
/// and a clock that was never set may show.
#[must_use]
pub(crate) fn writable(time: SystemTime) -> SystemTime {
    time.max(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bare_numbers_are_seconds() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert!(duration("1M").is_err());
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        for bad in [
            "",
            "-1",
            "x",
            "1 parsec",
            ".",
            "1e400",
            "99999999999999999999999",
            "9300000000000000000",
            "2000years",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn rates_are_in_bits() {
        assert_eq!(bits("10M"), Ok(10_000_000));
        assert_eq!(bits("10Mbit"), Ok(10_000_000));
        assert_eq!(bits("64kbit/s"), Ok(64_000));
        assert_eq!(bits("800"), Ok(800));
        assert!(bits("bit").is_err() && bits("").is_err() && bits("1 furlong").is_err());
    }

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        assert_eq!(size("1400"), Ok(1400));
        assert_eq!(size("64k"), Ok(64_000));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("2M"), Ok(2_000_000));
        for bad in ["", "-1", "k", "1 furlong", "99999999999999999999999"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
