//! Dialogues walked by hand, and searches compared with those of the `regex` crate over the whole text.

use proptest::prelude::*;
use regex::bytes::Regex;

use super::*;

fn literal(text: &[u8], after: usize) -> Expected {
    Expected { pattern: Pattern::literal(text).unwrap(), after }
}

fn regex(text: &str, after: usize) -> Expected {
    Expected { pattern: Pattern::regex(text).unwrap(), after }
}

fn stream(messages: &[&str], expected: Vec<Expected>) -> Dialogue {
    let messages = messages.iter().map(|message| message.as_bytes().to_owned()).collect();
    Dialogue::new(Within::Stream, messages, expected)
}

fn message(text: &str) -> Next {
    Next::Message(text.as_bytes().to_owned())
}

#[test]
fn a_message_leaves_once_all_before_it_has_come() {
    let mut dialogue = stream(&["EHLO x", "QUIT"], vec![literal(b"220", 0), literal(b"250", 1)]);
    assert_eq!(dialogue.next(), Next::Wait);
    dialogue.hear(b"2");
    dialogue.hear(b"20 hello\r\n");
    assert_eq!(dialogue.next(), message("EHLO x"));
    assert_eq!(dialogue.next(), Next::Wait);
    assert!(dialogue.awaits_answer());
    dialogue.hear(b"250 ok\r\n");
    assert_eq!(dialogue.next(), message("QUIT"));
    // The last word was ours: the run goes on.
    assert_eq!((dialogue.next(), dialogue.prospect()), (Next::Nothing, Prospect::Open));
}

#[test]
fn what_is_waited_for_may_come_before_the_message_has_left() {
    let mut dialogue = stream(&["a"], vec![literal(b"x", 1)]);
    dialogue.hear(b"x");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    assert_eq!(dialogue.next(), message("a"));
    assert_eq!((dialogue.next(), dialogue.prospect()), (Next::Nothing, Prospect::Met));
}

#[test]
fn each_pattern_is_looked_for_behind_the_one_before() {
    let mut dialogue = stream(&[], vec![literal(b"ab", 0), literal(b"ba", 0), regex("^c$", 0)]);
    dialogue.hear(b"aba");
    // The `b` belongs to the first.
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.hear(b"ba");
    dialogue.hear(b"c");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.peer_ended();
    assert_eq!(dialogue.prospect(), Prospect::Met);
}

#[test]
fn a_pattern_is_met_with_its_last_byte_and_not_later() {
    for (pattern, text) in [
        ("PONG", "+PONG"),
        ("(?m)^250 ", "250-a\n250 "),
        (r"\b220\b ", "220 "),
        ("(?-u:\\xff)", "x\u{fffd}"),
        (".*", "x"),
        ("a{3}", "aaa"),
        ("", "x"),
    ] {
        let mut dialogue = stream(&[], vec![regex(pattern, 0)]);
        let text: Vec<u8> = match text {
            "x\u{fffd}" => vec![b'x', 0xff],
            text => text.as_bytes().to_owned(),
        };
        dialogue.hear(&text[..text.len() - 1]);
        assert_eq!(dialogue.prospect(), Prospect::Waiting, "{pattern}");
        dialogue.hear(&text[text.len() - 1..]);
        assert_eq!(dialogue.prospect(), Prospect::Met, "{pattern}");
    }
}

#[test]
fn what_follows_may_decide_on_a_match() {
    let mut dialogue = stream(&[], vec![regex(r"PONG\b", 0)]);
    dialogue.hear(b"PONG");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.hear(b"S PONG");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.hear(b"\r");
    assert_eq!(dialogue.prospect(), Prospect::Met);
}

#[test]
fn of_datagrams_each_is_a_text_of_its_own() {
    let mut dialogue =
        Dialogue::new(Within::Datagram, Vec::new(), vec![regex("^ab$", 0), literal(b"c", 0)]);
    dialogue.hear(b"a");
    dialogue.hear(b"b");
    dialogue.hear(b"abc");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.hear(b"ab");
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
    dialogue.hear(b"c");
    assert_eq!(dialogue.prospect(), Prospect::Met);
}

