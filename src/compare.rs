//! The same messages over TCP and over UDP to an echoing peer, side by side.
//!
//! - [`measure`] sending the messages, and the account of what came back: messages what is sent, flow when, stream and
//!   datagrams how, carrier what these two have in common, recognise which message a datagram answers; account what became of every message, wire what it cost in packets, ledger account and flow together; peer the built-in peer; run the loop of
//!   one run. Here: both runs, one after the other
//! - [`show`] what people, eyes and programs read of it
//!
//! The core (account, flow, recognise, wire) knows no sockets and is told the time.

pub mod measure;
pub(crate) mod show;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use measure::account::Counts;
use measure::datagrams::Datagrams;
use measure::flow::{Delivery, Pacing};
use measure::ledger::Ledger;
use measure::messages::{Generator, Given, Messages, Survey};
use measure::recognise::{Contents, Recogniser};
use measure::run::{Ending, Runner};
use measure::stream::Stream;
use measure::wire::Wire;

use crate::chart::round_trips::RoundTrips;
use crate::chart::timeline::Timeline;
use crate::engine::impair::Spec;
use crate::error::{Error, Result, Status};
use crate::sys;

/// Made-up messages remembered; as many as that may be sent while the oldest waits.
const MEMORY: usize = 1 << 20;

/// The user's own messages remembered, each with its content's place among the others.
const MEMORY_OF_CONTENTS: usize = 1 << 16;

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Messages of so many bytes, made up.
    Generated(usize),
    /// The user's own, and what a look through them found.
    Given(Given, Survey),
}

impl Script {
    fn messages(&self) -> Result<Messages> {
        Ok(match self {
            Self::Generated(size) => Messages::Generated(Generator::new(*size)),
            Self::Given(given, _) => Messages::Given(given.read()?),
        })
    }

    fn recogniser(&self) -> Recogniser {
        match self {
            Self::Generated(size) => Recogniser::Numbers(Generator::new(*size)),
            Self::Given(..) => Recogniser::Contents(Contents::new(MEMORY_OF_CONTENTS)),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::Generated(_) => MEMORY,
            Self::Given(..) => MEMORY_OF_CONTENTS,
        }
    }

    /// Bytes of the longest message.
    #[must_use]
    pub(crate) fn longest(&self) -> usize {
        match self {
            Self::Generated(size) => *size,
            Self::Given(_, survey) => survey.longest,
        }
    }
}

/// How what came back was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Reads of a byte stream.
    Reads(u64),
    /// Datagrams.
    Datagrams(u64),
}

/// What one protocol did.
#[derive(Debug)]
pub(crate) struct Side {
    /// How long it took until the first message could leave, where that takes packets.
    pub set_up: Option<Duration>,
    /// What became of the messages.
    pub counts: Counts,
    /// How what came back was cut.
    pub came: Came,
    /// Messages that came back as one piece with nothing else in it.
    pub boundaries: u64,
    /// Round trips.
    pub round_trips: RoundTrips,
    /// Which message took how long, or was lost.
    pub timeline: Timeline,
    /// From the first message to the last answer.
    pub duration: Duration,
    /// Packets and bytes; none where the system does not count them.
    pub wire: Option<Wire>,
    /// Packets sent again, where that exists and is counted.
    pub retransmissions: Option<u64>,
    /// How long the end took, where that takes packets and the peer took part.
    pub tear_down: Option<Duration>,
    /// Replies that the kernel dropped here because nobody fetched them in time.
    pub dropped_here: u64,
    /// How it ended.
    pub ending: Ending,
}

impl Side {
    /// Messages answered per second.
    #[must_use]
    pub(crate) fn messages_per_second(&self) -> Option<f64> {
        let answered = self.counts.received + self.counts.late;
        (answered > 0 && !self.duration.is_zero())
            .then(|| answered as f64 / self.duration.as_secs_f64())
    }
}

impl Side {
    /// Payload bytes answered per second, each message's once.
    #[must_use]
    pub(crate) fn bytes_per_second(&self) -> Option<f64> {
        let answered = self.counts.received + self.counts.late;
        let replies = answered + self.counts.duplicated + self.counts.unmatched;
        let payload = self.wire.map_or(0, |wire| wire.back.payload) as f64;
        let share = answered as f64 / replies.max(1) as f64;
        self.messages_per_second().map(|_| payload * share / self.duration.as_secs_f64())
    }
}

