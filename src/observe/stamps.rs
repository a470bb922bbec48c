//! Wall-clock times at the beginning of lines (`--timestamps`).
//!
//! The clock is read for each line, so that a time is right after the system's clock was set, and after the
//! machine was suspended: the clock that elapsed times are measured with stands still meanwhile.

use std::time::SystemTime;

use crate::units;

/// Whether lines begin with the wall-clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stamps {
    /// No.
    #[default]
    None,
    /// With the time when they are written down.
    WallClock,
    /// With this time.
    #[cfg(test)]
    Fixed(SystemTime),
}

impl Stamps {
    /// What a line begins with now: the time as RFC 3339 has it, in UTC with milliseconds, and a space.
    #[must_use]
    pub(crate) fn prefix(self) -> Option<String> {
        let now = match self {
            Self::None => return None,
            Self::WallClock => SystemTime::now(),
            #[cfg(test)]
            Self::Fixed(time) => time,
        };
        Some(format!("{} ", humantime::format_rfc3339_millis(units::writable(now))))
    }

    /// Writes the beginning of a line.
    pub(crate) fn begin(self, line: &mut Vec<u8>) {
        if let Some(prefix) = self.prefix() {
            line.extend_from_slice(prefix.as_bytes());
        }
    }

    /// Writes text, each of whose lines gets its beginning.
    pub(crate) fn begin_each(self, text: &[u8], into: &mut Vec<u8>) {
        let prefix = self.prefix().unwrap_or_default();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            into.extend_from_slice(prefix.as_bytes());
            into.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// 2001-09-09T01:46:41.002Z.
    pub(crate) fn fixed() -> Stamps {
        Stamps::Fixed(SystemTime::UNIX_EPOCH + Duration::from_micros(1_000_000_001_002_900))
    }

    #[test]
    fn a_line_begins_with_the_time_of_rfc_3339_in_milliseconds() {
        let mut line = Vec::new();
        fixed().begin(&mut line);
        assert_eq!(line, b"2001-09-09T01:46:41.002Z ");
        line.clear();
        Stamps::None.begin(&mut line);
        assert_eq!(line, b"");
        let before = Stamps::Fixed(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before.prefix().as_deref(), Some("1970-01-01T00:00:00.000Z "));
    }

    #[test]
    fn every_line_of_a_text_has_its_own() {
        let mut text = Vec::new();
        fixed().begin_each(b"a\n\nb\n", &mut text);
        let stamp = "2001-09-09T01:46:41.002Z";
        assert_eq!(String::from_utf8(text).unwrap(), format!("{stamp} a\n{stamp} \n{stamp} b\n"));
    }
}
