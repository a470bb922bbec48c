//! Datagrams that well-known services answer, made from the documents that define them.
//!
//! Most services keep silent about a datagram they do not understand, so that an empty one tells
//! nothing. Each of these asks for something harmless that everybody may know, and changes nothing.
//! syslog (514), DHCP (67), WireGuard and the like answer nobody who asks this way, and have none.

/// A service: its port, its name in the man page, and the datagram that it answers.
#[derive(Debug)]
pub struct Service {
    /// The port assigned to it by IANA.
    pub port: u16,
    /// What it is called.
    pub name: &'static str,
    /// What is sent to it.
    pub probe: &'static [u8],
}

/// From where a service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswersFrom {
    /// The port that was asked.
    SamePort,
    /// Any port of the same address.
    AnyPort,
}

/// The port of TFTP.
pub(crate) const TFTP: u16 = 69;

/// All services with a probe, by their ports.
pub const SERVICES: [Service; 20] = [
    // RFC 1035, 4.1: which name servers the root has, with recursion desired. Every server knows
    // those, or refuses, which is an answer.
    Service {
        port: 53,
        name: "DNS",
        probe: b"pk\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01",
    },
    // RFC 1350, 5: a request to read a file that nobody has. The answer is an error.
    Service { port: TFTP, name: "TFTP", probe: b"\x00\x01pktcat-probe-no-such-file\x00octet\x00" },
    // RFC 5531, 9 and RFC 1833, 3: the null procedure of the port mapper, version 2.
    Service {
        port: 111,
        name: "portmapper",
        probe: b"pktc\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa0\x00\x00\x00\x02\x00\x00\x00\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    },
    // RFC 5905, 7.3: a client (mode 3) of version 4 that asks for the time. The transmit timestamp,
    // which comes back, is not that of any clock (RFC 9769 recommends so).
    Service {
        port: 123,
        name: "NTP",
        probe: b"\x23\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
            pktcat\x00\x01",
    },
    // RFC 1002, 4.2.17: the names of the node (NBSTAT of `*`, half-ASCII encoded).
    Service {
        port: 137,
        name: "NetBIOS names",
        probe: b"pk\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\x00\
            \x00\x21\x00\x01",
    },
    // RFC 3412, 6 and RFC 3414, 4: which engine an SNMPv3 agent is. It needs no community, which would be
    // a password; the agent answers with a report.
    Service {
        port: 161,
        name: "SNMP",
        probe: b"\x30\x3a\x02\x01\x03\x30\x0f\x02\x02pk\x02\x03\x00\xff\xe3\x04\x01\x04\x02\x01\x03\
            \x04\x10\x30\x0e\x04\x00\x02\x01\x00\x02\x01\x00\x04\x00\x04\x00\x04\x00\
            \x30\x12\x04\x00\x04\x00\xa0\x0c\x02\x02pk\x02\x01\x00\x02\x01\x00\x30\x00",
    },
    // RFC 9000, 6.1 and 15: a version that is reserved to be unknown, in a datagram of 1200 bytes. The
    // answer names the versions that the server has.
    Service { port: 443, name: "QUIC", probe: &QUIC },
    // RFC 2453, 3.9.1: the whole routing table, to the asking port.
    Service {
        port: 520,
        name: "RIP",
        probe: b"\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\
            \x00\x00\x00\x10",
    },
    // RFC 9250, 4.1: DNS over QUIC.
    Service { port: 853, name: "DNS over QUIC", probe: &QUIC },
    // UPnP Device Architecture 2.0, 1.3.2: a unicast search for root devices.
    Service {
        port: 1900,
        name: "SSDP",
        probe: b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
            MX: 1\r\nST: upnp:rootdevice\r\n\r\n",
    },
    // RFC 5531, 9 and RFC 1813, 3.3.0: the null procedure of NFS, version 3.
    Service {
        port: 2049,
        name: "NFS",
        probe: b"pktc\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x03\x00\x00\x00\x00\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    },
    // RFC 8489, 5: a binding request.
    Service {
        port: 3478,
        name: "STUN",
        probe: b"\x00\x01\x00\x00\x21\x12\xa4\x42pktcat-probe",
    },
    // RFC 3261, 11.2 and RFC 3581: OPTIONS, answered at the port that it came from.
    Service {
        port: 5060,
        name: "SIP",
        probe: b"OPTIONS sip:probe@pktcat.invalid SIP/2.0\r\n\
            Via: SIP/2.0/UDP pktcat.invalid;rport;branch=z9hG4bK-pktcat-probe\r\n\
            Max-Forwards: 70\r\nFrom: <sip:probe@pktcat.invalid>;tag=pktcat\r\n\
            To: <sip:probe@pktcat.invalid>\r\nCall-ID: probe@pktcat.invalid\r\nCSeq: 1 OPTIONS\r\n\
            Contact: <sip:probe@pktcat.invalid>\r\nAccept: application/sdp\r\n\
            Content-Length: 0\r\n\r\n",
    },
    // RFC 6886, 3.2: which external address a NAT has. Servers of PCP (RFC 6887, A) answer, too.
    Service { port: 5351, name: "NAT-PMP and PCP", probe: b"\x00\x00" },
    // RFC 6762, 5.1 and RFC 6763, 9: which kinds of services there are, asked from another port than 5353, so
    // that the answer is sent to that port.
    Service {
        port: 5353,
        name: "mDNS",
        probe: b"pk\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09_services\x07_dns-sd\x04_udp\x05local\x00\
            \x00\x0c\x00\x01",
    },
    // RFC 7252, 4.3: an empty confirmable message, "CoAP ping". The answer is a reset.
    Service { port: 5683, name: "CoAP", probe: b"\x40\x00pk" },
    // memcached's doc/protocol.txt, "UDP protocol": the version.
    Service { port: 11211, name: "memcached", probe: b"pk\x00\x00\x00\x01\x00\x00version\r\n" },
    // RFC 862, 867 and 868: any datagram does.
    Service { port: 7, name: "echo", probe: b"pktcat" },
    Service { port: 13, name: "daytime", probe: b"pktcat" },
    Service { port: 37, name: "time", probe: b"pktcat" },
];

/// A long header packet of the reserved version 0x0a0a0a0a with connection ids of 8 bytes.
const QUIC: [u8; 1200] = {
    let head = b"\xc0\x0a\x0a\x0a\x0a\x08pktcat-1\x08pktcat-2";
    let mut packet = [0; 1200];
    let mut at = 0;
    while at < head.len() {
        packet[at] = head[at];
        at += 1;
    }
    packet
};

/// What is sent to a port to have its service answer; an empty datagram for a port without a known
/// service.
#[must_use]
pub fn probe(port: u16) -> &'static [u8] {
    SERVICES.iter().find(|service| service.port == port).map_or(&[], |service| service.probe)
}

/// From where the service of a port answers. A TFTP server takes a port of its own for each request
/// (RFC 1350, 4).
#[must_use]
pub(crate) fn answers_from(port: u16) -> AnswersFrom {
    match port {
        TFTP => AnswersFrom::AnyPort,
        _ => AnswersFrom::SamePort,
    }
}

/// Whether a datagram begins like an answer to a TFTP request: with the opcode of data, of an error (RFC
/// 1350, 5) or of an acknowledgment of options (RFC 2347).
#[must_use]
pub(crate) fn is_tftp(head: &[u8]) -> bool {
    matches!(head, [0, 3 | 5 | 6, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_there_once() {
        let mut ports: Vec<_> = SERVICES.iter().map(|service| service.port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), SERVICES.len());
        assert_eq!(probe(9), b"");
    }

    /// The lengths within a BER message (ITU-T X.690, 8.1.3) fill it to its end.
    fn is_ber(mut bytes: &[u8]) -> bool {
        while let [tag, length, rest @ ..] = bytes {
            let Some((value, next)) = rest.split_at_checked(usize::from(*length)) else {
                return false;
            };
            // Constructed: it contains others.
            if tag & 0x20 != 0 && !is_ber(value) {
                return false;
            }
            bytes = next;
        }
        bytes.is_empty()
    }

    #[test]
    fn lengths_are_right() {
        assert!(is_ber(probe(161)), "the message");
        // The security parameters are an octet string with a message in it.
        let at = probe(161).windows(4).position(|part| part == b"\x04\x10\x30\x0e").unwrap();
        assert!(is_ber(&probe(161)[at + 2..at + 18]));
        let lengths =
            [(123, 48), (443, 1200), (520, 24), (111, 40), (2049, 40), (3478, 20), (137, 50)];
        for (port, length) in lengths {
            assert_eq!(probe(port).len(), length, "{port}");
        }
    }
}
