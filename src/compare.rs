//! The same messages over TCP and over UDP to an echoing peer, side by side.
//!
//! - [`measure`] sending the messages, and the account of what came back: messages what is sent, flow when, stream and
//!   datagrams how, carrier what these two have in common, recognise which message a datagram answers; account what
//!   became of every message, wire what it cost in packets, ledger account and flow together; peer the built-in peer;
//!   attempt the connection, run the loop of one run, so_far what SIGUSR1 is told, unfragmented and probing the largest payload in one packet. Here:
//!   one run over each protocol
//! - [`lab`] a bad network for both, inside this process
//! - [`show`] what people, eyes and programs read of it
//!
//! The core (account, flow, recognise, wire, and the lab's packets and gaps) knows no sockets and is told the time.

mod side;

pub(crate) mod lab;
pub(crate) mod measure;
pub(crate) mod show;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use mio::Interest;
use socket2::Socket;

use measure::datagrams::UdpCarrier;
use measure::flow::{Delivery, Pacing};
use measure::ledger::Ledger;
use measure::messages::{Generator, Given, Messages, Survey};
use measure::probing;
use measure::recognise::Recogniser;
use measure::run::{RunEnd, Runner};
use measure::stream::TcpCarrier;
use measure::unfragmented::{Largest, Unfragmented, Why};

use crate::engine::impair::Spec;
use crate::error::{Error, Result, Status};
use crate::net::address::Protocol;
use crate::sys::{self, TcpCounts};

pub(crate) use side::{Came, Column, ProtocolResult};

/// Made-up messages remembered; as many as that may be sent while the oldest waits.
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
            Self::Given(given, _) => Messages::Given(Box::new(given.read()?)),
        })
    }

    fn recogniser(&self) -> Recogniser {
        match self {
            Self::Generated(size) => Recogniser::numbers(Generator::new(*size)),
            Self::Given(..) => Recogniser::contents(MEMORY_OF_CONTENTS),
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

/// What was done to the network on purpose.
#[derive(Debug)]
pub(crate) struct Impaired {
    /// What was asked for.
    pub spec: Spec,
    /// What it was done to.
    pub reach: Reach,
}

/// How far an impairment reaches.
#[derive(Debug)]
pub(crate) enum Reach {
    /// Every packet of both protocols, each way.
    Packets,
    /// No more than the built-in peer's replies over UDP, because the system refused a network of
    /// our own for this reason.
    Replies(String),
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
    /// What was done on purpose.
    pub impaired: Option<Impaired>,
    /// Over TCP.
    pub tcp: Column,
    /// Over UDP.
    pub udp: Column,
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
    let (ending, held_up) = runner.run(&mut stream, &mut script.messages()?, &mut ledger)?;
    let tear_down = runner.tear_down(&mut stream, &mut ledger)?;
    let counts = stream.counts();
    let transport = stream.transport();
    runner.session().reactor.forget(transport, transport.latch());
    let again = counts.map(|counts| counts.retransmissions);
    let of_peer = runner.peer().and_then(|peer| peer.counts());
    let unfragmented = segments(counts, of_peer);
    let of_peer = of_peer.map_or(0, |counts| counts.retransmissions);
    let name = stream.congestion_control();
    let packets = runner.network().map(|network| network.tallies(Protocol::Tcp));
    Ok(ProtocolResult {
        set_up: Some(set_up),
        came: Came::Reads(stream.reads()),
        boundaries: stream.boundaries(),
        wire: stream.wire(),
        retransmissions: again.map(|ours| [ours, of_peer]),
        congestion_control: name,
        held_up: packets.map(|_| held_up),
        packets,
        unfragmented,
        tear_down,
        dropped_here: 0,
        ending,
        ..ProtocolResult::of(ledger)
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
    let (ending, _) = runner.run(&mut datagrams, &mut script.messages()?, &mut ledger)?;
    let drops = others.iter().chain([&socket]).filter_map(|s| sys::receive_drops(&**s).ok());
    let packets = runner.network().map(|network| network.tallies(Protocol::Udp));
    // A datagram whose checksum is wrong counts as dropped there, too.
    let damaged = packets.map_or(0, |packets| packets.both().corrupted);
    let boundaries = ledger.account.counts().whole;
    let mut result = ProtocolResult {
        came: Came::Datagrams(datagrams.came()),
        boundaries,
        wire: Some(datagrams.wire()),
        packets,
        dropped_here: drops.sum::<u64>().saturating_sub(damaged),
        ending,
        ..ProtocolResult::of(ledger)
    };
    // From here on nothing is counted.
    runner.end_capture();
    let slowest = match ending {
        RunEnd::Complete => result.times.all.quantile(1.0),
        RunEnd::Silence(_) => None,
    };
    result.unfragmented = probing::find(runner, peer, slowest, pacing.limit)?;
    Ok(result)
}

/// The most payload bytes in a segment each way; of another peer's as far as this end knows.
fn segments(ours: Option<TcpCounts>, of_peer: Option<TcpCounts>) -> Unfragmented {
    let Some(ours) = ours else { return Unfragmented::unknown(Why::NotTold) };
    let back = of_peer.map_or(ours.segment_in, |of_peer| of_peer.segment_out);
    Unfragmented { out: Largest::Bytes(ours.segment_out), back: Largest::Bytes(back) }
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
    /// What ends the run although the table is shown: a protocol that failed, or a peer that
    /// answered nothing at all over either.
    ///
    /// # Errors
    /// When no message was answered over either protocol.
    pub(crate) fn check(&self) -> Result<()> {
        let failures = [&self.tcp, &self.udp].into_iter().filter_map(Column::failure);
        // That time ran out over one protocol says less than what the other one failed for.
        if let Some(error) = failures.min_by_key(|error| error.status == Status::TimedOut) {
            return Err(error.clone());
        }
        if self.was_answered() {
            return Ok(());
        }
        let why = format!(
            "no reply to any message within {}",
            humantime::format_duration(self.pacing.limit)
        );
        let peer = crate::net::address::DisplayAddress(self.peer).to_string();
        Err(Error::new(Status::TimedOut, "compare", peer, why).hint("does this port echo?"))
    }

    /// Whether a table says more than the error: some reply came, or the two protocols had different ends.
    #[must_use]
    pub(crate) fn is_telling(&self) -> bool {
        self.was_answered() || self.tcp.end() != self.udp.end()
    }

    fn was_answered(&self) -> bool {
        [&self.tcp, &self.udp].into_iter().any(|column| column.end().is_none())
    }
}
