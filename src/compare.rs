//! The same messages over TCP and over UDP to an echoing peer, side by side.
//!
//! - [`measure`] sends the messages and counts the replies
//! - [`show`] prints the result: as a table, sentences, a plot, JSON or SVG
//!
//! This file makes the two runs, one after the other.

pub mod measure;
pub(crate) mod show;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use measure::account::Counts;
use measure::datagrams::UdpCarrier;
use measure::flow::{Delivery, Pacing};
use measure::impair::Impairment;
use measure::ledger::Ledger;
use measure::messages::{Generator, Given, Messages, Survey};
use measure::recognise::{Contents, Recogniser};
use measure::rtt::RoundTrips;
use measure::run::{RunEnd, Runner};
use measure::stream::TcpCarrier;
use measure::wire::WireTraffic;

use crate::error::{Error, Result, Status};
use crate::sys;

/// The most generated messages that are remembered, which bounds how many may be sent while the oldest
/// has no reply.
const MEMORY: usize = 1 << 20;

/// The same for the user's own messages. Fewer, because the hash of each is remembered too.
const MEMORY_OF_CONTENTS: usize = 1 << 16;

/// The messages to send.
#[derive(Debug, Clone)]
pub(crate) enum Script {
    /// Generated messages of this many bytes.
    Generated(usize),
    /// The user's own messages, and what reading through all of them has found.
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

/// In how many pieces the replies arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Calls of read(2) on a byte stream that returned data.
    Reads(u64),
    /// Datagrams.
    Datagrams(u64),
}

/// The result of the run over one protocol.
#[derive(Debug)]
pub(crate) struct ProtocolResult {
    /// The time that connecting took; `None` for UDP, which does not connect.
    pub set_up: Option<Duration>,
    /// What became of the messages.
    pub counts: Counts,
    /// In how many pieces the replies arrived.
    pub came: Came,
    /// Messages whose reply arrived as one piece with nothing else in it.
    pub boundaries: u64,
    /// The round-trip times.
    pub round_trips: RoundTrips,
    /// From sending the first message to the last reply.
    pub duration: Duration,
    /// Packets and bytes; `None` where the kernel does not count them.
    pub wire: Option<WireTraffic>,
    /// Segments retransmitted; `None` for UDP, and where the kernel does not count them.
    pub retransmissions: Option<u64>,
    /// The time that closing the connection took; `None` for UDP, and when the peer's FIN did not come
    /// in time.
    pub tear_down: Option<Duration>,
    /// Datagrams that the kernel of this machine dropped because a receive buffer was full.
    pub dropped_here: u64,
    /// How the run ended.
    pub ending: RunEnd,
}

impl ProtocolResult {
    /// Messages per second that were answered, in time or late; `None` when none was.
    #[must_use]
    pub(crate) fn messages_per_second(&self) -> Option<f64> {
        let answered = self.counts.received + self.counts.late;
        (answered > 0 && !self.duration.is_zero())
            .then(|| answered as f64 / self.duration.as_secs_f64())
    }

    /// Payload bytes per second of the messages that were answered, without duplicates; `None` when
    /// none was.
    #[must_use]
    pub(crate) fn bytes_per_second(&self) -> Option<f64> {
        let answered = self.counts.received + self.counts.late;
        let replies = answered + self.counts.duplicated + self.counts.unmatched;
        let payload = self.wire.map_or(0, |wire| wire.back.payload) as f64;
        let share = answered as f64 / replies.max(1) as f64;
        self.messages_per_second().map(|_| payload * share / self.duration.as_secs_f64())
    }
}

/// The results of both runs, and the settings of both.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The address that the messages were sent to.
    pub peer: SocketAddr,
    /// Whether that is the built-in peer.
    pub is_built_in: bool,
    /// What was sent.
    pub script: Script,
    /// How it was sent.
    pub pacing: Pacing,
    /// The window that was asked for. The one of `pacing` is smaller if the receive buffers would not
    /// have held that many messages.
    pub window_asked: usize,
    /// What the built-in peer did to UDP replies.
    pub impairment: Option<Impairment>,
    /// The result over TCP.
    pub tcp: ProtocolResult,
    /// The result over UDP.
    pub udp: ProtocolResult,
}

