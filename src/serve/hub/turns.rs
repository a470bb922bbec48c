//! A client's turn: what is sent to it, what is read from it, and what becomes of that.

use std::rc::Rc;
use std::time::Instant;

use crate::engine::framing::{Assembler, Format, LONGEST_MESSAGE};
use crate::engine::output::Output;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::serve::hub::client::{Client, Sending};
use crate::serve::hub::role::Role;
use crate::serve::hub::state::{BUFFER, Hub};

/// What all clients together may have us keep for them to echo.
const ECHO_ROOM: usize = 64 << 20;

/// What the unfinished messages of all clients together may take, unless `--queue` alone is more.
const MESSAGE_ROOM: usize = 64 << 20;

/// What became of a client's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// Nothing is to be done until its socket says so.
    Idle,
    /// It waits for something other than its socket.
    Waiting,
    /// Something moved; there may be more.
    Moved,
}

impl Hub {
    /// Lets every listed client have one turn; whether anything moved.
    pub(super) fn serve_clients(&mut self, session: &mut Session) -> bool {
        let mut moved = false;
        for _ in 0..self.clients.listed() {
            // Taken out, it can be served with the others at hand.
            let Some((id, mut client)) = self.clients.take_listed() else { continue };
            let before = client.link().activity();
            let result = self.serve(&mut client, session);
            self.passed = self.passed + (client.link().activity() - before);
            let done = client.is_done();
            match result {
                Ok(_) if done => {
                    // There is room for another client now.
                    moved = true;
                    self.goodbye(client, None, session);
                }
                Ok(again) => {
                    self.clients.put_back(id, client);
                    if again != Turn::Idle {
                        self.clients.list(id);
                    }
                    moved |= again == Turn::Moved;
                }
                Err(error) => {
                    moved = true;
                    self.goodbye(client, Some(error), session);
                }
            }
            self.make_message_room(session);
        }
        moved
    }

    /// Drops whoever has the longest unfinished message while all of them together take too much. A
    /// message that is never completed must not stay for ever, nor cost those who send short ones
    /// their place.
    fn make_message_room(&mut self, session: &mut Session) {
        let room = MESSAGE_ROOM.max(self.settings.queue);
        while self.unfinished > room {
            let held = |id: &usize| self.clients.get(*id).map_or(0, Client::held);
            let longest = self.clients.ids().max_by_key(held);
            let Some(mut client) = longest.and_then(|id| self.clients.take(id)) else { return };
            let why = format!(
                "dropped, its unfinished message is the longest of all clients', which take more than {room} bytes"
            );
            let error = Error::new(Status::Broken, "receive", client.link().to_string(), why);
            self.forget_message(&mut client);
            self.goodbye(client, Some(error), session);
        }
    }

    /// What a client has begun to say is not a message.
    fn forget_message(&mut self, client: &mut Client) {
        self.unfinished -= client.held();
        client.assembler = None;
    }

    fn serve(&mut self, client: &mut Client, session: &mut Session) -> Result<Turn> {
        self.refill(client)?;
        let mut turn = match client.flush()? {
            Progress::Moved(n) if n > 0 => Turn::Moved,
            _ => Turn::Idle,
        };
        if !self.may_read(client) {
            // What waits for standard output or for others stays in the list, because no event of
            // its own will tell when it may be read again.
            let own_event = client.ended || matches!(self.role, Role::Echo);
            return Ok(turn.max(if own_event { Turn::Idle } else { Turn::Waiting }));
        }
        let most = self.read_size();
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = match client.read(&mut buffer[..most]) {
            // Interrupted by a signal: it comes again, and has sent nothing yet.
            Ok(Progress::Moved(0)) => {
                turn = Turn::Moved;
                Ok(())
            }
            Ok(Progress::Moved(n)) => {
                turn = Turn::Moved;
                self.take(client, &buffer[..n])
            }
            Ok(Progress::End) => {
                turn = Turn::Moved;
                self.client_ended(client, session)
            }
            Ok(Progress::Blocked) => Ok(()),
            Err(error) => Err(error),
        };
        self.buffer = buffer;
        result.map(|()| turn)
    }

