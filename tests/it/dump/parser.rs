//! Reads a dump back: what was sent and received, by whom, and where its cuts are.

use std::collections::BTreeMap;

/// One header line with the bytes below it, or one `*` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Transfer(Transfer),
    /// What follows the time.
    Mark(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) sent: bool,
    /// `tcp 127.0.0.1:9000`
    pub(super) whom: String,
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `at N`, in a stream.
    Offset(u64),
    /// `#N`, among the datagrams.
    Number(u64),
}

/// Reads all of it; panics at the first line that is none of a dump, or not in its place.
#[track_caller]
pub(super) fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut last = 0.0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let time: f64 = words[1].parse().unwrap_or_else(|_| panic!("no time: {line:?}"));
        assert_eq!(words[1].split('.').nth(1).map(str::len), Some(6), "{line:?}");
        assert!(time >= last, "time runs backwards: {line:?}");
        last = time;
        if words[0] == "*" {
            entries.push(Entry::Mark(words[2..].join(" ")));
            continue;
        }
        let sent = match words[0] {
            ">" => true,
            "<" => false,
            _ => panic!("no header: {line:?}"),
        };
        let whom = words[2..4].join(" ");
        let length: usize = words[4].parse().unwrap();
        assert_eq!(words[5], "bytes", "{line:?}");
        let place = match (words[2], &words[6..]) {
            ("tcp", ["at", offset]) => Place::Offset(offset.parse().unwrap()),
            ("udp", [number]) => Place::Number(number.strip_prefix('#').unwrap().parse().unwrap()),
            _ => panic!("no place: {line:?}"),
        };
        let mut at = if let Place::Offset(offset) = place { offset } else { 0 };
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let line = lines.next().unwrap();
            let row = row(line, at);
            at += row.len() as u64;
            bytes.extend(row);
        }
        assert_eq!(bytes.len(), length, "below {line:?}");
        entries.push(Entry::Transfer(Transfer { sent, whom, place, bytes }));
    }
    entries
}

/// The bytes of one line, whose offset, columns and characters are checked.
#[track_caller]
fn row(line: &str, at: u64) -> Vec<u8> {
    let digits = line.find(' ').unwrap();
    assert_eq!(line[..digits], format!("{at:08x}"), "{line:?}");
    let (left, right) = line[digits..].split_at(52);
    let bytes: Vec<u8> =
        left.split_whitespace().map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
    let shown = |b: &u8| if (b' '..=b'~').contains(b) { char::from(*b) } else { '.' };
    let characters: String = bytes.iter().map(shown).collect();
    assert_eq!(right, format!("|{characters}|"), "{line:?}");
    bytes
}

/// The streams each way by peer, their pieces in order and without a gap.
#[track_caller]
pub(super) fn streams(entries: &[Entry]) -> BTreeMap<(bool, String), Vec<u8>> {
    let mut streams: BTreeMap<_, Vec<u8>> = BTreeMap::new();
    for entry in entries {
        let Entry::Transfer(Transfer { sent, whom, place, bytes }) = entry else { continue };
        let stream = streams.entry((*sent, whom.clone())).or_default();
        assert_eq!(*place, Place::Offset(stream.len() as u64), "{whom}");
        stream.extend(bytes);
    }
    streams
}

/// The datagrams each way by peer, numbered from 1.
#[track_caller]
pub(super) fn datagrams(entries: &[Entry]) -> BTreeMap<(bool, String), Vec<Vec<u8>>> {
    let mut datagrams: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in entries {
        let Entry::Transfer(Transfer { sent, whom, place, bytes }) = entry else { continue };
        let all = datagrams.entry((*sent, whom.clone())).or_default();
        assert_eq!(*place, Place::Number(all.len() as u64 + 1), "{whom}");
        all.push(bytes.clone());
    }
    datagrams
}

/// The `*` lines.
pub(super) fn marks(entries: &[Entry]) -> Vec<&str> {
    let mut marks = Vec::new();
    for entry in entries {
        if let Entry::Mark(text) = entry {
            marks.push(text.as_str());
        }
    }
    marks
}