/// Sends all messages over a TCP connection, and then closes it. `set_up` is how long connecting took.
///
/// # Errors
/// When the connection breaks, or a signal stops the run.
pub(crate) fn over_tcp(
    runner: &mut Runner<'_>,
    mut stream: TcpCarrier,
    set_up: Duration,
    script: &Script,
    pacing: Pacing,
) -> Result<ProtocolResult> {
    let mut ledger = Ledger::new(pacing, Delivery::InOrder, script.memory());
    let ending = runner.run(&mut stream, &mut script.messages()?, &mut ledger)?;
    let tear_down = runner.tear_down(&mut stream, &mut ledger)?;
    let counts = stream.counts();
    let transport = stream.transport();
    runner.session().reactor.forget(transport, transport.latch());
    Ok(ProtocolResult {
        set_up: Some(set_up),
        counts: ledger.account.counts(),
        came: Came::Reads(stream.reads()),
        boundaries: stream.boundaries(),
        duration: ledger.duration(),
        wire: stream.wire(),
        retransmissions: counts.map(|counts| counts.retransmissions),
        tear_down,
        dropped_here: 0,
        ending,
        round_trips: ledger.account.into_round_trips(),
    })
}

/// Sends all messages in UDP datagrams. `others` are further sockets on this machine whose dropped
/// datagrams are counted together with the client's: those of the built-in peer.
///
/// # Errors
/// When an ICMP error says that the peer cannot be reached, or a signal stops the run.
pub(crate) fn over_udp(
    runner: &mut Runner<'_>,
    socket: Rc<Socket>,
    peer: SocketAddr,
    others: &[Rc<Socket>],
    script: &Script,
    pacing: Pacing,
) -> Result<ProtocolResult> {
    let session = runner.session();
    let latch = session
        .reactor
        .watch(&*socket, Interest::READABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    let tap = Rc::clone(&session.tap);
    let mut datagrams = UdpCarrier::new(Rc::clone(&socket), latch, peer, script.recogniser(), tap);
    let mut ledger = Ledger::new(pacing, Delivery::Any, script.memory());
    let ending = runner.run(&mut datagrams, &mut script.messages()?, &mut ledger)?;
    let counts = ledger.account.counts();
    let drops = others.iter().chain([&socket]).filter_map(|s| sys::receive_drops(&**s).ok());
    Ok(ProtocolResult {
        set_up: None,
        counts,
        came: Came::Datagrams(datagrams.came()),
        boundaries: counts.whole,
        duration: ledger.duration(),
        wire: Some(datagrams.wire()),
        retransmissions: None,
        tear_down: None,
        dropped_here: drops.sum(),
        ending,
        round_trips: ledger.account.into_round_trips(),
    })
}

/// The window for messages of up to `longest` bytes: the one asked for, or as many messages as fit into
/// `room` bytes of receive buffer, at least 1. Otherwise datagrams would be lost although they never
/// left this machine.
#[must_use]
pub(crate) fn fitted_window(asked: usize, longest: usize, room: Option<usize>) -> usize {
    // The kernel charges a receive buffer with the memory that a datagram takes: its data, rounded up,
    // and its bookkeeping (truesize of `struct sk_buff`; SO_RCVBUF in socket(7)).
    let each = longest + longest / 2 + 1280;
    room.map_or(asked, |room| asked.min(room / each).max(1))
}

impl Comparison {
    /// Checks that the peer has answered anything.
    ///
    /// # Errors
    /// When no message was answered over either protocol.
    pub(crate) fn check(&self) -> Result<()> {
        let answers = |side: &ProtocolResult| side.counts.received + side.counts.late;
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
