//! Writes the traffic as a capture file for Wireshark and tcpdump: the observer behind `--pcap`.
//!
//! A socket gives payload only, so the headers are synthesized here, with correct addresses, ports,
//! lengths, checksums and sequence numbers. The real packet boundaries and acknowledgments are not
//! known: a transfer is split only at the longest possible packet, and is acknowledged when the
//! next transfer in the other direction shows that it arrived. The format is that of
//! `pcap-savefile(5)` with raw IP packets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use crate::net::address::{Address, Protocol, canonical};
use crate::observe::journal::Journal;
use crate::observe::tap::{Direction, Event, Link, Observer, Side, Transfer};

/// "Packets begin with an IP header" (LINKTYPE_RAW).
const RAW_IP: u32 = 101;

/// Bytes: the snapshot length in the file header; longer than any packet written here.
const SNAP_LENGTH: u32 = 262_144;

/// Payload bytes that fit into one segment: 65,535 less the headers of IPv4 and TCP.
const LONGEST_SEGMENT: usize = 65_535 - 20 - 20;

/// The receive window that both ends announce, scaled by 2^14: the maximum (RFC 7323, 2.3).
const WINDOW: u16 = u16::MAX;
const WINDOW_SCALE: u8 = 14;

/// Bytes after which an end that sends nothing acknowledges, so that the window is never exceeded.
const LONGEST_SILENCE: u32 = 256 << 20;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// Writes every transfer, and the events of a connection, as packets.
#[derive(Debug)]
pub(crate) struct Capture {
    journal: Journal,
    /// The wall clock when the run began; the steady clock tells the rest.
    started: SystemTime,
    connections: HashMap<(SocketAddr, SocketAddr), TcpConversation>,
    /// The last identification of an IPv4 packet.
    packets: u16,
}

/// The sequence numbers of a TCP connection. Index 0 is this program's end, 1 the peer's.
#[derive(Debug, Clone, Copy)]
struct TcpConversation {
    ends: [SocketAddr; 2],
    /// The sequence number of the next byte that each end sends.
    next: [u32; 2],
    /// The acknowledgment number that each end has sent last.
    acknowledged: [u32; 2],
    finished: [bool; 2],
}

const WE: usize = 0;
const PEER: usize = 1;

/// The initial sequence number; Wireshark and tcpdump show numbers relative to it.
const FIRST_NUMBER: u32 = 1000;

impl Capture {
    /// A capture into this journal, of a run that began at `started`.
    #[must_use]
    pub(crate) fn new(journal: Journal, started: SystemTime) -> Self {
        begin_file(&journal);
        Self { journal, started, connections: HashMap::new(), packets: 0 }
    }

    /// The state of a link's connection. The first call writes the three-way handshake; `opener` is
    /// the end that sends the SYN.
    fn connection(&mut self, at: Duration, link: &Link, opener: usize) -> TcpConversation {
        let key = key(link);
        if let Some(known) = self.connections.get(&key) {
            return *known;
        }
        let mut new = TcpConversation {
            ends: ends(link),
            next: [FIRST_NUMBER; 2],
            acknowledged: [FIRST_NUMBER; 2],
            finished: [false; 2],
        };
        let other = 1 - opener;
        self.segment(at, &mut new, opener, SYN, &[]);
        self.segment(at, &mut new, other, SYN | ACK, &[]);
        self.segment(at, &mut new, opener, ACK, &[]);
        self.connections.insert(key, new);
        new
    }

    /// Writes one segment of a connection and advances its sequence numbers.
    fn segment(
        &mut self,
        at: Duration,
        connection: &mut TcpConversation,
        from: usize,
        flags: u8,
        payload: &[u8],
    ) {
        let to = 1 - from;
        let number = connection.next[from];
        let acknowledged = if flags & ACK == 0 { 0 } else { connection.next[to] };
        let mut header = Vec::with_capacity(24);
        for end in [from, to] {
            header.extend_from_slice(&connection.ends[end].port().to_be_bytes());
        }
        header.extend_from_slice(&number.to_be_bytes());
        header.extend_from_slice(&acknowledged.to_be_bytes());
        let options: &[u8] = if flags & SYN == 0 { &[] } else { &[3, 3, WINDOW_SCALE, 1] };
        header.push(((20 + options.len() as u8) / 4) << 4);
        header.push(flags);
        header.extend_from_slice(&WINDOW.to_be_bytes());
        // The checksum is filled in later; there is no urgent data.
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(options);
        let ends = [connection.ends[from], connection.ends[to]];
        self.packet(at, ends, Protocol::Tcp, &header, payload, payload.len());
        // SYN and FIN take one sequence number each (RFC 9293, 3.4).
        let length = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        connection.next[from] = number.wrapping_add(length);
        if flags & ACK != 0 {
            connection.acknowledged[from] = acknowledged;
        }
        connection.finished[from] |= flags & FIN != 0;
    }

