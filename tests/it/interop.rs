//! pktcat against the netcats that people have: nc.openbsd, ncat and socat, in both roles, over TCP
//! and UDP, IPv4 and IPv6. Data go both ways, then each end ends, with status 0.
//!
//! A combination whose peer or address family is missing here says "ignored".

use std::fs;

use libtest_mimic::Trial;

use crate::util::data::{assert_same, random};
use crate::util::harness::{self, Need};
use crate::util::{Cmd, Input, Running, eventually, pktcat, program};

#[derive(Debug, Clone, Copy)]
enum Tool {
    OpenBsd,
    Ncat,
    Socat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Four,
    Six,
}

/// What the peer does; pktcat does the other.
#[derive(Debug, Clone, Copy)]
enum Role {
    Listens,
    Connects,
}

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    for tool in [Tool::OpenBsd, Tool::Ncat, Tool::Socat] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for family in [Family::Four, Family::Six] {
                for role in [Role::Listens, Role::Connects] {
                    tests.push(trial(tool, protocol, family, role));
                }
            }
        }
    }
    tests
}

fn trial(tool: Tool, protocol: Protocol, family: Family, role: Role) -> Trial {
    let name = format!("{}_{role:?}_{protocol:?}_{family:?}", tool.name().replace('.', "_"))
        .to_lowercase();
    let mut needs = vec![Need::Program(tool.name())];
    needs.extend((family == Family::Six).then_some(Need::Ipv6));
    harness::test(module_path!(), name, &needs, move || match role {
        Role::Listens => {
            let (peer, port) = peer_server(tool, protocol, family);
            let client = pktcat(client_words(protocol, family, port)).stdin(Input::Pipe).spawn();
            match protocol {
                Protocol::Tcp => exchange_streams(client, peer),
                Protocol::Udp => {
                    let mut client = client;
                    let mut peer = peer;
                    ping_pong(&mut client, &mut peer);
                    client.close_stdin();
                    client.wait().expect_code(0);
                }
            }
        }
        Role::Connects => {
            let server = pktcat(server_words(protocol, family)).stdin(Input::Pipe).spawn();
            let peer = tool.client(protocol, family, server.port()).stdin(Input::Pipe).spawn();
            match protocol {
                Protocol::Tcp => exchange_streams(server, peer),
                Protocol::Udp => {
                    let mut server = server;
                    let mut peer = peer;
                    ping_pong(&mut peer, &mut server);
                    peer.send(b"bye");
                    server.wait().expect_code(0);
                }
            }
        }
    })
}

fn server_words(protocol: Protocol, family: Family) -> Vec<String> {
    let mut words = vec!["listen".to_owned()];
    if protocol == Protocol::Udp {
        // The pings of the peer and its good-bye.
        words.extend(["-u".to_owned(), "--count".to_owned(), (SIZES.len() + 1).to_string()]);
    }
    words.extend([family.host().to_owned(), "0".to_owned()]);
    words
}

fn client_words(protocol: Protocol, family: Family, port: u16) -> Vec<String> {
    let mut words = vec!["connect".to_owned()];
    if protocol == Protocol::Udp {
        words.extend(["-u", "-q", "300ms"].map(str::to_owned));
    }
    words.extend([family.host().to_owned(), port.to_string()]);
    words
}

/// The peer speaks first and ends first, since ncat leaves at the other's FIN with whatever it has left to say.
fn exchange_streams(mut ours: Running, mut peer: Running) {
    // More than the sockets' buffers hold, and no multiple of anybody's block.
    let (from_peer, from_us) = (random(1, 7_654_321), random(2, 5_432_101));
    let mut peer_stdin = peer.take_stdin();
    let writer = std::thread::spawn({
        let bytes = from_peer.clone();
        move || std::io::Write::write_all(&mut peer_stdin, &bytes)
    });
    assert_same(&ours.wait_stdout(from_peer.len()), &from_peer);
    writer.join().unwrap().unwrap();
    let mut stdin = ours.take_stdin();
    let writer = std::thread::spawn({
        let bytes = from_us.clone();
        move || std::io::Write::write_all(&mut stdin, &bytes)
    });
    assert_same(&peer.wait_stdout(from_us.len()), &from_us);
    writer.join().unwrap().unwrap();
    assert_same(&ours.wait().expect_code(0).stdout, &from_peer);
    assert_same(&peer.wait().expect_code(0).stdout, &from_us);
}

