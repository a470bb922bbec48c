//! The socket options of the command line, and setting them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, SockRef, Socket};

use crate::error::{Error, Result, Status};
use crate::net::address::{Family, Lookup, Protocol, interface_index, resolve_host};
use crate::sys;

/// Bytes of receive buffer that a UDP socket asks for without `--rcvbuf`: it has to hold a burst
/// that arrives while this program writes. Without CAP_NET_ADMIN the kernel grants up to
/// net.core.rmem_max (socket(7)).
const UDP_RECEIVE_BUFFER: usize = 64 << 20;

/// When the kernel sends small TCP writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum SmallWrites {
    /// At once (TCP_NODELAY, tcp(7)): the peer may be waiting for a line that a person has typed.
    #[default]
    AtOnce,
    /// Once earlier data is acknowledged, or there is enough for a full segment (Nagle's algorithm,
    /// RFC 896).
    Gathered,
}

/// Options for every socket of a run. `None`, `false` and an empty list leave the system's default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// SO_RCVBUF in bytes.
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF in bytes.
    pub send_buffer: Option<usize>,
    /// IP_TTL and IPV6_UNICAST_HOPS, and for datagrams IP_MULTICAST_TTL and IPV6_MULTICAST_HOPS:
    /// hops, 1 to 255.
    pub ttl: Option<u8>,
    /// IP_TOS and IPV6_TCLASS: 0 to 255.
    pub tos: Option<u8>,
    /// SO_BROADCAST.
    pub broadcast: bool,
    /// IP_MTU_DISCOVER and IPV6_MTU_DISCOVER set to "do": no packet is fragmented.
    pub dont_fragment: bool,
    /// Multicast groups to join (IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP).
    pub groups: Vec<Group>,
    /// SO_BINDTODEVICE: the name of a network interface.
    pub device: Option<String>,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// Whether TCP_NODELAY is set.
    pub small_writes: SmallWrites,
}

/// A multicast group and the interface to join it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    address: IpAddr,
    /// Index of the interface; 0 lets the system choose one.
    interface: u32,
}

impl Group {
    /// Reads `GROUP` or `GROUP%IF`.
    ///
    /// # Errors
    /// A usage error when it is no multicast address, or there is no such interface.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (host, interface) = match text.split_once('%') {
            Some((host, name)) => {
                let index = interface_index(name).ok_or_else(|| {
                    Error::usage(format!("--join {text}"), format!("there is no interface {name}"))
                })?;
                (host, index)
            }
            None => (text, 0),
        };
        let address = resolve_host(host, 0, Family::Any, Lookup::Numeric)
            .ok()
            .and_then(|addresses| addresses.first().map(|address| address.ip()))
            .filter(IpAddr::is_multicast)
            .ok_or_else(|| Error::usage(format!("--join {text}"), "is no multicast address"))?;
        Ok(Self { address, interface })
    }
}

impl Options {
    /// Sets everything that has to be set before a socket is bound or connected.
    ///
    /// # Errors
    /// When an option that was asked for cannot be set.
    pub(crate) fn apply(&self, socket: &Socket, v6: bool, protocol: Protocol) -> Result<()> {
        let set = |what: &str, result: io::Result<()>| {
            result.map_err(|cause| {
                Error::network("socket option", what, &cause).with_status(Status::Failure)
            })
        };
        match (self.receive_buffer, protocol) {
            (Some(bytes), _) => set("--rcvbuf", sys::raise_receive_buffer(socket, bytes))?,
            // A smaller buffer is no error, as nobody asked for this size; the count of dropped
            // datagrams tells when it was too small.
            (None, Protocol::Udp) => {
                let _ = sys::raise_receive_buffer(socket, UDP_RECEIVE_BUFFER);
            }
            (None, Protocol::Tcp) => {}
        }
        if let Some(bytes) = self.send_buffer {
            set("--sndbuf", socket.set_send_buffer_size(bytes))?;
        }
        if let Some(ttl) = self.ttl.map(u32::from) {
            set("--ttl", set_ttl(socket, ttl, v6, protocol))?;
        }
        if let Some(tos) = self.tos.map(u32::from) {
            let result = if v6 { socket.set_tclass_v6(tos) } else { socket.set_tos_v4(tos) };
            set("--tos", result)?;
            if v6 {
                // A dual-stack socket sends IPv4 packets too. An IPv6-only socket may refuse the
                // option, which then does not matter.
                let _ = socket.set_tos_v4(tos);
            }
        }
        if self.broadcast {
            set("--broadcast", socket.set_broadcast(true))?;
        }
        if self.dont_fragment {
            set("--df", sys::forbid_fragments(socket, v6))?;
        }
        if let Some(device) = &self.device {
            set(
                &format!("--device {device}"),
                sys::bind_device(socket, device, if v6 { Domain::IPV6 } else { Domain::IPV4 }),
            )?;
        }
        if self.keepalive && protocol == Protocol::Tcp {
            set("--keepalive", socket.set_keepalive(true))?;
        }
        if protocol == Protocol::Tcp && self.small_writes == SmallWrites::AtOnce {
            // Accepted sockets inherit it. A failure costs only latency.
            let _ = socket.set_tcp_nodelay(true);
        }
        Ok(())
    }

