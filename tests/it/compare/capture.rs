//! Packets and bytes against what tcpdump sees on loopback.

use nix::sys::signal::Signal;

use super::{compare, numbers, peer};
use crate::tests;
use crate::util::harness::Need;
use crate::util::{Input, eventually, program};
use libtest_mimic::Trial;

pub(super) fn tests() -> Vec<Trial> {
    tests![
        packets_and_bytes_are_those_of_a_capture needs [Need::Program("tcpdump"), Need::Root],
    ]
}

/// One way of one protocol.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Seen {
    packets: u64,
    /// Of IP packets.
    bytes: u64,
    /// TCP segments with neither data, SYN nor FIN.
    pure_acks: u64,
}

fn big(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte))
}

/// Protocol 6 or 17, to or from the port, in a classic capture file of an Ethernet-like device.
fn seen(file: &[u8], protocol: u8, port: u16, to_port: bool) -> Seen {
    let little = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((little(0), little(20)), (0xa1b2_c3d4, 1), "a capture of Ethernet frames");
    let (mut at, mut seen) = (24, Seen::default());
    while at + 16 <= file.len() {
        let length = little(at + 8) as usize;
        let ip = &file[at + 16 + 14..at + 16 + length];
        at += 16 + length;
        let transport = &ip[usize::from(ip[0] & 15) * 4..];
        let end = if to_port { &transport[2..4] } else { &transport[0..2] };
        if ip[9] != protocol || big(end) != usize::from(port) {
            continue;
        }
        seen.packets += 1;
        let whole = big(&ip[2..4]);
        seen.bytes += whole as u64;
        if protocol == 6 {
            let data = whole - (ip.len() - transport.len()) - usize::from(transport[12] >> 4) * 4;
            seen.pure_acks += u64::from(data == 0 && transport[13] & 0b11 == 0);
        }
    }
    seen
}

fn packets_and_bytes_are_those_of_a_capture() {
    let peer = peer::echo();
    let file = tempfile::NamedTempFile::new().unwrap();
    let port = peer.port.to_string();
    let tcpdump = program("tcpdump", ["-i", "lo", "-n", "-U", "-B", "16384", "-w"])
        .arg(file.path())
        .arg(format!("port {port}"))
        .stdin(Input::Null)
        .spawn();
    tcpdump.wait_line("tcpdump: listening on ");
    let result = compare(&format!("127.0.0.1 {port} --count 2000 --window 8"));
    let [tcp, udp] = [&result["tcp"], &result["udp"]].map(|side| {
        let keys = ["packets_sent", "packets_received", "wire_bytes_sent", "wire_bytes_received"];
        numbers(side, keys)
    });
    // The last packet of the run is a datagram to the client.
    let bytes = eventually("tcpdump to have seen all datagrams", || {
        let bytes = std::fs::read(file.path()).unwrap();
        let whole = bytes.len() > 24 && {
            let mut at = 24;
            while at + 16 <= bytes.len() {
                at += 16 + u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
            }
            at == bytes.len()
        };
        (whole && seen(&bytes, 17, peer.port, false).packets >= udp[1]).then_some(bytes)
    });
    tcpdump.signal(Signal::SIGINT);
    tcpdump.wait().expect_code(0);
    let [out, back] = [true, false].map(|to_port| seen(&bytes, 17, peer.port, to_port));
    assert_eq!(udp, [out.packets, back.packets, out.bytes, back.bytes], "udp");
    let [out, back] = [true, false].map(|to_port| seen(&bytes, 6, peer.port, to_port));
    for (what, counted, seen) in [("out", [tcp[0], tcp[2]], out), ("in", [tcp[1], tcp[3]], back)] {
        let off = counted[0].abs_diff(seen.packets);
        assert!(off <= seen.pure_acks, "tcp {what}: {counted:?} against {seen:?}");
        // Each acknowledgment that one side does not count is 52 bytes, and as much more again
        // when it tells of more than the last byte.
        let off = counted[1].abs_diff(seen.bytes);
        assert!(off <= seen.pure_acks * 80, "tcp {what}: {counted:?} against {seen:?}");
    }
}
