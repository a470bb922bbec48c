//! A program for each connection: the socket is its standard input and output.
//!
//! A duplicate of the socket is kept until the program has ended, so that what it has sent still
//! arrives when it has not read all that its client sent. A process that it
//! leaves behind may have the socket too: then the connection is that process's, as it stands.

mod leaving;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::net::address::{Address, Protocol, canonical};
use crate::net::socket;
use crate::observe::tap::{Event, Link};
use crate::run::limits::{Limit, nearest};
use crate::run::session::Session;
use crate::setup::accept::Acceptor;
use crate::sys::descendants::{self, Ended};

use leaving::{Leaving, LeavingTurn};

/// How long a process that a program leaves behind may take to close the connection: one that has just
/// been forked has everything open that its parent had.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is looked for meanwhile.
const LOOK: Duration = Duration::from_millis(50);

/// Room for reading what nobody wants.
const BUFFER: usize = 64 * 1024;

/// Programs that are running, and whose connection each has.
pub(crate) struct Children<'a> {
    words: &'a [OsString],
    keep_open: bool,
    first: Option<Limit>,
    duplicates: Duplicates,
    running: Vec<Running>,
    /// Connections whose program has ended while another process had them open.
    held: Vec<Held>,
    /// Connections whose program has ended, the oldest first.
    leaving: VecDeque<Leaving>,
}

struct Running {
    child: Child,
    link: Link,
    /// A duplicate of the program's socket.
    socket: Option<Socket>,
}

struct Held {
    socket: Socket,
    link: Link,
    /// When it is looked at again.
    look_at: Instant,
    /// From when it is taken for that process's.
    until: Instant,
}

/// Whether sockets are kept besides the programs that have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    /// Yes.
    Kept,
    /// No: the system could not tell who else has them when a program has ended.
    None,
}

