//! One to many: the clients of a kept-open listener and its UDP peers, in the one loop.
//!
//! Each client has a bounded queue. Standard input waits for the slowest client while that client
//! makes progress, and a client that makes none is dropped; reading from clients waits for
//! standard output. What clients have begun to say and not ended is bounded, for each and for all
//! together. A client's failure ends that client alone.

mod broadcast;
mod client;
mod loops;
pub mod role;
mod service;
mod turns;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::address::{Address, Protocol};
use crate::batch::Batch;
use crate::door::Door;
use crate::endpoint::datagram::Datagram;
use crate::endpoint::input::Input;
use crate::endpoint::output::Output;
use crate::endpoint::stream::Fin;
use crate::endpoint::{Progress, Sink as _};
use crate::error::{Error, Result, Status};
use crate::framing::Format;
use crate::pace::Pace;
use crate::pump::{Failure, Pump};
use crate::session::{Lull, Session, timed_out};
use crate::socket;
use crate::sys::Ways;
use crate::tap::{Event, Link};

use broadcast::Broadcast;
use client::{Client, Sending};
use role::Role;
use service::Service;

/// Clients accepted before the others get their turn again.
const ACCEPTS_AT_ONCE: usize = 64;

/// How long a client may take nothing while the others wait for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is looked whether such a client takes anything, so that it is given no more than that.
const PROGRESS_CHECK: Duration = Duration::from_millis(50);

/// Room for reading from a client.
const BUFFER: usize = 256 * 1024;

/// How the clients are treated.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether more than one client is served.
    pub keep_open: bool,
    /// Bytes that may wait for a client.
    pub queue: usize,
    /// Whether messages on standard output begin with who sent them.
    pub tag: bool,
    /// How messages are written.
    pub output: Format,
    /// When the sending half of a client is closed.
    pub fin: Fin,
    /// Whether a client is done at its FIN, whatever standard input still holds.
    pub until_fin: bool,
    /// How standard input is cut into messages, for those that get it both as a stream and as datagrams.
    pub input: Format,
    /// Whether a line ends in CRLF in a stream.
    pub crlf: bool,
    /// Stop when this long nothing has passed, once somebody has come and standard input has ended.
    pub silence: Option<Duration>,
    /// Fail when nobody has come within this time.
    pub first: Option<Duration>,
    /// Fail when nothing passes for this long, once somebody is there.
    pub idle: Option<Duration>,
}

/// What a hub connects.
pub struct Ends {
    /// Where TCP clients come in.
    pub door: Option<Door>,
    /// Where datagrams come in.
    pub datagrams: Option<Datagram>,
    /// What is sent to everybody.
    pub input: Option<Input>,
    /// Where what they send goes.
    pub output: Output,
}

/// A listener and everybody connected to it.
pub struct Hub {
    rules: Rules,
    role: Role,
    door: Option<Door>,
    service: Option<Service>,
    /// By the id of their latch.
    clients: Vec<Option<Box<Client>>>,
    present: usize,
    /// Bytes that the unfinished messages of all clients take.
    unfinished: usize,
    /// Clients that may have something to do.
    ready: VecDeque<usize>,
    input: Option<Input>,
    up: Pump,
    input_ended: bool,
    output: Output,
    buffer: Vec<u8>,
    started: Instant,
    anybody: bool,
    last_activity: (u64, Instant),
    last_arrival: (u64, Instant),
    failure: Option<Error>,
    /// Whether some client has had no room for what it should get.
    anybody_stuck: bool,
}

impl Hub {
    /// A hub ready to run, for TCP clients, UDP peers or both.
    #[must_use]
    pub fn new(rules: Rules, role: Role, ends: Ends, pace: Option<Pace>, now: Instant) -> Self {
        let Ends { door, datagrams, input, output } = ends;
        Self {
            rules,
            role,
            door,
            service: datagrams.map(Service::new),
            clients: Vec::new(),
            present: 0,
            unfinished: 0,
            ready: VecDeque::new(),
            input,
            up: Pump::new(Batch::new(64 * 1024), Ways::Portable, pace),
            input_ended: false,
            output,
            buffer: vec![0; BUFFER],
            started: now,
            anybody: false,
            last_activity: (0, now),
            last_arrival: (0, now),
            failure: None,
            anybody_stuck: false,
        }
    }

