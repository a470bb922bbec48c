//! Socket options of the command line, and how they are set.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{SockRef, Socket};

use crate::error::{Error, Result, Status};
use crate::net::address::{Family, Lookup, Protocol, interface_index, resolve_host};
use crate::sys;

/// What a UDP socket asks for as receive buffer by itself: a burst must find room while we write.
const UDP_RECEIVE_BUFFER: usize = 64 << 20;

/// When small TCP writes leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SmallWrites {
    /// At once (TCP_NODELAY, tcp(7)): a person types, a script waits.
    #[default]
    AtOnce,
    /// When the last one is acknowledged (Nagle's algorithm, RFC 896).
    Gathered,
}

/// Options for every socket of a run; what is not given stays as the system has it.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// SO_RCVBUF in bytes.
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF in bytes.
    pub send_buffer: Option<usize>,
    /// IP_TTL, IPV6_UNICAST_HOPS and their multicast kin.
    pub ttl: Option<u8>,
    /// IP_TOS, IPV6_TCLASS.
    pub tos: Option<u8>,
    /// SO_BROADCAST.
    pub broadcast: bool,
    /// Multicast groups, `GROUP` or `GROUP%IF`.
    pub groups: Vec<Group>,
    /// SO_BINDTODEVICE.
    pub device: Option<String>,
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_NODELAY or not.
    pub small_writes: SmallWrites,
}

/// A multicast group and the interface to hear it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    address: IpAddr,
    /// 0 leaves the choice to the system.
    interface: u32,
}

impl Group {
    /// Reads `GROUP` or `GROUP%IF`.
    ///
    /// # Errors
    /// A usage error when it is no multicast address, or there is no such interface.
    pub fn parse(text: &str) -> Result<Self> {
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
    pub fn apply(&self, socket: &Socket, v6: bool, protocol: Protocol) -> Result<()> {
        let set = |what: &str, result: io::Result<()>| {
            result.map_err(|cause| {
                Error::network("socket option", what, &cause).with_status(Status::Failure)
            })
        };
        match (self.receive_buffer, protocol) {
            (Some(bytes), _) => set("--rcvbuf", sys::raise_receive_buffer(socket, bytes))?,
            // What the system does not grant is no error: -v and the drop count tell.
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
                // For IPv4 through the same socket; one for IPv6 only may refuse it.
                let _ = socket.set_tos_v4(tos);
            }
        }
        if self.broadcast {
            set("--broadcast", socket.set_broadcast(true))?;
        }
        if let Some(device) = &self.device {
            set("--device", socket.bind_device(Some(device.as_bytes())))?;
        }
        if self.keepalive && protocol == Protocol::Tcp {
            set("--keepalive", socket.set_keepalive(true))?;
        }
        if protocol == Protocol::Tcp && self.small_writes == SmallWrites::AtOnce {
            // Clients of a listening socket inherit it. Only an optimisation.
            let _ = socket.set_tcp_nodelay(true);
        }
        Ok(())
    }

    /// Sets what a local socket can have: the sizes of its buffers.
    ///
    /// # Errors
    /// When an option that was asked for cannot be set.
    pub fn apply_local(&self, socket: &Socket) -> Result<()> {
        let buffers = Self {
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            small_writes: SmallWrites::Gathered,
            ..Self::default()
        };
        buffers.apply(socket, false, Protocol::Tcp)
    }

    /// Lets others that hear a multicast group have the same port (SO_REUSEADDR, socket(7)): each
    /// of them gets a copy of what is sent to the group. Nobody shares a port for anything else, as
    /// only one would get what is sent to it.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn share_port(&self, socket: &Socket, address: SocketAddr) -> io::Result<()> {
        if self.groups.is_empty() && !address.ip().is_multicast() {
            return Ok(());
        }
        socket.set_reuse_address(true)
    }

    /// Joins the multicast groups of the socket's family (ip(7), ipv6(7)).
    ///
    /// # Errors
    /// When the system refuses one.
    pub fn join(&self, socket: &Socket) -> Result<()> {
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
                // The system has no route that would say which.
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

    /// What the system granted, for `-v`; nothing when nothing was asked for.
    #[must_use]
    pub fn granted(&self, socket: &Socket) -> Option<String> {
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

/// Unicast and, where there can be any, multicast; for both families where the socket has both.
fn set_ttl(socket: &Socket, ttl: u32, v6: bool, protocol: Protocol) -> io::Result<()> {
    let is_datagram = protocol == Protocol::Udp;
    let set_v4 = || {
        socket.set_ttl_v4(ttl)?;
        // A stream socket refuses it (IP_MULTICAST_TTL, ip(7)).
        if is_datagram { socket.set_multicast_ttl_v4(ttl) } else { Ok(()) }
    };
    if !v6 {
        return set_v4();
    }
    // One for IPv6 only may refuse it.
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
