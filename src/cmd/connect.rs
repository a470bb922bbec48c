//! `pktcat connect`: connects to one peer and exchanges data with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::check;
use super::parts::{dialogue, input_of, output, settled, tell_granted, watch_socket};
use super::tls;
use super::watch::{self, Watched};
use crate::config::{Connect, Place, Stdin};
use crate::engine::datagram::{Datagram, Peers, longest_to};
use crate::engine::datagram_relay::{DatagramRelay, NextAddress};
use crate::engine::ends::{Fin, Rules, Silence};
use crate::engine::expect;
use crate::engine::input::Wire;
use crate::engine::relay::Relay;
use crate::engine::stream::Stream;
use crate::error::{Error, Result, Status};
use crate::io::latch::Latch;
use crate::net::address::{Address, HostPort, Lookup, Protocol, port_number};
use crate::net::local;
use crate::net::options::Options;
use crate::net::socket;
use crate::observe::journal::Verbosity;
use crate::observe::tap::{Event, Link};
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial::{self, Connected};
use crate::setup::opening::{Opening, Stages};
use crate::setup::resolve;
use crate::setup::target::Reaching;

/// How long `connect --udp` waits for replies after standard input's end.
const UDP_LINGER: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Connect) -> Result<()> {
    let common = &config.common;
    let prepare = |_: &mut Session| check::connect(config);
    watch::session(Watched::of(common), prepare, |(), session| {
        let dialogue = dialogue(common);
        let result = match common.protocol {
            Protocol::Tcp => tcp(config, dialogue.clone(), session),
            Protocol::Udp => udp(config, dialogue.clone(), session),
        };
        settled(result, dialogue.as_ref())
    })
}

fn tcp(config: &Connect, dialogue: Option<expect::Shared>, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let stages = tls::stages(config.proxy.as_ref(), &config.place, config.tls.as_ref(), session)?;
    let stream = again(config, session, |session| open(config, &stages, session))?;
    let (peer, address) = (stream.link().to_string(), stream.link().peer.clone());
    if let Some(dialogue) = &dialogue {
        dialogue.borrow_mut().with(peer.clone());
    }
    let ends = input_of(common, Wire::Stream, dialogue.as_ref(), session)
        .and_then(|input| Ok((input, output(common, true, session)?)))
        // A reset rather than a FIN: the peer must not take this for the end of an empty stream.
        .inspect_err(|_| stream.abort());
    let (input, output) = ends?;
    let mut output = output.of_peer(peer);
    if config.tag {
        output = output.tagged_with(&address);
    }
    let fin = match common.stdin {
        _ if common.no_shutdown => Fin::Never,
        Stdin::Ignore => Fin::AtPeerClose,
        // Who has nothing to say waits for the peer's word, and many a peer takes a FIN for the end.
        Stdin::Send if dialogue.is_some() && input.is_null() => Fin::AtPeerClose,
        Stdin::Send => Fin::AtInputEnd,
    };
    let rules = common.rules(common.linger.map_or(Silence::Ignored, Silence::AfterInput));
    Relay::new((input, output), stream, fin, rules, common.offload, common.pace(), Instant::now())
        .in_dialogue(dialogue)
        .run(session)
}

/// A connection that is ready for the payload.
fn open(config: &Connect, stages: &Stages, session: &mut Session) -> Result<Stream> {
    let begun = Instant::now();
    let Connected { socket, latch, peer } = match (&config.place, &config.proxy) {
        (Place::Internet(_), Some(proxy)) => {
            dial(config, &proxy.place, session).map_err(|error| match error.status {
                Status::Refused | Status::TimedOut | Status::Unreachable => error.hint("the proxy"),
                _ => error,
            })?
        }
        (Place::Internet(target), None) => dial(config, target, session)?,
        (Place::Unix(path), _) => dial_local(config, path, session)?,
    };
    let link = Rc::new(Link::of(&socket, Protocol::Tcp, peer));
    session.event(&Event::Connected(&link));
    tell_granted(&config.common.options, &socket, session);
    let stream = Stream::new(socket, latch, link, Rc::clone(&session.tap));
    if stages.is_empty() {
        return Ok(stream);
    }
    // One limit for all of it, where one was given.
    let from = config.connect_timeout.map_or_else(Instant::now, |_| begun);
    let limit = tls::limit(config.connect_timeout, from);
    Opening::new(stream, stages, limit, session)?.complete(session)
}

