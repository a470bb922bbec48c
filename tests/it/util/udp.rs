//! UDP peers on loopback for pktcat in either role.

use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::{A_WHILE, Cmd, Input, PATIENCE, Running, net, pktcat_line};

/// A UDP listener with these options, and a socket connected to it.
pub fn listen(options: &str, stdin: Input) -> (Running, UdpSocket) {
    let server = listening(pktcat_line(&format!("listen -u {options} 127.0.0.1 0")).stdin(stdin));
    let peer = peer_of(&server);
    (server, peer)
}

/// Starts a listener, and waits until its socket is bound.
pub fn listening(cmd: Cmd) -> Running {
    let server = cmd.spawn();
    server.wait_line("listening on ");
    server
}

/// A socket connected to a listener.
pub fn peer_of(server: &Running) -> UdpSocket {
    let (peer, _) = net::udp();
    peer.connect(("127.0.0.1", server.port())).unwrap();
    peer
}

/// A UDP client with these options, and a socket that it sends to.
pub fn connect(options: &str, stdin: Input) -> (Running, UdpSocket) {
    let (server, port) = net::udp();
    let client =
        pktcat_line(&format!("connect -u {options} 127.0.0.1 {port}")).stdin(stdin).spawn();
    (client, server)
}

/// The next datagram, complete, and its sender.
#[track_caller]
pub fn receive_from(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; 70_000];
    let (length, peer) = socket.recv_from(&mut room).expect("no datagram in time");
    room.truncate(length);
    (room, peer)
}

/// The next datagram, complete.
#[track_caller]
pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    receive_from(socket).0
}

/// Panics when a datagram is there or comes within a while.
#[track_caller]
pub fn expect_nothing(socket: &UdpSocket) {
    socket.set_read_timeout(Some(A_WHILE)).unwrap();
    let came = socket.recv(&mut [0; 100]);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(&came, Err(error) if error.kind() == ErrorKind::WouldBlock), "came: {came:?}");
}

/// Sends IPv4 datagrams with forged sender addresses, for which the test must run as root.
pub struct Forger(Socket);

impl Forger {
    /// Opens a raw socket, for which the caller writes the IP header (IPPROTO_RAW, raw(7)).
    pub fn new() -> Self {
        Self(Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap())
    }

    /// Sends a datagram as if it came from `from`. The kernel fills in the length and checksum of the IP header;
    /// UDP over IPv4 needs no checksum (RFC 768).
    pub fn send(&self, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend(from.ip().octets());
        packet.extend(to.ip().octets());
        packet.extend(from.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend((8 + payload.len() as u16).to_be_bytes());
        packet.extend([0, 0]);
        packet.extend(payload);
        self.0.send_to(&packet, &SocketAddr::V4(to).into()).unwrap();
    }

    /// Sends an ICMP message of this type to `from` about a datagram that went from there to `to` (RFC 792), as if it
    /// came from the host that the datagram was for.
    pub fn complain(&self, kind: u8, from: SocketAddrV4, to: SocketAddrV4) {
        let mut about = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
        about.extend(from.ip().octets());
        about.extend(to.ip().octets());
        about.extend(from.port().to_be_bytes());
        about.extend(to.port().to_be_bytes());
        about.extend([0, 8, 0, 0]);
        let mut message = [&[kind, 0, 0, 0, 0, 0, 0, 0], &about[..]].concat();
        let words = message.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1]));
        let sum: u32 = words.sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
        packet.extend(to.ip().octets());
        packet.extend(from.ip().octets());
        packet.extend(message);
        self.0.send_to(&packet, &SocketAddr::V4(from).into()).unwrap();
    }
}
