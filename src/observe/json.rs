//! Events for programs, one JSON object per line: the observer behind `--json`.
//!
//! The fields are a contract, documented in `pktcat-json(5)`: new ones may be added, none may be
//! removed or change its meaning.

mod fields;
pub(crate) mod line;
mod tcp;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use crate::error::Error;
use crate::net::address::{Address, Protocol, transport};
use crate::observe::handshake::Handshake;
use crate::observe::hits::Hits;
use crate::observe::journal::Journal;
use crate::observe::tap::{Direction, Event, Observer, Summary, Transfer};
use fields::{LinkFields, port};
use line::{Host, Time, seconds, write_line};

use tcp::{ConnectionCounts, TcpFields};

/// Whether `data` events carry the bytes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// As a string of hex digits (`-x`).
    Shown,
    /// Only how many there are.
    Counted,
}

/// Writes an object for every event and every transfer.
#[derive(Debug)]
pub(crate) struct Json {
    journal: Journal,
    bytes: Bytes,
    /// Wall-clock time at the start of the run. Later times are this plus the monotonic clock, so
    /// that they never go backwards.
    started: SystemTime,
    /// `unix` for local sockets, which the protocol of the run does not tell.
    local: Option<&'static str>,
}

impl Json {
    /// An observer of a run that began at `started`.
    #[must_use]
    pub(crate) fn new(journal: Journal, bytes: Bytes, started: SystemTime) -> Self {
        Self { journal, bytes, started, local: None }
    }

    /// The same for a run at a local socket, also when no event tells so before its summary.
    #[must_use]
    pub(crate) fn of_local_socket(mut self, is_local: bool) -> Self {
        self.local = is_local.then_some("unix");
        self
    }

    fn write(&self, at: Duration, body: Body<'_>) {
        let time = self.started + at;
        let line = EventLine { event: body.name(), time: Time(time), elapsed: seconds(at), body };
        self.journal.append(|text| write_line(text, &line));
    }
}

#[derive(Serialize)]
struct EventLine<'a> {
    event: &'static str,
    time: Time,
    elapsed: f64,
    #[serde(flatten)]
    body: Body<'a>,
}

/// Bytes as hex digits.
struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

/// Serializes a value as the string that `Display` gives.
struct AsText<T>(T);

impl<T: fmt::Display> Serialize for AsText<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    Sent,
    Received,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Listening {
        protocol: &'static str,
        local_address: Host,
        #[serde(skip_serializing_if = "Option::is_none")]
        local_port: Option<u16>,
    },
    Connected(LinkFields),
    Accepted(LinkFields),
    Peer(LinkFields),
    Tls {
        #[serde(flatten)]
        ends: LinkFields,
        #[serde(flatten)]
        handshake: &'a Handshake,
    },
    Certificate {
        sha256: &'a str,
    },
    Data {
        #[serde(flatten)]
        ends: LinkFields,
        direction: Way,
        bytes: usize,
        offset: u64,
        number: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cut_from: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<Hex<'a>>,
    },
    Closed {
        #[serde(flatten)]
        ends: LinkFields,
        reset: bool,
        sent_bytes: u64,
        received_bytes: u64,
        duration: f64,
        #[serde(flatten)]
        tcp: TcpFields,
    },
    Error {
        message: AsText<&'a Error>,
        status: u8,
    },
    Summary {
        protocol: &'static str,
        #[serde(rename = "final")]
        last: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u8>,
        sent_bytes: u64,
        sent_messages: u64,
        received_bytes: u64,
        received_messages: u64,
        #[serde(flatten)]
        datagrams: DatagramCounts,
        #[serde(skip_serializing_if = "Option::is_none")]
        impaired: Option<ImpairedCounts>,
        #[serde(flatten)]
        connections: Option<ConnectionCounts>,
        #[serde(flatten)]
        tcp: TcpFields,
    },
}

impl Body<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Listening { .. } => "listening",
            Self::Connected(_) => "connected",
            Self::Accepted(_) => "accepted",
            Self::Peer(_) => "peer",
            Self::Tls { .. } => "tls",
            Self::Certificate { .. } => "certificate",
            Self::Data { .. } => "data",
            Self::Closed { .. } => "closed",
            Self::Error { .. } => "error",
            Self::Summary { .. } => "summary",
        }
    }
}

/// What a bad network that was asked for has done.
#[derive(Serialize)]
struct ImpairedCounts {
    up: HitCounts,
    down: HitCounts,
}

/// An object of all its numbers.
struct HitCounts(Hits);

impl Serialize for HitCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.named())
    }
}

/// The counters of a summary that only datagrams have.
#[derive(Serialize)]
struct DatagramCounts {
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_drops: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsent: Option<u64>,
}

