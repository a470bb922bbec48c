//! Sockets on loopback on which no call blocks for ever.

use std::io::{self, Read};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::{PATIENCE, eventually};

/// A listening socket on 127.0.0.1 and its port; `accept` on it times out.
pub fn listener() -> (TcpListener, u16) {
    listener_at("127.0.0.1:0")
}

/// A listening socket at this address and its port.
pub fn listener_at(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind(address).unwrap();
    // On Linux this bounds accept(2) too.
    SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Accepts the next connection; reads and writes on it time out.
#[track_caller]
pub fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("nobody connected in time");
    bounded(stream)
}

/// Connects to this port of 127.0.0.1; reads and writes on the connection time out.
#[track_caller]
pub fn connect(port: u16) -> TcpStream {
    connect_to(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Connects to this address, in the same way.
#[track_caller]
pub fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    bounded(stream.unwrap_or_else(|error| panic!("connect to {address}: {error}")))
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A UDP socket on 127.0.0.1 and its port; `recv` on it times out.
pub fn udp() -> (UdpSocket, u16) {
    udp_at("127.0.0.1:0")
}

/// A UDP socket at this address and its port; `recv` on it times out.
pub fn udp_at(address: &str) -> (UdpSocket, u16) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// Half-closes a connection: sends a FIN, while receiving goes on.
pub fn finish(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Closes a connection with a reset instead of a FIN.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads exactly this many bytes.
#[track_caller]
pub fn read_exactly(mut stream: &TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap_or_else(|error| panic!("read {count} bytes: {error}"));
    bytes
}

/// Reads everything until the FIN.
#[track_caller]
pub fn read_to_fin(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream
        .read_to_end(&mut bytes)
        .unwrap_or_else(|error| panic!("read to FIN, {} came: {error}", bytes.len()));
    bytes
}

/// Panics when anything, a FIN included, comes within [`A_WHILE`](super::A_WHILE).
#[track_caller]
pub fn expect_silence(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(super::A_WHILE)).unwrap();
    let came = stream.read(&mut [0; 1]);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    match came {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(0) => panic!("a FIN came"),
        other => panic!("something came: {other:?}"),
    }
}

/// Waits until the other side's kernel has acknowledged everything written to this IPv4 connection.
#[track_caller]
pub fn wait_acknowledged(stream: &TcpStream) {
    let (local, remote) = ports(stream);
    wait_row_acknowledged(local, remote);
}

/// Waits until this side's kernel has acknowledged everything that the other has written so far.
#[track_caller]
pub fn acknowledge(stream: &TcpStream) {
    let (local, remote) = ports(stream);
    wait_row_acknowledged(remote, local);
}

#[track_caller]
fn wait_row_acknowledged(local: u16, remote: u16) {
    eventually("everything to be acknowledged", || {
        let row = tcp_row(local, remote)?;
        row[4].starts_with("00000000:").then_some(())
    });
}

/// The local port of a connection and the peer's.
pub fn ports(stream: &TcpStream) -> (u16, u16) {
    (stream.local_addr().unwrap().port(), stream.peer_addr().unwrap().port())
}

/// Whether there is an IPv4 connection with this local and this remote port whose local end has not sent a
/// FIN.
pub fn may_send(local: u16, remote: u16) -> bool {
    // ESTABLISHED and CLOSE_WAIT of the kernel's tcp_states.h.
    tcp_row(local, remote).is_some_and(|row| ["01", "08"].contains(&&*row[3]))
}

/// The row of a connection in `/proc/net/tcp` (proc_pid_net(5)): number, local address, remote address,
/// state, tx_queue:rx_queue, in hexadecimal.
fn tcp_row(local: u16, remote: u16) -> Option<Vec<String>> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = |field: &str| u16::from_str_radix(&field[field.len() - 4..], 16).unwrap();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        (port(&fields[1]) == local && port(&fields[2]) == remote).then_some(fields)
    })
}

