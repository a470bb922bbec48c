//! A listener with any number of TCP clients and UDP peers, served in one event loop.
//!
//! Each client has a bounded queue of bytes to be sent. Standard input is read no faster than the slowest
//! client takes it, and a client that takes nothing for a while is dropped. Clients are read no faster
//! than standard output takes their data. The memory for messages that clients have begun and not ended
//! is bounded, for each client and for all together. The failure of one client does not end the run.

mod broadcast;
mod client;
mod handshakes;
mod loops;
mod places;
pub(crate) mod role;
mod service;
mod state;
mod table;
mod turns;

use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::ends::{Here, Pending, Reader, Standing, Subject, Verdict};
use crate::engine::flow::{Sink as _, Source};
use crate::engine::pump::Failure;
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::{Activity, Event, Link};
use crate::run::between::{Between, Lull, TURNS_BETWEEN_LOOKS};
use crate::run::session::Session;
use crate::setup::accept::Acceptor;
use crate::setup::places::Places as _;

use broadcast::Broadcast;
use client::{Client, SendHalf};
use handshakes::Outcome;
use role::Role;
use service::Service;

pub(crate) use handshakes::Handshakes;
pub(crate) use state::{Hub, Parts, Settings};

/// The most clients accepted before connected ones are served again.
const ACCEPTS_AT_ONCE: usize = 64;

/// How long a client may take nothing while others wait for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is checked whether such a client takes anything.
const PROGRESS_CHECK: Duration = Duration::from_millis(50);