/// Makes an attempt, and further ones if it fails and `--retry` allows them.
fn again<T>(
    config: &Connect,
    session: &mut Session,
    mut attempt: impl FnMut(&mut Session) -> Result<T>,
) -> Result<T> {
    let mut tries_left = config.retry;
    loop {
        match attempt(session) {
            Err(error) if tries_left > 0 && may_pass(&error, config) => {
                // A failure by timeout may be that of the whole run (`--timeout`), which ends it. Signals
                // are handled here too, even if the pause is 0.
                session.look()?;
                tries_left -= 1;
                if session.verbosity == Verbosity::Verbose {
                    session.event(&Event::Error(&error));
                }
                pause(session, config.retry_delay)?;
                tell_retry(config.retry - tries_left, config.retry, session);
            }
            other => return other,
        }
    }
}

/// With `-v`, counts the attempts.
fn tell_retry(number: u32, all: u32, session: &mut Session) {
    if session.verbosity == Verbosity::Verbose {
        session.event(&Event::Detail(&format!("retry {number} of {all}")));
    }
}

/// Whether another attempt may succeed.
fn may_pass(error: &Error, config: &Connect) -> bool {
    match error.status {
        Status::Refused | Status::TimedOut | Status::Unreachable => true,
        // With `--numeric` no look-up is made, and the result cannot change.
        Status::Unresolved => config.common.lookup == Lookup::Names,
        _ => error.is_passing(),
    }
}

fn pause(session: &mut Session, delay: Duration) -> Result<()> {
    let end = Instant::now() + delay;
    while Instant::now() < end {
        session.wait(Some(end))?;
    }
    Ok(())
}

fn dial(config: &Connect, target: &HostPort, session: &mut Session) -> Result<Connected> {
    let (common, limit) = (&config.common, limit(config));
    let port = check::peer_port(target, common.protocol)?;
    let from = source(config, limit, session)?;
    let addresses = resolve::find(session, target, port, common.names(), limit)?;
    dial::connect(session, from.reachable(addresses)?, &from, limit)
}

/// Connects to a local socket, and waits while the listener's queue is full.
fn dial_local(config: &Connect, path: &Path, session: &mut Session) -> Result<Connected> {
    let own = config.source.as_ref().map(PathBuf::from);
    let (options, now) = (config.common.options.clone(), Instant::now());
    Reaching::local(Rc::from(path), own, options, limit(config), now).complete(session)
}

/// The limit for look-ups and connecting together.
fn limit(config: &Connect) -> Option<Limit> {
    config.connect_timeout.map(|length| Limit::new("--connect-timeout", length, Instant::now()))
}

fn source(config: &Connect, limit: Option<Limit>, session: &mut Session) -> Result<dial::From> {
    let common = &config.common;
    let port = match &config.source_port {
        Some(word) => port_number(word, common.protocol)?,
        None => 0,
    };
    let addresses = match &config.source {
        Some(host) => resolve::resolve_host(session, host, 0, common.names(), limit)?,
        None => Vec::new(),
    };
    Ok(dial::From { addresses, port, options: common.options.clone(), hears: config.hears })
}

/// A datagram socket for the peer.
struct Reached {
    socket: Socket,
    peer: Address,
    /// The addresses behind the peer's, to be tried when nobody is there.
    others: Vec<SocketAddr>,
    /// All addresses, to be tried once more.
    all: Vec<SocketAddr>,
}

