//! `--port-file`: nobody can prepare the file it is written through, and what is open stays open.
use crate::tests;
use libtest_mimic::Trial;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::util::harness::Need;
use crate::util::{Cmd, Output, pktcat};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_link_with_the_name_of_the_temporary_file_is_not_followed,
        nothing_is_left_behind_and_permissions_stay,
        nothing_is_left_behind_by_a_failure needs [Need::Strace],
        an_open_file_gets_it_behind_what_it_holds,
        standard_output_gets_it_whatever_it_is,
        a_link_that_the_system_does_not_follow_is_not_followed
            needs [Need::Root, Need::ProtectedLinks],
    ]
}

fn listen(file: &str) -> Cmd {
    pktcat(["listen", "--quiet", "--timeout", "100ms", "--port-file", file, "127.0.0.1", "0"])
}

#[track_caller]
fn holds_a_port(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    assert_ne!(text.strip_suffix('\n').unwrap().parse::<u16>().unwrap(), 0, "{text}");
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn a_link_with_the_name_of_the_temporary_file_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (victim, port) = (folder.path().join("victim"), folder.path().join("port"));
    fs::write(&victim, "precious").unwrap();
    // Somebody who guesses the name from the number of the process.
    let script = "ln -s victim \"$0/.pktcat-$$\"; exec \"$@\"";
    let words = ["sh", "-c", script, folder.path().to_str().unwrap()];
    listen(port.to_str().unwrap()).through(words).run().expect_code(5);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(!port.is_symlink());
    holds_a_port(&port);
}

fn nothing_is_left_behind_and_permissions_stay() {
    let folder = tempfile::tempdir().unwrap();
    let port = folder.path().join("port");
    fs::write(&port, "a longer text than a port").unwrap();
    fs::set_permissions(&port, fs::Permissions::from_mode(0o640)).unwrap();
    listen(port.to_str().unwrap()).run().expect_code(5);
    holds_a_port(&port);
    assert_eq!(port.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(folder.path()), ["port"]);
}

fn nothing_is_left_behind_by_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let port = folder.path().join("port");
    let inject = "inject=rename,renameat,renameat2:error=EIO";
    let words = ["strace", "-D", "-qq", "-o", "/dev/null", "-e", inject];
    let ended = listen(port.to_str().unwrap()).through(words).run().expect_code(6);
    assert!(ended.stderr.contains("port: input/output error"), "{}", ended.stderr);
    assert_eq!(names(folder.path()), [""; 0]);
}

fn an_open_file_gets_it_behind_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("open");
    let mut open = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let script = "exec 3>>\"$0\"; echo before >&3; exec \"$@\"";
    let words = ["sh", "-c", script, path.to_str().unwrap()];
    listen("/dev/fd/3").through(words).run().expect_code(5);
    let mut text = String::new();
    open.seek(SeekFrom::Start(0)).unwrap();
    open.read_to_string(&mut text).unwrap();
    let (before, port) = text.split_once('\n').unwrap();
    assert_eq!(before, "before");
    assert_ne!(port.trim_end().parse::<u16>().unwrap(), 0);
    assert_eq!(names(folder.path()), ["open"]);
}

fn standard_output_gets_it_whatever_it_is() {
    let ended = listen("/dev/stdout").run().expect_code(5);
    assert_ne!(ended.stdout_text().trim_end().parse::<u16>().unwrap(), 0);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    listen("/dev/stdout").stdout(Output::Fd(OwnedFd::from(theirs))).run().expect_code(5);
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    assert_ne!(text.trim_end().parse::<u16>().unwrap(), 0);
    let script = "\"$@\" | cat; exit 0";
    let cmd = listen("/dev/fd/1").through(["sh", "-c", script, "sh"]);
    assert_ne!(cmd.run().stdout_text().trim_end().parse::<u16>().unwrap(), 0);
}

fn a_link_that_the_system_does_not_follow_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let other = tempfile::tempdir().unwrap();
    let (link, victim) = (folder.path().join("port"), other.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, &link).unwrap();
    lchown(&link, Some(1), Some(1)).unwrap();
    let ended = listen(link.to_str().unwrap()).run().expect_code(6);
    assert!(ended.stderr.contains("permission denied"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}
