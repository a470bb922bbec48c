//! A place that is connected to again and again, once for every client of a forwarder.

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result, Status};
use crate::net::address::{Address, Protocol};
use crate::net::local;
use crate::net::options::Options;
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::dial::{self, Connected, Dialing, From};
use crate::setup::resolve::Addresses;

/// How often is tried whether a local listener's queue has room.
const QUEUE_CHECK: Duration = Duration::from_millis(20);

/// Where connections lead.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The addresses of a host, tried in this order, and where to connect from.
    Internet(Vec<SocketAddr>, Rc<From>),
    /// A listening local socket, and the options of the sockets that are connected to it.
    Local(Rc<Path>, Options),
}

impl Target {
    /// Begins to connect; `limit` is how long that may take.
    #[must_use]
    pub(crate) fn dial(&self, limit: Option<Duration>, now: Instant) -> Reaching {
        let limit = limit.map(|given| Limit::new("--connect-timeout", given, now));
        match self {
            Self::Internet(addresses, from) => {
                let addresses = Addresses::all(addresses.clone());
                Reaching::Internet(Dialing::new(addresses, Rc::clone(from), limit, now))
            }
            Self::Local(path, options) => {
                let (path, options) = (Rc::clone(path), options.clone());
                Reaching::Local { path, options, limit, next_at: now }
            }
        }
    }
}

impl Target {
    /// A datagram socket connected to it, and its address there. Nothing is sent.
    ///
    /// # Errors
    /// When no address has a route, or nobody has bound the path.
    pub(crate) fn connect_datagram(&self, session: &mut Session) -> Result<(Socket, Address)> {
        match self {
            Self::Internet(addresses, from) => {
                let (socket, peer) = dial::connect_datagram(addresses, from, session)?;
                Ok((socket, Address::Internet(peer)))
            }
            Self::Local(path, options) => {
                let socket = local::connect_answerable(path)?;
                options.apply_local(&socket)?;
                Ok((socket, Address::Unix(Some(Rc::clone(path)))))
            }
        }
    }
}

/// A connection that is being made; see [`Dialing`].
pub(crate) enum Reaching {
    /// Over TCP.
    Internet(Dialing),
    /// To a local socket, whose queue may be full.
    Local { path: Rc<Path>, options: Options, limit: Option<Limit>, next_at: Instant },
}

impl Reaching {
    /// Does what is due; `None` while nothing is decided.
    ///
    /// # Errors
    /// When nobody can be reached, or not in time.
    pub(crate) fn step(&mut self, session: &mut Session) -> Option<Result<Connected>> {
        match self {
            Self::Internet(dialing) => dialing.step(session),
            Self::Local { path, options, limit, next_at } => {
                match connect_local(path, options, session) {
                    Ok(None) => {}
                    Ok(Some(connected)) => return Some(Ok(connected)),
                    Err(error) => return Some(Err(error)),
                }
                if limit.is_some_and(|limit| limit.is_over(session.looked_at())) {
                    let place = format!("{} (unix)", path.display());
                    let why = "the listener has no room";
                    return Some(Err(Error::new(Status::TimedOut, "connect", place, why)));
                }
                *next_at = Instant::now() + QUEUE_CHECK;
                None
            }
        }
    }

    /// When to call [`step`](Self::step) though nothing happens.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Internet(dialing) => dialing.deadline(),
            Self::Local { next_at, .. } => Some(*next_at),
        }
    }

    /// The ids of the latches whose events concern it.
    #[must_use]
    pub(crate) fn ids(&self) -> Vec<usize> {
        match self {
            Self::Internet(dialing) => dialing.ids().collect(),
            Self::Local { .. } => Vec::new(),
        }
    }

    /// Whoever wanted the connection is gone: should it have been made, it is reset.
    pub(crate) fn abort(&mut self, session: &mut Session) {
        if let Self::Internet(dialing) = self {
            dialing.abort(session);
        }
    }
}

/// A connection to a local socket; `None` while its queue is full.
fn connect_local(
    path: &Rc<Path>,
    options: &Options,
    session: &mut Session,
) -> Result<Option<Connected>> {
    let Some((socket, _)) = local::connect(path, Protocol::Tcp, None)? else { return Ok(None) };
    options.apply_local(&socket)?;
    let latch = session
        .reactor
        .watch(&socket, Interest::READABLE | Interest::WRITABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    Ok(Some(Connected { socket, latch, peer: Address::Unix(Some(Rc::clone(path))) }))
}
