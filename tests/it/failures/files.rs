//! Files that a run writes to are emptied when there is something to write, and not before.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::tests;
use crate::util::{Cmd, Input, net, pktcat, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_usage_error_leaves_files_as_they_were,
        a_usage_error_of_compare_leaves_its_picture_as_it_was,
        a_run_without_a_peer_leaves_files_as_they_were,
        a_run_empties_its_files,
        two_options_that_name_one_file_are_a_usage_error,
        files_that_are_read_are_not_written,
    ]
}

const OLD: &str = "what was there before";

/// A folder with an old file, and a path where none is.
fn folder() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (old, none) = (folder.path().join("old"), folder.path().join("none"));
    fs::write(&old, OLD).unwrap();
    (folder, old, none)
}

#[track_caller]
fn expect_untouched(old: &Path, none: &Path, line: &str) {
    assert_eq!(fs::read_to_string(old).unwrap(), OLD, "{line}");
    assert!(!none.exists(), "{line}");
}

fn a_usage_error_leaves_files_as_they_were() {
    let (folder, old, none) = folder();
    let long = folder.path().join("long");
    fs::write(&long, vec![b'x'; 65_508]).unwrap();
    let reply = format!("listen -u --reply-file {} 127.0.0.1 0", long.display());
    let send = format!("connect -u --send {} 127.0.0.1 9", "x".repeat(65_508));
    for line in [
        "connect 127.0.0.1 99999",
        "connect 127.0.0.1 no-such-service",
        "connect 127.0.0.1 0",
        "connect -p 99999 127.0.0.1 9",
        "connect -4 ::1 9",
        "connect fe80::1%no-such-interface 9",
        "connect -6 -s 127.0.0.1 ::1 9",
        "connect -u --datagram-size 65520 127.0.0.1 9",
        "connect -u -4 --datagram-size 65520 localhost 9",
        &send,
        "listen 99999",
        "listen no-such-service",
        "listen -4 ::1 0",
        "listen --allow 10.0.0.0/99 127.0.0.1 0",
        "listen --deny fe80::1%no-such-interface 127.0.0.1 0",
        "listen -u --datagram-size 65520 127.0.0.1 0",
        "listen -t -u -k --datagram-size 65520 0",
        &reply,
    ] {
        let options: &[&str] = match line.split(' ').next() {
            Some("listen") => &["--pcap", "--hex-file", "--port-file"],
            _ => &["--pcap", "--hex-file"],
        };
        for option in options {
            for file in [&old, &none] {
                // Behind `connect` or `listen`, before what may be an address.
                let mut words = line.split(' ');
                let command = words.next().unwrap();
                let cmd = pktcat([command, option, file.to_str().unwrap()]);
                words.fold(cmd, Cmd::arg).run().expect_code(2);
                expect_untouched(
                    &old,
                    &none,
                    &format!("{option}: {}", &line[..line.len().min(60)]),
                );
            }
        }
    }
}

fn a_usage_error_of_compare_leaves_its_picture_as_it_was() {
    let (_folder, old, none) = folder();
    for words in ["127.0.0.1 99999", "127.0.0.1 0", "-4 ::1 9"] {
        for file in [&old, &none] {
            pktcat_line(&format!("compare --svg {} {words}", file.display())).run().expect_code(2);
            expect_untouched(&old, &none, words);
        }
    }
}

fn a_run_without_a_peer_leaves_files_as_they_were() {
    let (_folder, old, none) = folder();
    let (_held, port) = net::refusing_port();
    for (line, code) in [
        ("connect no-such-host.invalid 9".to_owned(), 3),
        ("connect -u no-such-host.invalid 9".to_owned(), 3),
        (format!("connect 127.0.0.1 {port}"), 4),
        ("listen 192.0.2.1 0".to_owned(), 1),
    ] {
        for option in ["--pcap", "--hex-file"] {
            pktcat_line(&line).arg(option).arg(&old).run().expect_code(code);
            expect_untouched(&old, &none, &line);
        }
    }
    pktcat_line(&format!("compare 127.0.0.1 {port} --svg")).arg(&old).run().expect_code(4);
    expect_untouched(&old, &none, "compare");
}

fn a_run_empties_its_files() {
    for line in ["listen --timeout 50ms", "listen -u --timeout 50ms"] {
        let (_folder, old, none) = folder();
        let cmd = pktcat_line(line).arg("--pcap").arg(&old).arg("--hex-file").arg(&none);
        cmd.arg("127.0.0.1").arg("0").run().expect_code(5);
        assert_eq!(fs::read(&old).unwrap().len(), 24, "{line}: the header of a capture");
    }
    let (_folder, old, _) = folder();
    fs::write(&old, OLD.repeat(1000)).unwrap();
    let (listener, port) = net::listener();
    let client = pktcat(["connect", "127.0.0.1", &port.to_string(), "--hex-file"])
        .arg(&old)
        .stdin(Input::Bytes(b"new".to_vec()))
        .spawn();
    let stream = net::accept(&listener);
    assert_eq!(net::read_to_fin(&stream), b"new");
    drop(stream);
    client.wait().expect_code(0);
    let dump = fs::read_to_string(&old).unwrap();
    assert!(dump.contains("|new|") && !dump.contains("before"), "{dump}");
}

fn two_options_that_name_one_file_are_a_usage_error() {
    let (folder, old, none) = folder();
    let at = |name: &str| folder.path().join(name);
    symlink(&old, at("link")).unwrap();
    symlink("none", at("dangling")).unwrap();
    fs::hard_link(&old, at("hard")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    for (one, other) in [
        (old.clone(), old.clone()),
        (old.clone(), at("sub").join("../old")),
        (old.clone(), at("link")),
        (at("hard"), old.clone()),
        (none.clone(), none.clone()),
        (none.clone(), at("./sub/.././none")),
        (at("dangling"), none.clone()),
    ] {
        for line in ["connect 127.0.0.1 9", "listen 127.0.0.1 0"] {
            let cmd = pktcat_line(line).arg("--pcap").arg(&one).arg("--hex-file").arg(&other);
            let stderr = cmd.run().expect_code(2).stderr;
            assert!(stderr.contains("--pcap") && stderr.contains("--hex-file"), "{stderr}");
            expect_untouched(&old, &none, line);
        }
        let cmd = pktcat_line("listen --pcap").arg(&one).arg("--port-file").arg(&other);
        cmd.arg("127.0.0.1").arg("0").run().expect_code(2);
        expect_untouched(&old, &none, "listen");
    }
    // Where nothing is kept, nothing can be lost.
    let line = "listen --timeout 50ms --pcap /dev/null --hex-file /dev/null 127.0.0.1 0";
    pktcat_line(line).run().expect_code(5);
}

fn files_that_are_read_are_not_written() {
    let (_folder, old, none) = folder();
    for option in ["--pcap", "--hex-file", "--port-file"] {
        let cmd = pktcat_line("listen --reply-file").arg(&old).arg(option).arg(&old);
        cmd.arg("127.0.0.1").arg("0").run().expect_code(2);
        expect_untouched(&old, &none, option);
    }
    pktcat_line("compare --messages").arg(&old).arg("--svg").arg(&old).run().expect_code(2);
    expect_untouched(&old, &none, "compare");
}
