//! `pktcat compare`: the same messages over TCP and over UDP, side by side.

mod ground;
mod opened;

use std::rc::Rc;
use std::time::Instant;

use socket2::Socket;

use self::ground::Ground;
use super::{check, files, parts};
use crate::compare::measure::flow::Pacing;
use crate::compare::measure::peer::BuiltInPeer;
use crate::compare::measure::run::Runner;
use crate::compare::show::{explain, json, pictures, table};
use crate::compare::{self, Column, Comparison};
use crate::config;
use crate::config::compare::{Compare, CompareOutput};
use crate::error::{Error, Result, Status};
use crate::net::address::Protocol;
use crate::observe::dump::Dump;
use crate::observe::journal::{Journal, Verbosity};
use crate::observe::report::Lines;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial;
use crate::setup::resolve::{self, Addresses};

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Compare) -> Result<()> {
    let mut session = Session::new(Protocol::Tcp, Verbosity::Normal, None)?;
    let journal = session.console.journal();
    session.observe(Box::new(Lines::new(journal.clone(), Verbosity::Normal)));
    if let Some(paint) = config.dump {
        session.observe(Box::new(Dump::new(journal, paint)));
    }
    let result = measure(config, &mut session);
    session.finish(result)
}

fn measure(config: &Compare, session: &mut Session) -> Result<()> {
    check::compare(config)?;
    // Before anything is measured: what cannot be written need not be drawn.
    let drawing = config.svg.as_deref().map(|path| files::ready(path, session)).transpose()?;
    let capture = config.pcap.as_deref().map(|path| files::open(path, session)).transpose()?;
    let comparison = both(config, capture, session)?;
    if !comparison.is_telling() {
        return comparison.check();
    }
    parts::show(text(config, &comparison)?.as_bytes(), session)?;
    if let Some(drawing) = drawing {
        drawing
            .journal()
            .append(|out| out.extend_from_slice(pictures::svg(&comparison).as_bytes()));
        session.add_file(drawing);
        session.begin_files();
    }
    comparison.check()
}

fn both(config: &Compare, capture: Option<Journal>, session: &mut Session) -> Result<Comparison> {
    let is_captured = capture.is_some();
    let Ground { peer, network, impaired } = Ground::new(config, capture, session)?;
    let addresses = match &network {
        Some(network) => Addresses::all(vec![network.neighbour()]),
        None => outside(config, peer.as_ref(), session)?,
    };
    let known = addresses.known().to_vec();
    let is_in_lab = network.is_some();
    let mut runner = Runner::new(session, peer, network, config.pacing)?;
    let opened = if is_in_lab {
        opened::in_lab(&mut runner, &known, config)
    } else {
        opened::outside(runner.session(), addresses, config)
    };
    let (opened, failed) = match opened {
        Ok(opened) => (Some(opened), None),
        Err(error) if is_of_one(&error) => (None, Some(error)),
        Err(error) => return Err(error),
    };
    // The address that answered over TCP is the one to compare with.
    let targets = opened.as_ref().map_or(known, |(stream, _)| vec![stream.peer()]);
    let connected = dial::connect_datagram(&targets, &dial::From::default(), runner.session());
    let (socket, address) = match (connected, targets.first()) {
        // Over TCP there is nobody to connect to, and a socket for a group is not connected either.
        (Ok((_, group)), _) if group.ip().is_multicast() => {
            return Err(failed.unwrap_or_else(|| Error::usage("compare", "a group is no peer")));
        }
        (Ok((socket, address)), _) => (Ok(Rc::new(socket)), address),
        (Err(error), Some(address)) if is_of_one(&error) => (Err(error), *address),
        (Err(error), _) => return Err(failed.unwrap_or(error)),
    };
    let others: Vec<_> = runner.peer().map(BuiltInPeer::datagram_socket).into_iter().collect();
    let pacing = fitted(config, others.iter().chain(&socket));
    runner.keep_pace(pacing);
    if is_captured {
        runner.session().begin_files();
    }
    let tcp = match (opened, failed) {
        (Some((stream, set_up)), _) => {
            column(compare::over_tcp(&mut runner, stream, set_up, &config.script, pacing))?
        }
        (None, Some(error)) => Column::Failed(error),
        (None, None) => return Err(Error::usage("compare", "nothing was compared")),
    };
    let udp = socket.and_then(|socket| {
        compare::over_udp(&mut runner, socket, address, &others, &config.script, pacing)
    });
    Ok(Comparison {
        peer: address,
        is_built_in: runner.peer().is_some(),
        script: config.script.clone(),
        pacing,
        window_asked: config.pacing.window,
        impaired,
        tcp,
        udp: column(udp)?,
    })
}

/// The peer's addresses where the network is the machine's.
fn outside(
    config: &Compare,
    peer: Option<&BuiltInPeer>,
    session: &mut Session,
) -> Result<Addresses> {
    let limit = Limit::new("--reply-timeout", config.connect_timeout, Instant::now());
    match (&config.peer, peer) {
        (config::compare::Peer::Other(target), _) => {
            let port = check::peer_port(target, Protocol::Tcp)?;
            resolve::find(session, target, port, (config.family, config.lookup), Some(limit))
        }
        (_, Some(peer)) => Ok(Addresses::all(vec![peer.address()])),
        (config::compare::Peer::BuiltIn(_), None) => Ok(Addresses::all(Vec::new())),
    }
}

/// Whether an error is the peer's or the network's, so that it concerns one protocol and not the
/// run.
fn is_of_one(error: &Error) -> bool {
    matches!(
        error.status,
        Status::Refused | Status::TimedOut | Status::Unreachable | Status::Broken
    )
}

fn column(side: Result<compare::ProtocolResult>) -> Result<Column> {
    match side {
        Ok(side) => Ok(Column::Ran(Box::new(side))),
        Err(error) if is_of_one(&error) => Ok(Column::Failed(error)),
        Err(error) => Err(error),
    }
}

/// The pace, with the window that fits into the receive buffers.
fn fitted<'a>(config: &Compare, sockets: impl Iterator<Item = &'a Rc<Socket>>) -> Pacing {
    let room = sockets.filter_map(|socket| socket.recv_buffer_size().ok()).min();
    let window = compare::fitted_window(config.pacing.window, config.script.longest(), room);
    Pacing { window, ..config.pacing }
}

fn text(config: &Compare, comparison: &Comparison) -> Result<String> {
    Ok(match config.shown {
        CompareOutput::Json => {
            let host = match &config.peer {
                config::compare::Peer::Other(target) => target.host.as_deref(),
                config::compare::Peer::BuiltIn(_) => None,
            };
            json::object(comparison, host)?
        }
        CompareOutput::Table { explain, plot } => {
            let mut text = table::table(comparison);
            if explain {
                text.push_str(&explain::sentences(comparison));
            }
            if plot {
                text.push_str(&pictures::text(comparison));
            }
            text
        }
    })
}