/// Datagrams that none of them cuts.
const SIZES: [usize; 3] = [1, 500, 1452];

/// A datagram there, an answer back; sizes as in [`SIZES`].
fn ping_pong(first: &mut Running, second: &mut Running) {
    let mut total = 0;
    for (seed, size) in (1..).zip(SIZES) {
        let datagram = random(seed, size);
        first.send(&datagram);
        assert_same(&second.wait_stdout(total + size)[total..], &datagram);
        second.send(&datagram);
        assert_same(&first.wait_stdout(total + size)[total..], &datagram);
        total += size;
    }
}

impl Family {
    fn host(self) -> &'static str {
        match self {
            Self::Four => "127.0.0.1",
            Self::Six => "::1",
        }
    }

    /// In brackets where a colon would be taken for a separator.
    fn bracketed(self) -> &'static str {
        match self {
            Self::Four => "127.0.0.1",
            Self::Six => "[::1]",
        }
    }

    fn digit(self) -> char {
        match self {
            Self::Four => '4',
            Self::Six => '6',
        }
    }
}

impl Protocol {
    /// As nc and ncat have it.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Tcp => &[],
            Self::Udp => &["-u"],
        }
    }

    /// As socat has it.
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::OpenBsd => "nc.openbsd",
            Self::Ncat => "ncat",
            Self::Socat => "socat",
        }
    }

    /// The options without which it does not pass on the end of its input, or leaves too early.
    fn run(self) -> Cmd {
        program(
            self.name(),
            match self {
                Self::OpenBsd => &["-N"][..],
                Self::Ncat => &[],
                Self::Socat => &["-t", "60"],
            },
        )
    }

    fn client(self, protocol: Protocol, family: Family, port: u16) -> Cmd {
        match self {
            Self::OpenBsd | Self::Ncat => {
                let words = protocol.options().iter().fold(self.run(), Cmd::arg);
                words.arg(family.host()).arg(port.to_string())
            }
            Self::Socat => {
                let (name, digit, host) = (protocol.name(), family.digit(), family.bracketed());
                self.run().arg("-").arg(format!("{name}{digit}:{host}:{port}"))
            }
        }
    }

    fn server(self, protocol: Protocol, family: Family, port: u16) -> Cmd {
        match self {
            Self::OpenBsd | Self::Ncat => {
                let words = protocol.options().iter().fold(self.run(), Cmd::arg);
                words.arg("-l").arg(family.host()).arg(port.to_string())
            }
            Self::Socat => {
                let (name, digit, host) = (protocol.name(), family.digit(), family.bracketed());
                self.run().arg("-").arg(format!("{name}{digit}-LISTEN:{port},bind={host}"))
            }
        }
    }
}

/// A peer that listens, on a port that was free a moment ago; again with another one if it no longer was.
fn peer_server(tool: Tool, protocol: Protocol, family: Family) -> (Running, u16) {
    for _ in 0..10 {
        let port = crate::util::net::free_port();
        let peer = tool.server(protocol, family, port).stdin(Input::Pipe).spawn();
        let is_up = eventually("the peer to listen or to end", || {
            if peer.ended().is_some() {
                return Some(false);
            }
            is_bound(protocol, family, port).then_some(true)
        });
        if is_up && peer.ended().is_none() {
            return (peer, port);
        }
    }
    panic!("{tool:?} cannot listen on any port");
}

/// Whether a socket listens (TCP) or is bound (UDP) there. Asking the kernel, as a connection would be the
/// one client that the peer serves.
fn is_bound(protocol: Protocol, family: Family, port: u16) -> bool {
    let suffix = if family == Family::Six { "6" } else { "" };
    let (table, state) = match protocol {
        Protocol::Tcp => (format!("/proc/net/tcp{suffix}"), "0A"),
        Protocol::Udp => (format!("/proc/net/udp{suffix}"), "07"),
    };
    let ending = format!(":{port:04X}");
    fs::read_to_string(table).unwrap().lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&ending)) && fields.nth(1) == Some(state)
    })
}
