//! Forwarding of datagrams: every client is an address and a port, and has a socket of its own that is
//! connected to TO, or a stream. It is forgotten when nothing has passed for a while (RFC 4787, 4.3).
//!
//! Only TO's own address and port can answer, unless it is a group or a broadcast address: a service that
//! answers from another port, as TFTP does (RFC 1350, section 4), does not get through.

mod impaired;
mod turns;

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::batch::Batch;
use crate::engine::datagram::complaints::Complaints;
use crate::engine::datagram::{Datagram, RECEIVE_ROOM};
use crate::engine::flow::Source as _;
use crate::engine::framing::Format;
use crate::error::{Error, Result, Status};
use crate::forward::TRIES;
use crate::forward::association::{Association, Far, Handed};
use crate::forward::elsewhere;
use crate::forward::impair::Impairment;
use crate::forward::messages::Queue;
use crate::forward::passage::Passage;
use crate::forward::rounds::{self, Rounds};
use crate::forward::table::Table;
use crate::io::progress::Progress;
use crate::net::address::{Address, Protocol, Route};
use crate::net::socket;
use crate::observe::tap::{Event, Forwarded, Link, Tap};
use crate::run::between::Lull;
use crate::run::session::Session;
use crate::sys::Offload;

/// How long the others wait for the room that one answer needs; then it is lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often is tried whether there is room: a local socket does not tell.
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// How clients are treated.
pub(crate) struct Settings {
    /// How their connections get to TO.
    pub passage: Passage,
    /// Whether TO is a stream, and how messages travel in it.
    pub stream: Option<Format>,
    /// After how long without a datagram a client is forgotten (`--idle-timeout`).
    pub idle: Duration,
    /// Whether the run ends with the first client (`--once`).
    pub once: bool,
    /// The most clients at the same time.
    pub most: usize,
    /// The most bytes of a datagram to a client.
    pub longest: usize,
    /// The bad network that was asked for.
    pub impairment: Impairment,
    /// Whether several datagrams may be passed in one call.
    pub offload: Offload,
}

/// Clients that are named in a second when they have to make room: anybody can forge addresses, and a log must
/// not fill up.
const NAMED: u32 = 100;

/// A datagram socket whose clients are led to TO.
pub(crate) struct DatagramForwarder {
    settings: Settings,
    front: Datagram,
    clients: HashMap<Address, usize>,
    members: Table<Association>,
    /// Datagrams from clients that are not handed over yet.
    up: Batch,
    /// Datagrams from TO, all for the client of this route, that are not handed over yet.
    down: Batch,
    route: Option<Route>,
    /// Since when an answer has found no room.
    full: Option<Instant>,
    room: Vec<u8>,
    /// How many clients have come.
    came: u64,
    result: Option<Result<()>>,
    /// How soon something is expected while nothing moves.
    lull: Lull,
    /// What passes is told of at TO's side only.
    unheard: Rc<Tap>,
    /// The lines about clients that had to make room.
    forgotten: Complaints,
}

/// What became of a member's turn.
enum Next {
    /// Something has passed; there may be more.
    Moved,
    /// It may have more to do.
    Again,
    Wait,
    Gone,
}

impl DatagramForwarder {
    /// A forwarder ready to run; `front` reports to [its own tap](crate::forward::unheard).
    #[must_use]
    pub(crate) fn new(settings: Settings, front: Datagram, unheard: Rc<Tap>) -> Self {
        Self {
            settings,
            front,
            clients: HashMap::new(),
            members: Table::new(),
            up: Batch::new(RECEIVE_ROOM),
            down: Batch::new(RECEIVE_ROOM),
            route: None,
            full: None,
            room: vec![0; 64 * 1024],
            came: 0,
            result: None,
            lull: Lull::default(),
            unheard,
            forgotten: Complaints::at_most(NAMED),
        }
    }

