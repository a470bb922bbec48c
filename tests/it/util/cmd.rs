//! The command that a test runs, and its standard descriptors.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::running::{Ended, Running};

/// What a child gets as its standard input.
#[derive(Debug)]
pub enum Input {
    /// `/dev/null`, the default here. (A TCP listener treats it specially: see "Ending" in the contract.)
    Null,
    /// A pipe that stays open until [`Running::close_stdin`]; written by [`Running::send`].
    Pipe,
    /// A pipe that delivers these bytes, then end of file.
    Bytes(Vec<u8>),
    /// No descriptor 0 at all (`<&-`).
    Closed,
    /// This descriptor: a file, one end of a pipe, a socket or a terminal.
    Fd(OwnedFd),
}

/// What a child gets as its standard output or standard error.
#[derive(Debug)]
pub enum Output {
    /// A pipe that a thread reads into memory, the default.
    Collect,
    /// For stdout only: a pipe that is not read unless the test takes it by [`Running::take_stdout`].
    Pipe,
    /// `/dev/null`.
    Null,
    /// No such descriptor at all (`>&-`).
    Closed,
    /// This descriptor: a file, one end of a pipe, a socket or a terminal.
    Fd(OwnedFd),
}

/// A command to be run under watch.
#[derive(Debug)]
pub struct Cmd {
    words: Vec<OsString>,
    stdin: Input,
    stdout: Output,
    stderr: Output,
    user: Option<u32>,
    env: Vec<(OsString, OsString)>,
}

/// The program that is tested: the one that `PKTCAT_BIN` names, such as a static build or one for another
/// processor, else the one that cargo has built.
pub fn binary() -> &'static str {
    static NAMED: OnceLock<Option<String>> = OnceLock::new();
    let named =
        NAMED.get_or_init(|| std::env::var("PKTCAT_BIN").ok().filter(|name| !name.is_empty()));
    named.as_deref().unwrap_or(env!("CARGO_BIN_EXE_pktcat"))
}

/// pktcat with these arguments, and the words of `PKTCAT_TEST_ARGS` after `listen`, `connect` or
/// `forward`.
pub fn pktcat<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Cmd {
    let mut cmd = program(binary(), [""; 0]);
    let mut args = args.into_iter();
    if let Some(subcommand) = args.next() {
        cmd = cmd.arg(&subcommand);
        if ["listen", "connect", "forward"].iter().any(|&known| subcommand.as_ref() == known) {
            cmd.words.extend(extra_args());
        }
    }
    args.fold(cmd, |cmd, word| cmd.arg(word))
}

/// pktcat with the words of a line as its arguments, which are separated by white space.
pub fn pktcat_line(line: &str) -> Cmd {
    pktcat(line.split_whitespace())
}

/// The words of `PKTCAT_TEST_ARGS`.
pub fn extra_args() -> Vec<OsString> {
    std::env::var("PKTCAT_TEST_ARGS")
        .unwrap_or_default()
        .split_whitespace()
        .map(OsString::from)
        .collect()
}

/// The options that select each code path: none for the fast path, `--portable` for the portable one.
/// Just one of the two if `PKTCAT_TEST_ARGS` has all tests run on the portable path.
pub fn ways() -> &'static [&'static str] {
    match extra_args().iter().any(|word| word == "--portable") {
        true => &[""],
        false => &["", "--portable"],
    }
}

/// Any program with these arguments.
pub fn program<S: AsRef<OsStr>>(name: impl AsRef<OsStr>, args: impl IntoIterator<Item = S>) -> Cmd {
    let mut words = vec![name.as_ref().to_owned()];
    words.extend(args.into_iter().map(|word| word.as_ref().to_owned()));
    Cmd {
        words,
        stdin: Input::Null,
        stdout: Output::Collect,
        stderr: Output::Collect,
        user: None,
        env: Vec::new(),
    }
}

/// Where a program is on `PATH` (and in the `sbin` directories), if anywhere.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

impl Cmd {
    /// One more argument.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// The standard input; `/dev/null` when not said.
    pub fn stdin(mut self, input: Input) -> Self {
        self.stdin = input;
        self
    }

    /// The standard output; collected when not said.
    pub fn stdout(mut self, output: Output) -> Self {
        self.stdout = output;
        self
    }

    /// The standard error; collected when not said.
    pub fn stderr(mut self, output: Output) -> Self {
        self.stderr = output;
        self
    }

    /// Runs it as this user and group (the test must be root).
    pub fn user(mut self, id: u32) -> Self {
        self.user = Some(id);
        self
    }

    /// One more environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The same command started through another one, such as `["setsid", "--ctty"]`, that ends in an exec.
    pub fn through<S: AsRef<OsStr>>(mut self, prefix: impl IntoIterator<Item = S>) -> Self {
        self.words =
            prefix.into_iter().map(|word| word.as_ref().to_owned()).chain(self.words).collect();
        self
    }

    /// The same command with faults injected into its system calls (`inject=` of strace(1), such as
    /// `splice:error=EPERM:when=1`). The process stays the test's own child. Needs `Need::Strace`.
    pub fn injecting(self, faults: &str) -> Self {
        let trace = format!("trace={}", faults.split(':').next().unwrap());
        let inject = format!("inject={faults}");
        self.through(["strace", "-D", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject])
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Starts it.
    #[track_caller]
    pub fn spawn(mut self) -> Running {
        let line = self.line();
        // std cannot start a child with a closed descriptor. A shell can, and `exec` then replaces it by
        // the program in the same process.
        let mut closing = String::from("exec \"$@\"");
        for (is_closed, words) in [
            (matches!(self.stdin, Input::Closed), " <&-"),
            (matches!(self.stdout, Output::Closed), " >&-"),
            (matches!(self.stderr, Output::Closed), " 2>&-"),
        ] {
            closing += if is_closed { words } else { "" };
        }
        if closing.len() > "exec \"$@\"".len() {
            self = self.through(["/bin/sh", "-c", &closing, "sh"]);
        }

        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.env);
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        let mut payload = None;
        command.stdin(match self.stdin {
            Input::Null | Input::Closed => Stdio::null(),
            Input::Pipe => Stdio::piped(),
            Input::Bytes(bytes) => {
                payload = Some(bytes);
                Stdio::piped()
            }
            Input::Fd(fd) => Stdio::from(fd),
        });
        let collects = matches!(self.stdout, Output::Collect);
        command.stdout(self.stdout.stdio()).stderr(self.stderr.stdio());
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        // The command holds the test's copies of the child's descriptors. They must be closed, or the other
        // ends would never see an end of file.
        drop(command);

        Running::new(line, child, payload, collects)
    }

    /// Starts it and waits for its end.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.spawn().wait()
    }
}

impl Output {
    fn stdio(self) -> Stdio {
        match self {
            Self::Collect | Self::Pipe => Stdio::piped(),
            Self::Null | Self::Closed => Stdio::null(),
            Self::Fd(fd) => Stdio::from(fd),
        }
    }
}
