//! A place that is connected to again and again, once for every client of a forwarder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::Interest;
use socket2::Socket;

use crate::error::{Error, Result};
use crate::net::address::Address;
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
                Reaching::local(Rc::clone(path), None, options.clone(), limit, now)
            }
        }
    }

    /// The addresses after this one; `None` where it is the last.
    #[must_use]
    pub(crate) fn after(&self, tried: &Address) -> Option<Self> {
        let Self::Internet(addresses, from) = self else { return None };
        let mut others = addresses.iter().copied();
        others.find(|address| tried.internet() == Some(*address))?;
        let others: Vec<_> = others.collect();
        (!others.is_empty()).then(|| Self::Internet(others, Rc::clone(from)))
    }

    /// Whether this is the last of several addresses.
    #[must_use]
    pub(crate) fn is_last_of_several(&self, tried: &Address) -> bool {
        let Self::Internet(addresses, _) = self else { return false };
        addresses.len() > 1 && addresses.last().copied() == tried.internet()
    }

    /// A datagram socket for it, and its address there. Nothing is sent. It is connected but for a
    /// multicast group and a broadcast address, where anybody may answer.
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
    Local(ReachingLocal),
}

/// A connection to a local socket that is being made.
pub(crate) struct ReachingLocal {
    path: Rc<Path>,
    /// The name of our own end, if it is to have one.
    own: Option<PathBuf>,
    options: Options,
    limit: Option<Limit>,
    next_at: Instant,
}

impl Reaching {
    /// To a local socket, from `own` if that is given.
    #[must_use]
    pub(crate) fn local(
        path: Rc<Path>,
        own: Option<PathBuf>,
        options: Options,
        limit: Option<Limit>,
        now: Instant,
    ) -> Self {
        Self::Local(ReachingLocal { path, own, options, limit, next_at: now })
    }

    /// Waits until the connection is made.
    ///
    /// # Errors
    /// As for [`step`](Self::step), and what ends a run that waits.
    pub(crate) fn complete(mut self, session: &mut Session) -> Result<Connected> {
        loop {
            if let Some(result) = self.step(session) {
                return result;
            }
            session.wait(self.deadline())?;
        }
    }

    /// Does what is due; `None` while nothing is decided.
    ///
    /// # Errors
    /// When nobody can be reached, or not in time.
    pub(crate) fn step(&mut self, session: &mut Session) -> Option<Result<Connected>> {
        match self {
            Self::Internet(dialing) => dialing.step(session),
            Self::Local(local) => local.step(session),
        }
    }

    /// When to call [`step`](Self::step) though nothing happens.
    #[must_use]
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Internet(dialing) => dialing.deadline(),
            Self::Local(local) => Some(local.next_at),
        }
    }

    /// The ids of the latches whose events concern it.
    #[must_use]
    pub(crate) fn ids(&self) -> Vec<usize> {
        match self {
            Self::Internet(dialing) => dialing.ids().collect(),
            Self::Local(_) => Vec::new(),
        }
    }

    /// Whoever wanted the connection is gone: should it have been made, it is reset.
    pub(crate) fn abort(&mut self, session: &mut Session) {
        if let Self::Internet(dialing) = self {
            dialing.abort(session);
        }
    }
}

impl ReachingLocal {
    fn step(&mut self, session: &mut Session) -> Option<Result<Connected>> {
        match self.connect(session) {
            Ok(None) => {}
            Ok(Some(connected)) => return Some(Ok(connected)),
            Err(error) => return Some(Err(error)),
        }
        if let Some(limit) = self.limit.filter(|limit| limit.is_over(session.looked_at())) {
            let why = format!("the listener at {} has no room", self.path.display());
            return Some(Err(limit.error(&why)));
        }
        self.next_at = Instant::now() + QUEUE_CHECK;
        None
    }

    /// The connection; `None` while the queue is full.
    fn connect(&self, session: &mut Session) -> Result<Option<Connected>> {
        let connected = local::connect_stream(&self.path, self.own.as_deref())?;
        let Some((socket, name)) = connected else { return Ok(None) };
        session.names.extend(name);
        self.options.apply_local(&socket)?;
        let latch = session
            .reactor
            .watch(&socket, Interest::READABLE | Interest::WRITABLE)
            .map_err(|cause| Error::system("poll", &cause))?;
        Ok(Some(Connected { socket, latch, peer: Address::Unix(Some(Rc::clone(&self.path))) }))
    }
}
