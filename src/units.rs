//! Durations and sizes as they are written on the command line.

use std::time::{Duration, SystemTime};

use bytesize::ByteSize;

/// How a duration is written.
const HOW_LONG: &str = "write it as 250ms, 2s, 1m or a number of seconds";

/// What is wrong with a duration that the clock cannot count to.
const TOO_LONG: &str = "is longer than a thousand years";

/// Reads a duration: `250ms`, `2s`, `1.5m`; a bare number is seconds.
///
/// # Errors
/// When the text is not written like that, or the duration is longer than a thousand years.
pub fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        let seconds: f64 = text.parse().map_err(|_| HOW_LONG)?;
        // Digits alone are no negative number, so that only its length can be wrong.
        let duration = Duration::try_from_secs_f64(seconds).map_err(|_| TOO_LONG)?;
        return for_the_clock(duration);
    }
    // humantime reads `M` as months, which somebody who writes `1M` for a minute does not expect.
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(HOW_LONG.to_owned());
    }
    match humantime::parse_duration(text) {
        Ok(duration) => for_the_clock(duration),
        // The same error is that of less than a nanosecond, which only a fraction can be.
        Err(humantime::DurationError::NumberOverflow) if !text.contains('.') => {
            Err(TOO_LONG.to_owned())
        }
        Err(error) => Err(format!("{error}; {HOW_LONG}")),
    }
}

/// Refuses durations so long that a sum of several could overflow `Instant`.
fn for_the_clock(duration: Duration) -> Result<Duration, String> {
    match duration.as_secs() <= LONGEST.as_secs() {
        true => Ok(duration),
        false => Err(TOO_LONG.to_owned()),
    }
}

/// A thousand years: longer than anybody waits, and still far from overflowing `Instant`.
const LONGEST: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

/// What is wrong with a number and its unit.
enum Fault {
    /// It is not written like that.
    Form,
    /// No number here has room for it.
    TooLarge,
}

impl Fault {
    /// In words, with how it is written.
    fn told(self, how: &str) -> String {
        match self {
            Self::Form => how.to_owned(),
            Self::TooLarge => "the number is too large".to_owned(),
        }
    }
}

/// Reads a number, alone or followed by a unit.
fn number(text: &str) -> Result<u64, Fault> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Fault::Form);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().map_err(|_| Fault::TooLarge);
    }
    match text.parse::<ByteSize>().map(|size| size.as_u64()) {
        // It stands for whatever is above it, too.
        Ok(u64::MAX) => Err(Fault::TooLarge),
        Ok(number) => Ok(number),
        Err(_) => Err(Fault::Form),
    }
}

/// Reads a size in bytes: `1400`, `64k` = 64,000, `64KiB` = 65,536.
///
/// # Errors
/// When the text is no number, alone or followed by one of the units k, M, G, KiB, MiB, GiB and so
/// on, or the size has more than 64 bits.
pub fn size(text: &str) -> Result<u64, String> {
    number(text).map_err(|fault| fault.told("write it as 1400, 64k (64,000) or 64KiB (65,536)"))
}

/// Reads bits a second: `10M` = 10,000,000, `500kbit`, `64Ki`.
///
/// # Errors
/// When the text is no number with one of the units k, M, G, Ki, Mi, Gi ..., or the number has more
/// than 64 bits.
pub fn bits(text: &str) -> Result<u64, String> {
    let rate = text.strip_suffix("/s").unwrap_or(text);
    let rate = rate.strip_suffix("bit").unwrap_or(rate);
    number(rate).map_err(|fault| fault.told("write it as 10M or 10Mbit: bits a second"))
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
    fn what_is_empty_is_not_called_large_and_what_is_large_is() {
        for nothing in ["", " "] {
            assert_eq!(duration(nothing).unwrap_err(), HOW_LONG);
        }
        for long in ["99999999999999999999999", "1000000000000h", "99999999999999999999h"] {
            assert_eq!(duration(long).unwrap_err(), TOO_LONG, "{long}");
        }
        assert!(duration("0.5ns").unwrap_err().contains("1ns"));
        for read in [size, bits] {
            assert!(read("").unwrap_err().starts_with("write it as "));
            for large in ["99999999999999999999999", "99999999999999999999k", "20000000000G"] {
                assert_eq!(read(large).unwrap_err(), "the number is too large", "{large}");
            }
        }
        assert_eq!(size("18446744073709551615"), Ok(u64::MAX));
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
