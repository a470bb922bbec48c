//! IP packets of the lab: whose they are, their addresses, and what one bit of damage does to them.

use std::collections::VecDeque;

use crate::engine::impair::Message;
use crate::net::address::Protocol;

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the client to the peer.
    Out,
    /// From the peer to the client.
    Back,
}

/// A whole IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    /// Where what IP carries begins.
    transport: usize,
    pub protocol: Protocol,
    part: Part,
    pub condition: Condition,
}

/// Whether the checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Whole,
    Damaged,
}

/// Whether it is all that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// Of a fragmented packet, all of whose parts have this number.
    First(u32),
    Later(u32),
}

/// What a TCP segment carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its first byte.
    pub number: u32,
    /// Bytes of payload.
    pub length: u32,
    pub is_syn: bool,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

impl Packet {
    /// Reads a packet; `None` for whatever is neither TCP nor UDP, such as what the system says to
    /// its neighbours of itself.
    #[must_use]
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (transport, protocol, part) = match bytes.first()? >> 4 {
            4 => {
                let fragment = short(bytes, 6)?;
                let number = u32::from(short(bytes, 4)?);
                // RFC 791: offset in the lower 13 bits, "more fragments" above them.
                let part = match (fragment & 0x1fff, fragment & 0x2000) {
                    (0, 0) => Part::Whole,
                    (0, _) => Part::First(number),
                    _ => Part::Later(number),
                };
                (usize::from(bytes[0] & 15) * 4, *bytes.get(9)?, part)
            }
            // RFC 8200: the fragment header is the only other one that the system adds here.
            6 if *bytes.get(6)? == FRAGMENT => {
                let number = long(bytes, 44)?;
                let part = match short(bytes, 42)? & !7 {
                    0 => Part::First(number),
                    _ => Part::Later(number),
                };
                (48, *bytes.get(40)?, part)
            }
            6 => (40, *bytes.get(6)?, Part::Whole),
            _ => return None,
        };
        let protocol = match protocol {
            TCP => Protocol::Tcp,
            UDP => Protocol::Udp,
            _ => return None,
        };
        (transport <= bytes.len()).then(|| Self {
            bytes: bytes.to_vec(),
            transport,
            protocol,
            part,
            condition: Condition::Whole,
        })
    }

    /// The packet.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes it one that comes from where it went. No checksum changes, as each is a sum
    /// (RFC 1071).
    pub(crate) fn swap_addresses(&mut self) {
        let (from, length) = if self.bytes[0] >> 4 == 4 { (12, 4) } else { (8, 16) };
        if let Some(both) = self.bytes.get_mut(from..from + 2 * length) {
            let (one, other) = both.split_at_mut(length);
            one.swap_with_slice(other);
        }
    }

    /// Source and destination port, where this part has them.
    fn ports(&self) -> Option<[u16; 2]> {
        if matches!(self.part, Part::Later(_)) {
            return None;
        }
        Some([short(&self.bytes, self.transport)?, short(&self.bytes, self.transport + 2)?])
    }

    /// What it carries, if it is of TCP.
    #[must_use]
    pub(crate) fn segment(&self) -> Option<Segment> {
        if self.protocol != Protocol::Tcp || self.part != Part::Whole {
            return None;
        }
        let header = self.bytes.get(self.transport..)?;
        let data = usize::from(header.get(12)? >> 4) * 4;
        let length = u32::try_from(header.len().checked_sub(data)?).ok()?;
        Some(Segment { number: long(header, 4)?, length, is_syn: header.get(13)? & 2 != 0 })
    }
}

/// What the system drops for its checksum, as it is damaged behind the IP header. The checksum
/// field of UDP is left alone: all zeroes there mean that there is none (RFC 768).
impl Message for Packet {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn corrupt(&mut self, draw: u64) -> bool {
        let transport = self.transport;
        let is_checksum = |at: usize| self.protocol == Protocol::Udp && (6..8).contains(&at);
        let Some(there) = self.bytes.get_mut(transport..) else { return false };
        let bits = there.len() as u64 * 8;
        let Some(bit) = draw.checked_rem(bits) else { return false };
        // Below the length of a packet.
        let byte = (bit / 8) as usize;
        let byte = if is_checksum(byte) { byte - 6 } else { byte };
        there[byte] ^= 1 << (bit % 8);
        self.condition = Condition::Damaged;
        true
    }
}

/// Fragmented packets whose way is remembered: their later parts have no ports.
const REMEMBERED: usize = 256;