    /// How much is read from one client at a time: what may have to be kept for all of them to be
    /// echoed stays bounded however many there are.
    fn read_size(&self) -> usize {
        (ECHO_ROOM / self.clients.present().max(1)).clamp(4096, BUFFER)
    }

    fn may_read(&mut self, client: &Client) -> bool {
        match self.role {
            Role::Echo => client.queued() == 0,
            Role::Discard | Role::Chargen(_) => true,
            Role::Relay | Role::Reply(_) => self.output.has_room(),
            Role::Chat => self.output.has_room() && self.all_have_room(),
        }
    }

    /// Whether nobody's queue is full; those whose queue is are marked.
    fn all_have_room(&mut self) -> bool {
        let now = Instant::now();
        let mut room = true;
        for client in self.clients.iter_mut() {
            if client.queued() >= self.settings.queue {
                client.set_stuck(now);
                self.anybody_stuck = true;
                room = false;
            }
        }
        room
    }

    /// Queues more of what the role itself has to say.
    fn refill(&self, client: &mut Client) -> Result<()> {
        if client.queued() > 0 || !client.is_open() {
            return Ok(());
        }
        match &self.role {
            Role::Chargen(characters) => client.push(characters),
            Role::Reply(reply) => {
                let Some(offset) = client.answered else { return Ok(()) };
                let piece = reply
                    .piece(offset)
                    .map_err(|cause| Error::local("read", "--reply-file", &cause))?;
                if piece.is_empty() {
                    client.sending = Sending::Closing;
                } else {
                    client.answered = Some(offset + piece.len() as u64);
                    client.push(&piece);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Deals with what a client sent.
    fn take(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        match self.role {
            Role::Echo => {
                client.send(bytes)?;
                self.count(client, bytes)
            }
            Role::Discard | Role::Chargen(_) => self.count(client, bytes),
            Role::Reply(_) => {
                client.answered.get_or_insert(0);
                self.deliver(client, bytes)
            }
            Role::Relay => self.deliver(client, bytes),
            Role::Chat => {
                self.pass_on(bytes);
                self.deliver(client, bytes)
            }
        }
    }

    /// Writes what a client sent to standard output, message by message.
    fn deliver(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        let tag = self.tag(client);
        self.cut(client, bytes, |output, message| output.message(&tag, message))
    }

    /// Counts the messages of a client that are not written, if somebody counts.
    fn count(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        if !self.output.counts() {
            return Ok(());
        }
        self.cut(client, bytes, |output, _| output.unwritten())
    }

    /// Cuts what a client sent into messages.
    fn cut(
        &mut self,
        client: &mut Client,
        bytes: &[u8],
        mut message: impl FnMut(&mut Output, &[u8]),
    ) -> Result<()> {
        let (output, format) = (&mut self.output, self.settings.output);
        if matches!(format, Format::Raw | Format::Hex) {
            message(output, bytes);
            return Ok(());
        }
        // Of many clients each may have as much kept here of what it says as of what it hears.
        let (longest, hint) = match self.settings.keep_open {
            true => (LONGEST_MESSAGE.min(self.settings.queue), Some("--queue sets the limit")),
            false => (LONGEST_MESSAGE, None),
        };
        let before = client.held();
        let new = || Box::new(Assembler::new(format, longest));
        let assembler = client.assembler.get_or_insert_with(new);
        let result = assembler.feed(bytes, |bytes| message(output, bytes));
        self.unfinished = self.unfinished + client.held() - before;
        result.map_err(|malformed| {
            // Nothing of a message that is none is written.
            self.forget_message(client);
            let link = client.link().to_string();
            let error = Error::new(Status::Failure, "receive", link, malformed.to_string());
            hint.into_iter().fold(error, Error::hint)
        })
    }

    fn tag(&self, client: &Client) -> String {
        if self.settings.tag { format!("{} ", client.link().peer) } else { String::new() }
    }

    /// Sends what one client sent to all others; that one is not among `clients` now.
    fn pass_on(&mut self, bytes: &[u8]) {
        let bytes: Rc<[u8]> = Rc::from(bytes);
        for id in self.clients.ids() {
            if let Some(other) = self.clients.get_mut(id)
                && other.is_open()
            {
                other.push(&bytes);
                self.clients.list(id);
            }
        }
    }

    /// A client's FIN has come.
    fn client_ended(&mut self, client: &mut Client, session: &mut Session) -> Result<()> {
        if let Err(error) = self.complete(client).and(client.check_end()) {
            self.failed(error, session);
        }
        let close = match &self.role {
            Role::Echo | Role::Discard => true,
            Role::Chargen(_) => false,
            Role::Reply(_) => client.answered.is_none(),
            Role::Relay | Role::Chat => self.closes_sending_of(client),
        };
        if close && client.is_open() {
            client.sending = Sending::Closing;
        }
        client.flush().map(drop)
    }

    /// No more will come from a client: a last line without its newline is whole.
    ///
    /// # Errors
    /// When a frame is cut off.
    pub(super) fn complete(&mut self, client: &mut Client) -> Result<()> {
        self.unfinished -= client.held();
        let Some(mut assembler) = client.assembler.take() else { return Ok(()) };
        let (tag, output) = (self.tag(client), &mut self.output);
        let whole = match self.role.writes_output() {
            true => assembler.finish(|message| output.message(&tag, message)),
            false => assembler.finish(|_| output.unwritten()),
        };
        whole.map_err(|cut| {
            Error::new(Status::Broken, "receive", client.link().to_string(), cut.to_string())
        })
    }

    /// Whether a client would take an ordinary end for that of all it was to get, or for our word
    /// that all it sent has been dealt with.
    pub(super) fn is_cut_off(&self, client: &Client, status: Status) -> bool {
        if client.sending == Sending::Closed {
            return false;
        }
        if !status.is_told_to_end() {
            return true;
        }
        let input =
            self.input.as_ref().filter(|_| client.is_open() && !self.ends.has_input_ended());
        match self.role {
            // Characters never end, so that nobody takes their end for that of all.
            Role::Chargen(_) => false,
            _ => {
                client.queued() > 0
                    || client.answered.is_some()
                    || input.is_some_and(|input| !self.up.is_empty() || input.has_more())
            }
        }
    }

    /// One client's failure: that of the run if it is the only one.
    pub(super) fn failed(&mut self, error: Error, session: &mut Session) {
        // Leaving is the only way to end a stream of characters.
        let is_usual = !matches!(error.status, Status::Tls | Status::TimedOut);
        let leaves = matches!(self.role, Role::Chargen(_)) && is_usual;
        if !self.settings.keep_open && !leaves {
            self.failure = Some(error);
        } else if self.role.is_service() && is_usual {
            session.event(&Event::Detail(&error.to_string()));
        } else {
            session.event(&Event::Error(&error));
        }
    }

    /// Forgets a client, telling why if that is not its usual end.
    pub(super) fn goodbye(
        &mut self,
        mut client: Box<Client>,
        error: Option<Error>,
        session: &mut Session,
    ) {
        // Where there is an error it says more than that a frame is not whole.
        let _ = self.complete(&mut client);
        session.reactor.release(client.latch());
        if let Some(error) = error {
            if error.status == Status::Broken {
                session.tap.event(&Event::Reset(client.link()));
            }
            // What it got is not all that it was to get.
            client.abort();
            self.failed(error, session);
        }
        session.event(&Event::Closed(client.link()));
        self.clients.forget();
        drop(client);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.resume();
        }
    }
}
