//! The device of the lab, and the way there and back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;

use super::held_up::HeldUp;
use super::packet::{Condition, Packet, Way, Ways};
use crate::engine::impair::{Line, Spec, Tally};
use crate::error::{Error, Result};
use crate::io::latch::Latch;
use crate::io::reactor::Reactor;
use crate::net::address::{Family, Protocol};
use crate::observe::packets::Packets;
use crate::sys::{PrivateNetwork, Refusal};

/// Bytes of the longest packet when nobody says: that of Ethernet.
const MTU: u32 = 1500;

/// A segment that was held back to be overtaken leaves after this and two intervals in any case, as
/// the sender may wait for its answer.
const TCP_HOLD: Duration = Duration::from_millis(5);

/// The same for a datagram. The next one nearly always leaves earlier, so that the order, and with it
/// what is drawn for each, depends on nothing but the seed.
const UDP_HOLD: Duration = Duration::from_millis(200);

/// Room for the longest packet there is.
const ROOM: usize = 65_536;

/// Packets before somebody else has a turn.
const BUDGET: usize = 256;

/// The addresses of device and neighbour.
const IPV4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 1), Ipv4Addr::new(10, 9, 0, 2)];
const IPV6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd70, 0x6b74, 0x6361, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd70, 0x6b74, 0x6361, 0, 0, 0, 0, 2),
];

/// What became of the packets of one protocol, there and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tallies {
    pub out: Tally,
    pub back: Tally,
}

impl Tallies {
    /// Both ways together.
    #[must_use]
    pub(crate) fn both(&self) -> Tally {
        self.out.with(self.back)
    }
}

/// A network that this process has moved into.
#[derive(Debug)]
pub(crate) struct Lab {
    device: PrivateNetwork,
    family: Family,
    spec: Spec,
}

impl Lab {
    /// Moves this process into a network of its own.
    ///
    /// # Errors
    /// When the system refuses; what is done then can be done on loopback.
    pub(crate) fn enter(spec: Spec, family: Family) -> std::result::Result<Self, Refusal> {
        let address = addresses(family)[0];
        let device = PrivateNetwork::enter(address, spec.mtu.unwrap_or(MTU))?;
        Ok(Self { device, family, spec })
    }

    /// What packets will meet.
    #[must_use]
    pub(crate) fn spec(&self) -> Spec {
        self.spec
    }

    /// Where the peer is to listen.
    #[must_use]
    pub(crate) fn home(&self) -> SocketAddr {
        SocketAddr::new(addresses(self.family)[0], 0)
    }

    /// Connects what is sent to the peer, which listens at this port. Messages come `interval`
    /// apart.
    ///
    /// # Errors
    /// When the device cannot be watched.
    pub(crate) fn connect(
        self,
        reactor: &mut Reactor,
        port: u16,
        interval: Duration,
        capture: Option<Capture>,
    ) -> Result<Network> {
        let latch = reactor
            .watch(&self.device, Interest::READABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        let lines = |first, hold| {
            [first, first + 1].map(|lane| Line::new(&self.spec, lane, hold + interval * 2))
        };
        Ok(Network {
            latch,
            neighbour: SocketAddr::new(addresses(self.family)[1], port),
            ways: Ways::new(port),
            tcp: lines(0, TCP_HOLD),
            udp: lines(2, UDP_HOLD),
            held_up: HeldUp::new(),
            capture,
            buffer: vec![0; ROOM],
            device: self.device,
        })
    }
}

fn addresses(family: Family) -> [IpAddr; 2] {
    match family {
        Family::Any | Family::V4 => IPV4.map(IpAddr::V4),
        Family::V6 => IPV6.map(IpAddr::V6),
    }
}

/// Where packets are written as their senders sent them, and since when times are counted.
#[derive(Debug)]
pub(crate) struct Capture {
    pub packets: Packets,
    pub started: Instant,
}

/// Everything between client and peer.
#[derive(Debug)]
pub(crate) struct Network {
    device: PrivateNetwork,
    latch: Rc<Latch>,
    neighbour: SocketAddr,
    ways: Ways,
    /// There and back.
    tcp: [Line<Packet>; 2],
    udp: [Line<Packet>; 2],
    /// Messages over TCP.
    pub held_up: HeldUp,
    capture: Option<Capture>,
    buffer: Vec<u8>,
}

impl Network {
    /// Where the client finds the peer.
    #[must_use]
    pub(crate) fn neighbour(&self) -> SocketAddr {
        self.neighbour
    }

    /// What passes from now on is not in the capture.
    pub(crate) fn end_capture(&mut self) {
        self.capture = None;
    }

    fn lines(&mut self, protocol: Protocol) -> &mut [Line<Packet>; 2] {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
        }
    }

    /// Takes what was sent, and lets arrive what has been on its way for long enough; whether there
    /// was anything.
    ///
    /// # Errors
    /// When the device fails.
    pub(crate) fn step(&mut self, now: Instant) -> Result<bool> {
        let taken = self.take(now)?;
        let mut given = false;
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for way in [Way::Out, Way::Back] {
                for _ in 0..BUDGET {
                    let next = self.lines(protocol)[way as usize].pop_due(now);
                    let Some(packet) = next else { break };
                    given = true;
                    self.give(packet, way, now)?;
                }
            }
        }
        Ok(taken || given)
    }

    fn take(&mut self, now: Instant) -> Result<bool> {
        let mut any = false;
        for _ in 0..BUDGET {
            if !self.latch.readable() {
                break;
            }
            let length = match self.device.take(&mut self.buffer) {
                Ok(length) => length,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    self.latch.not_readable();
                    break;
                }
                Err(cause) => return Err(Error::system("read packets", &cause)),
            };
            any = true;
            let Some(mut packet) = Packet::read(&self.buffer[..length]) else { continue };
            let Some(way) = self.ways.of(&packet) else { continue };
            if way == Way::Back {
                // In the capture the peer has an address of its own both ways.
                packet.swap_addresses();
            }
            if let Some(capture) = &self.capture {
                let at = now.saturating_duration_since(capture.started);
                capture.packets.write(at, packet.bytes());
            }
            self.lines(packet.protocol)[way as usize].push(packet, now);
        }
        Ok(any)
    }

    fn give(&mut self, mut packet: Packet, way: Way, now: Instant) -> Result<()> {
        // The system drops what is damaged.
        if packet.condition == Condition::Whole
            && let Some(segment) = packet.segment()
        {
            self.held_up.arrived(way, segment, now);
        }
        if way == Way::Out {
            packet.swap_addresses();
        }
        match self.device.give(packet.bytes()) {
            Ok(()) => Ok(()),
            // A damaged packet may be none any more; one for which there is no memory is lost.
            Err(cause)
                if matches!(
                    cause.raw_os_error(),
                    Some(libc::EINVAL | libc::ENOBUFS | libc::ENOMEM)
                ) =>
            {
                Ok(())
            }
            Err(cause) => Err(Error::system("write packets", &cause)),
        }
    }

    /// When a packet arrives next.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.tcp.iter().chain(&self.udp).filter_map(Line::deadline).min()
    }

    /// Whether datagrams are on their way.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        !self.udp.iter().all(Line::is_empty)
    }

    /// What became of the packets so far.
    #[must_use]
    pub(crate) fn tallies(&self, protocol: Protocol) -> Tallies {
        let [out, back] = match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
        };
        Tallies { out: out.tally(), back: back.tally() }
    }
}
