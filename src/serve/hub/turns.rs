//! Serving one client: sending from its queue, reading from it, and passing on what was read.

use std::rc::Rc;
use std::time::Instant;

use crate::engine::ends::Fin;
use crate::engine::framing::{Assembler, Format, LONGEST_MESSAGE};
use crate::engine::output::Output;
use crate::error::{Error, Result, Status};
use crate::io::progress::Progress;
use crate::observe::tap::Event;
use crate::run::session::Session;
use crate::serve::hub::client::{Answer, Client, SendHalf};
use crate::serve::hub::role::Role;
use crate::serve::hub::state::{BUFFER, Hub};

/// The most memory for the echoes to all clients together, in bytes.
const ECHO_ROOM: usize = 64 << 20;

/// The most memory for the unfinished messages of all clients together, in bytes, unless `--queue` is
/// more.
const MESSAGE_ROOM: usize = 64 << 20;

/// What serving a client has led to, in ascending order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ClientTurn {
    /// Nothing more to do until an event of its socket.
    Idle,
    /// It waits for something other than an event of its socket, and must be served again.
    Waiting,
    /// Bytes were moved, and there may be more.
    Moved,
}

impl Hub {
    /// Serves every listed client once; whether anything moved.
    pub(super) fn serve_clients(&mut self, session: &mut Session) -> bool {
        let mut moved = false;
        for _ in 0..self.clients.listed() {
            // It is taken out of the table, so that the others are accessible while it is served.
            let Some((id, mut client)) = self.clients.take_listed() else { continue };
            let before = client.link().activity();
            let result = self.serve(&mut client, session);
            self.passed = self.passed + (client.link().activity() - before);
            let done = client.is_done();
            match result {
                Ok(_) if done => {
                    // Counts as progress: there is room for another client now.
                    moved = true;
                    self.goodbye(client, None, session);
                }
                Ok(again) => {
                    self.clients.put_back(id, client);
                    if again != ClientTurn::Idle {
                        self.clients.list(id);
                    }
                    moved |= again == ClientTurn::Moved;
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

    /// Drops the clients with the longest unfinished messages until all of them together are within the
    /// bound. Otherwise clients that never complete a message could use up the memory, and clients with
    /// short messages would suffer for it.
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

    /// Discards the unfinished message of a client.
    fn forget_message(&mut self, client: &mut Client) {
        self.unfinished -= client.held();
        client.assembler = None;
    }

    fn serve(&mut self, client: &mut Client, session: &mut Session) -> Result<ClientTurn> {
        self.refill(client)?;
        let mut turn = match client.flush()? {
            Progress::Moved(n) if n > 0 => ClientTurn::Moved,
            _ => ClientTurn::Idle,
        };
        if !self.may_read(client) {
            // A client that waits for standard output or for other clients stays in the list, because no
            // event of its own socket will tell when it may be read again.
            let own_event = client.ended || matches!(self.role, Role::Echo);
            return Ok(turn.max(if own_event { ClientTurn::Idle } else { ClientTurn::Waiting }));
        }
        let most = self.read_size();
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = match client.read(&mut buffer[..most]) {
            // The call was interrupted by a signal and is made again in the next round.
            Ok(Progress::Moved(0)) => {
                turn = ClientTurn::Moved;
                Ok(())
            }
            Ok(Progress::Moved(n)) => {
                turn = ClientTurn::Moved;
                self.take(client, &buffer[..n])
            }
            Ok(Progress::End) => {
                turn = ClientTurn::Moved;
                self.client_ended(client, session)
            }
            Ok(Progress::Blocked) => Ok(()),
            Err(error) => Err(error),
        };
        self.buffer = buffer;
        result.map(|()| turn)
    }

    /// The most bytes to read from a client in one call. It becomes smaller with the number of clients, so
    /// that the memory for the echoes to all of them stays bounded.
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

    /// Whether no client's queue is full. Clients with a full queue are marked as stuck.
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

    /// Queues more of what the role itself sends, once the queue is empty.
    fn refill(&self, client: &mut Client) -> Result<()> {
        if client.queued() > 0 || !client.is_open() {
            return Ok(());
        }
        match &self.role {
            Role::Chargen(characters) => client.push(characters),
            Role::Reply(reply) => {
                let Answer::Begun(offset) = client.answer else { return Ok(()) };
                let piece = reply
                    .piece(offset)
                    .map_err(|cause| Error::local("read", "--reply-file", &cause))?;
                if !piece.is_empty() {
                    client.answer = Answer::Begun(offset + piece.len() as u64);
                    client.push(&piece);
                    return Ok(());
                }
                client.answer = Answer::Whole;
                if self.settings.fin != Fin::Never || client.ended {
                    client.sending = SendHalf::Closing;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Handles bytes that a client has sent, as the role demands.
    fn take(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        match self.role {
            Role::Echo => {
                client.send(bytes)?;
                self.count(client, bytes)
            }
            Role::Discard | Role::Chargen(_) => self.count(client, bytes),
            Role::Reply(_) => {
                if client.answer == Answer::Unasked {
                    client.answer = Answer::Begun(0);
                }
                self.deliver(client, bytes)
            }
            Role::Relay => self.deliver(client, bytes),
            Role::Chat => {
                self.pass_on(bytes);
                self.deliver(client, bytes)
            }
        }
    }

    /// Writes bytes that a client has sent to standard output, message by message.
    fn deliver(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        let tag = self.tag(client);
        self.cut(client, bytes, |output, message| output.message(&tag, message))
    }

    /// Counts the messages in bytes that are not written, if `--count` needs that.
    fn count(&mut self, client: &mut Client, bytes: &[u8]) -> Result<()> {
        if !self.output.counts() {
            return Ok(());
        }
        self.cut(client, bytes, |output, _| output.unwritten())
    }

    /// Cuts bytes that a client has sent into messages, and calls `message` with each.
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
        // With many clients, the bound for one client's unfinished message is that of its queue.
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
            // Nothing of a malformed message is written.
            self.forget_message(client);
            let link = client.link().to_string();
            let error = Error::new(Status::Failure, "receive", link, malformed.to_string());
            hint.into_iter().fold(error, Error::hint)
        })
    }

    fn tag(&self, client: &Client) -> String {
        if self.settings.tag { format!("{} ", client.link().peer) } else { String::new() }
    }

    /// Queues bytes that one client has sent for all others; the sender itself is taken out of `clients`
    /// at this time.
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

    /// Handles a client's FIN.
    fn client_ended(&mut self, client: &mut Client, session: &mut Session) -> Result<()> {
        if let Err(error) = self.complete(client).and(client.check_end()) {
            self.failed(error, session);
        }
        let close = match &self.role {
            Role::Echo | Role::Discard => true,
            Role::Chargen(_) => false,
            Role::Reply(_) => !matches!(client.answer, Answer::Begun(_)),
            Role::Relay | Role::Chat => self.closes_sending_of(client),
        };
        if close && client.is_open() {
            client.sending = SendHalf::Closing;
        } else {
            client.probe();
        }
        client.flush().map(drop)
    }

    /// Completes the last message of a client that sends no more: a last line may lack its newline.
    ///
    /// # Errors
    /// When the client has ended in the middle of a frame.
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

    /// Whether a FIN would make a client believe that it has received everything, or that everything it
    /// sent was handled, although the run ends with `status` before that. It gets a reset instead.
    pub(super) fn is_cut_off(&self, client: &Client, status: Status) -> bool {
        if client.sending == SendHalf::Closed {
            return false;
        }
        if !status.is_told_to_end() {
            return true;
        }
        let input =
            self.input.as_ref().filter(|_| client.is_open() && !self.ends.has_input_ended());
        match self.role {
            // The characters have no end that a client could believe to have reached.
            Role::Chargen(_) => false,
            _ => {
                client.queued() > 0
                    || client.is_being_answered()
                    || input.is_some_and(|input| !self.up.is_empty() || input.has_more())
            }
        }
    }

    /// Handles the failure of a client. It ends the run if there is only one client (no `--keep-open`);
    /// otherwise it is reported.
    pub(super) fn failed(&mut self, error: Error, session: &mut Session) {
        // With --chargen a client can only end the stream by breaking the connection.
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

    /// Closes the connection of a client that was taken out, with a reset and a report if there was an
    /// error.
    pub(super) fn goodbye(
        &mut self,
        mut client: Box<Client>,
        error: Option<Error>,
        session: &mut Session,
    ) {
        // An incomplete frame is not reported here: the error, if there is one, says more.
        let _ = self.complete(&mut client);
        session.reactor.release(client.latch());
        if let Some(error) = error {
            if error.status == Status::Broken {
                session.tap.event(&Event::Reset(client.link()));
            }
            // It has not received everything: a FIN would say that it has.
            client.abort();
            self.failed(error, session);
        }
        client.over();
        self.clients.forget();
        drop(client);
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.resume();
        }
    }
}