    /// Forwards until a limit passes, a signal comes, or with `--once` the first client is forgotten.
    ///
    /// # Errors
    /// For these two, when receiving fails, and with `--once` when TO refused and never answered.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<()> {
        let result = rounds::run_to_end(self, session);
        let members: Vec<_> = self.members.drain().collect();
        for mut member in members {
            Self::count_hits(&mut member, session);
            session.tap.unsent(member.unsent());
            match &member.far {
                Far::Messages(stream) => stream.stream().abort(),
                Far::Opening(Some(opening), _) => opening.stream().abort(),
                Far::Datagrams(_) | Far::Reaching(..) | Far::Opening(None, _) => {}
            }
            session.event(&Event::Closed(member.seen()));
        }
        session.tap.unsent(self.up.len() + self.down.len());
        self.count_losses(session);
        result
    }

    /// Adds what the socket of the clients has counted to the counts of the run.
    fn count_losses(&self, session: &Session) {
        let (ignored, unsent) = self.unheard.take_losses();
        session.tap.ignored(ignored);
        session.tap.unsent(unsent);
    }

    /// Hands over what clients have sent; whether there was anything.
    fn step_up(&mut self, session: &mut Session) -> Result<bool> {
        if self.up.is_empty() && !matches!(self.front.fill(&mut self.up)?, Progress::Moved(_)) {
            return Ok(false);
        }
        let mut up = std::mem::replace(&mut self.up, Batch::new(0));
        let mut moved = false;
        while !up.is_empty() {
            up.gather();
            let Some((frame, bytes)) = up.front() else { break };
            let place = frame.from.as_ref().and_then(|from| self.place_of(from, session));
            let Some(place) = place else {
                // Nobody to send it to: why was told.
                up.pop();
                moved = true;
                continue;
            };
            match self.hand_over(place, bytes, frame.segment, session) {
                Handed::Bytes(n) => {
                    up.consume(n);
                    moved = true;
                }
                Handed::NoRoom => break,
            }
        }
        self.up = up;
        Ok(moved)
    }

    fn hand_over(
        &mut self,
        place: usize,
        bytes: &[u8],
        segment: usize,
        session: &mut Session,
    ) -> Handed {
        if self.impair_up(place, bytes, segment) {
            return Handed::Bytes(bytes.len());
        }
        let Self { members, front, settings, .. } = self;
        let Some(member) = members.get_mut(place) else { return Handed::Bytes(bytes.len()) };
        let handed = send(front, settings, member, (bytes, segment), session);
        members.list(place);
        handed
    }

    /// The member of this sender, who may be new.
    fn place_of(&mut self, from: &Route, session: &mut Session) -> Option<usize> {
        if let Some(&place) = self.clients.get(&from.peer) {
            if let Some(member) = self.members.get_mut(place)
                && member.route != *from
            {
                // It has written to another address of ours, from which its answers have to come.
                member.route = from.clone();
            }
            return Some(place);
        }
        if self.settings.once && self.came > 0 {
            session.tap.ignored(1);
            return None;
        }
        if self.members.present() >= self.settings.most {
            self.forget_longest_idle(session);
        }
        match self.associate(from, session) {
            Ok(place) => Some(place),
            Err(error) => {
                if self.settings.once {
                    self.result = Some(Err(error));
                } else {
                    self.front.tell(&error.about(format!("for {}", from.peer)));
                    session.tap.unsent(1);
                }
                None
            }
        }
    }

    fn associate(&mut self, from: &Route, session: &mut Session) -> Result<usize> {
        let number = self.came + 1;
        let listening = self.front.local().clone();
        let near = from.local.map_or(listening, Address::Internet);
        let came = session.tap.elapsed();
        let forwarded = |far: Address| Forwarded { client: number, came, near: near.clone(), far };
        let client = from.peer.clone();
        let now = Instant::now();
        let (far, link) = if let Some(format) = self.settings.stream {
            let reaching = self.settings.passage.dial(now);
            let link = Link::new(Protocol::Udp, client, near.clone());
            (Far::Reaching(reaching, Queue::new(format)), link.of_client(forwarded(near.clone())))
        } else {
            let (socket, latch, peer) = elsewhere::connect(&self.settings.passage.to, session)?;
            let local = socket::local_address(&socket).unwrap_or_else(|| near.clone());
            let link = |at| Link::new(Protocol::Udp, client.clone(), peer.clone()).of_client(at);
            let (offload, tap) = (self.settings.offload, Rc::clone(&session.tap));
            let seen = link(forwarded(local.clone()));
            let mut socket = Datagram::linked(Rc::new(socket), latch, seen, offload, tap);
            elsewhere::prepare(&mut socket, &self.settings.passage.to);
            (Far::Datagrams(Box::new(socket)), link(forwarded(local)))
        };
        self.came = number;
        session.event(&Event::Accepted(&link));
        session.event(&Event::Peer(&link));
        let latch = match &far {
            Far::Datagrams(socket) => {
                session.event(&Event::Connected(&link));
                Some(socket.latch().id())
            }
            Far::Reaching(..) | Far::Opening(..) | Far::Messages(_) => None,
        };
        let link = Rc::new(link);
        let (route, last) = (from.clone(), now);
        let lines = self.settings.impairment.lines(number);
        let member = Association { route, link, far, lines, last, answered: false, refused: None };
        let place = self.members.add(Box::new(member));
        if let Some(latch) = latch {
            self.members.own(latch, place);
        }
        self.clients.insert(from.peer.clone(), place);
        Ok(place)
    }

    /// There are too many clients.
    fn forget_longest_idle(&mut self, session: &mut Session) {
        let longest = self.members.places().filter_map(|place| {
            let member = self.members.get(place)?;
            Some((member.last, place))
        });
        let Some((_, place)) = longest.min() else { return };
        let Some(member) = self.members.take(place) else { return };
        if let Some(held_back) = self.forgotten.add(session.looked_at()) {
            let why = format!("forgotten, the longest idle of {} clients", self.settings.most);
            let peer = socket::name(&member.link.local, Protocol::Udp);
            let error = Error::new(Status::Failure, "receive", peer, why);
            let hint = match held_back {
                0 => "--max-clients sets the limit".to_owned(),
                more => format!("and {more} more since the last such line"),
            };
            session.event(&Event::Error(&error.hint(hint)));
        }
        self.goodbye(place, *member, session);
    }
}

