//! A file that a run writes to is no other file of the same run: neither one that it reads, such as a
//! private key, nor one that it writes to for another reason. Whoever names one twice is told so before
//! anything is touched.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;

use crate::tests;
use crate::util::{Cmd, Input, Output, each_at_once, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        no_command_overwrites_a_file_that_it_names_twice,
        a_file_of_the_environment_is_a_file_of_the_run,
        standard_input_is_not_overwritten_while_it_is_sent,
        the_files_of_standard_output_and_error_are_files_of_the_run,
        a_local_socket_is_not_made_where_a_file_is_to_be,
    ]
}

/// The options that write to the file they name.
const WRITTEN: &[&str] = &["--pcap", "--hex-file", "--port-file", "--keylog", "--svg"];

/// The options that read it.
const READ: &[&str] = &["--cert", "--key", "--ca", "--client-ca", "--messages", "--reply-file"];

/// The commands, with words that let all their options for files mean something.
const COMMANDS: &[&str] = &[
    "listen --tls --timeout 1s 127.0.0.1 0",
    "connect --tls --timeout 1s 127.0.0.1 9",
    "forward --timeout 1s tls:127.0.0.1:0 tls:127.0.0.1:9",
    "compare --count 1",
    "ping --count 1 127.0.0.1 9",
    "scan 127.0.0.1 9",
];

/// The options of a command that name files, by its help.
fn options(command: &str) -> Vec<String> {
    let name = command.split(' ').next().unwrap();
    let help = pktcat_line(&format!("{name} --help")).run().expect_code(0).stdout_text();
    let lines = help.lines().filter_map(|line| line.trim().split_once(" <FILE>"));
    let options: Vec<_> = lines.map(|(option, _)| option.to_owned()).collect();
    for option in &options {
        let known = WRITTEN.iter().chain(READ).any(|known| known == option);
        assert!(known, "{name} {option}: say here whether it reads its file or writes to it");
    }
    options
}

fn is_written(option: &str) -> bool {
    WRITTEN.contains(&option)
}

/// A folder with one file that has several names.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::write(folder.at("file"), "precious").unwrap();
        fs::hard_link(folder.at("file"), folder.at("hard")).unwrap();
        symlink("file", folder.at("link")).unwrap();
        symlink("missing", folder.at("dangling")).unwrap();
        symlink(".", folder.at("folder")).unwrap();
        folder
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    #[track_caller]
    fn expect_untouched(&self, line: &str) {
        assert_eq!(fs::read_to_string(self.at("file")).unwrap(), "precious", "{line}");
        let mut names: Vec<_> = self
            .0
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["dangling", "file", "folder", "hard", "link"], "{line}");
    }
}

/// Two names of one file, which the second pair and the last two have yet to get.
const NAMES: &[(&str, &str)] = &[
    ("file", "file"),
    ("missing", "missing"),
    ("file", "hard"),
    ("file", "link"),
    ("link", "hard"),
    ("file", "folder/file"),
    ("missing", "dangling"),
    ("folder/missing", "missing"),
];

#[track_caller]
fn expect_refused(cmd: Cmd, words: [&str; 2]) {
    let line = cmd.line();
    let ended = cmd.run().expect_code(2);
    assert!(ended.stderr.contains("are the same file"), "{line}: {}", ended.stderr);
    let (place, _) = ended.stderr.split_once(": are the same").unwrap();
    let place: Vec<_> = place.rsplit(": ").next().unwrap().split(", ").collect();
    assert!(words.iter().all(|word| place.contains(word)), "{line}: {}", ended.stderr);
}

fn no_command_overwrites_a_file_that_it_names_twice() {
    each_at_once(COMMANDS.iter().copied(), |command| {
        let folder = Folder::new();
        let options = options(command);
        for (at, one) in options.iter().enumerate() {
            for other in options.iter().skip(at + 1) {
                if !is_written(one) && !is_written(other) {
                    continue;
                }
                for (name, same) in NAMES {
                    let cmd = pktcat_line(command).arg(one).arg(folder.at(name));
                    let cmd = cmd.arg(other).arg(folder.at(same));
                    let line = cmd.line();
                    expect_refused(cmd, [one, other]);
                    folder.expect_untouched(&line);
                }
            }
        }
    });
}

