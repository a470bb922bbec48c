//! What became of every message.

use std::io::Write;
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::peer::{self, Damage, Peer, Tcp};
use super::{compare, numbers};
use crate::tests;
use crate::util::harness::Need;
use crate::util::{Output, eventually, pktcat_line, proc, program};
use libtest_mimic::Trial;

pub(super) fn tests() -> Vec<Trial> {
    tests![
        a_hundred_thousand_messages_are_accounted_for_exactly,
        own_messages_are_accounted_for_exactly,
        equal_messages_are_accounted_for_exactly,
        a_seed_does_the_same_damage_each_time,
        a_reply_after_the_limit_is_late,
        a_peer_that_merges_or_splits_datagrams_is_called_that,
        socat_and_cat_merge_datagrams needs [Need::Program("socat")],
        a_boundary_is_kept_by_one_datagram_of_the_messages_length,
        losing_much_does_not_end_a_run,
        a_million_messages_take_bounded_memory,
        the_longest_messages_come_back,
        messages_are_cut_as_asked_and_sent_unchanged,
    ]
}

const KEYS: [&str; 6] = ["sent", "received", "lost", "reordered", "duplicated", "corrupted"];

/// Runs against known damage, and checks every count.
#[track_caller]
fn exact(count: u64, changed: u64, words: &str) {
    let peer = Peer::start(Tcp::Echo, peer::exact_damage(changed));
    // As long as a busy machine may take for a reply.
    let result = compare(&format!("127.0.0.1 {} -w 3s {words}", peer.port));
    let (lost, duplicated, reordered) = peer::exact_counts(count);
    let udp = &result["udp"];
    let want = [count, count - lost, lost, reordered, duplicated, 1];
    assert_eq!(numbers(udp, KEYS), want, "{KEYS:?}: {udp}");
    assert_eq!(numbers(udp, ["late", "unmatched"]), [0, 0]);
    assert_eq!(udp["datagrams"].as_u64(), Some(count - lost + duplicated));
    let tcp = &result["tcp"];
    assert_eq!(numbers(tcp, KEYS), [count, count, 0, 0, 0, 0], "{KEYS:?}: {tcp}");
}

fn a_boundary_is_kept_by_one_datagram_of_the_messages_length() {
    // A byte changed; cut in two; longer by a byte; empty.
    let damages: [(u64, Damage); 4] = [
        (
            100,
            Box::new(|_, mut message| {
                message[40] ^= 1;
                vec![message]
            }),
        ),
        (0, Box::new(|_, message| message.chunks(32).map(<[u8]>::to_vec).collect())),
        (0, Box::new(|_, message| vec![[&message[..], b"x"].concat()])),
        (0, Box::new(|_, _| vec![Vec::new()])),
    ];
    for (kept, damage) in damages {
        let peer = Peer::start(Tcp::Echo, damage);
        let result = compare(&format!("127.0.0.1 {} --count 100 --window 1", peer.port));
        assert_eq!(numbers(&result["udp"], ["sent", "boundaries_kept"]), [100, kept]);
        assert_eq!(numbers(&result["tcp"], ["sent", "boundaries_kept"]), [100, 100]);
    }
}

/// Cuts the datagrams of a client anew, as a copy through a pipe does.
fn through_a_pipe(length: usize) -> Damage {
    let mut stream: Vec<u8> = Vec::new();
    Box::new(move |place, message| {
        stream.extend(message);
        // Whatever is left at the end of each of the two runs of 300 messages leaves too.
        if stream.len() < length && place % 300 != 299 {
            return Vec::new();
        }
        let bytes = std::mem::take(&mut stream);
        bytes.chunks(length).map(<[u8]>::to_vec).collect()
    })
}

fn a_peer_that_merges_or_splits_datagrams_is_called_that() {
    let lines: String =
        (0..300).map(|n| format!("{} line\n", "x".repeat(n % 50) + &n.to_string())).collect();
    let file = file(lines.as_bytes());
    let own = format!("--messages {}", file.path().display());
    // Pieces of a message, several and a piece, and one and a piece.
    for (length, words) in [(24, ""), (200, ""), (100, ""), (333, &own[..])] {
        let peer = Peer::start(Tcp::Echo, through_a_pipe(length));
        let words = format!("127.0.0.1 {} --count 300 -w 3s {words}", peer.port);
        let udp = &compare(&words)["udp"];
        assert_eq!(
            numbers(udp, ["sent", "received", "lost", "corrupted"]),
            [300, 300, 0, 0],
            "{udp}"
        );
        let [recut, kept] = numbers(udp, ["merged_or_split", "boundaries_kept"]);
        assert!(recut > 150 && recut + kept == 300, "{udp}");
    }
    let peer = Peer::start(Tcp::Echo, through_a_pipe(200));
    let words = format!("compare 127.0.0.1 {} --count 300 -w 3s", peer.port);
    let text = pktcat_line(&words).run().expect_code(0).stdout_text();
    let sentences = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(sentences.contains("The peer merges or splits datagrams: "), "{text}");
}

