//! A client's turn: connecting to TO, moving what can be moved, and what becomes of it.

use std::rc::Rc;
use std::time::Instant;

use super::{Closed, DATAGRAM_IDLE, Forwarder, Idle, Member, Next, Stage, asked_address, link_to};
use crate::engine::datagram::complaints::Complaints;
use crate::engine::datagram::{Datagram, longest_to};
use crate::engine::ends::Standing as _;
use crate::engine::framing::Format;
use crate::engine::stream::Stream;
use crate::engine::tunnel::{self, Finish, Tunnel};
use crate::error::{Error, Status};
use crate::forward::crossing::{Crossing, Turn};
use crate::forward::elsewhere;
use crate::forward::impair::of_stream;
use crate::forward::messages::{MessageStream, Queue};
use crate::net::socket;
use crate::observe::tap::{Activity, Event, Link};
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial::Connected;

impl Forwarder {
    /// A client's stream is led to datagrams; `None` where they cannot be sent to TO.
    pub(super) fn cross(
        &mut self,
        client: Stream,
        link: &Link,
        format: Format,
        session: &mut Session,
    ) -> Option<Stage> {
        let to = &self.settings.passage.to;
        let (socket, far, peer) = match elsewhere::connect(to, session) {
            Ok(connected) => connected,
            Err(error) => {
                self.unreached(&client, link, error, Closed::Untold, session);
                return None;
            }
        };
        let local = socket::local_address(&socket);
        let joined = || link_to(link, peer.clone(), local.clone());
        session.event(&Event::Connected(&joined()));
        let tap = Rc::clone(&session.tap);
        let mut socket = Datagram::linked(
            Rc::new(socket),
            far,
            joined(),
            self.settings.offload,
            Rc::clone(&tap),
        );
        elsewhere::prepare(&mut socket, to);
        let client = MessageStream::new(client, Queue::new(format), longest_to(&peer));
        let lines = self.settings.impairment.lines(link.client_number());
        let crossing = Crossing::new(client, socket, lines, tap, Instant::now());
        Some(Stage::Crossing(Box::new(crossing)))
    }

    /// Lets every listed member have a turn; whether anything moved.
    pub(super) fn serve(&mut self, session: &mut Session) -> bool {
        let mut moved = false;
        for _ in 0..self.members.listed() {
            let Some((place, member)) = self.members.take_listed() else { continue };
            match self.turn(place, member, session) {
                Next::Again(member) => {
                    self.members.put_back(place, member, None);
                    self.members.list(place);
                    moved = true;
                }
                Next::Wait(member, deadline) => self.members.put_back(place, member, deadline),
                Next::Gone => {
                    self.members.forget(place);
                    if let Some(acceptor) = &mut self.acceptor {
                        acceptor.resume();
                    }
                    // There is room for another client now.
                    moved = true;
                }
            }
        }
        moved
    }

    fn turn(&mut self, place: usize, mut member: Box<Member>, session: &mut Session) -> Next {
        let (now, looked_at) = (Instant::now(), session.looked_at());
        let joined = match &mut member.stage {
            Stage::Joined(tunnel) => tunnel,
            Stage::Crossing(_) => return self.turn_of_crossing(place, member, session),
            Stage::Welcoming(_) => return self.turn_of_welcoming(member, session),
            Stage::Opening(..) => return self.turn_of_opening(*member, session),
            Stage::Reaching(client, reaching) => {
                // A client that has left needs no connection any more.
                let result = match client.check() {
                    Ok(()) => reaching.step(session),
                    Err(error) => {
                        reaching.abort(session);
                        session.event(&Event::WeReset(&member.link));
                        return self.gone(*member, Some(error), session);
                    }
                };
                return match result {
                    None => {
                        for latch in reaching.ids() {
                            self.members.own(latch, place);
                        }
                        let deadline = reaching.deadline();
                        Next::Wait(member, deadline)
                    }
                    Some(Ok(connected)) => self.join(place, *member, connected, session),
                    Some(Err(error)) => {
                        self.unreached(client, &member.link, error, Closed::Untold, session)
                    }
                };
            }
        };
        let turn = joined.turn(&mut self.room, now, looked_at);
        if self.settings.impairment.is_any()
            && let Some(more) = member.told.news(joined.tallies().map(of_stream))
        {
            session.tap.impaired(more);
        }
        match turn {
            tunnel::Turn::Moved => {
                self.members.set_yielding(place, None);
                Next::Again(member)
            }
            tunnel::Turn::Done => self.gone(*member, None, session),
            tunnel::Turn::Broken(error) => self.gone(*member, Some(error), session),
            tunnel::Turn::Idle => {
                let deadline = joined.deadline(now);
                self.members.set_yielding(place, joined.half_closed_since());
                let idle = self.idle_limit(joined.activity(), &mut member.idle, now);
                let idle = idle.filter(|_| !joined.is_under_way(now));
                match idle.filter(|limit| limit.is_over(looked_at)) {
                    Some(limit) => {
                        joined.reset();
                        self.gone(*member, Some(limit.error("nothing has passed")), session)
                    }
                    None => {
                        let idle = idle.map(|limit| limit.at());
                        Next::Wait(member, [deadline, idle].into_iter().flatten().min())
                    }
                }
            }
        }
    }