fn a_file_of_the_environment_is_a_file_of_the_run() {
    each_at_once(COMMANDS[..3].iter().copied(), |command| {
        let folder = Folder::new();
        for option in options(command).iter().filter(|option| **option != "--keylog") {
            let cmd = pktcat_line(command).env("SSLKEYLOGFILE", folder.at("link"));
            let cmd = cmd.arg(option).arg(folder.at("file"));
            let line = cmd.line();
            expect_refused(cmd, ["SSLKEYLOGFILE", option]);
            folder.expect_untouched(&line);
        }
    });
    // Where it is not used it means nothing: with --keylog, and without TLS.
    let folder = Folder::new();
    for line in ["listen --tls --keylog", "listen --hex-file"] {
        let cmd =
            pktcat_line(line).arg(folder.at("file")).args(["--timeout", "0", "127.0.0.1", "0"]);
        cmd.env("SSLKEYLOGFILE", folder.at("file")).run().expect_code(5);
    }
}

fn stdin_of(cmd: Cmd, path: &Path) -> Cmd {
    cmd.stdin(Input::Fd(File::open(path).unwrap().into()))
}

fn standard_input_is_not_overwritten_while_it_is_sent() {
    for command in [COMMANDS[0], COMMANDS[1], "listen --chat --timeout 1s 127.0.0.1 0"] {
        let folder = Folder::new();
        for option in options(command).iter().filter(|option| is_written(option)) {
            if !command.contains("--tls") && option == "--keylog" {
                continue;
            }
            let cmd = pktcat_line(command).arg(option).arg(folder.at("hard"));
            let cmd = stdin_of(cmd, &folder.at("file"));
            let line = cmd.line();
            expect_refused(cmd, ["stdin", option]);
            folder.expect_untouched(&line);
        }
    }
    // Nor is a private key sent that is read from there.
    for option in ["--key", "--cert", "--ca"] {
        let folder = Folder::new();
        let cmd = pktcat_line(COMMANDS[1]).args([option, "/dev/stdin"]);
        expect_refused(stdin_of(cmd, &folder.at("file")), ["stdin", option]);
        let cmd = pktcat_line(COMMANDS[1]).args(["-d", option, "/dev/stdin"]);
        let ended = stdin_of(cmd, &folder.at("file")).run();
        assert!(!ended.stderr.contains("same file"), "{option}: {}", ended.stderr);
    }
    // What is not sent may be overwritten, as by a listener in a script whose input is the script.
    for options in ["-d", "--send x", "--echo", "--reply x"] {
        let folder = Folder::new();
        let line = format!("listen {options} --timeout 0 127.0.0.1 0 --hex-file");
        let cmd = pktcat_line(&line).arg(folder.at("file"));
        stdin_of(cmd, &folder.at("file")).run().expect_code(5);
    }
}

fn the_files_of_standard_output_and_error_are_files_of_the_run() {
    let appending =
        |path: &Path| Output::Fd(File::options().append(true).open(path).unwrap().into());
    each_at_once(COMMANDS.iter().copied(), |command| {
        let folder = Folder::new();
        // The port comes first, and what else goes there follows.
        let clashes = |option: &&String| is_written(option) && *option != "--port-file";
        for option in options(command).iter().filter(clashes) {
            for name in ["file", "link"] {
                let cmd = || pktcat_line(command).arg(option).arg(folder.at(name));
                let line = cmd().line();
                expect_refused(cmd().stdout(appending(&folder.at("hard"))), ["stdout", option]);
                folder.expect_untouched(&line);
                let ended = cmd().stderr(appending(&folder.at("file"))).run().expect_code(2);
                assert_eq!(ended.stdout_text(), "", "{line}");
                let told = fs::read_to_string(folder.at("file")).unwrap();
                let error = told.strip_prefix("precious").expect("what it held");
                assert!(error.contains(&format!("stderr, {option}: are the same file")), "{told}");
                fs::write(folder.at("file"), "precious").unwrap();
            }
        }
    });
}

fn a_local_socket_is_not_made_where_a_file_is_to_be() {
    let folder = Folder::new();
    let missing = folder.at("missing");
    let name = missing.to_str().unwrap();
    let from = format!("unix:{name}");
    for (words, option) in [
        (&["listen", "-U", name][..], "--unix"),
        (&["connect", "-u", "-U", "/nowhere", "-s", name], "--source"),
        (&["forward", &from, "127.0.0.1:9"], "FROM"),
    ] {
        let cmd = crate::util::pktcat(words).args(["--timeout", "1s", "--hex-file"]);
        let cmd = cmd.arg(folder.at("dangling"));
        let line = cmd.line();
        expect_refused(cmd, [option, "--hex-file"]);
        folder.expect_untouched(&line);
    }
}
