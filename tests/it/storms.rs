//! Transfers under storms of signals: stopped and continued, asked for summaries, told of window sizes,
//! at random moments. What arrives is what was sent, and the status is 0.
//!
//! A few run with the other tests; a thousand by
//!
//! ```sh
//! PKTCAT_ALL_FAULTS=1 cargo test storms:: -- --nocapture
//! ```
//!
//! Each transfer has a seed of its own, which is printed; `PKTCAT_STORM_SEED=N` starts from that one.
use crate::tests;
use libtest_mimic::Trial;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ChildStdin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fastrand::Rng;
use nix::sys::signal::Signal;

use crate::util::data::{assert_same, random};
use crate::util::{Input, Running, pktcat_line, ways};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        tcp_both_ways,
        tcp_both_ways_by_copying,
        many_clients_of_one_listener,
        frames_over_udp,
        frames_over_udp_and_back,
    ]
}

/// Transfers at once.
const SIDE_BY_SIDE: usize = 8;
/// Kinds of transfers: the tests below.
const KINDS: u64 = 5;
/// How long one process is stopped at most: less than a client of many may keep the others waiting.
const LONGEST_STOP_MS: u64 = 20;

/// Signals sent so far, a stop and the going on counted as one.
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

fn tcp_both_ways() {
    all(0, |rng| both_ways("", rng));
}

fn tcp_both_ways_by_copying() {
    // Where all tests are run without the fast ways, these transfers are too.
    let way = ways().last().copied().unwrap_or_default();
    all(1, |rng| both_ways(way, rng));
}

fn many_clients_of_one_listener() {
    all(2, many_clients);
}

fn frames_over_udp() {
    all(3, frames);
}

fn frames_over_udp_and_back() {
    all(4, echoed_frames);
}

/// Runs a kind of transfer with many seeds, side by side.
#[track_caller]
fn all(kind: u64, transfer: impl Fn(&mut Rng) + Sync) {
    let total = if std::env::var_os("PKTCAT_ALL_FAULTS").is_some() { 1_000 } else { 40 };
    let count = usize::try_from(total / KINDS).unwrap();
    let first = first_seed() + kind * 1_000_000;
    println!("storms: seeds {first} to {}", first + count as u64 - 1);
    let (next, red) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let seed = first + number as u64;
                    let run = || transfer(&mut Rng::with_seed(seed));
                    if catch_unwind(AssertUnwindSafe(run)).is_err() {
                        red.lock().unwrap().push(seed);
                    }
                }
            });
        }
    });
    let red = red.into_inner().unwrap();
    println!("storms: {count} transfers more, {} signals so far", SIGNALS.load(Ordering::Relaxed));
    assert!(red.is_empty(), "{} of {count} transfers went wrong, seeds {red:?}", red.len());
}

fn first_seed() -> u64 {
    static SEED: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *SEED.get_or_init(|| match std::env::var("PKTCAT_STORM_SEED") {
        Ok(seed) => seed.parse().expect("PKTCAT_STORM_SEED is a number"),
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 1_000_000,
    })
}

/// Signals to these processes, at times and in an order that they cannot be ready for.
struct Storm<'scope> {
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Storm<'scope> {
    /// Begins; it is over when the test says so or when the first of these processes has ended.
    fn start<'env>(
        scope: &'scope thread::Scope<'scope, 'env>,
        over: &'scope AtomicBool,
        targets: Vec<&'scope Running>,
        mut rng: Rng,
    ) -> Self {
        let thread = scope.spawn(move || {
            while !over.load(Ordering::Relaxed) && targets[0].ended().is_none() {
                let target = targets[rng.usize(..targets.len())];
                // Only this thread asks whether it has ended: until then its number is not used again.
                if target.ended().is_none() {
                    disturb(target, &mut rng);
                    SIGNALS.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_micros(rng.u64(50..3_000)));
            }
        });
        Self { thread }
    }

    /// Waits until it is over.
    fn outlast(self) {
        self.thread.join().unwrap();
    }
}

fn disturb(target: &Running, rng: &mut Rng) {
    match rng.u8(..4) {
        0 | 1 => {
            target.signal(Signal::SIGSTOP);
            thread::sleep(Duration::from_millis(rng.u64(..LONGEST_STOP_MS)));
            target.signal(Signal::SIGCONT);
        }
        2 => target.signal(Signal::SIGUSR1),
        _ => target.signal(Signal::SIGWINCH),
    }
}

/// Writes in odd pieces with pauses, so that the transfer lasts as long as some dozens of signals.
fn feed(mut stdin: ChildStdin, bytes: &[u8], mut rng: Rng) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rng.usize(1..30_000).min(rest.len()));
        stdin.write_all(now).unwrap();
        rest = later;
        thread::sleep(Duration::from_micros(rng.u64(..4_000)));
    }
}

