//! The sockets of `pktcat listen`: binding them, and announcing where they listen.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::files::READER_CHECK;
use super::parts::{tell_granted, watch_socket};
use super::port_file;
use crate::config::{Common, Listen, Place};
use crate::engine::datagram::{Datagram, LONGEST_IPV4, LONGEST_IPV6, Peers};
use crate::error::{Error, Result};
use crate::net::access::AccessList;
use crate::net::address::{Family, HostPort, Lookup, Protocol};
use crate::net::local;
use crate::net::options::Options;
use crate::net::socket;
use crate::observe::tap::Event;
use crate::run::console;
use crate::run::session::Session;
use crate::setup::resolve;

/// Where to listen, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Binding<'a> {
    pub place: &'a Place,
    pub family: Family,
    pub lookup: Lookup,
    pub options: &'a Options,
    /// The file that the port number is written to.
    pub port_file: Option<&'a Path>,
}

impl<'a> From<&'a Listen> for Binding<'a> {
    fn from(config: &'a Listen) -> Self {
        let Common { family, lookup, options, .. } = &config.common;
        Self {
            place: &config.place,
            family: *family,
            lookup: *lookup,
            options,
            port_file: config.port_file.as_deref(),
        }
    }
}

/// Binds a socket to the port or the path of the command line.
pub(super) fn bind<'a>(
    binding: impl Into<Binding<'a>>,
    protocol: Protocol,
    session: &mut Session,
) -> Result<Socket> {
    let binding = binding.into();
    match binding.place {
        Place::Internet(target) => {
            let port = target.port_number(protocol)?;
            bind_to(binding, target, protocol, port, session)
        }
        Place::Unix(path) => {
            let (socket, name) = local::bind(path, protocol)?;
            binding.options.apply_local(&socket)?;
            session.names.push(name);
            Ok(socket)
        }
    }
}

/// Binds a socket to `port` of the first address of the host that allows it.
pub(super) fn bind_to<'a>(
    binding: impl Into<Binding<'a>>,
    target: &HostPort,
    protocol: Protocol,
    port: u16,
    session: &mut Session,
) -> Result<Socket> {
    let Binding { family, lookup, options, .. } = binding.into();
    let addresses = match &target.host {
        None => unspecified(port, family),
        Some(_) => resolve::resolve(session, target, port, (family, lookup), None)?,
    };
    let bound = socket::bind_first(&addresses, family, protocol, options)?;
    tell_granted(options, &bound, session);
    Ok(bound)
}

/// The addresses to try when no host is given: all of this machine, which is one dual-stack socket, or
/// on a machine without IPv6 one of IPv4.
fn unspecified(port: u16, family: Family) -> Vec<SocketAddr> {
    let v6 = (Ipv6Addr::UNSPECIFIED, port).into();
    let v4 = (Ipv4Addr::UNSPECIFIED, port).into();
    match family {
        Family::Any => vec![v6, v4],
        Family::V4 => vec![v4],
        Family::V6 => vec![v6],
    }
}

/// The host that is listened on, if it was said.
pub(super) fn host(config: &Listen) -> Option<&str> {
    match &config.place {
        Place::Internet(target) => target.host.as_deref(),
        Place::Unix(_) => None,
    }
}

/// Prints the `listening on` lines and writes the port file, now that clients can connect.
pub(super) fn announce<'a>(
    binding: impl Into<Binding<'a>>,
    sockets: &[(Protocol, &Socket)],
    session: &mut Session,
) -> Result<()> {
    let Binding { place, port_file: file, .. } = binding.into();
    for &(protocol, socket) in sockets {
        let must_be_told = match place {
            Place::Internet(target) => target.port_number(protocol)? == 0,
            Place::Unix(_) => false,
        };
        if let Some(address) = socket::local_address(socket) {
            session.event(&Event::Listening { protocol, address, must_be_told });
        }
    }
    if let (Some(path), Some((_, socket))) = (file, sockets.first()) {
        let port = socket::local_port(socket);
        while let Err(cause) = port_file::write(path, port) {
            let is_full = cause.kind() == io::ErrorKind::WouldBlock;
            if !is_full && !console::awaits_reader(&cause, path) {
                return Err(Error::local("write", path.display(), &cause));
            }
            session.wait(Some(Instant::now() + READER_CHECK))?;
        }
    }
    Ok(())
}

/// The most payload bytes of a datagram that this socket sends. A dual-stack socket has IPv4 peers too,
/// for which the limit is lower.
pub(super) fn longest(socket: &Socket, family: Family) -> usize {
    let only_v6 =
        socket::local_address(socket).and_then(|local| local.internet()).is_some_and(|local| {
            local.is_ipv6() && (family == Family::V6 || !local.ip().is_unspecified())
        });
    if only_v6 { LONGEST_IPV6 } else { LONGEST_IPV4 }
}

/// The datagram end of a listener, watched by the event loop.
///
/// # Errors
/// When the event loop cannot watch the socket.
pub(super) fn open_datagram(
    config: &Listen,
    socket: Rc<Socket>,
    access: AccessList,
    session: &mut Session,
) -> Result<Datagram> {
    let latch = watch_socket(session, &socket)?;
    session.reactor.retry(&latch);
    let tap = Rc::clone(&session.tap);
    let peers = if config.to_all { Peers::All(Vec::new()) } else { Peers::Last(None) };
    let mut datagram =
        Datagram::new(socket, latch, peers, config.common.offload, config.common.fetch(), tap);
    if !access.is_open() {
        datagram.guard(access);
    }
    Ok(datagram)
}
