//! pktcat under strace, which makes a system call fail, and what is seen of it from outside.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::process::ExitStatus;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempPath;

use crate::util::{Cmd, Ended, Running, pktcat, proc};

/// How soon a signal that asks for the end must have brought it.
const SIGNAL_TIME: Duration = Duration::from_secs(2);
/// System calls in a second with nothing to do, at most: those of a timer of a few milliseconds. A process
/// that spins makes ten thousands, even under strace and on a busy machine.
const CALLS_PER_IDLE_SECOND: usize = 3_000;
/// Clock ticks of processor time in such a second, at most: one half of it.
const TICKS_PER_IDLE_SECOND: u64 = 50;
/// Bytes of strace's log that no scene fills with what it has to do: more is a spin, and is not waited for.
const SPINNING: u64 = 2_000_000;

/// How often a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// One time.
    Once,
    /// From then on.
    ForEver,
}

/// One injected failure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// The name of the system call.
    pub(super) call: &'static str,
    /// The name of the error.
    pub(super) error: &'static str,
    /// Which call of this name fails, counted by strace from 1, those of the dynamic loader included.
    pub(super) number: usize,
    /// Once or from then on.
    pub(super) repeats: Repeats,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, error, number, repeats } = self;
        let on = if *repeats == Repeats::ForEver { "+" } else { "" };
        write!(f, "{call}:error={error}:when={number}{on}")
    }
}

/// How often each system call was made.
pub(super) type Census = HashMap<String, usize>;

/// The calls that the dynamic loader and the runtime make before the program's own code begins.
pub(super) fn before_main() -> &'static Census {
    static BEFORE: OnceLock<Census> = OnceLock::new();
    BEFORE.get_or_init(|| {
        let traced = Traced::start(pktcat(["--version"]), None);
        let seen = traced.finish(Ending::ByItself);
        // All but the printing, which comes last, is start-up.
        count(seen.log.lines().take_while(|line| !line.starts_with("write(1, ")))
    })
}

/// Counts the calls in lines of strace's log.
pub(super) fn count<'a>(lines: impl Iterator<Item = &'a str>) -> Census {
    let mut census = Census::new();
    for (name, _) in lines.filter_map(|line| line.split_once('(')) {
        *census.entry(name.to_owned()).or_default() += 1;
    }
    census
}

/// How a run is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Everything outside has ended: so does the run.
    ByItself,
    /// It runs until it is stopped by a signal.
    BySignal,
}

/// How it did end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Without a signal.
    Itself,
    /// By the signal, as planned.
    Stopped,
    /// By the signal, though it should have ended by itself.
    Hung,
    /// It did not even hear the signal in time.
    Deaf,
}

/// A finished run.
#[derive(Debug)]
pub(super) struct Seen {
    /// The command line.
    pub(super) line: String,
    /// How the run ended.
    pub(super) end: End,
    /// Whether it made system calls, or used the processor, with nothing to do.
    pub(super) spun: bool,
    /// Its status.
    pub(super) status: ExitStatus,
    /// What it wrote on standard error.
    pub(super) stderr: String,
    /// What it wrote on standard output.
    pub(super) stdout: Vec<u8>,
    /// All the calls it made.
    pub(super) log: String,
    /// Payload that did not arrive where it should, as the scene found out.
    pub(super) missing: Vec<String>,
    /// A peer that was shown a clean end although some of its payload is missing.
    pub(super) misled: Option<String>,
    /// What else is wrong, in plain words.
    pub(super) wrong: Vec<String>,
}

impl Seen {
    /// Whether the fault met the socket pair over which a signal wakes the loop. No kernel lets such a
    /// call fail, and strace cannot tell it from those on the network.
    pub(super) fn is_beside_the_point(&self) -> bool {
        let pair = self.log.lines().find(|line| line.starts_with("socketpair("));
        let Some((_, ends)) = pair.and_then(|line| line.split_once(", [")) else { return false };
        let ends: Vec<_> = ends.split(']').next().unwrap_or("").split(", ").collect();
        self.log.lines().filter(|line| line.ends_with("(INJECTED)")).any(|line| {
            let descriptor = line.split_once('(').and_then(|(_, words)| words.split(',').next());
            descriptor.is_some_and(|descriptor| ends.contains(&descriptor))
        })
    }

    /// Notes that what came is not what was sent.
    pub(super) fn compare(&mut self, place: &str, came: &[u8], sent: &[u8]) {
        if came != sent {
            self.missing.push(format!("{place}: {} of {} bytes", came.len(), sent.len()));
        }
    }
}

/// A running, traced pktcat.
#[derive(Debug)]
pub(super) struct Traced {
    /// The process itself: strace watches from the side (`-D`).
    pub(super) running: Running,
    line: String,
    log: TempPath,
    spun: bool,
}

