//! A program for each connection: the socket is its standard input and output.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::Socket;

use crate::address::{Address, Protocol, canonical};
use crate::door::Door;
use crate::error::{Error, Result, Status};
use crate::session::{Session, timed_out};
use crate::socket;
use crate::tap::{Event, Link};

/// Programs that are running, and whose connection each has.
pub struct Children<'a> {
    words: &'a [OsString],
    keep_open: bool,
    first: Option<(Instant, Duration)>,
    running: Vec<(Child, Link)>,
}

impl<'a> Children<'a> {
    /// Nobody yet; `words` are the program and its arguments.
    #[must_use]
    pub fn new(words: &'a [OsString], keep_open: bool, first: Option<Duration>) -> Self {
        let first = first.map(|limit| (Instant::now() + limit, limit));
        Self { words, keep_open, first, running: Vec::new() }
    }

    /// Accepts and starts programs, until the one client's has ended, or a limit or signal comes.
    ///
    /// # Errors
    /// For the last two, and when the program cannot be started for the one client.
    pub fn run(&mut self, door: Door, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(door, session);
        for (child, _) in &self.running {
            if let Ok(pid) = i32::try_from(child.id()) {
                // One that has just ended needs no signal.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        result
    }

    fn run_to_end(&mut self, door: Door, session: &mut Session) -> Result<()> {
        let mut door = Some(door);
        loop {
            while let Some(open) = &mut door
                && let Some((socket, peer)) = open.next(self.running.len(), session)?
            {
                self.first = None;
                if let Err(error) = self.start(socket, open.local(), peer, session) {
                    if !self.keep_open {
                        return Err(error);
                    }
                    session.event(&Event::Error(&error));
                }
                if !self.keep_open
                    && let Some(open) = door.take()
                {
                    open.close(session);
                }
            }
            if std::mem::take(&mut session.child_ended) {
                self.reap(session);
                if let Some(open) = &mut door {
                    open.resume();
                    continue;
                }
            }
            if door.is_none() && self.running.is_empty() {
                return Ok(());
            }
            if let Some((end, limit)) = self.first
                && session.looked_at() >= end
            {
                return Err(timed_out("--accept-timeout", "nobody has connected", limit));
            }
            let retry = door.as_ref().and_then(Door::deadline);
            let deadline = [self.first.map(|(end, _)| end), retry].into_iter().flatten().min();
            session.wait(deadline)?;
        }
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
        let failed = |cause: std::io::Error| {
            Error::local("run", program.to_string_lossy(), &cause).with_status(Status::Failure)
        };
        // The program expects descriptors that wait.
        socket.set_nonblocking(false).map_err(failed)?;
        let stdin = OwnedFd::from(socket);
        let stdout = stdin.try_clone().map_err(failed)?;
        let child = Command::new(program)
            .args(&self.words[1..])
            .stdin(stdin)
            .stdout(stdout)
            .env("PKTCAT_PEER_ADDR", host(&peer))
            .env("PKTCAT_PEER_PORT", port(&peer))
            .env("PKTCAT_LOCAL_ADDR", host(&local))
            .env("PKTCAT_LOCAL_PORT", port(&local))
            .spawn()
            .map_err(failed)?;
        self.running.push((child, link));
        Ok(())
    }

    /// Takes note of the programs that have ended.
    fn reap(&mut self, session: &mut Session) {
        let mut at = 0;
        while at < self.running.len() {
            match self.running[at].0.try_wait() {
                Ok(None) => at += 1,
                ended => {
                    let (child, link) = self.running.swap_remove(at);
                    let how = match ended {
                        Ok(Some(status)) => status.to_string(),
                        _ => "is gone".to_owned(),
                    };
                    let line = format!("command {} for {link}: {how}", child.id());
                    session.event(&Event::Detail(&line));
                    session.event(&Event::Closed(&link));
                }
            }
        }
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
