//! A running child process, and the output and status it leaves.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{A_WHILE, LIFETIME, PATIENCE, proc};

/// Starts a thread that kills the child after [`LIFETIME`], or ends when the sender is dropped.
fn watchdog(child: Arc<Mutex<Child>>) -> Sender<()> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        if receiver.recv_timeout(LIFETIME) == Err(RecvTimeoutError::Timeout) {
            // This cannot hit another process with the same id: std refuses to signal a child that has been
            // waited for.
            drop(child.lock().unwrap().kill());
        }
    });
    sender
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    line: String,
    pid: u32,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    collected: Option<Collected>,
    stderr: Option<Collected>,
    child: Arc<Mutex<Child>>,
    /// Dropping it ends the watchdog.
    _watchdog: Sender<()>,
}

impl Running {
    /// Takes a child that was just started: writes `payload` to its stdin, and collects its stderr, and its
    /// stdout if asked for.
    pub(super) fn new(
        line: String,
        mut child: Child,
        payload: Option<Vec<u8>>,
        collects: bool,
    ) -> Self {
        let mut stdin = child.stdin.take();
        if let Some(bytes) = payload {
            let mut pipe = stdin.take().unwrap();
            // A child that ends early breaks this pipe. Whether that is right is for the test to decide.
            thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let mut stdout = child.stdout.take();
        let collected = stdout.take_if(|_| collects).map(Collected::start);
        let stderr = child.stderr.take().map(Collected::start);
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let _watchdog = watchdog(Arc::clone(&child));
        Self { line, pid, stdin, stdout, collected, stderr, child, _watchdog }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Writes to its standard input ([`Input::Pipe`]), all of it.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        let line = &self.line;
        let pipe =
            self.stdin.as_mut().unwrap_or_else(|| panic!("{line}: stdin is not an open pipe"));
        pipe.write_all(bytes).unwrap_or_else(|error| panic!("{line}: its stdin: {error}"));
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The writing end of its standard input, for a thread of the test.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    /// The reading end of its standard output ([`Output::Pipe`]).
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.stdout.take().unwrap()
    }

    /// The first whole line on stderr that begins with `prefix`, waited for.
    #[track_caller]
    pub fn wait_line(&self, prefix: &str) -> String {
        self.wait_lines(prefix, 1).remove(0)
    }

    /// The first `count` lines on stderr that begin with `prefix`, waited for.
    #[track_caller]
    pub fn wait_lines(&self, prefix: &str, count: usize) -> Vec<String> {
        let what = format!("{}: {count} line(s) on stderr with {prefix:?}", self.line);
        self.stderr.as_ref().unwrap().wait(&what, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
            let found = whole.lines().filter(|line| line.starts_with(prefix)).take(count);
            Some(found.map(str::to_owned).collect::<Vec<_>>()).filter(|found| found.len() == count)
        })
    }

    /// `ADDR:PORT` of its `listening on ADDR:PORT (tcp)` line, which is printed when the port asked for is 0.
    #[track_caller]
    pub fn listening_on(&self) -> String {
        let line = self.wait_line("listening on ");
        line.split_whitespace().nth(2).unwrap().to_owned()
    }

    /// The port of its `listening on` line.
    #[track_caller]
    pub fn port(&self) -> u16 {
        let address = self.listening_on();
        let port = address.rsplit(':').next().unwrap();
        port.parse().unwrap_or_else(|_| panic!("{}: no port in {address:?}", self.line))
    }

    /// Waits until so many bytes are collected from stdout, and gives all there are.
    #[track_caller]
    pub fn wait_stdout(&self, at_least: usize) -> Vec<u8> {
        let what = || format!("{}: {at_least} bytes on stdout; {}", self.line, self.stderr_now());
        let is_enough = |bytes: &Bytes| bytes.all.len() >= at_least;
        let collected = self.collected.as_ref().unwrap();
        collected.wait_bytes(what, |bytes| is_enough(bytes).then(|| bytes.all.clone()))
    }

    /// Waits for the end of its standard output, and gives all of it.
    #[track_caller]
    pub fn wait_stdout_end(&self) -> Vec<u8> {
        self.collected.as_ref().unwrap().wait_end(&format!("{}: end of stdout", self.line))
    }

    /// What is collected from stdout by now.
    pub fn stdout_now(&self) -> Vec<u8> {
        self.collected.as_ref().unwrap().now()
    }

