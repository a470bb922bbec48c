//! `pktcat listen`: waits for a peer, or for datagrams of any number of them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use mio::Interest;
use socket2::Socket;

use super::files::READER_CHECK;
use super::{check, input, output, port_file, reply, serve, tell_granted, watch};
use crate::config::{Common, Listen, Place, Reception, Stdin, Task};
use crate::engine::datagram::{Datagram, LONGEST_IPV4, LONGEST_IPV6, Peers};
use crate::engine::datagram_relay::DatagramRelay;
use crate::engine::ends::{Fin, Rules, Silence};
use crate::engine::input::{Input, Wire};
use crate::engine::relay::Relay;
use crate::engine::stream::Stream;
use crate::error::{Error, Result};
use crate::io::reactor::Latch;
use crate::net::access::AccessList;
use crate::net::address::{Address, Family, HostPort, Protocol};
use crate::net::local;
use crate::net::socket;
use crate::observe::tap::{Event, Link};
use crate::run::console;
use crate::run::limits::{Limit, nearest};
use crate::run::session::Session;
use crate::serve::hub::role::Role;
use crate::setup::accept::Acceptor;
use crate::setup::resolve;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub fn run(config: &Listen) -> Result<()> {
    let prepare = |session: &mut Session| prepare(config, session);
    watch::session(&config.common, prepare, |ready, session| dispatch(config, ready, session))
}

/// What is known before anybody can come.
struct Ready {
    access: AccessList,
    role: Role,
}

fn prepare(config: &Listen, session: &mut Session) -> Result<Ready> {
    check::listen(config)?;
    let names = config.common.names();
    let access = config.access(|host| resolve::resolve_host(session, host, 0, names, None))?;
    let role = reply::role(config, check::longest_datagram(config)?, session)?;
    Ok(Ready { access, role })
}

fn dispatch(config: &Listen, Ready { access, role }: Ready, session: &mut Session) -> Result<()> {
    let single = matches!(config.task, Task::Relay) && !config.both;
    match (config.common.protocol, &config.task) {
        (_, Task::Command(words)) => serve::command(config, words, access, session),
        (Protocol::Udp, _) if single => datagrams(config, access, session),
        (Protocol::Tcp, _) if single && !config.keep_open => one_client(config, access, session),
        _ => serve::hub(config, access, role, session),
    }
}

fn one_client(config: &Listen, access: AccessList, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let listener = bind(config, Protocol::Tcp, session)?;
    announce(config, &[(Protocol::Tcp, &listener)], session)?;
    let input = input(common, Wire::Stream, session)?;
    let output = output(common, true, session)?;
    let acceptor = Acceptor::new(listener, access, None, session)?;
    let (socket, peer) = first_client(config, acceptor, session)?;
    let link = Rc::new(Link::of(&socket, Protocol::Tcp, peer));
    session.event(&Event::Accepted(&link));
    let fin = fin(common, &input);
    let rules = common.rules(common.linger.map_or(Silence::Ignored, Silence::AfterInput));
    let latch = watch(session, &socket)?;
    let mut output = output.of_peer(link.to_string());
    if config.tag {
        output = output.tagged_with(&link.peer);
    }
    let stream = Stream::new(socket, latch, link, Rc::clone(&session.tap));
    Relay::new((input, output), stream, fin, rules, common.offload, common.pace(), Instant::now())
        .run(session)
}

/// When a listener's clients get their FIN: one with nothing to say holds it back, so that a
/// client that quits at a FIN is heard to its end.
pub(super) fn fin(common: &Common, input: &Input) -> Fin {
    let nothing_to_say = common.stdin == Stdin::Ignore || input.is_null();
    if common.no_shutdown {
        Fin::Never
    } else if nothing_to_say && common.reception == Reception::Write {
        Fin::AtPeerFin
    } else {
        Fin::AtInputEnd
    }
}

fn datagrams(config: &Listen, access: AccessList, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let socket = Rc::new(bind(config, Protocol::Udp, session)?);
    let wire = common.datagrams(longest(&socket, common.family))?;
    announce(config, &[(Protocol::Udp, &socket)], session)?;
    session.count_drops_of(&socket);
    let input = input(common, wire, session)?;
    let mut output = output(common, false, session)?;
    if config.tag {
        output = output.tagged();
    }
    let silence = common.linger.map_or(Silence::Ignored, Silence::AfterFirst);
    let rules = Rules { first: config.accept_timeout, ..common.rules(silence) };
    let datagram = open_datagram(config, socket, access, session)?;
    DatagramRelay::new(input, output, datagram, rules, common.pace(), Instant::now()).run(session)
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
    let latch = watch(session, &socket)?;
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

fn watch(session: &mut Session, socket: &Socket) -> Result<Rc<Latch>> {
    session
        .reactor
        .watch(socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))
}

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

/// Waits for the first client and closes the listening socket. Whether anybody reads standard output
/// is asked once there is one: a client must not find the acceptor shut because of that.
fn first_client(
    config: &Listen,
    mut acceptor: Acceptor,
    session: &mut Session,
) -> Result<(Socket, Address)> {
    let now = Instant::now();
    let limit = config.accept_timeout.map(|given| Limit::new("--accept-timeout", given, now));
    loop {
        if let Some(client) = acceptor.next(0, session)? {
            // Before the socket is closed: the path of one that is, others may take over.
            session.names.clear();
            acceptor.close(session);
            return Ok(client);
        }
        if let Some(limit) = limit {
            limit.check(session.looked_at(), || "nobody has connected".to_owned())?;
        }
        session.wait([nearest([limit]), acceptor.deadline()].into_iter().flatten().min())?;
    }
}