#[test]
fn what_came_instead_keeps_the_borders_of_datagrams() {
    let mut dialogue = Dialogue::new(Within::Datagram, Vec::new(), vec![literal(b"one", 0)]);
    let told = |dialogue: &Dialogue| dialogue.settle(Ok(()), false).unwrap_err().to_string();
    dialogue.hear(b"");
    assert!(told(&dialogue).ends_with("what came: \"\")"), "{}", told(&dialogue));
    dialogue.hear(b"on");
    dialogue.hear(b"e");
    assert!(told(&dialogue).ends_with("what came: \"\", \"on\", \"e\")"), "{}", told(&dialogue));
    for _ in 0..100 {
        dialogue.hear(b"....");
    }
    assert!(told(&dialogue).ends_with("\"....\" and 380 bytes more)"), "{}", told(&dialogue));
}

#[test]
fn what_came_instead_is_told_without_what_was_met() {
    let mut dialogue = stream(&[], vec![literal(b"220", 0), literal(b"250", 0)]);
    dialogue.with("127.0.0.1:25 (tcp)".to_owned());
    dialogue.hear(b"220 hello\r\n550 \"no\"\xff");
    dialogue.hear(&[b'.'; 100]);
    dialogue.peer_ended();
    assert_eq!(dialogue.prospect(), Prospect::Hopeless);
    let error = dialogue.settle(Ok(()), false).unwrap_err();
    assert_eq!(error.status, Status::Unmet);
    let dots = ".".repeat(43);
    assert_eq!(
        error.to_string(),
        format!(
            "expect: 127.0.0.1:25 (tcp): \"250\" did not come: the peer ended (what came: \" hello\\r\\n550 \"no\"\\xff{dots}\" and 57 bytes more)"
        )
    );
}

#[test]
fn an_error_that_is_no_time_limit_stays_what_it_is() {
    let dialogue = stream(&[], vec![literal(b"x", 0)]);
    let settled = |error: Error| dialogue.settle(Err(error), false).unwrap_err().status;
    let timed_out = || Error::new(Status::TimedOut, "timed out", "", "nothing has passed after 1s");
    assert_eq!(settled(timed_out().of_limit("--idle-timeout")), Status::Unmet);
    assert_eq!(settled(timed_out().of_limit("--accept-timeout")), Status::TimedOut);
    assert_eq!(settled(timed_out()), Status::TimedOut);
    assert_eq!(settled(Error::new(Status::Broken, "receive", "", "reset")), Status::Broken);
}

#[test]
fn patterns_that_are_none_say_why_in_one_line() {
    for (bad, why) in [("(", "unclosed group"), (r"\q", "unrecognized escape"), ("[z-a]", "")] {
        let told = Pattern::regex(bad).unwrap_err();
        assert!(told.contains(why) && !told.contains('\n') && !told.is_empty(), "{bad}: {told}");
    }
    assert!(Pattern::regex("(?:(?:.{1000}){1000}){1000}").is_err());
    assert!(Pattern::literal(b"").is_err());
}

#[test]
fn upper_and_lower_case_are_those_of_ascii() {
    for (pattern, text) in [
        ("(?i)content-LENGTH: [0-9]+\r", &b"Content-Length: 12\r"[..]),
        (r"(?i)\bok\s", b"=OK "),
        ("(?i)gr\u{fc}n.", "GR\u{fc}N\u{e4}".as_bytes()),
        ("(?-u)(?i)a\\xff", b"A\xff"),
        ("(?i:a)B", b"AB"),
    ] {
        let mut dialogue = stream(&[], vec![regex(pattern, 0)]);
        dialogue.hear(text);
        assert_eq!(dialogue.prospect(), Prospect::Met, "{pattern}");
    }
    let mut dialogue = stream(&[], vec![regex("(?i)\u{fc}", 0)]);
    dialogue.hear("\u{dc}".as_bytes());
    assert_eq!(dialogue.prospect(), Prospect::Waiting);
}

