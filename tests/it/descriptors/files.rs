//! Files and FIFOs as stdin and stdout: positions are shared with the rest of the script.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::thread;

use libtest_mimic::Trial;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::client;
use crate::tests;
use crate::util::data::{assert_same, random};
use crate::util::{Input, Output, net};

pub(crate) fn tests() -> Vec<Trial> {
    tests![
        a_file_is_sent_and_a_file_is_written,
        appending_keeps_what_was_there,
        a_file_is_written_from_where_the_script_stands,
        a_file_is_read_from_where_the_script_stands,
        fifos_carry_both_directions,
        a_fifo_whose_writer_is_gone_is_read_to_its_end,
        a_fifo_opened_for_both_has_no_end_and_no_reader_to_lose,
        a_pipe_the_wrong_way_round_is_an_error,
    ]
}

/// More than a pipe or a buffer holds, and no multiple of either.
const LENGTH: usize = 1_000_003;

fn a_file_is_sent_and_a_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (source, copy) = (dir.path().join("source"), dir.path().join("copy"));
    let (sent, back) = (random(31, LENGTH), random(32, LENGTH));
    fs::write(&source, &sent).unwrap();
    let (running, mut peer) = client("", |pktcat| {
        let stdin = File::open(&source).unwrap();
        let stdout = File::create(&copy).unwrap();
        pktcat.stdin(Input::Fd(stdin.into())).stdout(Output::Fd(stdout.into()))
    });
    assert_same(&net::read_to_fin(&peer), &sent);
    peer.write_all(&back).unwrap();
    drop(peer);
    running.wait().expect_code(0);
    assert_same(&fs::read(&copy).unwrap(), &back);
}

/// `>> file`: opening it a second time without O_APPEND, or splicing, would show here.
fn appending_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("log");
    fs::write(&file, "old content\n").unwrap();
    let (running, mut peer) = client("", |pktcat| {
        let stdout = OpenOptions::new().append(true).open(&file).unwrap();
        pktcat.stdout(Output::Fd(stdout.into()))
    });
    let sent = random(33, LENGTH);
    peer.write_all(&sent).unwrap();
    // Somebody else appends to it meanwhile; in the middle of a transfer only the order is open.
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"a line between\n").unwrap();
    drop(peer);
    running.wait().expect_code(0);
    let all = fs::read(&file).unwrap();
    assert!(all.starts_with(b"old content\n"));
    let line = b"a line between\n";
    let at = all.windows(line.len()).position(|part| part == line).unwrap();
    assert_same(&[&all[12..at], &all[at + line.len()..]].concat(), &sent);
}

/// `{ echo before; pktcat ...; echo after; } > file`
fn a_file_is_written_from_where_the_script_stands() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before\n").unwrap();
    let shared = file.try_clone().unwrap();
    let (running, mut peer) = client("", |pktcat| pktcat.stdout(Output::Fd(shared.into())));
    peer.write_all(b"payload\n").unwrap();
    drop(peer);
    running.wait().expect_code(0);
    file.write_all(b"after\n").unwrap();
    let mut all = String::new();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut all).unwrap();
    assert_eq!(all, "before\npayload\nafter\n");
}

/// `{ read line; pktcat ...; } < file`
fn a_file_is_read_from_where_the_script_stands() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"first line\nthe rest").unwrap();
    file.seek(SeekFrom::Start(11)).unwrap();
    let shared = file.try_clone().unwrap();
    let (running, peer) = client("", |pktcat| pktcat.stdin(Input::Fd(shared.into())));
    assert_eq!(net::read_to_fin(&peer), b"the rest");
    drop(peer);
    running.wait().expect_code(0);
    // And the script goes on behind what was sent.
    assert_eq!(file.stream_position().unwrap(), 19);
}

fn fifos_carry_both_directions() {
    let dir = tempfile::tempdir().unwrap();
    let (to, from) = (dir.path().join("to"), dir.path().join("from"));
    for fifo in [&to, &from] {
        mkfifo(fifo, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    }
    // Opening a FIFO waits for the other side; opened for both it does not, and the end of input
    // comes when the last of all writers is gone.
    let both_ways = |fifo| OpenOptions::new().read(true).write(true).open(fifo).unwrap();
    let hold = [both_ways(&to), both_ways(&from)];
    let (stdin, mut feed) =
        (File::open(&to).unwrap(), OpenOptions::new().write(true).open(&to).unwrap());
    let (mut shown, stdout) =
        (File::open(&from).unwrap(), OpenOptions::new().write(true).open(&from).unwrap());
    drop(hold);
    let (running, mut peer) = client("", |pktcat| {
        pktcat.stdin(Input::Fd(stdin.into())).stdout(Output::Fd(stdout.into()))
    });
    let (sent, back) = (random(34, LENGTH), random(35, LENGTH));
    let (feeding, sending) = (sent.clone(), back.clone());
    let mut sink = peer.try_clone().unwrap();
    let threads = [
        thread::spawn(move || feed.write_all(&feeding).unwrap()),
        thread::spawn(move || {
            sink.write_all(&sending).unwrap();
            net::finish(&sink);
        }),
    ];
    let reader = thread::spawn(move || {
        let mut got = Vec::new();
        shown.read_to_end(&mut got).unwrap();
        got
    });
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    assert_same(&got, &sent);
    assert_same(&reader.join().unwrap(), &back);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    running.wait().expect_code(0);
}

fn a_fifo_whose_writer_is_gone_is_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let hold = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let stdin = File::open(&path).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().write_all(b"left behind").unwrap();
    drop(hold);
    let (running, peer) = client("", |pktcat| pktcat.stdin(Input::Fd(stdin.into())));
    assert_eq!(net::read_to_fin(&peer), b"left behind");
    drop(peer);
    running.wait().expect_code(0);
}

fn a_fifo_opened_for_both_has_no_end_and_no_reader_to_lose() {
    let dir = tempfile::tempdir().unwrap();
    let both_ways = |name: &str| {
        let path = dir.path().join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        OpenOptions::new().read(true).write(true).open(&path).unwrap()
    };
    let (mut stdin, mut stdout) = (both_ways("in"), both_ways("out"));
    let given = |file: &File| file.try_clone().unwrap().into();
    let (running, mut peer) = client("--until-fin", |pktcat| {
        pktcat.stdin(Input::Fd(given(&stdin))).stdout(Output::Fd(given(&stdout)))
    });
    running.expect_running();
    stdin.write_all(b"later").unwrap();
    assert_eq!(net::read_exactly(&peer, 5), b"later");
    peer.write_all(b"kept").unwrap();
    net::finish(&peer);
    running.wait().expect_code(0);
    let mut room = [0; 9];
    assert_eq!(stdout.read(&mut room).unwrap(), 4);
    assert_eq!(&room[..4], b"kept");
}

fn a_pipe_the_wrong_way_round_is_an_error() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"not for you").unwrap();
    let (running, mut peer) =
        client("", |pktcat| pktcat.stdout(Output::Fd(reader.try_clone().unwrap().into())));
    peer.write_all(b"lost otherwise").unwrap();
    let ended = running.wait().expect_code(6);
    assert!(ended.stderr.contains("write: stdout"), "{}", ended.stderr);
    let (running, mut peer) = client("", |pktcat| pktcat.stdin(Input::Fd(writer.into())));
    let ended = running.wait().expect_code(6);
    assert!(ended.stderr.contains("read: stdin"), "{}", ended.stderr);
    let cut_off = peer.read(&mut [0]).unwrap_err();
    assert_eq!(cut_off.kind(), ErrorKind::ConnectionReset);
}
