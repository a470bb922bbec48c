//! How runs end: the rules of "Ending" and "Streams" in the contract, one test for each sentence.

mod closing;
mod nothing_lost;
mod orderings;
mod signals;
mod streams;
mod suspended;
mod times;
mod unfinished;

use std::net::TcpStream;

use libtest_mimic::Trial;

use crate::util::{Input, Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = closing::tests();
    tests.extend(nothing_lost::tests());
    tests.extend(orderings::tests());
    tests.extend(signals::tests());
    tests.extend(streams::tests());
    tests.extend(suspended::tests());
    tests.extend(times::tests());
    tests.extend(unfinished::tests());
    tests
}

/// `pktcat connect OPTIONS` with this stdin, and the peer it is connected to.
fn client(options: &str, stdin: Input) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let line = format!("connect {options} 127.0.0.1 {port}");
    let running = pktcat_line(&line).stdin(stdin).spawn();
    (running, net::accept(&listener))
}

/// `pktcat listen OPTIONS` with this stdin, and the client connected to it.
fn server(options: &str, stdin: Input) -> (Running, TcpStream) {
    let line = format!("listen {options} 127.0.0.1 0");
    let running = pktcat_line(&line).stdin(stdin).spawn();
    let peer = net::connect(running.port());
    (running, peer)
}

/// Makes a stdin for each run.
type MakeInput = fn() -> Input;

/// One after the other, each with a stdin of this kind; the second starts when the first is done with.
fn both(options: &str, stdin: MakeInput) -> impl Iterator<Item = (Running, TcpStream)> {
    [client, server].into_iter().map(move |start| start(options, stdin()))
}

/// A stdin that stays open.
fn open() -> Input {
    Input::Pipe
}

/// A stdin that ends at once, but is no `/dev/null`.
fn empty() -> Input {
    Input::Bytes(Vec::new())
}
