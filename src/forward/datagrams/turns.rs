//! A client's turn: what has come for it, and what becomes of it.

use std::rc::Rc;
use std::time::Instant;

use super::{DatagramForwarder, Next, refused};
use crate::engine::flow::Source as _;
use crate::engine::framing::Format;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::forward::association::{Association, Far};
use crate::forward::messages::{MessageStream, Queue};
use crate::io::progress::Progress;
use crate::net::address::Protocol;
use crate::observe::report::counted;
use crate::observe::tap::{Event, Forwarded, Link};
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::opening::Outcome;

impl DatagramForwarder {
    /// Lets every listed member have a turn; whether anything moved.
    pub(super) fn serve(&mut self, session: &mut Session) -> bool {
        let mut moved = false;
        for _ in 0..self.members.listed() {
            let Some((place, member)) = self.members.take_listed() else { continue };
            if !self.down.is_empty() {
                // The answers before this one's have found no room yet.
                self.members.put_back(place, member, None);
                self.members.list(place);
                break;
            }
            let (mut member, next) = self.turn(place, member, session);
            Self::count_hits(&mut member, session);
            // It may have gone on with another socket.
            if let Some(latch) = member.far_latch() {
                self.members.own(latch, place);
            }
            match next {
                Next::Moved | Next::Again => {
                    if matches!(next, Next::Moved) {
                        member.last = Instant::now();
                    }
                    self.members.put_back(place, member, None);
                    self.members.list(place);
                    moved = true;
                }
                Next::Wait => {
                    let due = member.deadline(self.settings.idle);
                    self.members.put_back(place, member, due);
                }
                Next::Gone => {
                    self.goodbye(place, *member, session);
                    moved = true;
                }
            }
        }
        moved
    }

    fn turn(
        &mut self,
        place: usize,
        mut member: Box<Association>,
        session: &mut Session,
    ) -> (Box<Association>, Next) {
        let looked_at = session.looked_at();
        let is_idle = member.idle_at(self.settings.idle).is_some_and(|at| looked_at >= at);
        if self.pass_arrived(&mut member, session) {
            return (member, Next::Again);
        }
        self.impair_down(&mut member);
        if !self.down.is_empty() {
            self.route = Some(member.route.clone());
            self.answer();
            return (member, Next::Moved);
        }
        let next = match &mut member.far {
            Far::Datagrams(socket) => match socket.fill(&mut self.down) {
                // An error that is about to be returned moves nothing.
                Ok(Progress::Moved(_)) if self.down.is_empty() => Next::Moved,
                Ok(Progress::Moved(_)) => {
                    member.answered = true;
                    member.refused = None;
                    self.route = Some(member.route.clone());
                    self.impair_down(&mut member);
                    self.answer();
                    Next::Moved
                }
                Ok(Progress::Blocked | Progress::End) if is_idle => Next::Gone,
                Ok(Progress::Blocked | Progress::End) => Next::Wait,
                Err(error) => {
                    refused(&mut self.front, &self.settings, &mut member, error, session);
                    Next::Moved
                }
            },
            Far::Reaching(..) => self.reach(place, &mut member, session),
            Far::Opening(..) => self.open(&mut member, session),
            Far::Messages(_) => self.receive_messages(&mut member, is_idle, session),
        };
        (member, next)
    }

    /// Connects to TO, where that is a stream.
    fn reach(&mut self, place: usize, member: &mut Association, session: &mut Session) -> Next {
        let Far::Reaching(reaching, queue) = &mut member.far else { return Next::Wait };
        let connected = match reaching.step(session) {
            None => {
                for latch in reaching.ids() {
                    self.members.own(latch, place);
                }
                return Next::Wait;
            }
            Some(Err(error)) => {
                refused(&mut self.front, &self.settings, member, error, session);
                return Next::Gone;
            }
            Some(Ok(connected)) => connected,
        };
        self.members.own(connected.latch.id(), place);
        let format = self.settings.stream.unwrap_or(Format::Frames);
        let queue = std::mem::replace(queue, Queue::new(format));
        let own = Link::of(&connected.socket, Protocol::Tcp, connected.peer);
        let own = Rc::new(own.numbered(member.link.client_number()));
        if let Some(before) = &member.link.forwarded {
            let far = own.local.clone();
            let forwarded = Forwarded { far, near: before.near.clone(), ..*before };
            let link = Link::new(Protocol::Udp, member.link.local.clone(), own.peer.clone());
            member.link = Rc::new(link.of_client(forwarded));
        }
        session.event(&Event::Connected(&member.link));
        let unheard = Rc::clone(&self.unheard);
        let stream = Stream::new(connected.socket, connected.latch, own, unheard);
        let opening = self.settings.passage.open(stream, session);
        self.opened(member, opening.map(Outcome::Interrupted), queue, session)
    }

    /// The proxy and TLS come before the messages, where there are any.
    fn open(&mut self, member: &mut Association, session: &mut Session) -> Next {
        let Far::Opening(opening, queue) = &mut member.far else { return Next::Wait };
        let Some(opening) = opening.take() else { return Next::Gone };
        let format = self.settings.stream.unwrap_or(Format::Frames);
        let queue = std::mem::replace(queue, Queue::new(format));
        self.opened(member, opening.step(session), queue, session)
    }