#[test]
fn a_search_that_fills_its_cache_again_and_again_finds_the_same() {
    // Each of their states knows which of the last bytes were an `a`.
    for (pattern, end) in [("a[ab]{14}c", b'c'), (r"a[ab]{14}\b", b'.')] {
        let mut dialogue = stream(&[], vec![regex(pattern, 0)]);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..30_000 {
            let letters = [b'a', b'b'];
            let bytes: Vec<u8> =
                (0..random.usize(1..4)).map(|_| letters[random.usize(..2)]).collect();
            dialogue.hear(&bytes);
        }
        dialogue.hear(&[b'b'; 15]);
        dialogue.hear(&[end]);
        assert_eq!(dialogue.prospect(), Prospect::Waiting, "{pattern}");
        dialogue.hear(b"abbbbbbbbbbbbbb");
        assert_eq!(dialogue.prospect(), Prospect::Waiting, "{pattern}");
        dialogue.hear(&[end]);
        assert_eq!(dialogue.prospect(), Prospect::Met, "{pattern}");
    }
}

/// How many of the patterns come one behind the other in the whole text, by another way: each ends where
/// the shortest front of the rest ends that has a match. It is for patterns that look at nothing around.
fn found_at_once(patterns: &[&str], text: &[u8]) -> usize {
    let mut rest = text;
    let met = patterns.iter().take_while(|pattern| {
        // Upper and lower case are those of ASCII.
        let pattern = pattern.replace("(?i)", "(?i-u)");
        let regex = Regex::new(&pattern).unwrap();
        // Nothing at all is no text.
        let Some(end) = (0..=rest.len()).find(|&end| regex.is_match(&rest[..end])) else {
            return false;
        };
        rest = &rest[end..];
        true
    });
    met.count()
}

/// Feeds the text in pieces and counts what came.
fn found_in_pieces(patterns: &[&str], text: &[u8], cuts: &[usize]) -> usize {
    let mut dialogue = stream(&[], patterns.iter().map(|pattern| regex(pattern, 0)).collect());
    let mut at = 0;
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    cuts.push(text.len());
    cuts.sort_unstable();
    for cut in cuts {
        dialogue.hear(&text[at..cut]);
        at = cut;
    }
    dialogue.peer_ended();
    patterns.len() - dialogue.expected.len()
}

const PLAIN: &[&str] = &[
    "a",
    "ab",
    "aab",
    "a+b",
    "a|bc",
    "(?:ab|a)c?",
    "b{2}",
    "a[^a]*a",
    "c.*a",
    "(?i)AB",
    ".",
    "a*",
    "(?s).\\n",
];

const LOOKING: &[&str] = &[
    "^a", "b$", "(?m)^a", "(?m)b$", r"\ba", r"a\b", r"\Ba", "^$", "(?m)^$", r"b\b\n", r"\Aa|c\z",
    "$",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_same_is_found_however_the_bytes_are_cut(
        patterns in prop::collection::vec(prop::sample::select(PLAIN), 1..4),
        text in "[abc\n]{0,24}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        let whole = found_at_once(&patterns, text.as_bytes());
        prop_assert_eq!(found_in_pieces(&patterns, text.as_bytes(), &cuts), whole);
    }

    #[test]
    fn so_it_is_where_a_match_depends_on_what_is_around_it(
        first in prop::sample::select(LOOKING),
        others in prop::collection::vec(prop::sample::select(LOOKING), 0..3),
        text in "[abc\n]{0,24}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        // The crate's own search over the whole text.
        let whole = usize::from(Regex::new(first).unwrap().is_match(text.as_bytes()));
        prop_assert_eq!(found_in_pieces(&[first], text.as_bytes(), &cuts), whole);
        let patterns: Vec<&str> = std::iter::once(first).chain(others).collect();
        let uncut = found_in_pieces(&patterns, text.as_bytes(), &[]);
        prop_assert_eq!(found_in_pieces(&patterns, text.as_bytes(), &cuts), uncut);
    }

    #[test]
    fn literals_are_found_as_in_the_whole_text(
        wanted in prop::collection::vec(prop::sample::select(&[0u8, b'a', b'b', 0xff][..]), 1..5),
        text in prop::collection::vec(prop::sample::select(&[0u8, b'a', b'b', 0xff][..]), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut dialogue = stream(&[], vec![literal(&wanted, 0)]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let mut at = 0;
        for cut in cuts {
            dialogue.hear(&text[at..cut]);
            at = cut;
            let whole = text[..at].windows(wanted.len()).any(|window| window == wanted);
            prop_assert_eq!(dialogue.prospect() == Prospect::Met, whole);
        }
    }
}
