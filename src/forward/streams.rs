//! Forwarding of streams: any number of clients, each joined to a connection of its own to TO.

use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::ends::Standing as _;
use crate::engine::pump::LENT_ROOM;
use crate::engine::stream::Stream;
use crate::engine::tunnel::{Finish, Tunnel, Turn};
use crate::error::{Error, Result};
use crate::forward::table::Table;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::{Activity, Event, Forwarded, Link, Tap};
use crate::run::limits::Limit;
use crate::run::session::{Lull, Session};
use crate::setup::accept::Acceptor;
use crate::setup::dial::Connected;
use crate::setup::target::{Reaching, Target};
use crate::sys::Offload;

/// Clients accepted before the others get their turn again.
const ACCEPTS_AT_ONCE: usize = 64;

/// Turns between two looks at signals, deadlines and readiness while bytes flow.
const TURNS_BETWEEN_LOOKS: u32 = 4;

/// Descriptors that are left for everything but clients.
const SPARE_DESCRIPTORS: u64 = 32;

/// How clients are treated.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where their connections lead.
    pub to: Target,
    /// How long connecting may take (`--connect-timeout`).
    pub connect_timeout: Option<Duration>,
    /// How long nothing may pass either way (`--idle-timeout`).
    pub idle: Option<Duration>,
    /// Whether the run ends with the first client (`--once`).
    pub once: bool,
    /// Whether bytes may stay in the kernel.
    pub offload: Offload,
    /// Descriptors that the process may have open.
    pub descriptors: u64,
}

/// A listener whose clients are joined to connections to TO.
pub(crate) struct Forwarder {
    settings: Settings,
    acceptor: Option<Acceptor>,
    members: Table<Member>,
    /// Room for reading, lent to whoever has its turn.
    room: Batch,
    /// How many clients have come.
    came: u64,
    /// What passes is told of at TO's side only: nobody listens here.
    unheard: Rc<Tap>,
    /// How the only client's connection ended.
    result: Result<()>,
}

/// One client.
struct Member {
    link: Rc<Link>,
    stage: Stage,
    idle: Idle,
}

/// How far a client has come.
#[expect(clippy::large_enum_variant, reason = "a member has a box of its own, and soon is joined")]
enum Stage {
    /// TO is being connected to; the client is not read meanwhile.
    Reaching(Stream, Reaching),
    /// Bytes pass.
    Joined(Tunnel<Stream, Stream>),
}

/// Since when nothing has passed.
struct Idle {
    seen: Activity,
    since: Instant,
}

/// What became of a member's turn.
enum Next {
    /// It may have more to do.
    Again(Box<Member>),
    /// It waits.
    Wait(Box<Member>, Option<Instant>),
    /// It has left.
    Gone,
}

impl Forwarder {
    /// A forwarder ready to run.
    #[must_use]
    pub(crate) fn new(settings: Settings, acceptor: Acceptor, now: Instant) -> Self {
        Self {
            settings,
            acceptor: Some(acceptor),
            members: Table::new(),
            room: Batch::new(LENT_ROOM),
            came: 0,
            unheard: Rc::new(Tap::new(now)),
            result: Ok(()),
        }
    }

