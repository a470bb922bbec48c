//! `pktcat listen`: waits for a peer, or for datagrams of any number of them.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use mio::Interest;
use socket2::{SockAddr, Socket};

use super::{input, output, watch};
use crate::address::{Family, Protocol, Shown};
use crate::config::{Listen, Reception, Stdin};
use crate::endpoint::datagram::{Datagram, LONGEST_IPV4, LONGEST_IPV6, Peers};
use crate::endpoint::input::Wire;
use crate::endpoint::stream::Stream;
use crate::error::{Error, Result};
use crate::exchange::{self, Exchange, Silence};
use crate::reactor::Latch;
use crate::relay::{Fin, Relay, Rules};
use crate::session::{Session, timed_out};
use crate::socket;
use crate::tap::Event;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub fn run(config: &Listen) -> Result<()> {
    let common = &config.common;
    watch::session(common, |session| match common.protocol {
        Protocol::Tcp => tcp(config, session),
        Protocol::Udp => udp(config, session),
    })
}

fn tcp(config: &Listen, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let listener = bind(config, session)?;
    let input = input(common, Wire::Stream, session)?;
    let output = output(common, true, session)?;
    let (socket, peer) = accept_one(config, listener, session)?;
    socket::set_up_stream(&socket);
    let link = Rc::new(socket::link(&socket, Protocol::Tcp, peer));
    session.event(&Event::Accepted(&link));
    let send_only = common.reception == Reception::Discard;
    let nothing_to_say = common.stdin == Stdin::Ignore || input.is_null();
    let rules = Rules {
        fin: match nothing_to_say {
            _ if common.no_shutdown => Fin::Never,
            true if !send_only => Fin::AtPeerFin,
            _ => Fin::AtInputEnd,
        },
        until_fin: common.until_fin,
        send_only,
        linger: common.linger,
        idle: common.idle,
    };
    let latch = watch(session, &socket, Interest::READABLE | Interest::WRITABLE)?;
    let stream = Stream::new(socket, latch, link, Rc::clone(&session.tap));
    Relay::new(input, output, stream, rules, common.ways, common.pace(), Instant::now())
        .run(session)
}

fn udp(config: &Listen, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let socket = Rc::new(bind(config, session)?);
    session.count_drops_of(&socket);
    // A dual-stack socket answers IPv4 peers too, whose limit is the lower one.
    let only_v6 = socket::local_address(&socket)
        .is_some_and(|local| local.is_ipv6() && !local.ip().is_unspecified());
    let longest = if only_v6 { LONGEST_IPV6 } else { LONGEST_IPV4 };
    let input = input(common, common.datagrams(longest)?, session)?;
    let output = output(common, false, session)?;
    let latch = watch(session, &socket, Interest::READABLE | Interest::WRITABLE)?;
    let rules = exchange::Rules {
        silence: common.linger.map_or(Silence::Ignored, Silence::AfterFirst),
        count: common.count,
        send_only: common.reception == Reception::Discard,
        first: config.accept_timeout,
        idle: common.idle,
    };
    let peers = if config.to_all { Peers::All(Vec::new()) } else { Peers::Last(None) };
    let datagram = Datagram::new(socket, latch, peers, common.ways, Rc::clone(&session.tap));
    Exchange::new(input, output, datagram, rules, common.pace(), Instant::now()).run(session)
}

fn watch(session: &mut Session, socket: &Socket, interest: Interest) -> Result<Rc<Latch>> {
    session.reactor.watch(socket, interest).map_err(|cause| Error::system("poll", &cause))
}

/// Binds, and tells the port to whoever asked.
fn bind(config: &Listen, session: &mut Session) -> Result<Socket> {
    let common = &config.common;
    let port = config.target.port_number(common.protocol)?;
    let addresses = match &config.target.host {
        None => unspecified(port, common.family),
        Some(_) => {
            config.target.resolve(port, common.family, common.lookup, session.time_left())?
        }
    };
    let (socket, bound) = socket::bind_first(&addresses, common.family, common.protocol)?;
    session.event(&Event::Listening {
        protocol: common.protocol,
        address: bound,
        must_be_told: port == 0,
    });
    if let Some(path) = &config.port_file {
        write_port(path, bound.port())
            .map_err(|cause| Error::local("write", path.display(), &cause))?;
    }
    Ok(socket)
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

/// Writes the port number whole or not at all: a reader never sees half of it.
fn write_port(path: &Path, port: u16) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let result = std::fs::File::create(&temporary)
        .and_then(|mut file| writeln!(file, "{port}"))
        .and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // The failure itself is what is reported.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Waits for the first client and closes the listening socket.
fn accept_one(
    config: &Listen,
    listener: Socket,
    session: &mut Session,
) -> Result<(Socket, SocketAddr)> {
    let latch = watch(session, &listener, Interest::READABLE)?;
    let end = config.accept_timeout.map(|limit| (Instant::now() + limit, limit));
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                session.reactor.forget(&listener, &latch);
                socket.set_nonblocking(true).map_err(|cause| Error::system("accept", &cause))?;
                // accept(2) fills the address in for every internet socket.
                let peer = SockAddr::as_socket(&peer)
                    .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
                return Ok((socket, peer));
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(cause) if gone_before_accept(&cause) => continue,
            Err(cause) => {
                let place = socket::local_address(&listener)
                    .map(|local| Shown(local).to_string())
                    .unwrap_or_default();
                return Err(Error::network("accept", place, &cause));
            }
        }
        if let Some((end, limit)) = end
            && Instant::now() >= end
        {
            return Err(timed_out("--accept-timeout", "nobody has connected", limit));
        }
        session.wait(end.map(|(end, _)| end))?;
    }
}

/// Errors of accept(2) that concern a connection that is already gone, not the listener.
fn gone_before_accept(cause: &std::io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EINTR
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
        )
    )
}