/// A listener and a client, both pktcat, both in the storm.
fn both_ways(options: &str, rng: &mut Rng) {
    let (up, down) = (random(rng.u64(..), rng.usize(1..500_000)), random(rng.u64(..), 200_000));
    let cmd = pktcat_line(&format!("listen {options} 127.0.0.1 0")).stdin(Input::Pipe);
    let mut server = cmd.spawn();
    let line = format!("connect -v {options} {}", server.listening_on());
    let mut client = pktcat_line(&line).stdin(Input::Pipe).spawn();
    client.wait_line("connected to ");
    let inputs = [(server.take_stdin(), &down), (client.take_stdin(), &up)];

    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = Storm::start(scope, &over, vec![&server, &client], rng.fork());
        for (stdin, bytes) in inputs {
            let rng = rng.fork();
            scope.spawn(move || feed(stdin, bytes, rng));
        }
        storm.outlast();
    });
    assert_same(&server.wait().expect_code(0).stdout, &up);
    assert_same(&client.wait().expect_code(0).stdout, &down);
}

/// Three clients at once: lines from each to the listener, and its lines to all.
fn many_clients(rng: &mut Rng) {
    const CLIENTS: usize = 3;
    let lines =
        |name: &str| -> String { (0..400).map(|n| format!("{name}: {n} {n:0>150}\n")).collect() };
    let cmd = pktcat_line("listen -k -v -O lines 127.0.0.1 0").stdin(Input::Pipe);
    let mut server = cmd.spawn();
    let address = server.listening_on();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| pktcat_line(&format!("connect -v {address}")).stdin(Input::Pipe).spawn())
        .collect();
    server.wait_lines("accepted ", CLIENTS);
    clients.iter().for_each(|client| drop(client.wait_line("connected to ")));

    let down = lines("to all");
    let names: Vec<_> = (0..CLIENTS).map(|number| lines(&format!("from {number}"))).collect();
    let said = server.take_stdin();
    let inputs: Vec<_> = clients.iter_mut().map(Running::take_stdin).zip(&names).collect();
    let wanted = down.len();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let targets = [&server].into_iter().chain(&clients).collect();
        let storm = Storm::start(scope, &over, targets, rng.fork());
        let feeding: Vec<_> = inputs
            .into_iter()
            .map(|(stdin, text)| {
                let rng = rng.fork();
                scope.spawn(move || feed(stdin, text.as_bytes(), rng))
            })
            .collect();
        feed(said, down.as_bytes(), rng.fork());
        feeding.into_iter().for_each(|one| one.join().unwrap());
        server.wait_stdout(names.iter().map(String::len).sum());
        clients.iter().for_each(|client| drop(client.wait_stdout(wanted)));
        over.store(true, Ordering::Relaxed);
        storm.outlast();
    });
    server.signal(Signal::SIGTERM);
    let ended = server.wait().expect_signal(Signal::SIGTERM);
    let text = ended.stdout_text();
    for (number, sent) in names.iter().enumerate() {
        let prefix = format!("from {number}: ");
        let came: String =
            text.split_inclusive('\n').filter(|line| line.starts_with(&prefix)).collect();
        assert_same(came.as_bytes(), sent.as_bytes());
    }
    assert_eq!(text.len(), names.iter().map(String::len).sum::<usize>());
    for client in clients {
        assert_same(client.wait_stdout_end().as_slice(), down.as_bytes());
        client.wait().expect_code(0);
    }
}

/// Frames of random lengths, empty ones too: few enough for the receiver's buffer while it is stopped.
fn some_frames(rng: &mut Rng) -> (usize, Vec<Vec<u8>>) {
    let count = rng.usize(20..60);
    let frames = (0..count).map(|_| {
        let bytes = random(rng.u64(..), rng.usize(..1_000));
        let mut frame = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        frame.extend(bytes);
        frame
    });
    (count, frames.collect())
}

fn feed_frames(mut stdin: ChildStdin, frames: &[Vec<u8>], mut rng: Rng) {
    for frame in frames {
        stdin.write_all(frame).unwrap();
        thread::sleep(Duration::from_micros(rng.u64(..4_000)));
    }
}

/// Datagrams one way: every boundary is kept.
fn frames(rng: &mut Rng) {
    let (count, frames) = some_frames(rng);
    let server = pktcat_line(&format!("listen -u -O frames --count {count} 127.0.0.1 0")).spawn();
    let line = format!("connect -u -v -q 100ms -I frames {}", server.listening_on());
    let mut client = pktcat_line(&line).stdin(Input::Pipe).spawn();
    client.wait_line("connected to ");
    let stdin = client.take_stdin();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = Storm::start(scope, &over, vec![&server, &client], rng.fork());
        feed_frames(stdin, &frames, rng.fork());
        storm.outlast();
    });
    assert_same(&server.wait().expect_code(0).stdout, &frames.concat());
    // The listener may have gone after its last datagram: nothing is sent to it any more.
    client.wait().expect_code(0);
}

/// Datagrams to a service that gives them back.
fn echoed_frames(rng: &mut Rng) {
    let (count, frames) = some_frames(rng);
    let server = pktcat_line("listen -u --echo 127.0.0.1 0").spawn();
    let address = server.listening_on();
    let line = format!("connect -u -v -q 10s -I frames -O frames --count {count} {address}");
    let mut client = pktcat_line(&line).stdin(Input::Pipe).spawn();
    client.wait_line("connected to ");
    let stdin = client.take_stdin();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let storm = Storm::start(scope, &over, vec![&client, &server], rng.fork());
        feed_frames(stdin, &frames, rng.fork());
        storm.outlast();
    });
    assert_same(&client.wait().expect_code(0).stdout, &frames.concat());
    server.signal(Signal::SIGTERM);
    server.wait().expect_signal(Signal::SIGTERM);
}
