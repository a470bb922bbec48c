//! The connection to compare with: through the lab, or as every other.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::compare::measure::attempt::Attempt;
use crate::compare::measure::run::Runner;
use crate::compare::measure::stream::TcpCarrier;
use crate::config::compare::{Compare, Peer};
use crate::engine::impair::Spec;
use crate::error::{Error, Result, Status};
use crate::net::congestion;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial::{self, Connected};
use crate::setup::resolve::Addresses;

/// A connection, and how long its handshake took.
type Opened = (TcpCarrier, Duration);

/// The peer is there for certain: a SYN is sent again after 1, 3 and 7 s (RFC 6298), and one of them
/// arrives unless hardly anything does.
const PATIENCE: Duration = Duration::from_secs(8);

/// Through the lab, whose packets the runner moves.
///
/// # Errors
/// When nobody answers in time.
pub(super) fn in_lab(
    runner: &mut Runner<'_>,
    known: &[SocketAddr],
    config: &Compare,
) -> Result<Opened> {
    let Some(&address) = known.first() else {
        return Err(Error::usage("compare", "the peer has no address"));
    };
    let prepare = |socket: &_| match &config.congestion_control {
        Some(name) => congestion::set(socket, name),
        None => Ok(()),
    };
    let begin = |session: &mut Session| Attempt::begin(&mut session.reactor, address, prepare);
    let limit = config.connect_timeout.max(PATIENCE);
    let (attempt, set_up) = runner.connect(begin, limit).map_err(|error| match error.status {
        Status::TimedOut => error.hint(why_none(config, limit)),
        _ => error,
    })?;
    let tap = Rc::clone(&runner.session().tap);
    Ok((TcpCarrier::new(attempt.socket, attempt.latch, address, tap), set_up))
}

/// Why nobody has answered within the limit: the peer is there for certain, and the network is as it was asked for.
fn why_none(config: &Compare, limit: Duration) -> String {
    let is_cut =
        matches!(config.peer, Peer::BuiltIn(Some(Spec { loss: Some(loss), .. })) if loss >= 1.0);
    if is_cut {
        "--impair loses every packet".to_owned()
    } else if limit > PATIENCE {
        "--impair let no handshake through; -w sets the limit".to_owned()
    } else {
        let least = humantime::format_duration(PATIENCE);
        format!("--impair let no handshake through; the limit is {least}, or -w if that is longer")
    }
}

/// To the first address that answers.
///
/// # Errors
/// When none does.
pub(super) fn outside(
    session: &mut Session,
    addresses: Addresses,
    config: &Compare,
) -> Result<Opened> {
    let limit = Limit::new("--reply-timeout", config.connect_timeout, Instant::now());
    let begun = Instant::now();
    let Connected { socket, latch, peer: answered } =
        dial::connect(session, addresses, &dial::From::default(), Some(limit))?;
    let Some(address) = answered.internet() else {
        return Err(Error::usage(answered.to_string(), "compare works over IP"));
    };
    let set_up = begun.elapsed();
    if let Some(name) = &config.congestion_control {
        congestion::set(&socket, name)?;
    }
    Ok((TcpCarrier::new(socket, latch, address, Rc::clone(&session.tap)), set_up))
}
