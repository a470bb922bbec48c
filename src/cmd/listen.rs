//! `pktcat listen`: waits for one client, or for datagrams from any number of peers.

use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use super::bind::{announce, bind, host, longest, open_datagram};
use super::parts::{dialogue, fin, input_of, output, settled, watch_socket};
use super::watch::{self, Watched};
use super::{check, reply, serve, tls};
use crate::config::{Listen, Task};
use crate::engine::datagram_relay::DatagramRelay;
use crate::engine::ends::{Rules, Silence};
use crate::engine::expect;
use crate::engine::input::Wire;
use crate::engine::relay::Relay;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::net::access::AccessList;
use crate::net::address::{Address, Protocol};
use crate::observe::tap::{Event, Link};
use crate::run::limits::{Limit, nearest};
use crate::run::session::Session;
use crate::serve::hub::role::Role;
use crate::setup::accept::Acceptor;
use crate::setup::resolve;
use crate::setup::tls::complete;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Listen) -> Result<()> {
    let prepare = |session: &mut Session| prepare(config, session);
    watch::session(Watched::of(&config.common), prepare, |ready, session| {
        dispatch(config, ready, session)
    })
}

/// What is prepared before the sockets are bound.
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
    let dialogue = dialogue(&config.common);
    let (waited, with) = (dialogue.as_ref(), dialogue.clone());
    let result = match (config.common.protocol, &config.task) {
        (_, Task::Command(words)) => serve::command(config, words, access, session),
        (Protocol::Udp, _) if single => datagrams(config, access, with, session),
        (Protocol::Tcp, _) if single && !config.keep_open => {
            one_client(config, access, with, session)
        }
        _ => serve::hub(config, access, role, session),
    };
    settled(result, waited)
}

fn one_client(
    config: &Listen,
    access: AccessList,
    dialogue: Option<expect::Shared>,
    session: &mut Session,
) -> Result<()> {
    let common = &config.common;
    let tls = match &config.tls {
        Some(tls) => Some(tls::acceptor(tls, host(config), session)?),
        None => None,
    };
    let listener = bind(config, Protocol::Tcp, session)?;
    announce(config, &[(Protocol::Tcp, &listener)], session)?;
    let input = input_of(common, Wire::Stream, dialogue.as_ref(), session)?;
    let output = output(common, true, session)?;
    let acceptor = Acceptor::new(listener, access, None, session)?;
    let (socket, peer) = first_client(config, acceptor, session)?;
    let link = Rc::new(Link::of(&socket, Protocol::Tcp, peer));
    session.event(&Event::Accepted(&link));
    if let Some(dialogue) = &dialogue {
        dialogue.borrow_mut().with(link.to_string());
    }
    let fin = fin(common, &input);
    let rules = common.rules(common.linger.map_or(Silence::Ignored, Silence::AfterInput));
    let latch = watch_socket(session, &socket)?;
    let mut output = output.of_peer(link.to_string());
    if config.tag {
        output = output.tagged_with(&link.peer);
    }
    let mut stream = Stream::new(socket, latch, link, Rc::clone(&session.tap));
    if let Some(tls) = tls {
        let limit = tls::limit(config.handshake, Instant::now());
        stream = complete(tls.begin(stream, limit)?, session)?;
    }
    Relay::new((input, output), stream, fin, rules, common.offload, common.pace(), Instant::now())
        .in_dialogue(dialogue)
        .run(session)
}

fn datagrams(
    config: &Listen,
    access: AccessList,
    dialogue: Option<expect::Shared>,
    session: &mut Session,
) -> Result<()> {
    let common = &config.common;
    let socket = Rc::new(bind(config, Protocol::Udp, session)?);
    let wire = common.datagrams(longest(&socket, common.family))?;
    announce(config, &[(Protocol::Udp, &socket)], session)?;
    session.count_drops_of(&socket);
    let input = input_of(common, wire, dialogue.as_ref(), session)?;
    let mut output = output(common, false, session)?;
    if config.tag {
        output = output.tagged();
    }
    let silence = common.linger.map_or(Silence::Ignored, Silence::AfterFirst);
    let rules = Rules { first: config.accept_timeout, ..common.rules(silence) };
    let datagram = open_datagram(config, socket, access, session)?;
    DatagramRelay::new(input, output, datagram, rules, common.pace(), Instant::now())
        .in_dialogue(dialogue)
        .run(session)
}

/// Waits for the first client, and then closes the listening socket. It does not check whether anybody
/// reads standard output: a client must not be refused because of that.
fn first_client(
    config: &Listen,
    mut acceptor: Acceptor,
    session: &mut Session,
) -> Result<(Socket, Address)> {
    let now = Instant::now();
    let limit = config.accept_timeout.map(|given| Limit::new("--accept-timeout", given, now));
    loop {
        // Each client that is turned away is told: while nobody reads that, none is accepted.
        let congested = session.is_congested();
        let next = if congested { None } else { acceptor.next(0, session)? };
        if let Some(client) = next {
            // The file of a local socket is removed before the socket is closed: after that another
            // process may bind to the path, and its file must stay.
            session.names.clear();
            acceptor.close(session);
            return Ok(client);
        }
        if let Some(limit) = limit {
            limit.check(session.looked_at(), || "nobody has connected".to_owned())?;
        }
        let retry = acceptor.deadline().filter(|_| !congested);
        session.wait([nearest([limit]), retry].into_iter().flatten().min())?;
    }
}
