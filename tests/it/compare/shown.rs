//! What is printed and drawn.

use std::time::{Duration, Instant};

use super::peer::{Peer, Tcp};
use super::{compare, numbers};
use crate::tests;
use crate::util::harness::Need;
use crate::util::{Ended, pktcat_line};
use libtest_mimic::Trial;

pub(super) fn tests() -> Vec<Trial> {
    tests![
        plain_compare_is_quick_and_fits_the_screen,
        everything_that_can_be_shown_fits_the_screen,
        cells_of_a_row_never_touch,
        json_has_the_rows_as_keys,
        the_picture_is_well_formed,
        the_dump_shows_a_stream_and_datagrams,
        works_against_pktcat_itself,
        works_over_ipv6 needs [Need::Ipv6],
    ]
}

#[track_caller]
fn fits(ended: &Ended) {
    for line in ended.stdout_text().lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

fn plain_compare_is_quick_and_fits_the_screen() {
    // A busy machine may hold up one run.
    let runs = (0..3).map(|_| {
        let begun = Instant::now();
        (pktcat_line("compare").run().expect_code(0), begun.elapsed())
    });
    let quick = runs.into_iter().find(|(_, took)| *took < Duration::from_secs(2));
    let (ended, _) = quick.expect("a run within two seconds");
    assert_eq!(ended.stderr, "");
    fits(&ended);
    let text = ended.stdout_text();
    assert!(text.lines().count() <= 36, "{text}");
    for row in [
        "set-up",
        "sent",
        "came back in",
        "boundaries kept",
        "received",
        "lost",
        "late",
        "reordered",
        "duplicated",
        "corrupted",
        "round trip",
        "median",
        "p99",
        "jitter",
        "throughput",
        "packets",
        "headers",
        "retransmissions",
        "tear-down",
    ] {
        assert!(text.contains(row), "no row {row:?} in\n{text}");
    }
    let head = "1,000 messages of 64 bytes, one and then 16 at a time, to its own echo at";
    for words in [
        head,
        "250 messages",
        "750 messages",
        "handshake, ",
        " reads ",
        " datagrams",
        "FIN both ways, ",
        "none: lost is lost",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}

fn everything_that_can_be_shown_fits_the_screen() {
    for words in [
        "--explain --plot --window 1",
        "--explain --plot --impair loss=10%,dup=10%,reorder=10%,delay=1ms,jitter=1ms,seed=12345",
        "--explain --plot --impair loss=20% --count 200 -w 50ms",
        "--explain --plot --impair corrupt=5%,rate=10M,queue=4k,mtu=576 -w 50ms --size 2000",
        "--explain --plot --count 1",
        "--explain --plot --size 65507 --count 200",
        "--explain --plot --interval 1ms --count 20 --window 65536",
    ] {
        let ended = pktcat_line(&format!("compare {words}")).run().expect_code(0);
        fits(&ended);
        let text = ended.stdout_text();
        let sentences = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(sentences.contains("Impaired: "), words.contains("impair"), "{text}");
        assert!(text.contains("- headers:") && text.contains('█'), "{words}:\n{text}");
        assert!(text.contains("round trip  ") && text.contains("  message  "), "{words}:\n{text}");
    }
}

fn cells_of_a_row_never_touch() {
    // A peer whose FIN never comes has the longest cell, and such a limit the longest name.
    let peer = Peer::start(Tcp::NeverEnd, Box::new(|_, message| vec![message]));
    for (options, name, tcp) in [
        ("-w 100ms", "tear-down", "FIN, and the peer's never came"),
        ("-w 1000s100ms10us", "late (after 16m 40s 100ms 10us)", "0"),
    ] {
        let peer = if tcp == "0" { String::new() } else { format!("127.0.0.1:{}", peer.port) };
        let ended = pktcat_line(&format!("compare {options} --count 10 {peer}")).run();
        let text = ended.expect_code(0).stdout_text();
        let row = text.lines().find(|line| line.trim_start().starts_with(name));
        let row = row.unwrap_or_else(|| panic!("no row {name:?} in\n{text}"));
        let cells: Vec<_> =
            row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        assert_eq!((cells.len(), cells[0], cells[1]), (3, name, tcp), "{row}");
        let at = |line: &str, cell: &str| {
            line.chars().count() - line.split(cell).last().unwrap().chars().count() - cell.len()
        };
        let head = text.lines().find(|line| line.ends_with("UDP")).unwrap();
        assert_eq!(at(head, "UDP"), at(row, cells[2]), "columns are straight:\n{text}");
    }
}

fn json_has_the_rows_as_keys() {
    let result = compare("--count 10");
    for side in ["tcp", "udp"] {
        let counts = [
            "sent",
            "received",
            "lost",
            "late",
            "reordered",
            "duplicated",
            "corrupted",
            "packets_sent",
            "wire_bytes_received",
            "boundaries_kept",
        ];
        numbers(&result[side], counts);
        let trips = &result[side]["round_trip_us"];
        let [min, median, p99, max] =
            ["min", "median", "p99", "max"].map(|key| trips[key].as_f64().unwrap());
        assert!(0.0 < min && min <= median && median <= p99 && p99 <= max, "{trips}");
    }
    assert!(result["tcp"]["set_up_us"].is_number() && result["udp"]["set_up_us"].is_null());
    assert!(result.get("impair").is_none());
    assert_eq!(numbers(&result, ["messages", "window"]), [10, 16]);
}

fn the_picture_is_well_formed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.svg");
    pktcat_line(&format!("compare --svg {}", path.display())).run().expect_code(0);
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{svg}");
    assert!(svg.matches("class=\"a\"").count() > 1 && svg.matches("class=\"b\"").count() > 1);
    for words in [
        "Round trip of each message",
        "message</text>",
        "share of the replies",
        "prefers-color-scheme:dark",
    ] {
        assert!(svg.contains(words), "no {words:?} in {svg}");
    }
    // Every element that is opened is closed, in the right order, and values are quoted.
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a whole tag");
        assert!(!text.contains('&') && tag.matches('"').count() % 2 == 0, "{tag}{text}");
        let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{svg}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
    let nowhere = format!("compare --svg {}/none/picture.svg", folder.path().display());
    let ended = pktcat_line(&nowhere).run().expect_code(6);
    assert!(ended.stderr.contains("picture.svg"), "{}", ended.stderr);
}

fn works_over_ipv6() {
    let result = compare("-6 --count 100");
    assert!(result["peer"].as_str().unwrap().starts_with("[::1]:"), "{result}");
    // 40 bytes of IPv6 header, 8 of UDP header.
    assert_eq!(numbers(&result["udp"], ["wire_bytes_sent"]), [100 * (64 + 48)]);
}

fn the_dump_shows_a_stream_and_datagrams() {
    let ended = pktcat_line("compare -x --count 3 --json").run().expect_code(0);
    serde_json::from_slice::<serde_json::Value>(&ended.stdout).unwrap();
    let heads = |begin: &str| ended.stderr.lines().filter(|line| line.starts_with(begin)).count();
    assert_eq!(heads("> "), 6, "{}", ended.stderr);
    assert!(ended.stderr.contains(" udp 127.0.0.1:") && ended.stderr.contains("64 bytes #3"));
    assert!(ended.stderr.contains("64 bytes at 128"), "{}", ended.stderr);
    let is_mark = |line: &&str| line.starts_with("* ");
    let marks = ended.stderr.lines().filter(is_mark);
    let words: Vec<_> = marks.map(|line| line.splitn(5, ' ').last().unwrap()).collect();
    assert_eq!(words, ["connected", "we closed", "peer closed"], "{}", ended.stderr);
}

fn works_against_pktcat_itself() {
    let server = pktcat_line("listen -t -u -k --echo 127.0.0.1 0").spawn();
    let words = format!("127.0.0.1 {} --count 5000", server.port());
    let result = compare(&words);
    for side in ["tcp", "udp"] {
        let counts = numbers(&result[side], ["sent", "received", "lost", "duplicated"]);
        assert_eq!(counts, [5000, 5000, 0, 0], "{side}");
    }
}
