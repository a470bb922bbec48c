//! The packets and bytes that a run sends and receives, headers included.
//!
//! Bytes are those of IP packets; what a link layer such as Ethernet adds is not counted. The kernel
//! counts TCP segments, and their headers are computed here. UDP datagrams are counted here, and the
//! number of fragments of those that are longer than the MTU is computed.

use std::net::SocketAddr;

use crate::sys::TcpCounts;

/// UDP header (RFC 768).
const UDP_HEADER: u64 = 8;
/// TCP header without options (RFC 9293).
const TCP_HEADER: u64 = 20;
/// Timestamps in every segment, padded (RFC 7323, appendix A).
const TIMESTAMPS: u64 = 12;
/// The option bytes that a SYN has in addition to other segments: maximum segment size (4), window scale
/// and padding (4). SACK-permitted takes the place of the padding of the timestamps.
const SYN_OPTIONS: u64 = 8;
/// The same without timestamps: SACK-permitted and its padding take 4 bytes.
const SYN_OPTIONS_WITHOUT_TIMESTAMPS: u64 = 12;
/// The header of a fragment (RFC 8200, 4.5); in IPv4 it is part of the IP header.
const IPV6_FRAGMENT_HEADER: u64 = 8;

/// The packets and bytes in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    /// IP packets.
    pub packets: u64,
    /// Payload bytes, retransmitted ones included.
    pub payload: u64,
    /// All bytes: the payload, and the headers of IP and of TCP or UDP.
    pub bytes: u64,
}

impl Traffic {
    /// The share of headers in all bytes, from 0 to 1.
    #[must_use]
    pub(crate) fn overhead(&self) -> f64 {
        if self.bytes == 0 {
            return 0.0;
        }
        (self.bytes - self.payload) as f64 / self.bytes as f64
    }

    /// The sum of two, mostly of both directions.
    #[must_use]
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            payload: self.payload + other.payload,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// The packets and bytes in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct WireTraffic {
    /// From here.
    pub out: Traffic,
    /// From the peer to the client.
    pub back: Traffic,
}

fn ip_header(peer: SocketAddr) -> u64 {
    if peer.is_ipv4() { 20 } else { 40 }
}

/// The packets and bytes of a TCP connection, with those for opening and closing it. `read` is the number
/// of payload bytes received: the kernel's own count includes one for the FIN.
#[must_use]
pub(crate) fn of_tcp(counts: &TcpCounts, read: u64, peer: SocketAddr) -> WireTraffic {
    let each = ip_header(peer) + TCP_HEADER + if counts.timestamps { TIMESTAMPS } else { 0 };
    let syn = if counts.timestamps { SYN_OPTIONS } else { SYN_OPTIONS_WITHOUT_TIMESTAMPS };
    let traffic = |packets: u64, payload: u64| Traffic {
        packets,
        payload,
        bytes: payload + packets * each + syn,
    };
    WireTraffic {
        out: traffic(counts.segments_out, counts.bytes_out),
        back: traffic(counts.segments_in, read),
    }
}

/// Counts the packets and bytes of datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UdpMeter {
    ip_header: u64,
    fragment_header: u64,
    /// The path MTU in bytes.
    mtu: u64,
}

impl UdpMeter {
    /// A meter for datagrams to and from `peer` over a path with this MTU in bytes.
    #[must_use]
    pub(crate) fn new(peer: SocketAddr, mtu: usize) -> Self {
        Self {
            ip_header: ip_header(peer),
            fragment_header: if peer.is_ipv4() { 0 } else { IPV6_FRAGMENT_HEADER },
            mtu: mtu as u64,
        }
    }

    /// Adds a datagram with this many bytes of payload to `traffic`.
    pub(crate) fn count(&self, payload: usize, traffic: &mut Traffic) {
        let payload = payload as u64;
        let whole = payload + UDP_HEADER;
        let headers = self.ip_header + self.fragment_header;
        let mut packets = 1;
        let mut bytes = whole + self.ip_header;
        if bytes > self.mtu && self.mtu > headers + 8 {
            // All fragments but the last carry a multiple of eight bytes.
            packets = whole.div_ceil((self.mtu - headers) / 8 * 8);
            bytes = whole + packets * headers;
        }
        traffic.packets += packets;
        traffic.payload += payload;
        traffic.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(peer: &str, mtu: usize, payload: usize) -> (u64, u64) {
        let mut traffic = Traffic::default();
        UdpMeter::new(peer.parse().unwrap(), mtu).count(payload, &mut traffic);
        (traffic.packets, traffic.bytes)
    }

    #[test]
    fn a_datagram_has_an_ip_and_a_udp_header() {
        assert_eq!(udp("127.0.0.1:9", 65_536, 64), (1, 92));
        assert_eq!(udp("[::1]:9", 65_536, 0), (1, 48));
        assert_eq!(udp("127.0.0.1:9", 65_536, 65_507), (1, 65_535));
    }

    #[test]
    fn a_long_datagram_is_cut_into_fragments() {
        assert_eq!(udp("10.0.0.1:9", 1500, 1472), (1, 1500));
        assert_eq!(udp("10.0.0.1:9", 1500, 1473), (2, 1473 + 8 + 40));
        // 65,515 bytes in pieces of 1,480.
        assert_eq!(udp("10.0.0.1:9", 1500, 65_507), (45, 65_515 + 45 * 20));
        assert_eq!(udp("[2001:db8::1]:9", 1500, 1453), (2, 1453 + 8 + 96));
    }

    #[test]
    fn a_tcp_segment_has_headers_options_and_no_message_borders() {
        let counts = TcpCounts {
            segments_out: 5,
            segments_in: 4,
            bytes_out: 100,
            timestamps: true,
            ..TcpCounts::default()
        };
        let wire = of_tcp(&counts, 100, "127.0.0.1:9".parse().unwrap());
        // SYN 60, ACK 52, data 152, FIN 52, ACK 52.
        assert_eq!(wire.out.bytes, 60 + 52 + 152 + 52 + 52);
        assert_eq!(wire.back.bytes, 100 + 4 * 52 + 8);
        assert!((wire.out.overhead() - 268.0 / 368.0).abs() < 1e-9);
    }
}