    fn turn_of_crossing(
        &mut self,
        place: usize,
        mut member: Box<Member>,
        session: &mut Session,
    ) -> Next {
        let Stage::Crossing(crossing) = &mut member.stage else { return Next::Gone };
        let looked_at = session.looked_at();
        let name = member.link.client_name();
        let (to, once) = (&self.settings.passage.to, self.settings.once);
        let mut refusal = None;
        let tell = |far: &mut Datagram, complaints: &mut Complaints, error: Error| {
            match elsewhere::go_on(far, to, error, session) {
                Ok(()) => {}
                // The run may end with it, and is told of once.
                Err(error) if once => refusal = Some(error),
                Err(error) => {
                    let Some(held_back) = complaints.add(looked_at) else { return };
                    let error = error.and_more(held_back).about(format!("for {name}"));
                    session.event(&Event::Error(&error));
                }
            }
        };
        let turn = crossing.turn(self.room.reset(), &mut self.datagrams, looked_at, tell);
        // This was the first turn, or it has gone on with another socket.
        self.members.own(crossing.far().latch().id(), place);
        if let Some(more) = crossing.hits() {
            session.tap.impaired(more);
        }
        if let Some(refusal) = refusal {
            crossing.keep(refusal);
        }
        match turn {
            Turn::Moved => Next::Again(member),
            Turn::Done => {
                let refusal = crossing.take_refusal();
                self.gone(*member, refusal, session)
            }
            Turn::Broken(error) => {
                crossing.reset();
                if let Some(refusal) = crossing.take_refusal() {
                    session.event(&Event::Error(&refusal.about(format!("for {name}"))));
                }
                self.gone(*member, Some(error), session)
            }
            Turn::Idle => {
                let idle = self.settings.idle.unwrap_or(DATAGRAM_IDLE);
                let idle =
                    crossing.idle_since().map(|since| Limit::new("--idle-timeout", idle, since));
                if let Some(limit) = idle.filter(|limit| limit.is_over(looked_at)) {
                    crossing.reset();
                    let silence = limit.error("nothing has passed");
                    let error = crossing.take_refusal().unwrap_or(silence);
                    return self.gone(*member, Some(error), session);
                }
                let idle = idle.map(|limit| limit.at());
                let due = [crossing.deadline(), idle].into_iter().flatten().min();
                Next::Wait(member, due)
            }
        }
    }

    fn idle_limit(&self, activity: Activity, idle: &mut Idle, now: Instant) -> Option<Limit> {
        let given = self.settings.idle?;
        if activity != idle.seen {
            *idle = Idle { seen: activity, since: now };
        }
        Some(Limit::new("--idle-timeout", given, idle.since))
    }

    /// TO is there: bytes may pass.
    fn join(
        &mut self,
        place: usize,
        member: Member,
        connected: Connected,
        session: &mut Session,
    ) -> Next {
        let Connected { socket, latch, peer } = connected;
        self.members.own(latch.id(), place);
        let link = link_to(&member.link, peer, asked_address(&socket, session));
        session.event(&Event::Connected(&link));
        let link = Rc::new(link);
        let server = Stream::new(socket, latch, Rc::clone(&link), Rc::clone(&session.tap));
        let member = Member { link, ..member };
        if !self.settings.passage.stages.is_empty() {
            return self.open(member, server, session);
        }
        let Member { link, stage, idle, told } = member;
        let Stage::Reaching(client, _) = stage else { return Next::Gone };
        let stage = Stage::Joined(self.tunnel(client, server, &link));
        Next::Again(Box::new(Member { link, stage, idle, told }))
    }

    /// Joins a client and TO.
    pub(super) fn tunnel(
        &self,
        client: Stream,
        server: Stream,
        link: &Link,
    ) -> Tunnel<Stream, Stream> {
        let finish = if self.settings.once { Finish::Acknowledged } else { Finish::AtOnce };
        let number = link.client_number();
        Tunnel::new(client, server, self.settings.offload, &self.pipes, finish)
            .impaired(self.settings.impairment.shapers(number))
    }

