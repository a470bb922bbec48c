//! Scenes over byte streams: what is sent in pieces, each way, and what arrives.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::ChildStdin;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::tracing::{End, Ending, Fault, Seen, Traced};
use crate::util::{Input, data::random, net, pktcat_line};

/// Pieces each way: enough for a tenth call of everything that moves bytes.
pub(super) const PIECES: usize = 12;
/// Small enough that all of them fit into a socket, so that no send here ever blocks.
pub(super) const PIECE: usize = 5_000;
/// Between two pieces: the program shall see them one by one.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

fn payload(seed: u64) -> Vec<u8> {
    random(seed, PIECES * PIECE)
}

/// A connection of the test, and what comes on it.
pub(super) struct Peer {
    stream: TcpStream,
    reader: JoinHandle<(Vec<u8>, bool)>,
    /// Whether sending failed: a reset is told once, to whoever asks first.
    is_broken: Cell<bool>,
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Self {
        stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut copy = stream.try_clone().unwrap();
        copy.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let reader = thread::spawn(move || {
            let mut came = Vec::new();
            let clean = copy.read_to_end(&mut came).is_ok();
            (came, clean)
        });
        Self { stream, reader, is_broken: Cell::new(false) }
    }

    pub(super) fn send(&self, bytes: &[u8]) {
        // What a peer that has gone means is for the verdict to say.
        if (&self.stream).write_all(bytes).is_err() {
            self.is_broken.set(true);
        }
    }

    pub(super) fn end(&self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Whether a FIN or a failure has ended what it receives.
    pub(super) fn has_ended(&self) -> bool {
        self.reader.is_finished()
    }

    /// What came, and whether a FIN, not a reset, ended it.
    pub(super) fn received(self) -> (Vec<u8>, bool) {
        let (came, clean) = self.reader.join().unwrap();
        (came, clean && !self.is_broken.get())
    }
}

/// Standard input, written by a thread: nobody promises that a pipe has room for a payload.
struct Feeder {
    /// Dropped when the input may end.
    go_on: Sender<()>,
}

impl Feeder {
    fn start(mut stdin: ChildStdin, bytes: Vec<u8>) -> Self {
        let (go_on, ended) = channel();
        thread::spawn(move || {
            for piece in bytes.chunks(PIECE) {
                drop(stdin.write_all(piece));
                thread::sleep(PAUSE);
            }
            let _: Result<(), _> = ended.recv();
        });
        Self { go_on }
    }

    fn end(self) {
        drop(self.go_on);
    }
}

/// Exchanges both payloads, waits a moment with nothing to do, ends both sides, and compares.
fn exchange(mut traced: Traced, stream: Option<TcpStream>) -> Seen {
    let (up, down) = (payload(1), payload(2));
    let peer = stream.map(Peer::new);
    let feeder = Feeder::start(traced.running.take_stdin(), up.clone());
    for piece in down.chunks(PIECE) {
        if let Some(peer) = &peer {
            peer.send(piece);
        }
        thread::sleep(PAUSE);
    }
    traced.idle();
    feeder.end();
    if let Some(peer) = &peer {
        peer.end();
    }
    let mut seen = traced.finish(Ending::ByItself);

    let came = std::mem::take(&mut seen.stdout);
    seen.compare("stdout", &came, &down);
    let (came, clean) = peer.map_or((Vec::new(), false), Peer::received);
    seen.compare("at the peer", &came, &up);
    // What a signal does to a peer is another matter.
    if clean && came.len() < up.len() && seen.end == End::Itself {
        seen.misled = Some(format!("{} of {} bytes and a FIN", came.len(), up.len()));
    }
    seen
}

/// A listener with these options for one client.
pub(super) fn listen(options: &str, fault: Option<&Fault>) -> Seen {
    let cmd = pktcat_line(&format!("listen {options} 127.0.0.1 0")).stdin(Input::Pipe);
    let traced = Traced::start(cmd, fault);
    let stream = traced.port().and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok());
    exchange(traced, stream)
}

/// A client with these options.
pub(super) fn connect(options: &str, fault: Option<&Fault>) -> Seen {
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect -v {options} 127.0.0.1 {port}")).stdin(Input::Pipe);
    let traced = Traced::start(cmd, fault);
    traced.wait_line("connected to ");
    let stream = accept_now(&listener);
    exchange(traced, stream)
}

/// A connection that is already there.
pub(super) fn accept_now(listener: &TcpListener) -> Option<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).unwrap();
    Some(stream)
}