/// Both runs, and what they were about.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// Whom the messages went to.
    pub peer: SocketAddr,
    /// Whether that is the built-in one.
    pub is_built_in: bool,
    /// What was sent.
    pub script: Script,
    /// How it was sent.
    pub pacing: Pacing,
    /// The window that was asked for; it is smaller where the receive buffers hold no more.
    pub window_asked: usize,
    /// What the built-in peer did to UDP replies.
    pub impairment: Option<Spec>,
    /// Over TCP.
    pub tcp: Side,
    /// Over UDP.
    pub udp: Side,
}

/// Sends everything over a connection and ends it.
///
/// # Errors
/// When the connection breaks, or a signal stops the run.
pub(crate) fn over_tcp(
    runner: &mut Runner<'_>,
    mut stream: Stream,
    set_up: Duration,
    script: &Script,
    pacing: Pacing,
) -> Result<Side> {
    let mut ledger = Ledger::new(pacing, Delivery::InOrder, script.memory());
    let ending = runner.run(&mut stream, &mut script.messages()?, &mut ledger)?;
    let tear_down = runner.tear_down(&mut stream, &mut ledger)?;
    let counts = stream.counts();
    let (duration, fates) = (ledger.duration(), ledger.account.counts());
    let (round_trips, timeline) = ledger.account.into_round_trips();
    let transport = stream.transport();
    runner.session().reactor.forget(transport, transport.latch());
    Ok(Side {
        set_up: Some(set_up),
        counts: fates,
        came: Came::Reads(stream.reads()),
        boundaries: stream.boundaries(),
        duration,
        wire: stream.wire(),
        retransmissions: counts.map(|counts| counts.retransmissions),
        tear_down,
        dropped_here: 0,
        ending,
        round_trips,
        timeline,
    })
}

/// Sends everything in datagrams. `others` are sockets of this machine, apart from the client's
/// own, whose drops count.
///
/// # Errors
/// When the network says that nobody is there, or a signal stops the run.
pub(crate) fn over_udp(
    runner: &mut Runner<'_>,
    socket: Rc<Socket>,
    peer: SocketAddr,
    others: &[Rc<Socket>],
    script: &Script,
    pacing: Pacing,
) -> Result<Side> {
    let session = runner.session();
    let latch = session
        .reactor
        .watch(&*socket, Interest::READABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    let tap = Rc::clone(&session.tap);
    let mut datagrams = Datagrams::new(Rc::clone(&socket), latch, peer, script.recogniser(), tap);
    let mut ledger = Ledger::new(pacing, Delivery::Any, script.memory());
    let ending = runner.run(&mut datagrams, &mut script.messages()?, &mut ledger)?;
    let (duration, counts) = (ledger.duration(), ledger.account.counts());
    let (round_trips, timeline) = ledger.account.into_round_trips();
    let drops = others.iter().chain([&socket]).filter_map(|s| sys::receive_drops(&**s).ok());
    Ok(Side {
        set_up: None,
        counts,
        came: Came::Datagrams(datagrams.came()),
        boundaries: counts.whole,
        duration,
        wire: Some(datagrams.wire()),
        retransmissions: None,
        tear_down: None,
        dropped_here: drops.sum(),
        ending,
        round_trips,
        timeline,
    })
}

/// The window that fits into `room` bytes of receive buffer, with messages of up to `longest`
/// bytes: what one machine sends itself must not be lost for want of room.
#[must_use]
pub(crate) fn fitted_window(asked: usize, longest: usize, room: Option<usize>) -> usize {
    // The kernel counts what a datagram occupies: its buffer, rounded up, and its bookkeeping
    // (skb truesize; socket(7) on SO_RCVBUF).
    let each = longest + longest / 2 + 1280;
    room.map_or(asked, |room| asked.min(room / each).max(1))
}

impl Comparison {
    /// A peer that answered nothing at all over either protocol.
    ///
    /// # Errors
    /// Just that.
    pub(crate) fn check(&self) -> Result<()> {
        let answers = |side: &Side| side.counts.received + side.counts.late;
        if answers(&self.tcp) + answers(&self.udp) > 0 {
            return Ok(());
        }
        let why = format!(
            "no reply to any message within {}",
            humantime::format_duration(self.pacing.limit)
        );
        let peer = crate::net::address::DisplayAddress(self.peer).to_string();
        Err(Error::new(Status::TimedOut, "compare", peer, why).hint("does this port echo?"))
    }
}
