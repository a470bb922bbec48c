//! `pktcat compare`: the same messages over TCP and over UDP, side by side.

use std::rc::Rc;
use std::time::Instant;

use super::{check, files, parts};
use crate::compare::measure::flow::Pacing;
use crate::compare::measure::peer::BuiltInPeer;
use crate::compare::measure::run::Runner;
use crate::compare::measure::stream::TcpCarrier;
use crate::compare::show::{explain, json, plot, svg, table};
use crate::compare::{self, Comparison};
use crate::config;
use crate::config::compare::{Compare, CompareOutput};
use crate::error::{Error, Result};
use crate::net::address::Protocol;
use crate::observe::dump::Dump;
use crate::observe::journal::Verbosity;
use crate::observe::report::Lines;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial::{self, Connected};
use crate::setup::resolve::{self, Addresses};

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Compare) -> Result<()> {
    let mut session = Session::new(Protocol::Udp, Verbosity::Normal, None)?;
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
    // The file is opened before anything is measured: that it cannot be written should not be found
    // out after a long run.
    let drawing = config.svg.as_deref().map(|path| files::open(path, session)).transpose()?;
    let comparison = both(config, session)?;
    comparison.check()?;
    parts::show(text(config, &comparison)?.as_bytes(), session)?;
    if let Some(drawing) = drawing {
        session.begin_files();
        drawing.append(|out| out.extend_from_slice(svg::draw(&comparison).as_bytes()));
    }
    Ok(())
}

fn both(config: &Compare, session: &mut Session) -> Result<Comparison> {
    let Compare { family, script, .. } = config;
    let peer = match &config.peer {
        config::compare::Peer::Other(_) => None,
        config::compare::Peer::BuiltIn(impairment) => {
            let interval = config.pacing.interval;
            Some(BuiltInPeer::start(&mut session.reactor, *family, *impairment, interval)?)
        }
    };
    let limit = Limit::new("--reply-timeout", config.connect_timeout, Instant::now());
    let addresses = match (&config.peer, &peer) {
        (config::compare::Peer::Other(target), _) => {
            let port = check::peer_port(target, Protocol::Tcp)?;
            resolve::find(session, target, port, (*family, config.lookup), Some(limit))?
        }
        (_, Some(peer)) => Addresses::all(vec![peer.address()]),
        (config::compare::Peer::BuiltIn(_), None) => Addresses::all(Vec::new()),
    };
    let begun = Instant::now();
    let Connected { socket, latch, peer: answered } =
        dial::connect(session, addresses, &dial::From::default(), Some(limit))?;
    let Some(address) = answered.internet() else {
        return Err(Error::usage(answered.to_string(), "compare works over IP"));
    };
    let set_up = begun.elapsed();
    let stream = TcpCarrier::new(socket, latch, address, Rc::clone(&session.tap));
    // Of a name's addresses UDP uses the one that has answered over TCP: both must measure the same
    // peer.
    let (socket, _) = dial::connect_datagram(&[address], &dial::From::default())?;
    let others: Vec<_> = peer.iter().map(BuiltInPeer::datagram_socket).collect();
    let room = others.iter().map(|socket| &**socket).chain([&socket]);
    let room = room.filter_map(|socket| socket.recv_buffer_size().ok()).min();
    let pacing = Pacing {
        window: compare::fitted_window(config.pacing.window, script.longest(), room),
        ..config.pacing
    };
    let is_built_in = peer.is_some();
    let mut runner = Runner::new(session, peer, pacing)?;
    let tcp = compare::over_tcp(&mut runner, stream, set_up, script, pacing)?;
    let udp = compare::over_udp(&mut runner, Rc::new(socket), address, &others, script, pacing)?;
    Ok(Comparison {
        peer: address,
        is_built_in,
        script: script.clone(),
        pacing,
        window_asked: config.pacing.window,
        impairment: match config.peer {
            config::compare::Peer::BuiltIn(impairment) => impairment,
            config::compare::Peer::Other(_) => None,
        },
        tcp,
        udp,
    })
}

fn text(config: &Compare, comparison: &Comparison) -> Result<String> {
    Ok(match config.shown {
        CompareOutput::Json => json::object(comparison)?,
        CompareOutput::Table { explain, plot } => {
            let mut text = table::table(comparison);
            if explain {
                text.push_str(&explain::sentences(comparison));
            }
            if plot {
                text.push_str(&plot::draw(comparison));
            }
            text
        }
    })
}