/// A port of 127.0.0.1 where a connection is refused, kept that way by a socket bound to it that does not listen.
pub fn refusing_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // So that listen(2) works again while connections of before are in TIME_WAIT.
    socket.set_reuse_address(true).unwrap();
    let port = free_port();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    (socket, port)
}

/// Somebody listens from now on at what was a [`refusing_port`]; the port was nobody else's meanwhile.
pub fn open(held: Socket) -> TcpListener {
    held.set_read_timeout(Some(PATIENCE)).unwrap();
    held.listen(16).unwrap();
    held.into()
}

/// Nobody listens any more at what was a [`refusing_port`], and it stays held: Linux keeps a port that was
/// bound by number when a listening socket is shut down.
pub fn close(listener: TcpListener) -> Socket {
    let held = Socket::from(listener);
    held.shutdown(Shutdown::Both).unwrap();
    held
}

/// A UDP port of 127.0.0.1 where datagrams are refused, held by a socket that hears nobody but itself.
pub fn refusing_udp_port() -> (UdpSocket, u16) {
    let deaf = shared_udp(0);
    let port = deaf.local_addr().unwrap().port();
    deaf.connect(("127.0.0.1", port)).unwrap();
    (deaf, port)
}

/// A member of a multicast group, at a port of its own; `None` where no interface has multicast.
pub fn group_member(group: &str) -> Option<(UdpSocket, u16)> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let joined = socket.join_multicast_v4(&group.parse().unwrap(), &"0.0.0.0".parse().unwrap());
    joined.is_ok().then_some((socket, port))
}

/// A socket that hears what is sent to a [`refusing_udp_port`].
pub fn open_udp(port: u16) -> UdpSocket {
    shared_udp(port)
}

fn shared_udp(port: u16) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A listener on 127.0.0.1 whose queue is full, so that further SYNs get no answer. The sockets must stay
/// open: closing any of them makes room.
pub fn unanswering_port() -> (Vec<Socket>, u16) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], free_port())).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.as_socket().unwrap().port();
    let mut kept = vec![listener];
    eventually("a listener's queue to be full", || {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let outcome = filler.connect_timeout(&address, Duration::from_millis(300));
        kept.push(filler);
        outcome.is_err().then_some(())
    });
    (kept, port)
}

/// A port that was free a moment ago for both protocols and families, for a program that cannot choose one
/// by itself. It is below those that the system hands out (32768 on, ip(7)) and is given once, so that no
/// other test gets it meanwhile.
pub fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 32_768 - FIRST;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin at different places.
    let own = (std::process::id() % 200) as u16 * 100;
    loop {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(given < COUNT, "no port below those of the system is left");
        let port = FIRST + (own + given) % COUNT;
        let has_it = |outcome: Option<io::Error>| {
            outcome.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
        };
        let families = [SocketAddr::from(([0; 4], port)), (Ipv6Addr::UNSPECIFIED, port).into()];
        let has_any = |at: SocketAddr| {
            has_it(TcpListener::bind(at).err()) || has_it(UdpSocket::bind(at).err())
        };
        if !families.into_iter().any(has_any) {
            return port;
        }
    }
}

/// An address at this host whose port nobody else has, at any address and for either protocol: where the test binds
/// nothing, it is refused.
pub fn only_at(host: &str) -> String {
    format!("{host}:{}", free_port())
}

/// Whether somebody listens on this port. The kernel is asked, as a connection would be the one client
/// that a program serves.
pub fn is_listening(port: u16) -> bool {
    let ending = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().any(|table| {
        std::fs::read_to_string(table).is_ok_and(|text| {
            text.lines().skip(1).any(|line| {
                let mut fields = line.split_whitespace().skip(1);
                fields.next().is_some_and(|local| local.ends_with(&ending))
                    && fields.nth(1) == Some("0A")
            })
        })
    })
}
