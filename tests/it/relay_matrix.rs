//! Twenty-four of twenty-four: data, then the end of input, is delivered in each direction whatever
//! the other direction does. Client and server, default options.
//!
//! The situations: {client, server} x {outgoing: stdin to socket, incoming: socket to stdout}
//! x the other direction {quiet, filled until backpressure stops it, already finished}; in each,
//! the data is looked at first, and then the end. After that the other direction is brought to its
//! end too: nothing may be lost there either, and the run ends with status 0.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout};

use crate::util::data::{self, assert_same, check_random, random};
use crate::util::{Input, Output, Running, harness, net, pktcat_line};
use libtest_mimic::Trial;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Client,
    Server,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Direction {
    /// stdin to socket.
    Outgoing,
    /// socket to stdout.
    Incoming,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Other {
    Quiet,
    Filled,
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Look {
    /// Is the data delivered while the input is still open?
    Data,
    /// And then the end of input?
    Eof,
}

/// Sizes that divide no buffer and no multiple of 64 KiB: what is cut off at a buffer's end shows.
const CHUNKS: [usize; 5] = [1, 4_099, 70_001, 65_537, 13];
/// Of the data looked at, and of what fills the other direction.
const SEEDS: [u64; 2] = [1, 2];

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for role in [Role::Client, Role::Server] {
        for direction in [Direction::Outgoing, Direction::Incoming] {
            for other in [Other::Quiet, Other::Filled, Other::Finished] {
                for look in [Look::Data, Look::Eof] {
                    let name = format!("{role:?}_{direction:?}_other_{other:?}_{look:?}");
                    let run = move || Situation::new(role, direction, other).check(look);
                    tests.push(harness::test(module_path!(), name.to_lowercase(), &[], run));
                }
            }
        }
    }
    assert_eq!(tests.len(), 24);
    tests
}

/// A connected pktcat, all four of its ends in the hands of the test.
struct Situation {
    direction: Direction,
    other: Other,
    /// What the other direction was filled with.
    filled: u64,
    running: Running,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    peer: TcpStream,
}

impl Situation {
    fn new(role: Role, direction: Direction, other: Other) -> Self {
        let pipes = |line: &str| pktcat_line(line).stdin(Input::Pipe).stdout(Output::Pipe).spawn();
        let (mut running, peer) = match role {
            Role::Client => {
                let (listener, port) = net::listener();
                let running = pipes(&format!("connect 127.0.0.1 {port}"));
                (running, net::accept(&listener))
            }
            Role::Server => {
                let running = pipes("listen 127.0.0.1 0");
                let peer = net::connect(running.port());
                (running, peer)
            }
        };
        let (stdin, stdout) = (Some(running.take_stdin()), running.take_stdout());
        Self { direction, other, filled: 0, running, stdin, stdout, peer }
    }

    fn check(mut self, look: Look) {
        match self.other {
            Other::Quiet => {}
            Other::Filled => self.fill_other(),
            Other::Finished => self.finish_other(),
        }
        let sent = random(SEEDS[0], CHUNKS.iter().sum());
        self.pass(&sent);
        if look == Look::Data {
            return;
        }
        match self.direction {
            Direction::Outgoing => self.stdin = None,
            Direction::Incoming => net::finish(&self.peer),
        }
        let rest = self.read_to_end(self.direction);
        assert_same(&rest, b"");
        self.end_other();
        self.running.wait().expect_code(0);
    }

    /// Sends the data chunk by chunk while the far end reads it.
    fn pass(&mut self, sent: &[u8]) {
        let mut sink: File = match self.direction {
            Direction::Outgoing => duplicate(self.stdin.as_ref().unwrap()),
            Direction::Incoming => duplicate(&self.peer),
        };
        let mut got = vec![0; sent.len()];
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut rest = sent;
                for size in CHUNKS {
                    let (chunk, after) = rest.split_at(size);
                    sink.write_all(chunk).unwrap();
                    rest = after;
                }
            });
            let read = match self.direction {
                Direction::Outgoing => self.peer.read_exact(&mut got),
                Direction::Incoming => self.stdout.read_exact(&mut got),
            };
            read.unwrap();
        });
        assert_same(&got, sent);
    }

    /// Writes into the other direction, whose far end nobody reads, until nothing goes any more.
    fn fill_other(&mut self) {
        self.filled = match self.direction {
            Direction::Incoming => {
                let stdin = self.stdin.as_ref().unwrap();
                // The flag is that of the test's own end of the pipe; pktcat's end is another description.
                fcntl(stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
                data::write_until_stalled(&mut duplicate(stdin), SEEDS[1])
            }
            Direction::Outgoing => {
                self.peer.set_nonblocking(true).unwrap();
                let filled = data::write_until_stalled(&mut self.peer, SEEDS[1]);
                self.peer.set_nonblocking(false).unwrap();
                filled
            }
        };
    }

    /// Ends the input of the other direction, and waits until its far end has seen that.
    fn finish_other(&mut self) {
        let rest = match self.direction {
            Direction::Incoming => {
                self.stdin = None;
                self.read_to_end(Direction::Outgoing)
            }
            Direction::Outgoing => {
                net::finish(&self.peer);
                self.read_to_end(Direction::Incoming)
            }
        };
        assert_same(&rest, b"");
    }

    /// Brings the other direction to its end and checks what filled it.
    fn end_other(&mut self) {
        let came = match (self.other, self.direction) {
            (Other::Finished, _) => 0,
            (_, Direction::Incoming) => {
                self.stdin = None;
                check_random(&self.peer, SEEDS[1])
            }
            (_, Direction::Outgoing) => {
                net::finish(&self.peer);
                check_random(&mut self.stdout, SEEDS[1])
            }
        };
        assert_eq!(came, self.filled);
    }

    fn read_to_end(&mut self, direction: Direction) -> Vec<u8> {
        let mut rest = Vec::new();
        match direction {
            Direction::Outgoing => self.peer.read_to_end(&mut rest),
            Direction::Incoming => self.stdout.read_to_end(&mut rest),
        }
        .unwrap();
        rest
    }
}

fn duplicate(fd: impl AsFd) -> File {
    File::from(fd.as_fd().try_clone_to_owned().unwrap())
}