    /// How far the way to TO is open; what waits goes on waiting, or leaves.
    fn opened(
        &mut self,
        member: &mut Association,
        outcome: Result<Outcome>,
        queue: Queue,
        session: &mut Session,
    ) -> Next {
        match outcome {
            Ok(Outcome::Interrupted(opening)) => {
                member.far = Far::Opening(Some(Box::new(opening)), queue);
                Next::Again
            }
            Ok(Outcome::Waits(opening)) => {
                member.far = Far::Opening(Some(Box::new(opening)), queue);
                Next::Wait
            }
            Ok(Outcome::Ready(stream)) => {
                let longest = self.settings.longest;
                member.far = Far::Messages(MessageStream::new(stream, queue, longest));
                Next::Moved
            }
            Err(error) => {
                member.far = Far::Opening(None, queue);
                refused(&mut self.front, &self.settings, member, error, session);
                Next::Gone
            }
        }
    }

    /// Passes on what has come from a stream, message by message.
    fn receive_messages(
        &mut self,
        member: &mut Association,
        is_idle: bool,
        session: &mut Session,
    ) -> Next {
        if member.broken.is_some() {
            return self.end_broken(member, session);
        }
        let Far::Messages(stream) = &mut member.far else { return Next::Wait };
        let (down, link) = (&mut self.down, &member.link);
        let mut any = false;
        let flushed = stream.flush(|message| session.tap.sent(link, message));
        let result = flushed.and_then(|sent| {
            any = sent;
            stream.receive(&mut self.room, |message| {
                down.push(&[message]);
                session.tap.received(link, message, None);
            })
        });
        if !self.down.is_empty() {
            (member.answered, member.refused) = (true, None);
            self.route = Some(member.route.clone());
            self.impair_down(member);
            self.answer();
        }
        match result {
            Ok(Progress::Moved(_)) => Next::Moved,
            Ok(Progress::Blocked | Progress::End) if any => Next::Moved,
            // The next datagram gets a connection of its own.
            Ok(Progress::End) if member.unsent() == 0 => Next::Gone,
            Ok(Progress::Blocked | Progress::End) if is_idle => {
                self.give_up_stalled(member, session);
                Next::Gone
            }
            // Who has sent a FIN may go on reading.
            Ok(Progress::Blocked | Progress::End) => Next::Wait,
            Err(error) => {
                member.broken = Some(error);
                self.end_broken(member, session)
            }
        }
    }

    /// Lets a client go whose stream has broken, once it has got what was said before that.
    fn end_broken(&mut self, member: &mut Association, session: &mut Session) -> Next {
        if !member.has_answered_all() {
            return Next::Wait;
        }
        if let Some(error) = member.broken.take() {
            refused(&mut self.front, &self.settings, member, error, session);
        }
        Next::Gone
    }

    /// Tells of what is lost when a client is forgotten whose stream has taken nothing for too long.
    fn give_up_stalled(&mut self, member: &mut Association, session: &mut Session) {
        let queued = member.queued();
        if queued > 0 {
            let why = format!(
                "{} could not be sent, nothing has passed",
                counted(queued as u64, "datagram")
            );
            let error = Limit::new("--idle-timeout", self.settings.idle, member.last).error(&why);
            refused(&mut self.front, &self.settings, member, error, session);
        }
    }

    /// Sends answers that wait to their client; whether any were dealt with.
    pub(super) fn answer(&mut self) -> bool {
        let Some(route) = self.route.clone() else { return false };
        let mut moved = false;
        while !self.down.is_empty() {
            self.down.gather();
            let Some((frame, bytes)) = self.down.front() else { break };
            let (segment, one) = (frame.segment, bytes.len().min(frame.segment));
            let done = match self.front.answer(bytes, segment, &route) {
                Some(sent) => {
                    self.patience.found_room();
                    sent
                }
                None => {
                    let now = Instant::now();
                    self.patience.found_none(now);
                    if !self.patience.is_over(now) {
                        break;
                    }
                    self.front.lose(&bytes[..one], segment);
                    one
                }
            };
            self.down.consume(done);
            moved = true;
        }
        moved
    }

    /// A client is forgotten.
    pub(super) fn goodbye(&mut self, place: usize, mut member: Association, session: &mut Session) {
        Self::count_hits(&mut member, session);
        self.clients.remove(&member.route.peer);
        self.members.forget(place);
        let unsent = member.unsent();
        session.tap.unsent(unsent);
        session.event(&Event::Closed(member.seen()));
        let Association { far, answered, mut refused, .. } = member;
        match far {
            Far::Datagrams(socket) => {
                session.count_last_drops_of(socket.socket());
                session.reactor.release(socket.latch());
                // Whoever has answered is there.
                refused = refused.filter(|_| !answered);
            }
            Far::Reaching(mut reaching, _) => reaching.abort(session),
            Far::Opening(opening, _) => {
                if let Some(opening) = opening {
                    opening.stream().abort();
                    opening.give_up(session);
                }
            }
            Far::Messages(mut stream) => {
                // A stream that ends within a message, or before one, must not look whole.
                if refused.is_some() || unsent > 0 {
                    stream.stream().abort();
                } else {
                    stream.conclude();
                }
                session.reactor.release(stream.stream().latch());
            }
        }
        if self.settings.once {
            self.result = Some(refused.map_or(Ok(()), Err));
        }
    }
}