    /// TO is not there, or the way to it does not open: the client must not take that for an ordinary end.
    pub(super) fn unreached(
        &mut self,
        client: &Stream,
        link: &Link,
        error: Error,
        closed: Closed,
        session: &mut Session,
    ) -> Next {
        cut_off(client, link, session);
        session.reactor.release(client.latch());
        self.failed(error, link, closed, session);
        Next::Gone
    }

    /// Something of ours failed for one client.
    pub(super) fn failed(
        &mut self,
        error: Error,
        link: &Link,
        closed: Closed,
        session: &mut Session,
    ) {
        let error = error.about(format!("for {}", link.client_name()));
        if self.settings.once {
            self.result = Err(error);
        } else {
            session.event(&Event::Error(&error));
        }
        if closed == Closed::Untold {
            session.event(&Event::Closed(link));
        }
    }

    /// A client is done, or one of the two connections broke, which is passed on and no failure of
    /// ours.
    fn gone(&mut self, mut member: Member, error: Option<Error>, session: &mut Session) -> Next {
        if error.is_none()
            && let Stage::Joined(tunnel) = &mut member.stage
        {
            tunnel.conclude();
        }
        let seen = member.release(session);
        match error {
            Some(error) if member.is_ended_by_us(error.status) => {
                self.failed(error, seen, Closed::Untold, session);
                return Next::Gone;
            }
            Some(error) => self.broke(error, &member.link, session),
            None => {}
        }
        session.event(&Event::Closed(seen));
        Next::Gone
    }

    /// One of the two connections broke.
    pub(super) fn broke(&mut self, error: Error, link: &Link, session: &mut Session) {
        if self.settings.once {
            self.result = Err(error);
        } else {
            let number = link.client_number();
            session.event(&Event::Detail(&format!("#{number} {error}")));
        }
    }
}

impl Member {
    /// Whether an error with this status is nobody's reset that was passed on. The connections stood: our system has
    /// failed, or what came was no message, no TLS, or not whole. Nobody knows of that but us.
    fn is_ended_by_us(&self, status: Status) -> bool {
        match (&self.stage, status) {
            (Stage::Joined(_) | Stage::Crossing(_), Status::Failure | Status::Tls) => true,
            (Stage::Joined(tunnel), Status::Broken) => {
                tunnel.client().is_whole().is_err() || tunnel.server().is_whole().is_err()
            }
            (Stage::Crossing(crossing), Status::Broken) => crossing.was_cut_off(),
            _ => false,
        }
    }

    /// Its sockets are watched no longer; what has passed on which link.
    pub(super) fn release(&self, session: &mut Session) -> &Link {
        match &self.stage {
            // These are closed where they fail.
            Stage::Welcoming(_) | Stage::Opening(..) => {}
            Stage::Reaching(client, _) => session.reactor.release(client.latch()),
            Stage::Joined(tunnel) => {
                session.reactor.release(tunnel.client().latch());
                session.reactor.release(tunnel.server().latch());
            }
            Stage::Crossing(crossing) => {
                session.reactor.release(crossing.client().stream().latch());
                session.reactor.release(crossing.far().latch());
                session.count_last_drops_of(crossing.far().socket());
                session.tap.unsent(crossing.unsent());
            }
        }
        self.seen()
    }

    /// The run ends before the client: that must not look like an ordinary end to anybody.
    pub(super) fn reset(&self, session: &mut Session) {
        match &self.stage {
            Stage::Reaching(client, _) | Stage::Opening(client, _) => {
                cut_off(client, &self.link, session);
            }
            Stage::Welcoming(handshake) => cut_off(handshake.stream(), &self.link, session),
            Stage::Joined(tunnel) => tunnel.reset(),
            Stage::Crossing(crossing) => {
                session.tap.unsent(crossing.unsent());
                crossing.reset();
            }
        }
    }

    /// What has passed, and between whom.
    pub(super) fn seen(&self) -> &Link {
        match &self.stage {
            Stage::Crossing(crossing) => crossing.far().link().unwrap_or(&self.link),
            Stage::Welcoming(_) | Stage::Reaching(..) | Stage::Opening(..) | Stage::Joined(_) => {
                &self.link
            }
        }
    }
}

/// Resets the connection of a client that has no other one yet, of which observers know by `link`.
fn cut_off(client: &Stream, link: &Link, session: &mut Session) {
    if client.link().is_tcp() {
        session.event(&Event::CutOff(link));
    }
    client.abort();
}