    /// What is collected from stderr by now.
    pub fn stderr_now(&self) -> String {
        self.stderr
            .as_ref()
            .map_or_else(String::new, |stderr| String::from_utf8_lossy(&stderr.now()).into_owned())
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        // The lock keeps other threads from waiting for the child between the check and the signal; after
        // that its process id might be another process's.
        let mut child = self.child.lock().unwrap();
        if child.try_wait().unwrap().is_none() {
            kill(Pid::from_raw(self.pid.cast_signed()), signal).unwrap();
        }
    }

    /// Its status, if it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// Panics when it ends within [`A_WHILE`].
    #[track_caller]
    pub fn expect_running(&self) {
        let deadline = Instant::now() + A_WHILE;
        while Instant::now() < deadline {
            let status = self.ended();
            assert!(status.is_none(), "{} ended: {status:?}\n{}", self.line, self.stderr_now());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end of the child, and returns its status and output. Its stdin is not closed for that. The
    /// wait is as long as a child may live ([`LIFETIME`]), because much data takes long on a busy machine.
    #[track_caller]
    pub fn wait(self) -> Ended {
        let what = format!("end of {}", self.line);
        let (mut worked, mut since) = (0, Instant::now());
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            if since.elapsed() > PATIENCE {
                let used = proc::cpu_ticks(self.pid);
                assert!(
                    used != worked,
                    "not within {PATIENCE:?}: {what}; stderr:\n{}",
                    self.stderr_now()
                );
                (worked, since) = (used, Instant::now());
            }
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = self.collected.as_ref().map_or_else(Vec::new, |all| all.wait_end(&what));
        let stderr = self.stderr.as_ref().map_or_else(Vec::new, |all| all.wait_end(&what));
        Ended {
            line: self.line.clone(),
            status,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        drop(child.kill());
        drop(child.wait());
    }
}

/// The status and the output of a child that has ended.
#[derive(Debug)]
pub struct Ended {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// All of its collected standard output.
    pub stdout: Vec<u8>,
    /// All of its collected standard error.
    pub stderr: String,
}

impl Ended {
    /// Panics, showing stderr, unless it exited with this status.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let Self { line, status, stderr, .. } = &self;
        assert_eq!(status.code(), Some(code), "{line}: {status}; stderr:\n{stderr}");
        self
    }

    /// Panics, showing stderr, unless it was ended by this signal.
    #[track_caller]
    pub fn expect_signal(self, signal: Signal) -> Self {
        let Self { line, status, stderr, .. } = &self;
        assert_eq!(status.signal(), Some(signal as i32), "{line}: {status}; stderr:\n{stderr}");
        self
    }

    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Bytes that a thread reads from a pipe until end of file or an error.
#[derive(Debug)]
pub struct Collected {
    shared: Arc<(Mutex<Bytes>, Condvar)>,
}

#[derive(Debug, Default)]
struct Bytes {
    all: Vec<u8>,
    ended: bool,
}

impl Collected {
    /// Starts reading.
    pub fn start(mut reader: impl Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Bytes>, Condvar)>::default();
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            let (bytes, changed) = &*theirs;
            let mut buffer = vec![0; 65536];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut bytes = bytes.lock().unwrap();
                bytes.all.extend_from_slice(&buffer[..count]);
                bytes.ended = count == 0;
                changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        Self { shared }
    }

    /// What has come by now.
    pub fn now(&self) -> Vec<u8> {
        self.shared.0.lock().unwrap().all.clone()
    }

    /// Waits until `test` finds what it looks for in what has come.
    #[track_caller]
    pub fn wait<T>(&self, what: &str, test: impl Fn(&[u8]) -> Option<T>) -> T {
        self.wait_bytes(|| what.to_owned(), |bytes| test(&bytes.all))
    }

    /// Waits for the end, and gives everything.
    #[track_caller]
    pub fn wait_end(&self, what: &str) -> Vec<u8> {
        self.wait_bytes(|| what.to_owned(), |bytes| bytes.ended.then(|| bytes.all.clone()))
    }

    #[track_caller]
    fn wait_bytes<T>(&self, what: impl Fn() -> String, test: impl Fn(&Bytes) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let (bytes, changed) = &*self.shared;
        let mut bytes = bytes.lock().unwrap();
        loop {
            if let Some(value) = test(&bytes) {
                return value;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || bytes.ended {
                let (count, seen) =
                    (bytes.all.len(), bytes.all[..bytes.all.len().min(2000)].to_vec());
                let why = if bytes.ended { "ended before" } else { "not in time" };
                // The lock is released before the panic, so that it is not poisoned for the thread that reads.
                drop(bytes);
                let what = what();
                panic!(
                    "{why}: {what}; there are {count} bytes: {:?}",
                    String::from_utf8_lossy(&seen)
                );
            }
            bytes = changed.wait_timeout(bytes, left).unwrap().0;
        }
    }
}