    /// Writes an acknowledgment of all that the other end has sent, unless there is one already.
    fn acknowledge(&mut self, at: Duration, connection: &mut TcpConversation, from: usize) {
        if connection.acknowledged[from] != connection.next[1 - from] {
            self.segment(at, connection, from, ACK, &[]);
        }
    }

    fn stream(&mut self, at: Duration, transfer: &Transfer<'_>) {
        let link = transfer.link;
        let mut connection = self.connection(at, link, WE);
        let from = match transfer.direction {
            Direction::Sent => WE,
            Direction::Received => PEER,
        };
        let mut rest = transfer.bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(LONGEST_SEGMENT));
            let push = if later.is_empty() { PSH } else { 0 };
            self.segment(at, &mut connection, from, ACK | push, now);
            rest = later;
        }
        let silence = connection.next[WE].wrapping_sub(connection.acknowledged[PEER]);
        if from == PEER {
            // The kernel acknowledges what was read.
            self.acknowledge(at, &mut connection, WE);
        } else if silence > LONGEST_SILENCE {
            self.acknowledge(at, &mut connection, PEER);
        }
        self.connections.insert(key(link), connection);
    }

    fn datagram(&mut self, at: Duration, transfer: &Transfer<'_>) {
        let [local, peer] = ends(transfer.link);
        let ends = match transfer.direction {
            Direction::Sent => [local, peer],
            Direction::Received => [peer, local],
        };
        let length = transfer.cut_from.unwrap_or(transfer.bytes.len());
        let mut header = [0; 8];
        header[..2].copy_from_slice(&ends[0].port().to_be_bytes());
        header[2..4].copy_from_slice(&ends[1].port().to_be_bytes());
        header[4..6].copy_from_slice(&short(8 + length).to_be_bytes());
        self.packet(at, ends, Protocol::Udp, &header, transfer.bytes, length);
    }

    /// Writes one packet; `length` is that of the whole payload, which may have been truncated.
    fn packet(
        &mut self,
        at: Duration,
        [from, to]: [SocketAddr; 2],
        protocol: Protocol,
        transport: &[u8],
        payload: &[u8],
        length: usize,
    ) {
        let (number, place_of_checksum) = match protocol {
            Protocol::Tcp => (6, 16),
            Protocol::Udp => (17, 6),
        };
        let carried = transport.len() + length;
        let (network, addresses) = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                self.packets = self.packets.wrapping_add(1);
                (
                    ipv4(self.packets, carried, number, from, to),
                    sum(&[from.octets(), to.octets()].concat()),
                )
            }
            (from, to) => {
                let (from, to) = (v6(from), v6(to));
                (ipv6(carried, number, from, to), sum(&[from.octets(), to.octets()].concat()))
            }
        };
        let written = network.len() + transport.len() + payload.len();
        self.journal.append(|out| {
            let whole = (network.len() + carried) as u32;
            begin_packet(out, self.started + at, written as u32, whole);
            out.extend_from_slice(&network);
            let start = out.len();
            out.extend_from_slice(transport);
            out.extend_from_slice(payload);
            if payload.len() == length {
                let pseudo = addresses + u64::from(number) + carried as u64;
                let checksum = match folded(pseudo + sum(&out[start..])) {
                    // In UDP a checksum of 0 means that there is none; 0xffff is equivalent (RFC
                    // 768).
                    0 if protocol == Protocol::Udp => u16::MAX,
                    other => other,
                };
                out[start + place_of_checksum..][..2].copy_from_slice(&checksum.to_be_bytes());
            }
        });
    }
}

impl Observer for Capture {
    fn transfer(&mut self, at: Duration, transfer: &Transfer<'_>) {
        match transfer.link.protocol {
            Protocol::Tcp => self.stream(at, transfer),
            Protocol::Udp => self.datagram(at, transfer),
        }
    }

