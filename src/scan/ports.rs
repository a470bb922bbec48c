//! Parses port lists such as `22,80,8000-8100,https`.

use crate::error::{Error, Result};
use crate::net::address::{Protocol, port_number};

/// The ports to probe, in ascending order, without duplicates; 1 to 65535.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<u16>);

impl Ports {
    /// Parses numbers, ranges and service names separated by commas.
    ///
    /// # Errors
    /// A usage error that says at which character of the list the fault is.
    pub fn parse(list: &str, protocol: Protocol) -> Result<Self> {
        let mut asked = vec![false; usize::from(u16::MAX) + 1];
        let mut position = 1;
        for item in list.split(',') {
            let word = item.trim();
            let (first, last) = range(word, protocol).map_err(|why| {
                let indent = item.chars().take_while(|c| c.is_whitespace()).count();
                let place = format!("ports {list}");
                Error::usage(place, format!("at character {}: {why}", position + indent))
                    .hint("write ports as 22,80,8000-8100")
            })?;
            asked[usize::from(first)..=usize::from(last)].fill(true);
            position += item.chars().count() + 1;
        }
        Ok(Self((1..=u16::MAX).filter(|port| asked[usize::from(*port)]).collect()))
    }

    /// The ports.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

/// First and last port of one item of the list.
fn range(word: &str, protocol: Protocol) -> std::result::Result<(u16, u16), String> {
    if word.is_empty() {
        return Err("a port is missing".to_owned());
    }
    // Service names may have hyphens (`http-alt`), so it is a range only if both sides are digits
    // or empty.
    let is_range = |(first, last): &(&str, &str)| is_number_or_empty(first, last);
    if let Some((first, last)) = word.split_once('-').filter(is_range) {
        if first.is_empty() || last.is_empty() {
            return Err(format!("{word} has one end, and a range has two"));
        }
        let (first, last) = (number(first)?, number(last)?);
        return if first <= last {
            Ok((first, last))
        } else {
            Err(format!("{word} runs backwards"))
        };
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(word).map(|port| (port, port));
    }
    match port_number(word, protocol) {
        Ok(port) if port > 0 => Ok((port, port)),
        _ => Err(format!("{word} is neither a number nor a service this machine knows")),
    }
}

fn is_number_or_empty(first: &str, last: &str) -> bool {
    first.bytes().chain(last.bytes()).all(|byte| byte.is_ascii_digit())
}

/// Parses a port number from 1 to 65535.
fn number(digits: &str) -> std::result::Result<u16, String> {
    match digits.parse() {
        Ok(0) => Err("nobody can be reached at port 0".to_owned()),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("{digits} is over 65535")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Status;

    fn ports(list: &str) -> Vec<u16> {
        Ports::parse(list, Protocol::Tcp).unwrap().as_slice().to_vec()
    }

    fn complaint(list: &str) -> String {
        let error = Ports::parse(list, Protocol::Tcp).unwrap_err();
        assert_eq!(error.status, Status::Usage, "{list}");
        error.to_string()
    }

    #[test]
    fn lists_and_ranges_are_sets_in_ascending_order() {
        assert_eq!(ports("22"), [22]);
        assert_eq!(ports("443,22,80"), [22, 80, 443]);
        assert_eq!(ports("8000-8003,8002,8001-8002,8000"), [8000, 8001, 8002, 8003]);
        assert_eq!(ports(" 22, 80 "), [22, 80]);
        assert_eq!(ports("00022,7-7"), [7, 22]);
        assert_eq!(ports("1-65535").len(), 65535);
        assert_eq!(ports("65535"), [65535]);
    }

    #[test]
    fn complaints_name_the_place() {
        for (list, words) in [
            ("", &["character 1", "missing"][..]),
            ("22,", &["character 4", "missing"]),
            ("22,,80", &["character 4", "missing"]),
            ("22, 8o,443", &["character 5", "8o"]),
            ("1,0", &["character 3", "port 0"]),
            ("0-10", &["character 1", "port 0"]),
            ("22,65536", &["character 4", "65536", "65535"]),
            ("22,1-99999999999999999999", &["character 4", "99999999999999999999"]),
            ("90-80", &["character 1", "backwards"]),
            ("80-", &["character 1", "two"]),
            ("-80", &["character 1", "two"]),
            ("1-2-3", &["character 1", "1-2-3"]),
            ("22,+80", &["character 4", "+80"]),
            ("ünï,no-such-service", &["character 1"]),
            ("80,ü,no-such-service", &["character 4"]),
        ] {
            let text = complaint(list);
            for word in words {
                assert!(text.contains(word), "{list:?}: no {word:?} in {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(list in "\\PC*") {
            let _ = Ports::parse(&list, Protocol::Udp);
        }

        #[test]
        fn nothing_like_a_list_makes_it_panic(list in "[0-9a-z,. +-]{0,30}") {
            if let Ok(ports) = Ports::parse(&list, Protocol::Tcp) {
                prop_assert!(ports.as_slice().is_sorted_by(|a, b| 0 < *a && a < b));
            }
        }

        #[test]
        fn a_list_means_its_ports(ranges in prop::collection::vec((1u16.., 0u16..50), 1..20)) {
            let ends = ranges.iter().map(|&(first, more)| (first, first.saturating_add(more)));
            let list: Vec<_> = ends.clone().map(|(first, last)| format!("{first}-{last}")).collect();
            let mut wanted: Vec<u16> = ends.flat_map(|(first, last)| first..=last).collect();
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(ports(&list.join(",")), wanted);
        }
    }
}