    /// Sets the options that a local socket has: the sizes of its buffers.
    ///
    /// # Errors
    /// When an option that was asked for cannot be set.
    pub(crate) fn apply_local(&self, socket: &Socket) -> Result<()> {
        let buffers = Self {
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            small_writes: SmallWrites::Gathered,
            ..Self::default()
        };
        buffers.apply(socket, false, Protocol::Tcp)
    }

    /// Lets several receivers of a multicast group bind the same port (SO_REUSEADDR, socket(7)):
    /// each gets a copy of every datagram to the group. For unicast the port is not shared, because
    /// only one socket would get each datagram.
    ///
    /// # Errors
    /// When the system refuses it.
    pub(crate) fn share_port(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        if self.groups.is_empty() && !address.ip().is_multicast() {
            return Ok(());
        }
        socket.set_reuse_address(true)
    }

    /// Joins the multicast groups of the socket's family (ip(7), ipv6(7)).
    ///
    /// # Errors
    /// When the system refuses one.
    pub(crate) fn join(&self, socket: &Socket) -> Result<()> {
        for group in &self.groups {
            let result = match group.address {
                IpAddr::V4(address) if group.interface == 0 => {
                    socket.join_multicast_v4(&address, &Ipv4Addr::UNSPECIFIED)
                }
                IpAddr::V4(address) => socket.join_multicast_v4_n(
                    &address,
                    &socket2::InterfaceIndexOrAddress::Index(group.interface),
                ),
                IpAddr::V6(address) => socket.join_multicast_v6(&address, group.interface),
            };
            result.map_err(|cause| {
                let error = Error::network("join", group.address, &cause);
                let error = error.with_status(Status::Failure);
                // Without an interface the kernel picks the one that its routes name; there is no
                // such route.
                match cause.raw_os_error() {
                    Some(libc::ENODEV | libc::EADDRNOTAVAIL) if group.interface == 0 => {
                        error.hint("GROUP%IF names the interface")
                    }
                    _ => error,
                }
            })?;
        }
        Ok(())
    }

    /// The buffer sizes that the kernel granted, for `-v`; `None` when none were asked for.
    #[must_use]
    pub(crate) fn granted(&self, socket: &Socket) -> Option<String> {
        let socket = SockRef::from(socket);
        let mut parts = Vec::new();
        if self.receive_buffer.is_some() {
            parts.push(format!("receive buffer {} bytes", socket.recv_buffer_size().ok()?));
        }
        if self.send_buffer.is_some() {
            parts.push(format!("send buffer {} bytes", socket.send_buffer_size().ok()?));
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Sets the hop limit for unicast and, on a datagram socket, for multicast. A dual-stack socket
/// gets it for both families.
fn set_ttl(socket: &Socket, ttl: u32, v6: bool, protocol: Protocol) -> io::Result<()> {
    let is_datagram = protocol == Protocol::Udp;
    let set_v4 = || {
        socket.set_ttl_v4(ttl)?;
        // A stream socket refuses IP_MULTICAST_TTL (ip(7)).
        if is_datagram { socket.set_multicast_ttl_v4(ttl) } else { Ok(()) }
    };
    if !v6 {
        return set_v4();
    }
    // An IPv6-only socket may refuse the IPv4 options, which then do not matter.
    let _ = set_v4();
    socket.set_unicast_hops_v6(ttl)?;
    if is_datagram { socket.set_multicast_hops_v6(ttl) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_multicast_addresses_on_an_interface() {
        assert!(Group::parse("239.1.2.3").is_ok());
        assert_ne!(Group::parse("239.1.2.3%lo").unwrap().interface, 0);
        assert!(Group::parse("ff02::1%lo").is_ok());
        for bad in ["127.0.0.1", "239.1.2.3%nosuch0", "group", "", "ff02::1%"] {
            assert_eq!(Group::parse(bad).unwrap_err().status, Status::Usage, "{bad}");
        }
    }
}