impl DatagramCounts {
    /// Those of datagrams; where a forwarder leads streams to datagrams, only what was lost.
    fn of(counters: &Summary) -> Self {
        let Summary { protocol, kernel_drops, cut, peers, unsent, .. } = *counters;
        let is_udp = protocol == Protocol::Udp;
        Self {
            kernel_drops: (is_udp || kernel_drops > 0).then_some(kernel_drops),
            cut: (is_udp || cut > 0).then_some(cut),
            peers: is_udp.then_some(peers),
            unsent: (unsent > 0).then_some(unsent),
        }
    }
}

impl Observer for Json {
    fn transfer(&mut self, at: Duration, transfer: &Transfer<'_>) {
        let Transfer { direction, link, bytes, offset, number, cut_from } = *transfer;
        let direction = match direction {
            Direction::Sent => Way::Sent,
            Direction::Received => Way::Received,
        };
        let data = (self.bytes == Bytes::Shown).then_some(Hex(bytes));
        let (ends, bytes) = (LinkFields::of(link), bytes.len());
        self.write(at, Body::Data { ends, direction, bytes, offset, number, cut_from, data });
    }

    fn event(&mut self, at: Duration, event: &Event<'_>) {
        match event {
            Event::Listening { address: address @ Address::Unix(_), protocol, .. } => {
                self.local = Some(transport(*protocol, address));
            }
            Event::Connected(link) if link.local.internet().is_none() => {
                self.local = Some(link.transport());
            }
            _ => {}
        }
        let body = match event {
            Event::Listening { protocol, address, .. } => Body::Listening {
                protocol: transport(*protocol, address),
                local_address: Host(address.clone()),
                local_port: port(address),
            },
            Event::Connected(link) => Body::Connected(LinkFields::connected(link)),
            Event::Accepted(link) => Body::Accepted(LinkFields::of(link)),
            Event::Peer(link) => Body::Peer(LinkFields::of(link)),
            Event::Tls(link, handshake) => {
                Body::Tls { ends: LinkFields::connected(link), handshake }
            }
            Event::OwnCertificate(sha256) => Body::Certificate { sha256 },
            Event::Closed(link) => Body::Closed {
                ends: LinkFields::of(link),
                reset: link.reset_by().is_some(),
                sent_bytes: link.sent_bytes(),
                received_bytes: link.received_bytes(),
                duration: seconds(link.duration(at)),
                tcp: TcpFields::of_link(link),
            },
            Event::Error(error) => {
                Body::Error { message: AsText(error), status: error.status.code() }
            }
            Event::Summary(counters) => summary(counters, self.local),
            // `closed`, `error` and `summary` contain these.
            Event::PeerClosed(_)
            | Event::WeClosed(_)
            | Event::Reset(_)
            | Event::WeReset(_)
            | Event::CutOff(_)
            | Event::Refused(_)
            | Event::Detail(_)
            | Event::Dropped(_) => return,
        };
        self.write(at, body);
    }
}

fn summary(counters: &Summary, local: Option<&'static str>) -> Body<'static> {
    let Summary { protocol, last, .. } = *counters;
    let all = counters.connections;
    Body::Summary {
        protocol: local.unwrap_or_else(|| protocol.name()),
        last,
        status: counters.status,
        sent_bytes: counters.sent_bytes,
        sent_messages: counters.sent_messages,
        received_bytes: counters.received_bytes,
        received_messages: counters.received_messages,
        impaired: counters
            .impaired
            .map(|[up, down]| ImpairedCounts { up: HitCounts(up), down: HitCounts(down) }),
        datagrams: DatagramCounts::of(counters),
        connections: ConnectionCounts::of(&all),
        tcp: TcpFields::of_all(&all),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::observe::tap::Link;

    #[test]
    fn a_transfer_is_one_line_with_numbers_as_numbers() {
        let journal = Journal::default();
        let started = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut json = Json::new(journal.clone(), Bytes::Shown, started);
        let ends: [SocketAddr; 2] =
            ["127.0.0.1:1".parse().unwrap(), "[::ffff:127.0.0.2]:9000".parse().unwrap()];
        let link = Link::new(Protocol::Udp, ends[0], ends[1]);
        json.transfer(
            Duration::from_micros(1_000_412),
            &Transfer {
                direction: Direction::Sent,
                link: &link,
                bytes: b"hi\"",
                offset: 7,
                number: 2,
                cut_from: None,
            },
        );
        let mut text = Vec::new();
        journal.append(|out| text.clone_from(out));
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "{\"event\":\"data\",\"time\":\"2001-09-09T01:46:41.000412Z\",\"elapsed\":1.000412,\
             \"protocol\":\"udp\",\"local_address\":\"127.0.0.1\",\"local_port\":1,\
             \"peer_address\":\"127.0.0.2\",\"peer_port\":9000,\"direction\":\"sent\",\
             \"bytes\":3,\"offset\":7,\"number\":2,\"data\":\"686922\"}\n"
        );
    }
}
