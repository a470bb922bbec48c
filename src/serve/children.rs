//! Starts a program for each connection, with the socket as its standard input and output.
//!
//! A duplicate of the socket stays open here until the program has ended. Otherwise the kernel would reset
//! the connection if the program ends before it has read everything, and output of the program could be
//! lost. If a process that the program has left behind still has the socket open, the connection belongs
//! to that process, and only the duplicate is closed.

mod counts;
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

use counts::ClientFin;
use leaving::{Leaving, LeavingTurn};

/// How long a process that a program has left behind may take to close the socket: one that has just been
/// forked has everything open that its parent had.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is checked in that time whether it has.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes of buffer for data that is read to be discarded.
const BUFFER: usize = 64 * 1024;

/// The programs that are running, and the connections of those that have ended.
pub(crate) struct Children<'a> {
    words: &'a [OsString],
    keep_open: bool,
    first: Option<Limit>,
    duplicates: Duplicates,
    running: Vec<Running>,
    /// Connections whose program has ended, and which another process had open when last checked.
    held: Vec<Held>,
    /// Half-closed connections whose program has ended, the oldest first.
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
    /// When it is checked again.
    look_at: Instant,
    /// From when on the connection is left to that process.
    until: Instant,
}

/// Whether a duplicate of each program's socket is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    /// Yes.
    Kept,
    /// No: the kernel does not support what is needed to find out whether other processes have it open.
    None,
}

impl<'a> Children<'a> {
    /// No clients yet. `words` are the program and its arguments, at least one; `first` limits the wait for
    /// the first client.
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

    /// Accepts clients and starts programs, until a time limit or a signal ends the run. Without
    /// `--keep-open` it also ends when the program of the only client has ended and the client has
    /// received its output.
    ///
    /// # Errors
    /// For a time limit or a signal; without `--keep-open` also when the program cannot be started or the
    /// connection breaks.
    pub(crate) fn run(&mut self, acceptor: Acceptor, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(acceptor, session);
        for Running { child, .. } in &self.running {
            if let Ok(pid) = i32::try_from(child.id()) {
                // Fails for a program that has just ended, which needs no signal.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        result
    }

    fn run_to_end(&mut self, acceptor: Acceptor, session: &mut Session) -> Result<()> {
        let mut acceptor = Some(acceptor);
        let mut buffer = vec![0; BUFFER];
        loop {
            // Each client that is turned away is told: while nobody reads that, none is accepted.
            let congested = session.is_congested();
            if !congested {
                self.accept(&mut acceptor, session)?;
            }
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
            let retry = acceptor.as_ref().and_then(Acceptor::deadline).filter(|_| !congested);
            let first = nearest([self.first]);
            session.wait([first, retry, look, next].into_iter().flatten().min())?;
        }
    }

    /// Accepts waiting clients, as long as the number of clients and descriptors allows it.
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

    /// Closes the half-closed connection whose program ended first, because another client needs its
    /// place; whether there was one.
    fn let_go_of_oldest(&mut self, session: &mut Session) -> bool {
        let Some(oldest) = self.leaving.pop_front() else { return false };
        let why = "another client needs the place that it held after its command's end";
        let error = Error::new(Status::Failure, "close", oldest.link().to_string(), why);
        session.event(&Event::Error(&error));
        oldest.close(session);
        true
    }

    /// Serves the half-closed connections and closes those that are done. Returns when to do so again.
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
                // A waiting client may be accepted now: the loop must not sleep before that.
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
        let link = Link::new(Protocol::Tcp, local.clone(), peer.clone()).uncounted();
        session.event(&Event::Accepted(&link));
        let program = &self.words[0];
        // A reset rather than a FIN: the client must not take this for the end of an empty answer.
        let failed = |socket: &Socket, cause: &io::Error| {
            let _ = socket::reset_on_close(socket);
            Error::local("run", program.to_string_lossy(), cause).with_status(Status::Failure)
        };
        // Programs expect standard input and output to be blocking.
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

    /// Waits for the programs that have ended, and goes on with their connections.
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
                // An orphan that a program has left behind. If it cannot be reaped, it would be found
                // again and again.
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

    /// Handles the connection of a program that has ended.
    fn hang_up(&mut self, socket: Option<Socket>, link: Link, session: &mut Session) -> Result<()> {
        let Some(socket) = socket else {
            session.event(&Event::Closed(&link));
            return Ok(());
        };
        let now = Instant::now();
        self.leave_or_hold(Held { socket, link, look_at: now, until: now + GRACE }, now, session)
    }

    /// Checks the connections again that other processes had open. Returns when to do so next.
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
        // If it cannot be found out, the connection is assumed to be open elsewhere: half-closing it would
        // cut off the process that uses it.
        if descendants::is_held(held.socket.as_fd(), &others).unwrap_or(true) {
            if now < held.until {
                self.held.push(Held { look_at: now + LOOK, ..held });
            } else {
                counts::note_first(&held.socket, &held.link);
                counts::note(&held.socket, &held.link, ClientFin::NotRead, &session.tap);
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

    /// Handles the failure of a client. It ends the run if there is only one client (no `--keep-open`);
    /// otherwise it is reported.
    fn broken(&self, error: Error, session: &mut Session) -> Result<()> {
        if !self.keep_open {
            return Err(error);
        }
        session.event(&Event::Error(&error));
        Ok(())
    }
}

/// The IP address without the port; the path of a local socket.
fn host(address: &Address) -> String {
    match address.internet() {
        Some(address) => canonical(address).ip().to_string(),
        None => address.to_string(),
    }
}

/// The port number; empty for a local socket.
fn port(address: &Address) -> String {
    address.internet().map_or_else(String::new, |address| address.port().to_string())
}