    /// Serves until the one client is done, standard output is closed, enough messages have come,
    /// a limit passes or a signal comes.
    ///
    /// # Errors
    /// For the last two, when an end of ours fails, and when the one client's connection broke.
    pub fn run(&mut self, session: &mut Session) -> Result<()> {
        let mut result = self.run_to_end(session);
        for id in 0..self.clients.len() {
            if let Some(mut client) = self.clients[id].take() {
                let whole = self.complete(&mut client);
                let is_wanted = result.is_ok() && !self.output.has_enough();
                if let (Err(error), true) = (whole, is_wanted && !self.output.is_broken()) {
                    self.failed(error, session);
                }
                if result.as_ref().is_err_and(|error| self.is_cut_off(&client, error.status)) {
                    client.abort(&session.tap);
                }
                self.goodbye(client, None, session);
            }
        }
        result = result.and(self.failure.take().map_or(Ok(()), Err));
        let written = session.write_out(&mut self.output, &result);
        result.and(written)
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut steps: u32 = 0;
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let mut moved = false;
            let congested = session.is_congested();
            if !congested {
                moved |= self.accept(session)?;
                moved |= self.serve_datagrams()?;
                moved |= self.serve_clients(session);
                moved |= self.step_input(now)?;
            }
            moved |= matches!(self.output.flush()?, Progress::Moved(_));
            // Whoever waited for those can go on.
            moved |= self.drop_stuck(session);
            self.note_activity(session, now);
            if self.verdict(session.looked_at())? {
                return self.failure.take().map_or(Ok(()), Err);
            }
            steps = steps.wrapping_add(1);
            if !moved {
                session.wait_for(self.deadline(congested), lull.expected(&session.tap))?;
            } else if steps.is_multiple_of(4) {
                session.look()?;
            } else {
                continue;
            }
            for id in session.reactor.fired() {
                list(&mut self.clients, &mut self.ready, id);
            }
        }
    }

    fn accept(&mut self, session: &mut Session) -> Result<bool> {
        let mut any = false;
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some(door) = &mut self.door else { break };
            let Some((socket, peer)) = door.next(self.present, session)? else { break };
            let local = door.local();
            any = true;
            self.welcome(socket, local, peer, session);
            if !self.rules.keep_open
                && let Some(door) = self.door.take()
            {
                door.close(session);
            }
        }
        Ok(any)
    }

    fn welcome(
        &mut self,
        socket: Socket,
        listening: Address,
        peer: Address,
        session: &mut Session,
    ) {
        // Asking for our own address costs a call that only an observer of bytes has use for.
        let local = if session.tap.is_watched() {
            socket::local_address(&socket).unwrap_or(listening)
        } else {
            listening
        };
        let link = Rc::new(Link::new(Protocol::Tcp, local, peer));
        let interest = Interest::READABLE | Interest::WRITABLE;
        let latch = match session.reactor.watch(&socket, interest) {
            Ok(latch) => latch,
            Err(cause) => {
                // The client must not take this for the end of an empty stream.
                let _ = socket.set_linger(Some(Duration::ZERO));
                let error = Error::network("accept", &link, &cause);
                session.event(&Event::Error(&error));
                return;
            }
        };
        self.anybody = true;
        let now = Instant::now();
        (self.last_activity.1, self.last_arrival.1) = (now, now);
        session.event(&Event::Accepted(&link));
        let id = latch.id();
        let mut client = Box::new(Client::new(socket, latch, link));
        if self.input_ended && self.role.sends_input() && self.rules.fin == Fin::AtInputEnd {
            client.sending = Sending::Closing;
        }
        if self.clients.len() <= id {
            self.clients.resize_with(id + 1, || None);
        }
        self.clients[id] = Some(client);
        self.present += 1;
        list(&mut self.clients, &mut self.ready, id);
    }

    fn serve_datagrams(&mut self) -> Result<bool> {
        match &mut self.service {
            Some(service) if !self.role.writes_output() || self.output.has_room() => {
                service.step(&self.role, self.rules.tag, &mut self.output)
            }
            _ => Ok(false),
        }
    }

    /// One step of standard input on its way to everybody.
    fn step_input(&mut self, now: Instant) -> Result<bool> {
        let heard = self.service.as_ref().is_some_and(Service::has_peer);
        let Some(input) = &mut self.input else { return Ok(false) };
        // Until somebody is there, standard input is not read.
        if self.input_ended || !(self.present > 0 || heard) {
            return Ok(false);
        }
        let mut everybody = Broadcast {
            clients: &mut self.clients,
            ready: &mut self.ready,
            queue: self.rules.queue,
            service: self.service.as_mut(),
            format: self.rules.input,
            crlf: self.rules.crlf,
            now,
            anybody_stuck: &mut self.anybody_stuck,
        };
        match self.up.step(input, &mut everybody, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.input_ended = true;
                self.close_senders();
                Ok(true)
            }
            Err(Failure::Source(error) | Failure::Sink(error)) => Err(error),
        }
    }

    /// Standard input has ended: the clients get their FIN, if that is when they get it.
    fn close_senders(&mut self) {
        for id in 0..self.clients.len() {
            let Some(client) = &mut self.clients[id] else { continue };
            if client.is_open() && (self.rules.fin == Fin::AtInputEnd || client.ended) {
                client.sending = Sending::Closing;
                list(&mut self.clients, &mut self.ready, id);
            }
        }
    }

    /// Drops clients that take nothing while others wait for them; whether there were any.
    fn drop_stuck(&mut self, session: &mut Session) -> bool {
        let (mut any, now) = (false, session.looked_at());
        if !std::mem::take(&mut self.anybody_stuck) {
            return any;
        }
        for id in 0..self.clients.len() {
            let Some(client) = &mut self.clients[id] else { continue };
            if !client.has_stalled(PATIENCE, now) {
                self.anybody_stuck |= client.stuck.is_some();
            } else if let Some(client) = self.clients[id].take() {
                let (missed, queued) = (client.missed(), client.queued());
                let why = format!(
                    "dropped, it takes nothing; {missed} bytes missed, {queued} of them queued here"
                );
                let error = Error::new(Status::Broken, "send", client.link.to_string(), why);
                client.abort(&session.tap);
                self.goodbye(client, Some(error), session);
                any = true;
            }
        }
        any
    }

    fn note_activity(&mut self, session: &Session, now: Instant) {
        let activity = session.tap.activity();
        if activity != self.last_activity.0 {
            self.last_activity = (activity, now);
            self.anybody = true;
        }
        let received = session.tap.received_so_far();
        let waits = self.service.as_ref().is_some_and(Service::is_waiting);
        if received != self.last_arrival.0 || !self.output.is_drained() || waits {
            self.last_arrival = (received, now);
        }
    }

    /// Whether the run is over. All its ends stand here.
    fn verdict(&mut self, now: Instant) -> Result<bool> {
        // Nobody reads what arrives: `| head` has seen enough.
        if self.output.is_broken() {
            return Ok(true);
        }
        // As many messages as were asked for have been written, and what answers them is sent.
        if self.output.is_satisfied() && !self.owes_anybody(now) {
            return Ok(true);
        }
        // The one client is done, and all it sent is written.
        if self.door.is_none() && self.service.is_none() && self.present == 0 {
            return Ok(self.output.flush()? == Progress::End);
        }
        // It has been silent for long enough.
        if self.silence_ends().is_some_and(|end| now >= end) {
            return Ok(self.output.flush()? == Progress::End);
        }
        // Nobody came.
        if let (false, Some(limit)) = (self.anybody, self.rules.first)
            && now >= self.started + limit
        {
            return Err(timed_out("--accept-timeout", "nobody has come", limit));
        }
        // Nothing has passed for too long.
        if let (true, Some(limit)) = (self.anybody, self.rules.idle)
            && now >= self.last_activity.1 + limit
        {
            return Err(timed_out("--idle-timeout", "nothing has passed", limit));
        }
        Ok(false)
    }

    /// Whether a client has not taken all that it was to get; one that takes nothing is dropped as
    /// if others waited for it.
    fn owes_anybody(&mut self, now: Instant) -> bool {
        // What standard input or the characters have for everybody may never end.
        if !matches!(self.role, Role::Reply(_) | Role::Echo) {
            return false;
        }
        let mut any = false;
        for client in self.clients.iter_mut().flatten() {
            if client.queued() > 0 || client.answered.is_some() && client.sending != Sending::Closed
            {
                client.set_stuck(now);
                self.anybody_stuck = true;
                any = true;
            }
        }
        any
    }

    fn silence_ends(&self) -> Option<Instant> {
        // UDP peers are heard to their end, whatever standard input may still say.
        let said = self.door.is_none()
            || self.input_ended
            // It is read only while a client is there, and one may have come and gone at once.
            || self.input.as_ref().is_none_or(Input::is_nothing);
        let limit = self.rules.silence.filter(|_| self.anybody && said)?;
        // Who is still being sent to is not silent; only characters never end.
        let last = match self.role {
            Role::Chargen(_) => self.last_arrival.1,
            _ => self.last_arrival.1.max(self.last_activity.1),
        };
        Some(last + limit)
    }

    fn deadline(&self, congested: bool) -> Option<Instant> {
        let first = self.rules.first.filter(|_| !self.anybody).map(|limit| self.started + limit);
        let idle = self.rules.idle.filter(|_| self.anybody).map(|l| self.last_activity.1 + l);
        // While text waits for its reader nobody is let in and nothing is sent, however due it is.
        let door = self.door.as_ref().filter(|_| !congested).and_then(Door::deadline);
        let pace = if self.input_ended || congested { None } else { self.up.deadline() };
        let stuck = self.anybody_stuck.then(|| Instant::now() + PROGRESS_CHECK);
        let answer = self.service.as_ref().and_then(Service::deadline);
        [first, idle, door, pace, stuck, answer, self.silence_ends()].into_iter().flatten().min()
    }
}

/// Puts a client on the list of those that may have something to do.
fn list(clients: &mut [Option<Box<Client>>], ready: &mut VecDeque<usize>, id: usize) {
    if let Some(Some(client)) = clients.get_mut(id)
        && !client.listed
    {
        client.listed = true;
        ready.push_back(id);
    }
}
