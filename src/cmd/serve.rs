//! `pktcat listen` as a server: many clients, prepared answers, a program for each client.

use std::ffi::OsString;
use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::bind::{announce, bind, bind_to, host, longest, open_datagram};
use super::parts::{fin, input, output};
use super::{reply, tls};
use crate::config::{Listen, Place, Task};
use crate::engine::datagram::Datagram;
use crate::engine::ends::{Fin, Rules, Silence};
use crate::engine::input::Wire;
use crate::error::{Error, Result, Status};
use crate::net::access::AccessList;
use crate::net::address::{HostPort, Protocol};
use crate::net::socket;
use crate::run::session::Session;
use crate::serve::children::Children;
use crate::serve::hub::role::Role;
use crate::serve::hub::{Hub, Parts, Settings};
use crate::setup::accept::Acceptor;
use crate::sys;

/// Serves TCP clients and UDP peers in one event loop.
pub(super) fn hub(
    config: &Listen,
    access: AccessList,
    role: Role,
    session: &mut Session,
) -> Result<()> {
    let common = &config.common;
    if config.keep_open {
        let _ = sys::raise_descriptor_limit();
    }
    let handshakes = match &config.tls {
        None => None,
        Some(tls) => Some(tls::handshakes(tls, host(config), config.handshake, session)?),
    };
    let (tcp, udp) = sockets(config, session)?;
    let longest = udp.as_ref().map(|udp| longest(udp, common.family));
    reply::fits(&role, longest)?;
    // Where standard input goes to TCP clients and UDP peers, each of its messages must fit into a
    // datagram.
    let wire = longest.map_or(Ok(Wire::Stream), |longest| common.datagrams(longest))?;
    let bound = [(Protocol::Tcp, &tcp), (Protocol::Udp, &udp)];
    let bound: Vec<_> =
        bound.into_iter().filter_map(|(protocol, one)| Some((protocol, one.as_ref()?))).collect();
    announce(config, &bound, session)?;
    let acceptor = tcp
        .map(|tcp| Acceptor::new(tcp, access.clone(), config.max_clients, session))
        .transpose()?;
    let datagrams = udp.map(|udp| datagrams(config, udp, access, session)).transpose()?;
    let output = output(common, true, session)?.of_whole_messages();
    let input = if role.sends_input() { Some(input(common, wire, session)?) } else { None };
    // A listener for UDP alone ends when its peers have been silent, whether or not standard input has
    // ended; with TCP the silence counts from the end of standard input.
    let silence = match (common.linger, &acceptor) {
        (None, _) => Silence::Ignored,
        (Some(limit), None) => Silence::AfterFirst(limit),
        (Some(limit), Some(_)) => Silence::AfterInput(limit),
    };
    let settings = Settings {
        keep_open: config.keep_open,
        queue: config.queue,
        tag: config.tag,
        output: common.output,
        fin: match &input {
            // The other clients go on sending after standard input has ended.
            Some(_) if matches!(config.task, Task::Chat) => Fin::Never,
            Some(input) => fin(common, input),
            // After an answer that is ready, too.
            None if common.no_shutdown => Fin::Never,
            None => Fin::AtPeerClose,
        },
        crlf: common.crlf().is_some(),
        input: common.input,
        ending: Rules { first: config.accept_timeout, ..common.rules(silence) },
    };
    let parts = Parts { acceptor, handshakes, datagrams, input, output };
    Hub::new(settings, role, parts, common.pace(), Instant::now()).run(session)
}

/// The bound sockets, for TCP and for UDP: of one of them, or of both on the same port number.
fn sockets(config: &Listen, session: &mut Session) -> Result<(Option<Socket>, Option<Socket>)> {
    if let (true, Place::Internet(target)) = (config.both, &config.place) {
        let (tcp, udp) = bind_both(config, target, session)?;
        return Ok((Some(tcp), Some(udp)));
    }
    let protocol = config.common.protocol;
    let socket = bind(config, protocol, session)?;
    Ok(match protocol {
        Protocol::Tcp => (Some(socket), None),
        Protocol::Udp => (None, Some(socket)),
    })
}

/// Binds TCP and UDP sockets to the same port number. A free TCP port that the kernel chose may be taken
/// for UDP; then the kernel is asked for another.
fn bind_both(
    config: &Listen,
    target: &HostPort,
    session: &mut Session,
) -> Result<(Socket, Socket)> {
    let wanted = target.port_number(Protocol::Tcp)?;
    let mut tries = if wanted == 0 { 16 } else { 1 };
    loop {
        tries -= 1;
        let tcp = bind_to(config, target, Protocol::Tcp, wanted, session)?;
        let port = socket::local_port(&tcp);
        match bind_to(config, target, Protocol::Udp, port, session) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if wanted == 0 && tries == 0 => {
                return Err(error.hint("no port that was tried is free for both protocols"));
            }
            Err(error) if tries == 0 || error.status != Status::Failure => return Err(error),
            Err(_) => {}
        }
    }
}

fn datagrams(
    config: &Listen,
    socket: Socket,
    access: AccessList,
    session: &mut Session,
) -> Result<Datagram> {
    let socket = Rc::new(socket);
    session.count_drops_of(&socket);
    open_datagram(config, socket, access, session)
}

/// Runs a program for each connection.
pub(super) fn command(
    config: &Listen,
    words: &[OsString],
    access: AccessList,
    session: &mut Session,
) -> Result<()> {
    let socket = bind(config, Protocol::Tcp, session)?;
    announce(config, &[(Protocol::Tcp, &socket)], session)?;
    let acceptor = Acceptor::new(socket, access, config.max_clients, session)?;
    session.reactor.hear_children().map_err(|cause| Error::system("signals", &cause))?;
    Children::new(words, config.keep_open, config.accept_timeout).run(acceptor, session)
}