fn socat_and_cat_merge_datagrams() {
    let port = crate::util::net::free_port();
    let services = ["TCP4-LISTEN", "UDP4-LISTEN"].map(|kind| {
        let address = format!("{kind}:{port},bind=127.0.0.1,fork,reuseaddr");
        // What it has forked ends by itself once nothing comes any more.
        let socat = program("socat", ["-T", "2", &address, "EXEC:cat"]);
        socat.stdout(Output::Null).stderr(Output::Null).spawn()
    });
    let result = eventually("an answer", || {
        let words = format!("compare 127.0.0.1 {port} --json --count 1000 -w 3s");
        let ended = pktcat_line(&words).run();
        (ended.status.code() == Some(0))
            .then(|| serde_json::from_slice::<serde_json::Value>(&ended.stdout).unwrap())
    });
    let udp = &result["udp"];
    assert_eq!(numbers(udp, ["received", "corrupted", "unmatched"]), [1000, 0, 0], "{udp}");
    let [recut, kept] = numbers(udp, ["merged_or_split", "boundaries_kept"]);
    assert_eq!(recut + kept, 1000, "{udp}");
    for service in services {
        service.signal(nix::sys::signal::Signal::SIGTERM);
        service.wait();
    }
}

fn losing_much_does_not_end_a_run() {
    for words in [
        "--window 1 --count 40 -w 20ms --impair loss=20%,seed=1",
        "--count 100 -w 200ms --impair loss=30%,seed=2",
    ] {
        let result = compare(words);
        let count = result["messages"].as_u64();
        assert_eq!(result["udp"]["sent"].as_u64(), count, "{words}: {}", result["udp"]);
    }
}

fn a_hundred_thousand_messages_are_accounted_for_exactly() {
    exact(100_000, 50_001, "--count 100000 --window 32");
}

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn own_messages_are_accounted_for_exactly() {
    let lines: String = (0..5000).map(|n| format!("line number {n} of the file\n")).collect();
    let file = file(lines.as_bytes());
    exact(5000, 2001, &format!("--messages {} --window 32", file.path().display()));
}

fn equal_messages_are_accounted_for_exactly() {
    let file = file(&b"the same again\n".repeat(2000));
    // Which of equal messages a reply belongs to is told by the time that replies take: after a long one on a
    // busy machine they may seem to be late or out of order.
    let in_order = |_| {
        let drop_some = |place, message| if place % 10 == 4 { vec![] } else { vec![message] };
        let peer = Peer::start(Tcp::Echo, Box::new(drop_some));
        let words = format!("127.0.0.1 {} -w 3s --messages {}", peer.port, file.path().display());
        let result = compare(&words);
        let [sent, received, lost, reordered, duplicated, corrupted] =
            numbers(&result["udp"], KEYS);
        assert_eq!([sent, lost, duplicated, corrupted], [2000, 200, 0, 0]);
        assert_eq!(numbers(&result["tcp"], KEYS), [2000, 2000, 0, 0, 0, 0]);
        (received, reordered) == (1800, 0)
    };
    assert!((0..5).any(in_order), "late or out of order each time");
}

fn a_seed_does_the_same_damage_each_time() {
    let run = |seed: u64| {
        let damage = format!("loss=5%,dup=2%,reorder=2%,delay=2ms,seed={seed}");
        let result = compare(&format!("--impair {damage} -w 5s"));
        assert_eq!(numbers(&result["tcp"], KEYS), [1000, 1000, 0, 0, 0, 0]);
        assert_eq!(result["impair"]["seed"].as_u64(), Some(seed));
        numbers(&result["udp"], KEYS)
    };
    let [first, again, other] = [run(1), run(1), run(2)];
    assert_eq!(first, again);
    assert_ne!(first, other);
    let [sent, received, lost, reordered, duplicated, corrupted] = first;
    assert_eq!((sent, received + lost, corrupted), (1000, 1000, 0));
    // Twice as much as asked for, where each way is impaired.
    for (share, range) in [(lost, 25..150), (reordered, 5..80), (duplicated, 5..80)] {
        assert!(range.contains(&share), "{KEYS:?}: {first:?}");
    }
}