    /// Forwards until a limit passes, a signal comes, or with `--once` the first client is done.
    ///
    /// # Errors
    /// For these two, when listening fails, and with `--once` when the client's connection broke or
    /// TO could not be reached.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = self.run_to_end(session);
        // What is cut off here must not look whole to anybody.
        for member in self.members.drain() {
            match &member.stage {
                Stage::Reaching(client, _) => client.abort(),
                Stage::Joined(tunnel) => tunnel.reset(),
            }
            session.event(&Event::Closed(&member.link));
        }
        result
    }

    fn run_to_end(&mut self, session: &mut Session) -> Result<()> {
        let mut turns: u32 = 0;
        let mut lull = Lull::default();
        loop {
            let congested = session.is_congested();
            let moved = !congested && (self.accept(session)? | self.serve(session));
            if self.acceptor.is_none() && self.members.present() == 0 {
                return std::mem::replace(&mut self.result, Ok(()));
            }
            turns = turns.wrapping_add(1);
            if !moved {
                session.wait_for(self.deadline(congested), lull.expected(&session.tap))?;
            } else if turns.is_multiple_of(TURNS_BETWEEN_LOOKS) {
                session.look()?;
            } else {
                continue;
            }
            for latch in session.reactor.fired() {
                self.members.fired(latch);
            }
            self.members.list_due(session.looked_at());
        }
    }

    fn deadline(&self, congested: bool) -> Option<Instant> {
        // While text waits for its reader nothing moves, however due it is.
        let acceptor = self.acceptor.as_ref().and_then(Acceptor::deadline);
        [acceptor, self.members.deadline()].into_iter().flatten().min().filter(|_| !congested)
    }

    fn accept(&mut self, session: &mut Session) -> Result<bool> {
        let mut any = false;
        for _ in 0..ACCEPTS_AT_ONCE {
            // Each takes one descriptor here and one towards TO. Who finds no room waits.
            let taken = 2 * (self.members.present() as u64 + 1) + SPARE_DESCRIPTORS;
            if taken > self.settings.descriptors && self.members.present() > 0 {
                break;
            }
            let Some(acceptor) = &mut self.acceptor else { break };
            let Some((socket, peer)) = acceptor.next(self.members.present(), session)? else {
                break;
            };
            let listening = acceptor.local();
            any = true;
            if self.settings.once
                && let Some(acceptor) = self.acceptor.take()
            {
                session.names.clear();
                acceptor.close(session);
            }
            self.welcome(socket, listening, peer, session);
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
        self.came += 1;
        let near = asked_address(&socket, session).unwrap_or(listening);
        let forwarded = Forwarded {
            client: self.came,
            came: session.tap.elapsed(),
            near: near.clone(),
            far: near.clone(),
        };
        let link = Link::new(Protocol::Tcp, peer.clone(), near.clone()).of_client(forwarded);
        session.event(&Event::Accepted(&link));
        let interest = Interest::READABLE | Interest::WRITABLE;
        let latch = match session.reactor.watch(&socket, interest) {
            Ok(latch) => latch,
            Err(cause) => {
                // The client must not take this for the end of an empty stream.
                let _ = socket::reset_on_close(&socket);
                self.failed(Error::network("accept", &peer, &cause), &link, session);
                return;
            }
        };
        let own = Rc::new(Link::new(Protocol::Tcp, near, peer));
        let client = Stream::new(socket, Rc::clone(&latch), own, Rc::clone(&self.unheard));
        let now = Instant::now();
        let reaching = self.settings.to.dial(self.settings.connect_timeout, now);
        let idle = Idle { seen: Activity::default(), since: now };
        let stage = Stage::Reaching(client, reaching);
        let place = self.members.add(Box::new(Member { link: Rc::new(link), stage, idle }));
        self.members.own(latch.id(), place);
    }

    /// Lets every listed member have a turn; whether anything moved.
    fn serve(&mut self, session: &mut Session) -> bool {
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
        let tunnel = match &mut member.stage {
            Stage::Joined(tunnel) => tunnel,
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
                    Some(Err(error)) => self.unreached(*member, error, session),
                };
            }
        };
        match tunnel.turn(&mut self.room, now, looked_at) {
            Turn::Moved => Next::Again(member),
            Turn::Done => self.gone(*member, None, session),
            Turn::Broken(error) => self.gone(*member, Some(error), session),
            Turn::Idle => {
                let deadline = tunnel.deadline(now);
                let idle = self.idle_limit(tunnel.activity(), &mut member.idle, now);
                match idle.filter(|limit| limit.is_over(looked_at)) {
                    Some(limit) => {
                        tunnel.reset();
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
        let Member { link, stage, idle } = member;
        let Stage::Reaching(client, _) = stage else { return Next::Gone };
        let Connected { socket, latch, peer } = connected;
        self.members.own(latch.id(), place);
        let before = link.forwarded.as_ref();
        let near = before.map_or_else(|| link.peer.clone(), |before| before.near.clone());
        let forwarded = Forwarded {
            client: before.map_or(0, |before| before.client),
            came: before.map_or(Duration::ZERO, |before| before.came),
            far: asked_address(&socket, session).unwrap_or_else(|| near.clone()),
            near,
        };
        let link = Link::new(Protocol::Tcp, link.local.clone(), peer).of_client(forwarded);
        session.event(&Event::Connected(&link));
        let link = Rc::new(link);
        let server = Stream::new(socket, latch, Rc::clone(&link), Rc::clone(&session.tap));
        let finish = if self.settings.once { Finish::Acknowledged } else { Finish::AtOnce };
        let tunnel = Tunnel::new(client, server, self.settings.offload, finish);
        Next::Again(Box::new(Member { link, stage: Stage::Joined(tunnel), idle }))
    }

    /// TO is not there: the client must not take that for an ordinary end.
    fn unreached(&mut self, member: Member, error: Error, session: &mut Session) -> Next {
        let Member { link, stage, .. } = member;
        let Stage::Reaching(client, _) = stage else { return Next::Gone };
        client.abort();
        session.reactor.release(client.latch());
        self.failed(error, &link, session);
        Next::Gone
    }

    /// Something of ours failed for one client.
    fn failed(&mut self, error: Error, link: &Link, session: &mut Session) {
        let number = link.forwarded.as_ref().map_or(0, |forwarded| forwarded.client);
        let error = error.about(format!("for #{number} {}", link.local));
        if self.settings.once {
            self.result = Err(error);
        } else {
            session.event(&Event::Error(&error));
        }
        session.event(&Event::Closed(link));
    }

    /// A client is done, or one of the two connections broke, which is passed on and no failure of
    /// ours.
    fn gone(&mut self, member: Member, error: Option<Error>, session: &mut Session) -> Next {
        match &member.stage {
            Stage::Reaching(client, _) => session.reactor.release(client.latch()),
            Stage::Joined(tunnel) => {
                session.reactor.release(tunnel.client().latch());
                session.reactor.release(tunnel.server().latch());
            }
        }
        if let Some(error) = error {
            if self.settings.once {
                self.result = Err(error);
            } else {
                let number = member.link.forwarded.as_ref().map_or(0, |known| known.client);
                session.event(&Event::Detail(&format!("#{number} {error}")));
            }
        }
        session.event(&Event::Closed(&member.link));
        Next::Gone
    }
}

/// Our own address of a socket. Asking for it costs a call that only an observer of bytes has use
/// for.
fn asked_address(socket: &Socket, session: &Session) -> Option<Address> {
    session.tap.is_watched().then(|| socket::local_address(socket)).flatten()
}
