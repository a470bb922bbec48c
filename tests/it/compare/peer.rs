//! An echoing peer in the test: TCP and UDP on one port, with damage of the test's choice to what
//! comes back over UDP.

#![allow(unreachable_pub)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use socket2::SockRef;

/// What becomes of the datagram of this place, counted from 0: what is sent back.
pub type Damage = Box<dyn FnMut(u64, Vec<u8>) -> Vec<Vec<u8>> + Send>;

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// RFC 862.
    Echo,
    /// Read everything and answer nothing.
    Discard,
    /// Answer nothing and end at once.
    End,
    /// As RFC 862, and end this half once so many bytes have gone back.
    EndAfter(usize),
    /// As RFC 862, and never end this half.
    NeverEnd,
}

/// A peer that runs until the test's process ends.
pub struct Peer {
    pub port: u16,
    /// Whole streams that came, when they have ended.
    streams: Receiver<Vec<u8>>,
    /// Datagrams that came.
    datagrams: Receiver<Vec<u8>>,
}

/// Everything comes back as it came.
pub fn echo() -> Peer {
    Peer::start(Tcp::Echo, Box::new(|_, message| vec![message]))
}

impl Peer {
    /// A peer of 127.0.0.1.
    pub fn start(tcp: Tcp, damage: Damage) -> Self {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()) {
                break (listener, socket);
            }
        };
        let port = listener.local_addr().unwrap().port();
        // Larger only if the system allows it: the window of the tests fits the usual size.
        drop(SockRef::from(&socket).set_recv_buffer_size(8 << 20));
        let (stream_came, streams) = channel();
        let (datagram_came, datagrams) = channel();
        thread::spawn(move || serve_tcp(&listener, tcp, &stream_came));
        thread::spawn(move || serve_udp(&socket, damage, &datagram_came));
        Self { port, streams, datagrams }
    }

    /// The stream of the first connection, once it has ended.
    #[track_caller]
    pub fn stream(&self) -> Vec<u8> {
        self.streams.recv_timeout(crate::util::PATIENCE).expect("no connection ended")
    }

    /// All datagrams that have come so far.
    pub fn datagrams(&self) -> Vec<Vec<u8>> {
        self.datagrams.try_iter().collect()
    }
}

fn serve_tcp(listener: &TcpListener, tcp: Tcp, came: &Sender<Vec<u8>>) {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_nodelay(true).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65536]);
        while tcp != Tcp::End
            && let Ok(count @ 1..) = stream.read(&mut buffer)
        {
            // Nobody keeps a million messages.
            if all.len() < 16 << 20 {
                all.extend_from_slice(&buffer[..count]);
            }
            let echoes = matches!(tcp, Tcp::Echo | Tcp::EndAfter(_) | Tcp::NeverEnd);
            if echoes && stream.write_all(&buffer[..count]).is_err() {
                break;
            }
            if tcp == Tcp::EndAfter(all.len()) {
                stream.shutdown(Shutdown::Write).unwrap();
            }
        }
        if tcp == Tcp::NeverEnd {
            // Open for as long as the test's process lives.
            std::mem::forget(stream);
        } else {
            drop(stream);
        }
        drop(came.send(all));
    }
}

fn serve_udp(socket: &UdpSocket, mut damage: Damage, came: &Sender<Vec<u8>>) {
    let mut buffer = vec![0; 65536];
    let mut place = 0;
    loop {
        let Ok((length, from)): Result<(usize, SocketAddr), _> = socket.recv_from(&mut buffer)
        else {
            continue;
        };
        let message = buffer[..length].to_vec();
        if place < 200_000 {
            drop(came.send(message.clone()));
        }
        for reply in damage(place, message) {
            drop(socket.send_to(&reply, from));
        }
        place += 1;
    }
}

/// Damage whose extent is known: every 10th datagram is dropped, every 7th comes back twice, each
/// 20th pair is swapped and one datagram is changed.
pub fn exact_damage(changed: u64) -> Damage {
    let mut held = Vec::new();
    Box::new(move |place, mut message| {
        if place == changed {
            let middle = message.len() / 2;
            message[middle] ^= 0x40;
        }
        let copies = match place {
            _ if place % 10 == 4 => 0,
            _ if place % 7 == 3 => 2,
            _ => 1,
        };
        let replies = vec![message; copies];
        match place % 40 {
            38 => {
                held = replies;
                Vec::new()
            }
            39 => replies.into_iter().chain(held.drain(..)).collect(),
            _ => replies,
        }
    })
}

/// What that damage does to so many messages: lost, duplicated, reordered.
pub fn exact_counts(count: u64) -> (u64, u64, u64) {
    let lost = (0..count).filter(|place| place % 10 == 4).count();
    let duplicated = (0..count).filter(|place| place % 7 == 3 && place % 10 != 4).count();
    let reordered = (0..count).filter(|place| place % 40 == 39).count();
    (lost as u64, duplicated as u64, reordered as u64)
}