fn a_reply_after_the_limit_is_late() {
    let hold = |place, message| {
        if place == 5 {
            thread::sleep(Duration::from_millis(200));
        }
        vec![message]
    };
    let peer = Peer::start(Tcp::Echo, Box::new(hold));
    // The others come up to 200 ms after the one that is held.
    let words = "-w 100ms --count 40 --window 1 --interval 20ms";
    let result = compare(&format!("127.0.0.1 {} {words}", peer.port));
    let udp = &result["udp"];
    let [sent, received, late, lost] = numbers(udp, ["sent", "received", "late", "lost"]);
    assert_eq!((sent, lost, received + late), (40, 0, 40), "{udp}");
    assert!(late > 0, "{udp}");
}

fn a_million_messages_take_bounded_memory() {
    let running = pktcat_line("compare --json --count 1000000").spawn();
    let mut peak = 0;
    while running.ended().is_none() {
        // The process may end between the two.
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid()));
        if status.is_ok_and(|status| status.contains("VmHWM")) && running.ended().is_none() {
            peak = proc::memory_kib(running.pid(), "VmHWM").max(peak);
        }
        thread::sleep(Duration::from_millis(50));
    }
    let ended = running.wait().expect_code(0);
    let result: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    for side in ["tcp", "udp"] {
        // A busy machine may make replies late and datagrams be dropped: each message is in the account once.
        let side = &result[side];
        let [sent, received, late, lost] = numbers(side, ["sent", "received", "late", "lost"]);
        assert_eq!((sent, received + late + lost), (1_000_000, 1_000_000), "{side}");
        assert_eq!(numbers(side, ["duplicated", "corrupted"]), [0, 0], "{side}");
    }
    assert_eq!(numbers(&result["tcp"], ["lost"]), [0]);
    assert!((1..64 * 1024).contains(&peak), "{peak} KiB");
}

fn the_longest_messages_come_back() {
    // Of so long ones a window is more than the usual receive buffer holds; and a busy machine may be slow.
    let result = compare("--size 65507 --count 300 -w 20s");
    assert_eq!(numbers(&result["udp"], KEYS), [300, 300, 0, 0, 0, 0]);
    assert_eq!(numbers(&result["tcp"], KEYS), [300, 300, 0, 0, 0, 0]);
    assert_eq!(numbers(&result["udp"], ["packets_sent", "boundaries_kept"]), [300, 300]);
    let shortest = compare("--size 16 -w 20s");
    assert_eq!(numbers(&shortest["udp"], KEYS), [1000, 1000, 0, 0, 0, 0]);
}

fn messages_are_cut_as_asked_and_sent_unchanged() {
    for (input, bytes, words, want) in [
        ("lines", &b"one\n\nthr\xffee"[..], "", &[&b"one"[..], b"", b"thr\xffee"][..]),
        ("hex", b"00 ff\n\n61:62 # comment\n", "", &[b"\0\xff", b"ab"]),
        ("frames", b"\0\0\0\x02a\n\0\0\0\0\0\0\0\x01b", "", &[b"a\n", b"", b"b"]),
        ("raw", b"abcdefgh\n", "--size 4", &[b"abcd", b"efgh", b"\n"]),
        ("lines", b"one\ntwo\nthree\n", "--count 2", &[b"one", b"two"]),
    ] {
        let file = file(bytes);
        let peer = peer::echo();
        let place = format!("127.0.0.1 {}", peer.port);
        let file = file.path().display();
        let words = format!("{place} -w 20s --messages {file} -I {input} {words}");
        let result = compare(&words);
        assert_eq!(peer.datagrams(), want, "{input}");
        assert_eq!(peer.stream(), want.concat(), "{input}");
        let count = want.len() as u64;
        assert_eq!(numbers(&result["udp"], KEYS), [count, count, 0, 0, 0, 0], "{input}");
        assert_eq!(numbers(&result["tcp"], KEYS), [count, count, 0, 0, 0, 0], "{input}");
    }
}