impl<'a> Children<'a> {
    /// Nobody yet; `words` are the program and its arguments.
    #[must_use]
    pub(crate) fn new(words: &'a [OsString], keep_open: bool, first: Option<Duration>) -> Self {
        let duplicates = match descendants::adopt_orphans() {
            Ok(()) => Duplicates::Kept,
            Err(_) => Duplicates::None,
        };
        Self {
            words,
            keep_open,
            first: first.map(|given| Limit::new("--accept-timeout", given, Instant::now())),
            duplicates,
            running: Vec::new(),
            held: Vec::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Accepts and starts programs, until the one client's has ended and the client has all of its
    /// output, or a limit or signal comes.
    ///
    /// # Errors
    /// For the last two, and when the program cannot be started for the one client, or its
    /// connection broke.
    pub(crate) fn run(&mut self, acceptor: Acceptor, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(acceptor, session);
        for Running { child, .. } in &self.running {
            if let Ok(pid) = i32::try_from(child.id()) {
                // One that has just ended needs no signal.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        result
    }

    fn run_to_end(&mut self, acceptor: Acceptor, session: &mut Session) -> Result<()> {
        let mut acceptor = Some(acceptor);
        let mut buffer = vec![0; BUFFER];
        loop {
            self.accept(&mut acceptor, session)?;
            if std::mem::take(&mut session.child_ended) {
                self.reap(session)?;
                if let Some(open) = &mut acceptor {
                    open.resume();
                    continue;
                }
            }
            let look = self.look_at_held(session)?;
            let next = self.read_leaving(&mut buffer, acceptor.as_mut(), session)?;
            if acceptor.is_none() && self.present() == 0 {
                return Ok(());
            }
            if let Some(limit) = self.first {
                limit.check(session.looked_at(), || "nobody has connected".to_owned())?;
            }
            let retry = acceptor.as_ref().and_then(Acceptor::deadline);
            let first = nearest([self.first]);
            session.wait([first, retry, look, next].into_iter().flatten().min())?;
        }
    }

    /// Lets in whoever waits, as far as there is room.
    fn accept(&mut self, acceptor: &mut Option<Acceptor>, session: &mut Session) -> Result<()> {
        while let Some(open) = acceptor {
            let Some((socket, peer)) = open.next(self.running.len(), session)? else {
                if open.lacks_room() && self.let_go_of_oldest(session) {
                    open.resume();
                    continue;
                }
                break;
            };
            while open.most().is_some_and(|most| self.present() >= most)
                && self.let_go_of_oldest(session)
            {}
            self.first = None;
            if let Err(error) = self.start(socket, open.local(), peer, session) {
                self.broken(error, session)?;
            }
            if !self.keep_open
                && let Some(open) = acceptor.take()
            {
                open.close(session);
            }
        }
        Ok(())
    }

    fn present(&self) -> usize {
        self.running.len() + self.held.len() + self.leaving.len()
    }

    /// Closes the connection whose program ended first, as another client needs its place; whether
    /// there was one.
    fn let_go_of_oldest(&mut self, session: &mut Session) -> bool {
        let Some(oldest) = self.leaving.pop_front() else { return false };
        let why = "another client needs the place that it held after its command's end";
        let error = Error::new(Status::Failure, "close", oldest.link().to_string(), why);
        session.event(&Event::Error(&error));
        oldest.close(session);
        true
    }

    /// Reads what comes for programs that have ended, and closes what is done; when to look again.
    fn read_leaving(
        &mut self,
        buffer: &mut [u8],
        mut acceptor: Option<&mut Acceptor>,
        session: &mut Session,
    ) -> Result<Option<Instant>> {
        let mut next: Option<Instant> = None;
        let mut at = 0;
        while at < self.leaving.len() {
            let turn = self.leaving[at].step(buffer);
            let again = match &turn {
                Ok(LeavingTurn::More) => Some(Instant::now()),
                Ok(LeavingTurn::Until(then)) => Some(*then),
                Ok(LeavingTurn::Over) | Err(_) => None,
            };
            if again.is_some() {
                next = [next, again].into_iter().flatten().min();
                at += 1;
                continue;
            }
            if let Some(gone) = self.leaving.remove(at) {
                gone.close(session);
            }
            if let Some(open) = &mut acceptor {
                open.resume();
                // Whoever waited for the place is let in at once.
                next = Some(Instant::now());
            }
            if let Err(error) = turn {
                self.broken(error, session)?;
            }
        }
        Ok(next)
    }

    fn start(
        &mut self,
        socket: Socket,
        listening: Address,
        peer: Address,
        session: &mut Session,
    ) -> Result<()> {
        let local = socket::local_address(&socket).unwrap_or(listening);
        let link = Link::new(Protocol::Tcp, local.clone(), peer.clone());
        session.event(&Event::Accepted(&link));
        let program = &self.words[0];
        // Whoever connected must not take this for the end of an empty answer.
        let failed = |socket: &Socket, cause: &io::Error| {
            let _ = socket::reset_on_close(socket);
            Error::local("run", program.to_string_lossy(), cause).with_status(Status::Failure)
        };
        // The program expects descriptors that wait.
        let prepared = socket.set_nonblocking(false).and_then(|()| socket.try_clone());
        let kept = prepared.map_err(|cause| failed(&socket, &cause))?;
        let stdin = OwnedFd::from(socket);
        let started = stdin.try_clone().and_then(|stdout| {
            Command::new(program)
                .args(&self.words[1..])
                .stdin(stdin)
                .stdout(stdout)
                .env("PKTCAT_PEER_ADDR", host(&peer))
                .env("PKTCAT_PEER_PORT", port(&peer))
                .env("PKTCAT_LOCAL_ADDR", host(&local))
                .env("PKTCAT_LOCAL_PORT", port(&local))
                .spawn()
        });
        let child = started.map_err(|cause| failed(&kept, &cause))?;
        let socket = match self.duplicates {
            Duplicates::Kept => Some(kept),
            Duplicates::None => None,
        };
        self.running.push(Running { child, link, socket });
        Ok(())
    }

    /// Takes note of the programs that have ended.
    fn reap(&mut self, session: &mut Session) -> Result<()> {
        let mut ended = Vec::new();
        loop {
            let id = match descendants::ended_child() {
                Ended::One(id) => id,
                Ended::NoMore => break,
                Ended::All => {
                    ended.append(&mut self.running);
                    break;
                }
            };
            let is_it = |running: &Running| i32::try_from(running.child.id()) == Ok(id);
            match self.running.iter().position(is_it) {
                Some(at) => ended.push(self.running.swap_remove(at)),
                // What a program has left behind. One that stays would be found again at once.
                None if descendants::bury(id) => continue,
                None => break,
            }
            if let Some(Running { child, link, .. }) = ended.last_mut() {
                let how = match child.wait() {
                    Ok(status) => status.to_string(),
                    Err(_) => "is gone".to_owned(),
                };
                let line = format!("command {} for {link}: {how}", child.id());
                session.event(&Event::Detail(&line));
            }
        }
        for Running { link, socket, .. } in ended {
            self.hang_up(socket, link, session)?;
        }
        Ok(())
    }

    /// The program of this connection has ended.
    fn hang_up(&mut self, socket: Option<Socket>, link: Link, session: &mut Session) -> Result<()> {
        let Some(socket) = socket else {
            session.event(&Event::Closed(&link));
            return Ok(());
        };
        let now = Instant::now();
        self.leave_or_hold(Held { socket, link, look_at: now, until: now + GRACE }, now, session)
    }

    /// Looks again at the connections that other processes had open; when to look next.
    fn look_at_held(&mut self, session: &mut Session) -> Result<Option<Instant>> {
        let now = Instant::now();
        for held in std::mem::take(&mut self.held) {
            if held.look_at <= now {
                self.leave_or_hold(held, now, session)?;
            } else {
                self.held.push(held);
            }
        }
        Ok(self.held.iter().map(|held| held.look_at).min())
    }

    fn leave_or_hold(&mut self, held: Held, now: Instant, session: &mut Session) -> Result<()> {
        let others: Vec<i32> = self
            .running
            .iter()
            .filter_map(|running| i32::try_from(running.child.id()).ok())
            .collect();
        // Where nobody can tell it is taken for held: half-closing it would cut off whoever has it.
        if descendants::is_held(held.socket.as_fd(), &others).unwrap_or(true) {
            if now < held.until {
                self.held.push(Held { look_at: now + LOOK, ..held });
            } else {
                session.event(&Event::Closed(&held.link));
            }
            return Ok(());
        }
        match Leaving::new(held.socket, held.link, session) {
            Ok(leaving) => {
                self.leaving.push_back(leaving);
                Ok(())
            }
            Err(error) => self.broken(error, session),
        }
    }

    /// A client's failure: that of the run where it is the only client.
    fn broken(&self, error: Error, session: &mut Session) -> Result<()> {
        if !self.keep_open {
            return Err(error);
        }
        session.event(&Event::Error(&error));
        Ok(())
    }
}

/// The address without its port; the path of a local socket.
fn host(address: &Address) -> String {
    match address.internet() {
        Some(address) => canonical(address).ip().to_string(),
        None => address.to_string(),
    }
}

/// The port; nothing for a local socket.
fn port(address: &Address) -> String {
    address.internet().map_or_else(String::new, |address| address.port().to_string())
}