/// A client that sends a file and receives into one.
pub(super) fn files(options: &str, fault: Option<&Fault>) -> Seen {
    let (up, down) = (payload(1), payload(2));
    let mut from = tempfile::tempfile().unwrap();
    from.write_all(&up).unwrap();
    std::io::Seek::rewind(&mut from).unwrap();
    let into = tempfile::NamedTempFile::new().unwrap();
    let (listener, port) = net::listener();
    let cmd = pktcat_line(&format!("connect -v {options} 127.0.0.1 {port}"))
        .stdin(Input::Fd(from.into()))
        .stdout(crate::util::Output::Fd(into.reopen().unwrap().into()));
    let mut traced = Traced::start(cmd, fault);
    traced.wait_line("connected to ");
    let peer = accept_now(&listener).map(Peer::new);
    if let Some(peer) = &peer {
        for piece in down.chunks(PIECE) {
            peer.send(piece);
            thread::sleep(PAUSE);
        }
    }
    traced.idle();
    if let Some(peer) = &peer {
        peer.end();
    }
    let mut seen = traced.finish(Ending::ByItself);
    seen.compare("in the file", &std::fs::read(into.path()).unwrap(), &down);
    let (came, clean) = peer.map_or((Vec::new(), false), Peer::received);
    seen.compare("at the peer", &came, &up);
    if clean && came.len() < up.len() && seen.end == End::Itself {
        seen.misled = Some(format!("{} of {} bytes and a FIN", came.len(), up.len()));
    }
    seen
}

/// A listener with a command per client that gives everything back.
pub(super) fn command(options: &str, fault: Option<&Fault>) -> Seen {
    let bytes = payload(1);
    let traced =
        Traced::start(pktcat_line(&format!("listen {options} 127.0.0.1 0 -- /bin/cat")), fault);
    let stream = traced.port().and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok());
    echoed(traced, stream, &bytes, Ending::ByItself)
}

/// A built-in echo service for one client.
pub(super) fn echo(options: &str, fault: Option<&Fault>) -> Seen {
    let bytes = payload(1);
    let traced = Traced::start(pktcat_line(&format!("listen --echo {options} 127.0.0.1 0")), fault);
    let stream = traced.port().and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok());
    echoed(traced, stream, &bytes, Ending::ByItself)
}

fn echoed(mut traced: Traced, stream: Option<TcpStream>, bytes: &[u8], ending: Ending) -> Seen {
    let peer = stream.map(Peer::new);
    if let Some(peer) = &peer {
        for piece in bytes.chunks(PIECE) {
            peer.send(piece);
            thread::sleep(PAUSE);
        }
        traced.idle();
        peer.end();
    }
    let mut seen = traced.finish(ending);
    let (came, clean) = peer.map_or((Vec::new(), false), Peer::received);
    seen.compare("at the client", &came, bytes);
    if clean && came.len() < bytes.len() && seen.end == End::Itself {
        seen.misled = Some(format!("{} of {} bytes and a FIN", came.len(), bytes.len()));
    }
    seen
}

/// A listener for many clients: two at once, and one that comes when they have gone.
pub(super) fn keep_open(options: &str, fault: Option<&Fault>) -> Seen {
    let cmd = pktcat_line(&format!("listen -k -O lines {options} 127.0.0.1 0")).stdin(Input::Pipe);
    let mut traced = Traced::start(cmd, fault);
    let port = traced.port();
    let mut stdin = traced.running.take_stdin();
    let client = || Some(Peer::new(TcpStream::connect(("127.0.0.1", port?)).ok()?));
    let early = [client(), client()];
    let mut sent: Vec<String> = Vec::new();
    let mut said = String::new();
    // Standard input goes to those who have been accepted: they are, once they are heard.
    for (number, peer) in early.iter().enumerate() {
        let line = format!("hello from {number}\n");
        peer.iter().for_each(|peer| peer.send(line.as_bytes()));
        sent.push(line);
    }
    wait_lines(&traced, 2);
    for number in 0..PIECES {
        let line = format!("to all: {number}\n");
        drop(stdin.write_all(line.as_bytes()));
        said += &line;
        for (name, peer) in early.iter().enumerate() {
            let line = format!("from {name}: {number}\n");
            peer.iter().for_each(|peer| peer.send(line.as_bytes()));
            sent.push(line);
        }
        thread::sleep(PAUSE);
    }
    traced.idle();
    early.iter().flatten().for_each(Peer::end);
    wait_lines(&traced, sent.len());
    let late = client();
    late.iter().for_each(|peer| peer.send(b"late\n"));
    sent.push("late\n".to_owned());
    wait_lines(&traced, sent.len());
    traced.idle();

    let mut seen = traced.finish(Ending::BySignal);
    if port.is_none() {
        // Nobody could come.
        return seen;
    }
    let stdout = std::mem::take(&mut seen.stdout);
    let mut came: Vec<_> =
        String::from_utf8_lossy(&stdout).lines().map(|l| format!("{l}\n")).collect();
    came.sort();
    sent.sort();
    seen.compare("stdout", came.concat().as_bytes(), sent.concat().as_bytes());
    for peer in early.into_iter().chain([late]).flatten().take(2) {
        let (came, _) = peer.received();
        seen.compare("at a client", &came, said.as_bytes());
    }
    seen
}

/// Waits until so many lines are on standard output, or nothing more is to be expected.
fn wait_lines(traced: &Traced, count: usize) {
    for _ in 0..100 {
        let lines = traced.running.stdout_now().iter().filter(|&&byte| byte == b'\n').count();
        if lines >= count || traced.running.ended().is_some() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a status is that of the signal that asked for the end.
pub(super) fn is_terminated(status: std::process::ExitStatus) -> bool {
    status.signal() == Some(libc::SIGTERM) || status.code() == Some(128 + libc::SIGTERM)
}
