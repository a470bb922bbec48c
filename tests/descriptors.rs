//! The descriptors 0, 1 and 2: what pktcat inherits it shares with the shell and leaves as it is.

#![allow(missing_docs, clippy::unwrap_used)]

mod util;

#[path = "descriptors/devices.rs"]
mod devices;
#[path = "descriptors/files.rs"]
mod files;
#[path = "descriptors/nonblock.rs"]
mod nonblock;
#[path = "descriptors/numbers.rs"]
mod numbers;
#[path = "descriptors/terminal.rs"]
mod terminal;
#[path = "descriptors/unprivileged.rs"]
mod unprivileged;

use std::net::TcpStream;

use util::{Cmd, Running, harness, net, pktcat_line};

fn main() {
    let mut tests = nonblock::tests();
    tests.extend(files::tests());
    tests.extend(devices::tests());
    tests.extend(numbers::tests());
    tests.extend(terminal::tests());
    tests.extend(unprivileged::tests());
    harness::main(tests);
}

/// `pktcat connect OPTIONS`, with its descriptors still to be given, and the peer it is connected to.
fn client(options: &str, with: impl FnOnce(Cmd) -> Cmd) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let running = with(pktcat_line(&format!("connect {options} 127.0.0.1 {port}"))).spawn();
    (running, net::accept(&listener))
}
