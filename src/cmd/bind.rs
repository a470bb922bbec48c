//! The sockets of `pktcat listen`: bound, announced and opened.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::files::READER_CHECK;
use super::parts::{tell_granted, watch_socket};
use super::port_file;
use crate::config::{Listen, Place};
use crate::engine::datagram::{Datagram, LONGEST_IPV4, LONGEST_IPV6, Peers};
use crate::error::{Error, Result};
use crate::net::access::AccessList;
use crate::net::address::{Family, HostPort, Protocol};
use crate::net::local;
use crate::net::socket;
use crate::observe::tap::Event;
use crate::run::console;
use crate::run::session::Session;
use crate::setup::resolve;

/// Binds to the port or the path.
pub(super) fn bind(config: &Listen, protocol: Protocol, session: &mut Session) -> Result<Socket> {
    match &config.place {
        Place::Internet(target) => {
            let port = target.port_number(protocol)?;
            bind_to(config, target, protocol, port, session)
        }
        Place::Unix(path) => {
            let (socket, name) = local::bind(path, protocol)?;
            config.common.options.apply_local(&socket)?;
            session.names.push(name);
            Ok(socket)
        }
    }
}

/// Binds to a port of the target's addresses.
pub(super) fn bind_to(
    config: &Listen,
    target: &HostPort,
    protocol: Protocol,
    port: u16,
    session: &mut Session,
) -> Result<Socket> {
    let common = &config.common;
    let addresses = match &target.host {
        None => unspecified(port, common.family),
        Some(_) => resolve::resolve(session, target, port, common.names(), None)?,
    };
    let bound = socket::bind_first(&addresses, common.family, protocol, &common.options)?;
    tell_granted(&common.options, &bound, session);
    Ok(bound)
}

/// Every address of this machine; on one without IPv6, those of IPv4.
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

/// Tells the port to whoever asked, once everything is ready for the first client.
pub(super) fn announce(
    config: &Listen,
    sockets: &[(Protocol, &Socket)],
    session: &mut Session,
) -> Result<()> {
    for &(protocol, socket) in sockets {
        let must_be_told = match &config.place {
            Place::Internet(target) => target.port_number(protocol)? == 0,
            Place::Unix(_) => false,
        };
        if let Some(address) = socket::local_address(socket) {
            session.event(&Event::Listening { protocol, address, must_be_told });
        }
    }
    if let (Some(path), Some((_, socket))) = (&config.port_file, sockets.first()) {
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

/// A dual-stack socket answers IPv4 peers too, whose limit is the lower one.
pub(super) fn longest(socket: &Socket, family: Family) -> usize {
    let only_v6 =
        socket::local_address(socket).and_then(|local| local.internet()).is_some_and(|local| {
            local.is_ipv6() && (family == Family::V6 || !local.ip().is_unspecified())
        });
    if only_v6 { LONGEST_IPV6 } else { LONGEST_IPV4 }
}

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