    fn event(&mut self, at: Duration, event: &Event<'_>) {
        let link = match event {
            Event::Connected(link)
            | Event::Accepted(link)
            | Event::PeerClosed(link)
            | Event::WeClosed(link)
            | Event::Closed(link)
                if link.protocol == Protocol::Tcp =>
            {
                link
            }
            _ => return,
        };
        if matches!(event, Event::Accepted(_)) && link.forwarded.is_some() {
            // Nobody knows yet with whom it will be connected.
            return;
        }
        let key = key(link);
        let opener = if matches!(event, Event::Accepted(_)) { PEER } else { WE };
        let mut connection = self.connection(at, link, opener);
        match event {
            Event::PeerClosed(_) => {
                self.segment(at, &mut connection, PEER, FIN | ACK, &[]);
                self.acknowledge(at, &mut connection, WE);
            }
            Event::WeClosed(_) => self.segment(at, &mut connection, WE, FIN | ACK, &[]),
            Event::Closed(_) => {
                if let Some(end) = link.reset_by() {
                    // Not when the reset was met: what had come before it is still read.
                    if end != Side::Peers {
                        self.segment(at, &mut connection, WE, RST | ACK, &[]);
                    }
                    if end != Side::Ours {
                        self.segment(at, &mut connection, PEER, RST | ACK, &[]);
                    }
                } else {
                    if !connection.finished[WE] {
                        self.segment(at, &mut connection, WE, FIN | ACK, &[]);
                    }
                    if connection.finished[PEER] {
                        self.acknowledge(at, &mut connection, PEER);
                    }
                }
                self.connections.remove(&key);
                return;
            }
            _ => {}
        }
        self.connections.insert(key, connection);
    }
}

/// Writes what a file begins with.
pub(super) fn begin_file(journal: &Journal) {
    journal.append(|out| {
        out.extend_from_slice(&0xA1B2_C3D4_u32.to_le_bytes());
        for version in [2_u16, 4] {
            out.extend_from_slice(&version.to_le_bytes());
        }
        for field in [0, 0, SNAP_LENGTH, RAW_IP] {
            out.extend_from_slice(&field.to_le_bytes());
        }
    });
}

/// Writes what stands before each packet: when it was, how many bytes of it follow, and how many it
/// had.
pub(super) fn begin_packet(out: &mut Vec<u8>, at: SystemTime, written: u32, whole: u32) {
    let time = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The format has 32 bits for the seconds, which last until 2106.
    for field in [time.as_secs() as u32, time.subsec_micros(), written, whole] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

/// Both addresses. The configuration refuses `--pcap` for local sockets, which have no packets.
fn key(link: &Link) -> (SocketAddr, SocketAddr) {
    let none = SocketAddr::from(([0, 0, 0, 0], 0));
    let of = |address: &Address| canonical(address.internet().unwrap_or(none));
    (of(&link.local), of(&link.peer))
}

/// Both addresses, converted to one address family.
fn ends(link: &Link) -> [SocketAddr; 2] {
    let (mut local, peer) = key(link);
    if local.is_ipv6() && peer.is_ipv4() {
        local.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    [local, peer]
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// A length as a 16-bit header field; LONGEST_SEGMENT keeps it in range.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// An IPv4 header (RFC 791, 3.1) for `carried` bytes.
fn ipv4(number: u16, carried: usize, protocol: u8, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut header = Vec::with_capacity(20);
    header.extend_from_slice(&[0x45, 0]);
    header.extend_from_slice(&short(20 + carried).to_be_bytes());
    header.extend_from_slice(&number.to_be_bytes());
    // "Don't fragment", a TTL of 64, the protocol, and a checksum that is filled in later.
    header.extend_from_slice(&[0x40, 0, 64, protocol, 0, 0]);
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    let checksum = folded(sum(&header));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// An IPv6 header (RFC 8200, 3) for `carried` bytes.
fn ipv6(carried: usize, protocol: u8, from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let mut header = Vec::with_capacity(40);
    header.extend_from_slice(&[0x60, 0, 0, 0]);
    header.extend_from_slice(&short(carried).to_be_bytes());
    header.extend_from_slice(&[protocol, 64]);
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    header
}

/// The sum of the Internet checksum. Adding 32-bit words and folding gives the same as 16-bit words
/// (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let word = |word: &[u8; 4]| u64::from(u32::from_be_bytes(*word));
    words.iter().map(word).sum::<u64>() + word(&last)
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_the_standard() {
        // The example of RFC 1071, section 3.
        assert_eq!(folded(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])), !0xddf2);
        assert_eq!(folded(sum(&[0x12, 0x34, 0x56])), !(0x1234 + 0x5600));
        assert_eq!(folded(sum(&[])), 0xffff);
    }
}