impl Rounds for DatagramForwarder {
    type Member = Association;

    fn members(&mut self) -> &mut Table<Association> {
        &mut self.members
    }

    fn round(&mut self, session: &mut Session) -> Result<bool> {
        Ok(self.answer() | self.step_up(session)? | self.serve(session))
    }

    fn ended(&mut self) -> Option<Result<()>> {
        self.result.take()
    }

    fn wait(&mut self, congested: bool, session: &mut Session) -> Result<()> {
        self.count_losses(session);
        let waits = !self.down.is_empty() || !self.up.is_empty();
        let room = waits.then(|| Instant::now() + ROOM_CHECK);
        let due = [room, self.members.deadline()].into_iter().flatten().min();
        session.wait_for(due.filter(|_| !congested), self.lull.expected(&session.tap))
    }
}

/// The network has said something about what was sent to TO, or a stream to TO broke. Where TO has
/// another address that goes on there.
fn refused(
    front: &mut Datagram,
    settings: &Settings,
    member: &mut Association,
    error: Error,
    session: &mut Session,
) {
    let error = match &mut member.far {
        Far::Datagrams(socket) => {
            match elsewhere::go_on(socket, &settings.passage.to, error, session) {
                Ok(()) => return,
                Err(error) => error,
            }
        }
        Far::Reaching(..) | Far::Opening(..) | Far::Messages(_) => error,
    };
    if !settings.once {
        front.tell(&error.clone().about(format!("for {}", member.link.client_name())));
    }
    member.refused = Some(error);
}

/// Hands datagrams of `segment` bytes each over to TO, and tells what the network has said about
/// earlier ones.
fn send(
    front: &mut Datagram,
    settings: &Settings,
    member: &mut Association,
    datagrams: (&[u8], usize),
    session: &mut Session,
) -> Handed {
    // What joins those that wait for a stream has not passed: TO may take nothing any more.
    let waits = member.queued() > 0;
    let handed = try_to_send(front, settings, member, datagrams, session);
    if matches!(handed, Handed::Bytes(_)) && !waits {
        member.last = Instant::now();
    }
    handed
}

fn try_to_send(
    front: &mut Datagram,
    settings: &Settings,
    member: &mut Association,
    (bytes, segment): (&[u8], usize),
    session: &mut Session,
) -> Handed {
    for _ in 0..TRIES {
        match member.send(bytes, segment, &session.tap) {
            Ok(handed) => return handed,
            // It was about an earlier one.
            Err(error) => refused(front, settings, member, error, session),
        }
    }
    session.tap.unsent(1);
    Handed::Bytes(bytes.len().min(segment))
}
