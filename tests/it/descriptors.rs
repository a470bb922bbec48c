//! The descriptors 0, 1 and 2: what pktcat inherits it shares with the shell and leaves as it is.

mod devices;
mod files;
mod nonblock;
mod numbers;
mod terminal;
mod unprivileged;

use std::net::TcpStream;

use libtest_mimic::Trial;

use crate::util::{Cmd, Running, net, pktcat_line};

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = nonblock::tests();
    tests.extend(files::tests());
    tests.extend(devices::tests());
    tests.extend(numbers::tests());
    tests.extend(terminal::tests());
    tests.extend(unprivileged::tests());
    tests
}

/// `pktcat connect OPTIONS`, with its descriptors still to be given, and the peer it is connected to.
fn client(options: &str, with: impl FnOnce(Cmd) -> Cmd) -> (Running, TcpStream) {
    let (listener, port) = net::listener();
    let running = with(pktcat_line(&format!("connect {options} 127.0.0.1 {port}"))).spawn();
    (running, net::accept(&listener))
}
