//! `pktcat forward`: listens at FROM and leads every client to TO.

use std::rc::Rc;

use socket2::Socket;

use super::bind::{Binding, announce, bind, longest};
use super::check;
use super::parts::watch_socket;
use super::tls;
use super::watch::{self, Watched};
use crate::config::{Forward, Place};
use crate::engine::datagram::{Datagram, Peers};
use crate::error::Result;
use crate::forward::datagrams;
use crate::forward::passage::Passage;
use crate::forward::streams::{self, DATAGRAM_IDLE, SPARE_DESCRIPTORS};
use crate::forward::unheard::unheard;
use crate::net::access::AccessList;
use crate::net::address::Protocol;
use crate::net::socket::failure::needs_broadcast;
use crate::run::session::Session;
use crate::setup::accept::Acceptor;
use crate::setup::dial::From;
use crate::setup::resolve;
use crate::setup::target::Target;
use crate::sys::{self, Fetch};

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Forward) -> Result<()> {
    let Forward { verbosity, timeout, seen, .. } = config;
    let protocol = config.from.protocol;
    let watched =
        Watched { protocol, verbosity: *verbosity, timeout: *timeout, seen, is_local: false };
    let prepare = |session: &mut Session| prepare(config, session);
    watch::session(watched, prepare, |ready, session| {
        if config.impairment.is_any() {
            session.tap.begin_impairing();
        }
        match protocol {
            Protocol::Tcp => streams(config, ready, session),
            Protocol::Udp => datagrams(config, ready, session),
        }
    })
}

/// What is known before anybody can come.
struct Ready {
    access: AccessList,
    passage: Passage,
}

fn prepare(config: &Forward, session: &mut Session) -> Result<Ready> {
    check::forward(config)?;
    let names = config.names();
    let access = config.access(|host| resolve::resolve_host(session, host, 0, names, None))?;
    let place = match &config.proxy {
        // The proxy looks TO up.
        Some(proxy) => &Place::Internet(proxy.place.clone()),
        None => &config.to.place,
    };
    let to = match place {
        Place::Unix(path) => Target::Local(Rc::from(path.as_path()), config.options.clone()),
        Place::Internet(target) => {
            let port = check::peer_port(target, config.to.protocol)?;
            let addresses = resolve::resolve(session, target, port, names, None)?;
            let from = From { options: config.options.clone(), ..From::default() };
            let forbidden = config.to.protocol == Protocol::Udp
                && !config.options.broadcast
                && addresses.iter().all(|address| needs_broadcast(*address));
            let to = Target::Internet(addresses, Rc::new(from));
            if forbidden {
                // It is the same for every client.
                drop(to.connect_datagram(session)?);
            }
            to
        }
    };
    let stages =
        tls::stages(config.proxy.as_ref(), &config.to.place, config.to_tls.as_ref(), session)?;
    let (connect_timeout, handshake) = (config.connect_timeout, tls::HANDSHAKE);
    Ok(Ready { access, passage: Passage { to, stages, connect_timeout, handshake } })
}

fn streams(
    config: &Forward,
    Ready { access, passage }: Ready,
    session: &mut Session,
) -> Result<()> {
    let descriptors = sys::raise_descriptor_limit();
    let host = match &config.from.place {
        Place::Internet(target) => target.host.as_deref(),
        Place::Unix(_) => None,
    };
    let welcome = match &config.from_tls {
        Some(tls) => Some(tls::acceptor(tls, host, session)?),
        None => None,
    };
    let listener = bound(config, session)?;
    let acceptor = Acceptor::new(listener, access, config.max_clients, session)?;
    let settings = streams::Settings {
        passage,
        welcome,
        idle: config.idle,
        datagrams: config.messages,
        impairment: config.impairment,
        once: config.once,
        offload: config.offload,
        descriptors,
    };
    streams::Forwarder::new(settings, acceptor, unheard(session)).run(session)
}

fn datagrams(
    config: &Forward,
    Ready { access, passage }: Ready,
    session: &mut Session,
) -> Result<()> {
    let descriptors = sys::raise_descriptor_limit();
    let socket = Rc::new(bound(config, session)?);
    session.count_drops_of(&socket);
    let longest = longest(&socket, config.family);
    let latch = watch_socket(session, &socket)?;
    session.reactor.retry(&latch);
    let unheard = unheard(session);
    let (offload, tap) = (config.offload, Rc::clone(&unheard));
    let peers = Peers::Last(None);
    let mut front = Datagram::new(socket, latch, peers, offload, Fetch::Many, tap);
    front.guard(access);
    let by_descriptors = descriptors.saturating_sub(SPARE_DESCRIPTORS).max(1);
    let settings = datagrams::Settings {
        passage,
        stream: config.messages,
        idle: config.idle.unwrap_or(DATAGRAM_IDLE),
        impairment: config.impairment,
        once: config.once,
        most: config.max_clients.unwrap_or(usize::try_from(by_descriptors).unwrap_or(usize::MAX)),
        longest,
        offload,
    };
    datagrams::DatagramForwarder::new(settings, front, unheard).run(session)
}

/// The socket of FROM, bound and told of.
fn bound(config: &Forward, session: &mut Session) -> Result<Socket> {
    let binding = Binding {
        place: &config.from.place,
        family: config.family,
        lookup: config.lookup,
        options: &config.options,
        port_file: config.port_file.as_deref(),
    };
    let protocol = config.from.protocol;
    let socket = bind(binding, protocol, session)?;
    announce(binding, &[(protocol, &socket)], session)?;
    Ok(socket)
}