impl Hub {
    /// Serves until the only client is done (without `--keep-open`), standard output is closed, `--count`
    /// messages have been received, a time limit passes or a signal comes.
    ///
    /// # Errors
    /// For a time limit or a signal, when standard input or output fails, and when the connection of the
    /// only client breaks.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let mut result = self.run_to_end(session);
        for id in self.clients.ids() {
            if let Some(mut client) = self.clients.take(id) {
                // Half a frame is lost when a silence ends the run.
                let whole = self.complete(&mut client);
                let is_wanted = result.is_ok() && !self.output.has_enough();
                if let (Err(error), true) = (whole, is_wanted && !self.output.is_broken()) {
                    self.failed(error, session);
                }
                match result.as_ref().is_err_and(|error| self.is_cut_off(&client, error.status)) {
                    true => client.abort(),
                    false => client.conclude(),
                }
                self.goodbye(client, None, session);
            }
        }
        if let Some(handshakes) = &mut self.handshakes {
            handshakes.end(session);
        }
        result = result.and(self.failure.take().map_or(Ok(()), Err));
        let written = self.output.write_out(session, &result);
        result.and(written)
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut between = Between::new(TURNS_BETWEEN_LOOKS);
        let mut lull = Lull::default();
        loop {
            let now = Instant::now();
            let mut moved = false;
            let congested = session.is_congested();
            if !congested {
                moved |= self.shake_hands(session);
                moved |= self.serve_datagrams()?;
                moved |= self.serve_clients(session);
                // Whoever has left by now has made room.
                moved |= self.accept(session)?;
                let sends = self.step_input(now)?;
                self.speaks = sends && self.has_given_words();
                moved |= sends;
            }
            moved |= matches!(self.output.flush()?, Progress::Moved(_));
            // Dropping a client that takes nothing lets those go on that have waited for it.
            moved |= self.drop_stuck(session);
            let waits = self.service.as_ref().is_some_and(Service::is_waiting);
            let pending = Pending::of(true, !waits && self.output.is_drained());
            self.ends.note(self.activity(), pending, now);
            if self.is_over(now, session.looked_at())? {
                return self.failure.take().map_or(Ok(()), Err);
            }
            let looked = between.turns(moved, session, |session| {
                session.wait_for(self.deadline(now, congested), lull.expected(&session.tap))
            })?;
            if !looked {
                continue;
            }
            for id in session.reactor.fired() {
                self.clients.list(id);
                if let Some(handshakes) = &mut self.handshakes {
                    handshakes.list(id);
                }
            }
        }
    }

    fn accept(&mut self, session: &mut Session) -> Result<bool> {
        let mut any = false;
        for _ in 0..ACCEPTS_AT_ONCE {
            let Some((socket, local, peer)) = self.next_client(session)? else { break };
            any = true;
            self.welcome(socket, local, peer, session);
            if !self.settings.keep_open
                && let Some(acceptor) = self.acceptor.take()
            {
                acceptor.close(session);
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
        // The local address costs a system call, and only observers of the transferred bytes need it.
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
                // A reset rather than a FIN: the client must not take this for the end of an empty stream.
                let _ = socket::reset_on_close(&socket);
                self.failed(Error::network("accept", &link, &cause), session);
                return;
            }
        };
        self.ends.somebody_came(Instant::now());
        session.event(&Event::Accepted(&link));
        let stream = Stream::new(socket, Rc::clone(&latch), link, Rc::clone(&session.tap));
        match &mut self.handshakes {
            None => self.join(latch.id(), stream),
            Some(handshakes) => {
                if let Err(error) = handshakes.begin(stream, Instant::now()) {
                    session.reactor.release(&latch);
                    self.failed(error, session);
                }
            }
        }
    }

    /// Goes on with the handshakes of those who have connected; whether anything came of it.
    fn shake_hands(&mut self, session: &mut Session) -> bool {
        let Some(handshakes) = &mut self.handshakes else { return false };
        let outcomes = handshakes.step(session);
        let any = !outcomes.is_empty() || handshakes.is_ready();
        for outcome in outcomes {
            match outcome {
                Outcome::Done(id, stream) => self.join(id, stream),
                Outcome::Failed(error) => {
                    self.failed(error, session);
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.resume();
                    }
                }
            }
        }
        any
    }

    /// A client is ready to talk.
    fn join(&mut self, id: usize, stream: Stream) {
        let mut client = Box::new(Client::new(stream));
        if self.role.sends_input() && self.closes_sending_of(&client) {
            client.sending = SendHalf::Closing;
        }
        self.clients.add(id, client);
    }

    /// Whether what datagrams bring finds room.
    fn may_serve_datagrams(&self) -> bool {
        !self.role.writes_output() || self.output.has_room()
    }

    fn serve_datagrams(&mut self) -> Result<bool> {
        let may_serve = self.may_serve_datagrams();
        match &mut self.service {
            Some(service) if may_serve => {
                service.step(&self.role, self.settings.tag, &mut self.output)
            }
            _ => Ok(false),
        }
    }

    /// Whether standard input has yet to end, and somebody is there to send it to: before, it is not read.
    fn has_listeners(&self) -> bool {
        let heard = self.service.as_ref().is_some_and(Service::has_peer);
        !self.ends.has_input_ended() && (self.clients.present() > 0 || heard)
    }

    /// Reads standard input and queues it for all clients; whether anything moved.
    fn step_input(&mut self, now: Instant) -> Result<bool> {
        if !self.has_listeners() {
            return Ok(false);
        }
        let Some(input) = &mut self.input else { return Ok(false) };
        let mut everybody = Broadcast {
            clients: &mut self.clients,
            queue: self.settings.queue,
            service: self.service.as_mut(),
            format: self.settings.input,
            crlf: self.settings.crlf,
            now,
            anybody_stuck: &mut self.anybody_stuck,
        };
        match self.up.step(input, &mut everybody, now) {
            Ok(Progress::Moved(_)) => Ok(true),
            Ok(Progress::Blocked) => Ok(false),
            Ok(Progress::End) => {
                self.ends.input_ended(now);
                self.close_senders();
                Ok(true)
            }
            Err(Failure::Source(error) | Failure::Sink(error)) => Err(error),
        }
    }

    /// Closes the sending half of each client whose FIN is due at the end of standard input.
    fn close_senders(&mut self) {
        for id in self.clients.ids() {
            let Some(client) = self.clients.get(id) else { continue };
            let closes = client.is_open() && self.closes_sending_of(client);
            if let Some(client) = self.clients.get_mut(id).filter(|_| closes) {
                client.sending = SendHalf::Closing;
                self.clients.list(id);
            }
        }
    }

    /// Drops clients that take nothing while others wait for them; whether there were any.
    fn drop_stuck(&mut self, session: &mut Session) -> bool {
        let (mut any, now) = (false, session.looked_at());
        if !std::mem::take(&mut self.anybody_stuck) {
            return any;
        }
        for id in self.clients.ids() {
            let Some(client) = self.clients.get_mut(id) else { continue };
            if !client.has_stalled(PATIENCE, now) {
                self.anybody_stuck |= client.stuck.is_some();
            } else if let Some(client) = self.clients.take(id) {
                let (missed, queued) = (client.missed(), client.queued());
                let why = format!(
                    "dropped, it takes nothing; {missed} bytes missed, {queued} of them queued here"
                );
                let error = Error::new(Status::Broken, "send", client.link().to_string(), why);
                client.abort();
                self.goodbye(client, Some(error), session);
                any = true;
            }
        }
        any
    }

    /// How much has been transferred. Bytes sent count as arrivals too, so that a run is not taken for
    /// silent while it is still sending. The exception is `--chargen`, which sends without end.
    fn activity(&self) -> Activity {
        let datagrams = self.service.as_ref().map(Service::activity).unwrap_or_default();
        let Activity { arrived, moved } = self.passed + datagrams;
        match self.role {
            Role::Chargen(_) => Activity { arrived, moved },
            _ => Activity { arrived: moved, moved },
        }
    }

    fn is_over(&mut self, now: Instant, looked_at: Instant) -> Result<bool> {
        let reader = match self.output.reader().while_speaking(self.speaks) {
            // After the last of `--count` messages, its answer must still be sent.
            Reader::Satisfied if self.owes_anybody(now) => Reader::Wants,
            reader => reader,
        };
        let standing = self.service.as_ref().map_or(&Here as &dyn Standing, Service::standing);
        Ok(self.ends.verdict(reader, self.subject(), standing, looked_at)? != Verdict::GoOn)
    }

    fn subject(&self) -> Subject {
        let can_come = self.acceptor.is_some() || self.service.is_some();
        Subject::Service { deserted: !can_come && self.present() == 0 }
    }

    /// Whether what is sent to all is words of the command line.
    fn has_given_words(&self) -> bool {
        self.input.as_ref().is_some_and(Source::is_given)
    }

    /// Whether some client has yet to receive the rest of its answer. One that takes nothing is dropped
    /// as if others waited for it.
    fn owes_anybody(&mut self, now: Instant) -> bool {
        // An answer and what the command line gave have an end that can be waited for; standard input and the
        // characters of --chargen need not have one.
        if !matches!(self.role, Role::Reply(_) | Role::Echo) && !self.has_given_words() {
            return false;
        }
        let mut any = false;
        for client in self.clients.iter_mut() {
            if client.queued() > 0 || client.is_being_answered() {
                client.set_stuck(now);
                self.anybody_stuck = true;
                any = true;
            }
        }
        any
    }

    fn deadline(&self, now: Instant, congested: bool) -> Option<Instant> {
        let stuck = self.anybody_stuck.then(|| now + PROGRESS_CHECK);
        let ends = self.ends.deadline(self.subject(), now);
        let always = [ends, stuck].into_iter().flatten().min();
        // While the reader of standard error is behind, nobody is accepted, served or sent to, so that
        // waking up for those deadlines would be useless.
        if congested {
            return always;
        }
        let acceptor = self.acceptor.as_ref().and_then(Acceptor::deadline);
        let pace = if self.has_listeners() { self.up.deadline() } else { None };
        let room = self.service.as_ref().and_then(|service| service.deadline(now));
        let handshakes = self.handshakes.as_ref().and_then(Handshakes::deadline);
        [always, acceptor, pace, room, handshakes].into_iter().flatten().min()
    }
}