impl Traced {
    /// Starts it.
    pub(super) fn start(cmd: Cmd, fault: Option<&Fault>) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let mut prefix: Vec<String> =
            ["strace", "-D", "-q", "-s", "8", "-o"].map(Into::into).into();
        prefix.push(log.to_str().unwrap().to_owned());
        prefix.extend(fault.map(|fault| format!("--inject={fault}")));
        let line = cmd.line();
        Self { running: cmd.through(prefix).spawn(), line, log, spun: false }
    }

    /// Waits until a line on stderr begins like this, and gives it; nothing when the run ends first.
    pub(super) fn wait_line(&self, prefix: &str) -> Option<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let over = self.running.ended().is_some()
                || Instant::now() > deadline
                || self.is_stuck()
                || self.written() > SPINNING;
            let text = self.running.stderr_now();
            if let Some(line) = text.lines().find(|line| line.starts_with(prefix)) {
                return Some(line.to_owned());
            }
            if over {
                return None;
            }
            thread::sleep(Duration::from_millis(3));
        }
    }

    /// The port it listens on, when it gets that far: from its line on stderr or, where that is what
    /// failed, from what the kernel told it.
    pub(super) fn port(&self) -> Option<u16> {
        if let Some(line) = self.wait_line("listening on ") {
            return line.split_whitespace().nth(2)?.rsplit(':').next()?.parse().ok();
        }
        let log = self.log();
        let asked = log.lines().rfind(|line| line.starts_with("getsockname("))?;
        asked.split_once("htons(")?.1.split_once(')')?.0.parse().ok()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Watches for a moment in which there is nothing to do.
    pub(super) fn idle(&mut self) {
        let (_, lines) = self.calls_within(Duration::from_millis(200));
        if lines < CALLS_PER_IDLE_SECOND / 10 {
            return;
        }
        // That may have been the end of its work. This is not.
        let before = self.ticks();
        let (_, lines) = self.calls_within(Duration::from_secs(1));
        let ticks = self.ticks().saturating_sub(before);
        self.spun |= lines > CALLS_PER_IDLE_SECOND || ticks > TICKS_PER_IDLE_SECOND;
    }

    /// Waits for the end, or asks for it.
    pub(super) fn finish(mut self, ending: Ending) -> Seen {
        let mut end = End::Itself;
        if ending == Ending::BySignal || !self.ends_before_it_is_quiet() {
            self.idle();
            if self.running.ended().is_none() {
                end = if ending == Ending::BySignal { End::Stopped } else { End::Hung };
                if !self.stop() {
                    end = End::Deaf;
                    self.running.signal(Signal::SIGKILL);
                }
            }
        }
        let Self { running, line, log, spun } = self;
        let Ended { status, stdout, stderr, .. } = running.wait();
        let log = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
        let (missing, misled, wrong) = (Vec::new(), None, Vec::new());
        Seen { line, end, spun, status, stderr, stdout, log, missing, misled, wrong }
    }

    fn stop(&self) -> bool {
        self.running.signal(Signal::SIGTERM);
        self.ends_within(SIGNAL_TIME)
    }

    /// Whether it ends while it still does something: not once it has made no call for a while, nor
    /// when it never stops making them.
    fn ends_before_it_is_quiet(&self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(5);
        let (mut written, mut since) = (self.written(), Instant::now());
        while Instant::now() < deadline && since.elapsed() < Duration::from_millis(700) {
            if self.ends_within(Duration::from_millis(30)) {
                return true;
            }
            if self.written() > SPINNING {
                return false;
            }
            if self.written() != written {
                (written, since) = (self.written(), Instant::now());
            }
        }
        false
    }

    /// Whether it sleeps without having said that it is ready.
    fn is_stuck(&self) -> bool {
        // A program that waits for a second before its first line has nothing more to say.
        let age = fs::metadata(&self.log).and_then(|log| log.modified()).ok();
        age.and_then(|at| at.elapsed().ok()).is_some_and(|quiet| quiet > Duration::from_secs(1))
    }

    fn ends_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            if self.running.ended().is_some() {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn calls_within(&self, time: Duration) -> (bool, usize) {
        let before = self.written();
        let ended = self.ends_within(time);
        let text = fs::read(&self.log).unwrap_or_default();
        let new = text.get(usize::try_from(before).unwrap()..).unwrap_or_default();
        (ended, new.iter().filter(|&&byte| byte == b'\n').count())
    }

    fn written(&self) -> u64 {
        fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    fn ticks(&self) -> u64 {
        if self.running.ended().is_some() { 0 } else { proc::cpu_ticks(self.running.pid()) }
    }
}