/// Knows which way packets go: the peer is where this port is.
#[derive(Debug)]
pub(crate) struct Ways {
    port: u16,
    fragmented: VecDeque<(u32, Way)>,
}

impl Ways {
    /// The ways to and from a peer at this port.
    #[must_use]
    pub(crate) fn new(port: u16) -> Self {
        Self { port, fragmented: VecDeque::new() }
    }

    /// Which way a packet goes; `None` for one that is not of the lab's peer.
    pub(crate) fn of(&mut self, packet: &Packet) -> Option<Way> {
        if let Part::Later(number) = packet.part {
            let known = self.fragmented.iter().rev().find(|(known, _)| *known == number);
            return known.map(|(_, way)| *way);
        }
        let way = match packet.ports()? {
            [_, to] if to == self.port => Way::Out,
            [from, _] if from == self.port => Way::Back,
            _ => return None,
        };
        if let Part::First(number) = packet.part {
            if self.fragmented.len() == REMEMBERED {
                self.fragmented.pop_front();
            }
            self.fragmented.push_back((number, way));
        }
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UDP from 10.9.0.1 port 1000 to 10.9.0.2 port 7, with a right checksum of the IP header.
    fn udp(payload: &[u8]) -> Vec<u8> {
        let length = 28 + payload.len() as u8;
        let mut packet =
            vec![0x45, 0, 0, length, 0, 9, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2];
        packet.extend([3, 232, 0, 7, 0, length - 20, 0, 0]);
        packet.extend(payload);
        let sum = !checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn checksum(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
        let sum: u32 = words.sum();
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    #[test]
    fn addresses_are_swapped_and_the_checksum_stays_right() {
        let bytes = udp(b"hello");
        let mut packet = Packet::read(&bytes).unwrap();
        assert_eq!((packet.protocol, packet.ports()), (Protocol::Udp, Some([1000, 7])));
        packet.swap_addresses();
        assert_eq!(packet.bytes()[12..20], [10, 9, 0, 2, 10, 9, 0, 1]);
        assert_eq!(checksum(&packet.bytes()[..20]), 0xffff);
        packet.swap_addresses();
        assert_eq!(packet.bytes(), bytes);
    }

    #[test]
    fn ways_are_told_by_the_port_and_for_fragments_by_the_first() {
        let mut ways = Ways::new(7);
        let whole = Packet::read(&udp(b"x")).unwrap();
        assert_eq!(ways.of(&whole), Some(Way::Out));
        let mut first = udp(b"12345678");
        first[6] = 0x20;
        assert_eq!(ways.of(&Packet::read(&first).unwrap()), Some(Way::Out));
        let mut later = udp(b"12345678");
        later[7] = 2;
        assert_eq!(ways.of(&Packet::read(&later).unwrap()), Some(Way::Out));
        later[5] = 10;
        assert_eq!(ways.of(&Packet::read(&later).unwrap()), None, "of another packet");
        assert_eq!(Ways::new(1000).of(&whole), Some(Way::Back));
        assert_eq!(Ways::new(1).of(&whole), None);
    }

    #[test]
    fn what_is_no_packet_of_ours_is_none() {
        for bytes in [&b""[..], b"x", &[0x45; 12], &[0x60; 20], &[0x45, 0, 0, 20, 0, 0, 0, 0, 0, 1]]
        {
            assert_eq!(Packet::read(bytes), None);
        }
    }

    #[test]
    fn damage_is_behind_the_ip_header_and_never_in_the_checksum_of_udp() {
        let bytes = udp(b"hello");
        for draw in 0..2000 {
            let mut packet = Packet::read(&bytes).unwrap();
            assert!(packet.corrupt(draw));
            let changed: Vec<_> =
                (0..bytes.len()).filter(|at| packet.bytes()[*at] != bytes[*at]).collect();
            assert_eq!(changed.len(), 1);
            assert!(changed[0] >= 20 && ![26, 27].contains(&changed[0]), "{changed:?}");
        }
    }

    #[test]
    fn a_segment_has_a_number_and_a_length() {
        let mut bytes = udp(b"");
        bytes[9] = TCP;
        bytes.truncate(20);
        bytes.extend([3, 232, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0, 5 << 4, 0x18, 0, 0, 0, 0, 0, 0]);
        bytes.extend(b"data");
        let segment = Packet::read(&bytes).unwrap().segment();
        assert_eq!(segment, Some(Segment { number: 256, length: 4, is_syn: false }));
    }
}
