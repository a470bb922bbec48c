//! Which faults are tried in which scene, many side by side, and the report.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use libtest_mimic::Trial;

use super::errors::{self, Errors};
use super::tracing::{Census, Fault, Repeats, Seen, before_main, count};
use super::verdict;
use crate::util::harness::{self, Need};

/// Something that pktcat does, told by how it is run against a peer of the test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    /// Its name.
    pub(super) name: &'static str,
    /// The words that it is run with: once for each.
    pub(super) options: &'static [&'static str],
    /// Runs it, undisturbed or with one fault.
    pub(super) run: fn(&str, Option<&Fault>) -> Seen,
}

/// Occurrences of a call that fail.
const NUMBERS: [usize; 4] = [1, 2, 3, 10];
/// Runs at once: they mostly wait.
const SIDE_BY_SIDE: usize = 8;

/// A test for each scene and way.
pub(super) fn tests(scenes: &[Scene]) -> Vec<Trial> {
    let mut tests = Vec::new();
    for &scene in scenes {
        // The tests are all run once more with --portable; the whole has it in one run.
        let options =
            scene.options.iter().filter(|&&options| is_whole() || options != "--portable");
        for &options in options {
            let name = format!("{} {options}", scene.name);
            let name = name.trim_end().to_owned();
            let run = move || inject(scene, options);
            tests.push(harness::test(module_path!(), name, &[Need::Strace], run));
        }
    }
    tests
}

/// Runs a scene undisturbed, then with every fault that it can meet.
fn inject(scene: Scene, options: &str) {
    let plain = (scene.run)(options, None);
    assert!(
        plain.missing.is_empty() && plain.wrong.is_empty() && !plain.spun,
        "undisturbed: {:?}, spun: {}, {}\n{}",
        plain.missing,
        plain.spun,
        plain.status,
        plain.stderr
    );
    let faults = faults(&count(plain.log.lines()));
    let red = Mutex::new(Vec::new());
    let (next, reached) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _place = Place::take();
                    let seen = (scene.run)(options, Some(fault));
                    if seen.log.contains("(INJECTED)") {
                        reached.fetch_add(1, Ordering::Relaxed);
                    }
                    let wrong = verdict::wrong(&seen, fault);
                    if !wrong.is_empty() {
                        red.lock().unwrap().push(report(&seen, fault, &wrong));
                    }
                }
            });
        }
    });
    static TOTAL: AtomicUsize = AtomicUsize::new(0);
    let total = TOTAL.fetch_add(faults.len(), Ordering::Relaxed) + faults.len();
    let mut red = red.into_inner().unwrap();
    red.sort();
    println!(
        "faults: {} {options}: {} runs, {} met their fault, {} red; {total} runs so far",
        scene.name,
        faults.len(),
        reached.into_inner(),
        red.len()
    );
    assert!(red.is_empty(), "{} of {} runs are red:\n{}", red.len(), faults.len(), red.join("\n"));
}

fn report(seen: &Seen, fault: &Fault, wrong: &[String]) -> String {
    let stderr: Vec<_> = seen.stderr.lines().filter(|line| line.starts_with("pktcat: ")).collect();
    format!(
        "{fault}: {} ({}, {:?}, {})\n    strace --inject={fault} {}",
        wrong.join("; "),
        seen.status,
        seen.end,
        stderr.join(" / "),
        seen.line
    )
}

/// Whether everything is tried, and not only what systems do show.
fn is_whole() -> bool {
    std::env::var_os("PKTCAT_ALL_FAULTS").is_some() || std::env::var_os("PKTCAT_FAULT").is_some()
}

/// The faults of a scene that makes these calls.
fn faults(census: &Census) -> Vec<Fault> {
    if let Ok(one) = std::env::var("PKTCAT_FAULT") {
        return vec![named(&one)];
    }
    let (table, numbers) =
        if is_whole() { (errors::ALL, &NUMBERS[..]) } else { (errors::ORDINARY, &NUMBERS[..1]) };
    table.iter().flat_map(|errors| of_call(errors, numbers, census)).collect()
}

fn of_call(&(call, errors): &Errors, numbers: &[usize], census: &Census) -> Vec<Fault> {
    let made = census.get(call).copied().unwrap_or(0);
    let before = before_main().get(call).copied().unwrap_or(0);
    let mut faults = Vec::new();
    for number in numbers.iter().map(|number| before + number).filter(|&number| number <= made) {
        for &error in errors {
            // A call that is interrupted for ever can only be made again for ever, and a refusal is
            // taken off the socket by the call that tells of it.
            let passes = error == "EINTR" || error == "ECONNREFUSED" && call.starts_with("recvm");
            let repeats = [Repeats::Once, Repeats::ForEver];
            for &repeats in &repeats[..if passes { 1 } else { 2 }] {
                faults.push(Fault { call, error, number, repeats });
            }
        }
    }
    faults
}

/// A fault as a report names it.
fn named(text: &str) -> Fault {
    parse(text).unwrap_or_else(|| panic!("PKTCAT_FAULT={text}: not CALL:error=NAME:when=N or N+"))
}

fn parse(text: &str) -> Option<Fault> {
    let [call, error, when] = text.split(':').collect::<Vec<_>>()[..] else { return None };
    let &(call, errors) = errors::ALL.iter().find(|(name, _)| *name == call)?;
    let error = error.strip_prefix("error=")?;
    let error = errors.iter().find(|&&name| name == error)?;
    let when = when.strip_prefix("when=")?;
    let repeats = if when.ends_with('+') { Repeats::ForEver } else { Repeats::Once };
    Some(Fault { call, error, number: when.trim_end_matches('+').parse().ok()?, repeats })
}

/// One of the places for runs at the same time, whichever test they belong to.
struct Place;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Place {
    fn take() -> Self {
        let taken = TAKEN.0.lock().unwrap();
        *TAKEN.1.wait_while(taken, |taken| *taken >= SIDE_BY_SIDE).unwrap() += 1;
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) -= 1;
        TAKEN.1.notify_one();
    }
}
