//! A FIFO without a partner is waited for with open ears; and what has no end is not read to it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::tests;
use crate::util::{net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_fifo_without_a_partner_obeys_signals,
        a_fifo_without_a_partner_obeys_the_runs_limit,
        a_reply_may_come_from_a_fifo_and_late,
        a_picture_may_go_to_a_fifo_and_late,
        a_reply_without_end_fits_no_datagram,
    ]
}

fn fifo() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    (folder, path)
}

const LINES: [&str; 7] = [
    "listen 127.0.0.1 0 --reply-file",
    "listen -k 127.0.0.1 0 --reply-file",
    "listen -u 127.0.0.1 0 --reply-file",
    "listen 127.0.0.1 0 --hex-file",
    "listen -u 127.0.0.1 0 --pcap",
    "connect 127.0.0.1 9 --pcap",
    "listen 127.0.0.1 0 --port-file",
];

fn a_fifo_without_a_partner_obeys_signals() {
    let (_folder, fifo) = fifo();
    for line in LINES.iter().chain(&["compare --svg"]) {
        for signal in [Signal::SIGTERM, Signal::SIGINT] {
            let running = pktcat_line(line).arg(&fifo).spawn();
            running.expect_running();
            running.signal(signal);
            running.wait().expect_signal(signal);
        }
    }
}

fn a_fifo_without_a_partner_obeys_the_runs_limit() {
    let (_folder, fifo) = fifo();
    for line in LINES {
        let line = line.replacen(' ', " --timeout 100ms ", 1);
        let ended = pktcat_line(&line).arg(&fifo).run().expect_code(5);
        assert!(ended.stderr.contains("timed out"), "{line}: {}", ended.stderr);
    }
}

fn a_reply_may_come_from_a_fifo_and_late() {
    for (options, length) in [("-k", 300_000), ("-u", 30_000)] {
        let (_folder, fifo) = fifo();
        let line = format!("listen {options} 127.0.0.1 0 --reply-file");
        let server = pktcat_line(&line).arg(&fifo).spawn();
        let bytes = crate::util::data::random(3, length);
        let mut writer = File::options().write(true).open(&fifo).unwrap();
        // In two parts, so that the first is no end.
        writer.write_all(&bytes[..10]).unwrap();
        server.expect_running();
        writer.write_all(&bytes[10..]).unwrap();
        drop(writer);
        if options == "-k" {
            for _ in 0..2 {
                let mut client = net::connect(server.port());
                client.write_all(b"?").unwrap();
                crate::util::data::assert_same(&net::read_to_fin(&client), &bytes);
            }
        } else {
            let (peer, _) = net::udp();
            peer.connect(("127.0.0.1", server.port())).unwrap();
            peer.send(b"?").unwrap();
            let mut buffer = vec![0; 65_536];
            let count = peer.recv(&mut buffer).unwrap();
            crate::util::data::assert_same(&buffer[..count], &bytes);
        }
    }
}

fn a_picture_may_go_to_a_fifo_and_late() {
    let (_folder, fifo) = fifo();
    let running = pktcat_line("compare --count 10 --svg").arg(&fifo).spawn();
    let mut picture = String::new();
    File::open(&fifo).unwrap().read_to_string(&mut picture).unwrap();
    assert!(picture.contains("</svg>"), "{picture}");
    running.wait().expect_code(0);
}

fn a_reply_without_end_fits_no_datagram() {
    // So that a program that reads on and on ends before the machine's memory does.
    let limited = ["sh", "-c", "ulimit -v 1000000; exec \"$@\"", "sh"];
    for options in ["-u", "-t -u -k"] {
        let line = format!("listen {options} --reply-file /dev/zero 127.0.0.1 0");
        let ended = pktcat_line(&line).through(limited).run().expect_code(2);
        assert!(ended.stderr.contains("--reply-file"), "{}", ended.stderr);
    }
}
