//! Forwarding of streams: any number of clients, each joined to a connection of its own to TO.

mod opening;
mod turns;

use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::engine::batch::Batch;
use crate::engine::datagram::RECEIVE_ROOM;
use crate::engine::framing::Format;
use crate::engine::pump::LENT_ROOM;
use crate::engine::splice::pipes::Pipes;
use crate::engine::stream::Stream;
use crate::engine::tunnel::Tunnel;
use crate::error::{Error, Result};
use crate::forward::crossing::Crossing;
use crate::forward::impair::{Impairment, Told};
use crate::forward::passage::Passage;
use crate::forward::rounds::{self, Rounds};
use crate::forward::table::Table;
use crate::net::address::{Address, Protocol};
use crate::net::socket;
use crate::observe::tap::{Activity, Event, Forwarded, Link, Tap};
use crate::run::session::Session;
use crate::setup::accept::Acceptor;
use crate::setup::opening::Opening;
use crate::setup::places::{self, Places};
use crate::setup::target::Reaching;
use crate::setup::tls::{Acceptor as Acceptance, Handshake};
use crate::sys::Offload;

/// Clients accepted before the others get their turn again.
const ACCEPTS_AT_ONCE: usize = 64;

/// How long nothing may pass between a client and datagrams unless `--idle-timeout` says otherwise
/// (RFC 4787, 4.3).
pub(crate) const DATAGRAM_IDLE: Duration = Duration::from_secs(120);

/// Descriptors that are left for everything but clients and pipes.
pub(crate) const SPARE_DESCRIPTORS: u64 = 32;

/// Pipes in use at the same time. Each holds up to 1 MiB that its client has yet to take; Linux gives a user 64
/// of that size (`fs.pipe-user-pages-soft`, pipe(7)). Where there are fewer descriptors there are fewer pipes,
/// and other clients' bytes are copied.
const MOST_PIPES: u64 = 64;

/// How clients are treated.
pub(crate) struct Settings {
    /// How their connections get to TO.
    pub passage: Passage,
    /// What begins TLS with clients, if they speak it.
    pub welcome: Option<Acceptance>,
    /// How long nothing may pass either way (`--idle-timeout`).
    pub idle: Option<Duration>,
    /// Whether TO hears datagrams, and how messages travel in a client's stream then.
    pub datagrams: Option<Format>,
    /// Whether the run ends with the first client (`--once`).
    pub once: bool,
    /// The bad network that was asked for.
    pub impairment: Impairment,
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
    /// Pipes for splicing, lent likewise.
    pipes: Rc<Pipes>,
    /// Room for received datagrams, lent likewise.
    datagrams: Batch,
    /// How many clients have come.
    came: u64,
    /// What passes is told of at TO's side only: nobody listens here.
    unheard: Rc<Tap>,
    /// How the only client's connection ended.
    result: Result<()>,
}

/// One client.
pub(super) struct Member {
    link: Rc<Link>,
    stage: Stage,
    idle: Idle,
    /// How much has been told of what the bad network did.
    told: Told,
}

/// How far a client has come.
#[expect(clippy::large_enum_variant, reason = "a member has a box of its own, and soon is joined")]
enum Stage {
    /// TO is being connected to; the client is not read meanwhile.
    Reaching(Stream, Reaching),
    /// TLS begins with the client.
    Welcoming(Handshake),
    /// TO is connected to, and the proxy or TLS comes before the bytes.
    Opening(Stream, Box<Opening>),
    /// Bytes pass.
    Joined(Tunnel<Stream, Stream>),
    /// Messages pass.
    Crossing(Box<Crossing>),
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

/// Whether observers have been told that a client's connection to TO is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Told,
    Untold,
}

impl Forwarder {
    /// A forwarder ready to run.
    #[must_use]
    pub(crate) fn new(settings: Settings, acceptor: Acceptor, unheard: Rc<Tap>) -> Self {
        let pipes = Pipes::new(MOST_PIPES.min(settings.descriptors / 32));
        let for_datagrams = if settings.datagrams.is_some() { RECEIVE_ROOM } else { 0 };
        Self {
            settings,
            acceptor: Some(acceptor),
            members: Table::new(),
            room: Batch::new(LENT_ROOM),
            pipes,
            datagrams: Batch::new(for_datagrams),
            came: 0,
            unheard,
            result: Ok(()),
        }
    }