fn reach(config: &Connect, session: &mut Session) -> Result<Reached> {
    let common = &config.common;
    match &config.place {
        Place::Internet(target) => {
            let port = check::peer_port(target, common.protocol)?;
            again(config, session, |session| {
                let limit = limit(config);
                let from = source(config, limit, session)?;
                let addresses = resolve::find(session, target, port, common.names(), limit)?;
                let all = from.reachable(addresses)?.known().to_vec();
                let (socket, peer, others) = first_of(&all, &from, session)?;
                Ok(Reached { socket, peer: Address::Internet(peer), others, all })
            })
        }
        Place::Unix(path) => {
            let own = config.source.as_ref().map(Path::new);
            let (socket, name) = again(config, session, |_| local::connect_datagram(path, own))?;
            common.options.apply_local(&socket)?;
            session.names.extend(name);
            let peer = Address::Unix(Some(Rc::from(path.as_path())));
            Ok(Reached { socket, peer, others: Vec::new(), all: Vec::new() })
        }
    }
}

fn udp(config: &Connect, dialogue: Option<expect::Shared>, session: &mut Session) -> Result<()> {
    let common = &config.common;
    let Reached { socket, peer, others, all } = reach(config, session)?;
    let longest = longest_to(&peer);
    let wire = common.datagrams(longest)?;
    let (socket, latch, peer) = opened(socket, peer, &common.options, session)?;
    if let Some(dialogue) = &dialogue {
        dialogue.borrow_mut().with(socket::name(&peer, Protocol::Udp));
    }
    let input = input_of(common, wire, dialogue.as_ref(), session)?;
    let mut output = output(common, false, session)?;
    if config.tag {
        output = match socket::peer_address(&socket) {
            Some(peer) => output.tagged_with(&peer),
            None => output.tagged(),
        };
    }
    let silence = match (common.stdin, common.linger) {
        // Nothing is sent, so that there are no last replies to wait for: only --linger itself, if
        // given, ends the run.
        (Stdin::Ignore, None) => Silence::Ignored,
        (_, linger) => Silence::AfterInput(linger.unwrap_or(UDP_LINGER)),
    };
    let rules = Rules { count: common.count, ..common.rules(silence) };
    let tap = Rc::clone(&session.tap);
    let peers = Peers::only(&socket, peer, config.following);
    let datagram = Datagram::new(socket, latch, peers, common.offload, common.fetch(), tap);
    let mut relay =
        DatagramRelay::new(input, output, datagram, rules, common.pace(), Instant::now());
    if !others.is_empty() || config.retry > 0 {
        let from = source(config, limit(config), session)?;
        relay = relay.or(next_of(others, all, from, config));
    }
    relay.in_dialogue(dialogue).run(session)
}

/// A socket connected to the first address that has a route, that address, and the ones after it.
fn first_of(
    addresses: &[SocketAddr],
    from: &dial::From,
    session: &mut Session,
) -> Result<(Socket, SocketAddr, Vec<SocketAddr>)> {
    let (socket, peer) = dial::connect_datagram(addresses, from, session)?;
    let others = addresses.iter().skip_while(|address| **address != peer).skip(1).copied();
    Ok((socket, peer, others.collect()))
}

/// What gives the next socket to try: for the other addresses one after the other, then for all of them
/// again as often as `--retry` allows.
fn next_of(
    mut others: Vec<SocketAddr>,
    all: Vec<SocketAddr>,
    from: dial::From,
    config: &Connect,
) -> NextAddress {
    let (retries, delay) = (config.retry, config.retry_delay);
    let mut tries_left = retries;
    Box::new(move |session| {
        if others.is_empty() {
            if tries_left == 0 || all.is_empty() {
                return Ok(None);
            }
            tries_left -= 1;
            session.look()?;
            pause(session, delay)?;
            tell_retry(retries - tries_left, retries, session);
            others.clone_from(&all);
        }
        let (socket, peer, rest) = first_of(&others, &from, session)?;
        others = rest;
        opened(socket, Address::Internet(peer), &from.options, session).map(Some)
    })
}

/// Announces a connected datagram socket and has the event loop watch it.
fn opened(
    socket: Socket,
    peer: Address,
    options: &Options,
    session: &mut Session,
) -> Result<(Rc<Socket>, Rc<Latch>, Address)> {
    let socket = Rc::new(socket);
    session.count_drops_of(&socket);
    session.event(&Event::Connected(&Link::of(&socket, Protocol::Udp, peer.clone())));
    tell_granted(options, &socket, session);
    let latch = watch_socket(session, &socket)?;
    Ok((socket, latch, peer))
}