    /// Forwards until a limit passes, a signal comes, or with `--once` the first client is done.
    ///
    /// # Errors
    /// For these two, when listening fails, and with `--once` when the client's connection broke or
    /// TO could not be reached.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = rounds::run_to_end(self, session);
        for member in self.members.drain() {
            member.reset(session);
            session.event(&Event::Closed(member.seen()));
        }
        result
    }

    fn accept(&mut self, session: &mut Session) -> Result<bool> {
        let mut any = false;
        for _ in 0..ACCEPTS_AT_ONCE {
            let is_full = self.is_full();
            if is_full && first_to_yield(&self.members).is_none() {
                break;
            }
            let Some((socket, listening, peer)) = self.next_client(session)? else { break };
            any = true;
            if is_full {
                self.give_up_place(session);
            }
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

    /// Whether the descriptors are taken: each client has one here and one towards TO. Who finds no room waits.
    fn is_full(&self) -> bool {
        let clients = 2 * (self.members.present() as u64 + 1);
        let taken = clients + 2 * self.pipes.most() + SPARE_DESCRIPTORS;
        taken > self.settings.descriptors && self.members.present() > 0
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
                let error = Error::network("accept", &peer, &cause);
                self.failed(error, &link, Closed::Untold, session);
                return;
            }
        };
        let own = Rc::new(Link::new(Protocol::Tcp, near, peer).numbered(self.came));
        let client = Stream::new(socket, Rc::clone(&latch), own, Rc::clone(&self.unheard));
        self.begin(client, link, session);
    }
}

impl Rounds for Forwarder {
    type Member = Member;

    fn members(&mut self) -> &mut Table<Member> {
        &mut self.members
    }

    fn round(&mut self, session: &mut Session) -> Result<bool> {
        Ok(self.accept(session)? | self.serve(session))
    }

    fn ended(&mut self) -> Option<Result<()>> {
        let is_over = self.acceptor.is_none() && self.members.present() == 0;
        is_over.then(|| std::mem::replace(&mut self.result, Ok(())))
    }

    fn wait(&mut self, congested: bool, session: &mut Session) -> Result<()> {
        let acceptor = self.acceptor.as_ref().and_then(Acceptor::deadline);
        let due = [acceptor, self.members.deadline()].into_iter().flatten().min();
        session.wait(due.filter(|_| !congested))
    }
}

impl Places for Forwarder {
    fn acceptor(&mut self) -> Option<(&mut Acceptor, impl Fn() -> bool)> {
        let members = &self.members;
        Some((self.acceptor.as_mut()?, || first_to_yield(members).is_some()))
    }

    fn present(&self) -> usize {
        self.members.present()
    }

    fn give_up_place(&mut self, session: &mut Session) -> bool {
        let Some(place) = first_to_yield(&self.members) else { return false };
        let Some(member) = self.members.take(place) else { return false };
        places::tell(member.link.client_name(), session);
        if let Stage::Joined(tunnel) = &member.stage {
            tunnel.give_up();
        }
        let link = member.release(session);
        session.event(&Event::Closed(link));
        self.members.forget(place);
        true
    }
}

/// The place of the client that gives it up first.
fn first_to_yield(members: &Table<Member>) -> Option<usize> {
    members.yielding().find(|place| match members.get(*place).map(|member| &member.stage) {
        Some(Stage::Joined(tunnel)) => tunnel.can_be_given_up(),
        _ => false,
    })
}

/// The link of a client once it is connected to TO, `far` being our address there.
fn link_to(link: &Link, to: Address, far: Option<Address>) -> Link {
    let joined = Link::new(link.protocol, link.local.clone(), to);
    match &link.forwarded {
        None => joined,
        Some(Forwarded { client, came, near, .. }) => joined.of_client(Forwarded {
            client: *client,
            came: *came,
            near: near.clone(),
            far: far.unwrap_or_else(|| near.clone()),
        }),
    }
}

/// Our own address of a socket. Asking for it costs a call that only an observer of bytes has use
/// for.
fn asked_address(socket: &Socket, session: &Session) -> Option<Address> {
    session.tap.is_watched().then(|| socket::local_address(socket)).flatten()
}
