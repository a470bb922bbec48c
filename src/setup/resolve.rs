//! Looks names up without blocking the loop. getaddrinfo(3) can be neither interrupted nor limited
//! in time, so it runs on a thread of its own; the thread is abandoned when its answer is no longer
//! wanted.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Status};
use crate::net::address::{self, Family, HostPort, Lookup};
use crate::run::limits::Limit;
use crate::run::session::Session;

/// "Resolution Delay" (RFC 8305, 3): how long to wait for the addresses of one family once those of
/// the other are known.
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// All addresses of a target, in the order in which they should be tried.
///
/// # Errors
/// When the name cannot be resolved, the host is an address of the other family, `limit` passes
/// first, or a signal or the limit of the run ends it.
pub(crate) fn resolve(
    session: &mut Session,
    target: &HostPort,
    port: u16,
    (family, lookup): (Family, Lookup),
    limit: Option<Limit>,
) -> Result<Vec<SocketAddr>> {
    match &target.host {
        None => target.resolve(port, family, lookup),
        Some(host) => resolve_host(session, host, port, (family, lookup), limit),
    }
}

/// All addresses of a host, in the resolver's order (RFC 6724).
///
/// # Errors
/// As for [`resolve`].
pub(crate) fn resolve_host(
    session: &mut Session,
    host: &str,
    port: u16,
    (family, lookup): (Family, Lookup),
    limit: Option<Limit>,
) -> Result<Vec<SocketAddr>> {
    if let Some(address) = address::without_server(host, port, family, lookup)? {
        return Ok(vec![address]);
    }
    let answer = Question::ask(session, host, port, family)?;
    loop {
        match answer.look() {
            Some(result) => return result,
            None => wait(session, host, None, limit)?,
        }
    }
}

/// The addresses of a target that are known soon; others may follow. One look-up asks for both
/// families, because its answer is in the order of RFC 6724. If it takes longer than 50 ms, each
/// family is looked up by itself as well, so that a slow answer for one does not delay the other.
///
/// # Errors
/// As for [`resolve`].
pub(crate) fn find(
    session: &mut Session,
    target: &HostPort,
    port: u16,
    (family, lookup): (Family, Lookup),
    limit: Option<Limit>,
) -> Result<Addresses> {
    let Some(host) = &target.host else {
        return target.resolve(port, family, lookup).map(Addresses::all);
    };
    if let Some(address) = address::without_server(host, port, family, lookup)? {
        return Ok(Addresses::all(vec![address]));
    }
    let both = Question::ask(session, host, port, family)?;
    let mut addresses = Addresses { known: Vec::new(), asked: Vec::new(), family: Family::Any };
    let mut patience = (family == Family::Any).then(|| Instant::now() + RESOLUTION_DELAY);
    let mut is_asked_alone = false;
    loop {
        match both.look() {
            Some(Err(error)) if addresses.known.is_empty() => return Err(error),
            Some(Ok(all)) => return Ok(Addresses::all(all)),
            // The look-up of both has failed, but that of one family has found addresses.
            Some(Err(_)) => return Ok(addresses),
            None => {}
        }
        let is_first = addresses.known.is_empty();
        let news = addresses.news();
        if is_first && !news.is_empty() {
            patience = Some(Instant::now() + RESOLUTION_DELAY);
        }
        let is_late = patience.is_some_and(|end| Instant::now() >= end);
        if !addresses.known.is_empty() {
            if addresses.is_complete() {
                return Ok(addresses);
            }
            if is_late {
                addresses.asked.push(both);
                return Ok(addresses);
            }
        } else if is_late && !is_asked_alone {
            for one in [Family::V6, Family::V4] {
                addresses.asked.push(Question::ask(session, host, port, one)?);
            }
            (is_asked_alone, patience) = (true, None);
            continue;
        }
        wait(session, host, patience, limit)?;
    }
}

/// Sleeps until an answer may have come, or `deadline` or `limit` is reached.
fn wait(
    session: &mut Session,
    host: &str,
    deadline: Option<Instant>,
    limit: Option<Limit>,
) -> Result<()> {
    if let Some(limit) = limit {
        limit.check(session.looked_at(), || {
            format!("the name server has not answered for {host}")
        })?;
    }
    session.wait(limit.map(|limit| limit.at()).into_iter().chain(deadline).min())
}

/// The addresses of a name: those that are known, and the look-ups still in progress.
#[derive(Debug)]
pub(crate) struct Addresses {
    known: Vec<SocketAddr>,
    /// Look-ups without an answer yet.
    asked: Vec<Question>,
    /// Addresses of another family are dropped.
    family: Family,
}

impl Addresses {
    /// A complete list of addresses.
    #[must_use]
    pub(crate) fn all(known: Vec<SocketAddr>) -> Self {
        Self { known, asked: Vec::new(), family: Family::Any }
    }

    /// Keeps only this family, also among addresses that are still to come.
    #[must_use]
    pub(crate) fn of_family(mut self, family: Family) -> Self {
        self.family = family;
        self.known.retain(|address| is_of(family, address));
        self
    }

    /// The addresses known so far.
    #[must_use]
    pub(crate) fn known(&self) -> &[SocketAddr] {
        &self.known
    }

    /// Whether no more addresses can come.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.asked.is_empty()
    }

    /// Takes the addresses that have come since the last call.
    pub(crate) fn news(&mut self) -> Vec<SocketAddr> {
        let mut news = Vec::new();
        let (known, family) = (&mut self.known, self.family);
        self.asked.retain(|question| match question.look() {
            None => true,
            Some(answer) => {
                // A failed look-up adds nothing.
                for address in answer.unwrap_or_default() {
                    if is_of(family, &address) && !known.contains(&address) {
                        known.push(address);
                        news.push(address);
                    }
                }
                false
            }
        });
        news
    }
}

fn is_of(family: Family, address: &SocketAddr) -> bool {
    match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

/// A look-up in progress.
#[derive(Debug)]
struct Question {
    host: String,
    answer: Receiver<Result<Vec<SocketAddr>>>,
}

impl Question {
    /// Starts a look-up; its answer wakes the loop.
    fn ask(session: &mut Session, host: &str, port: u16, family: Family) -> Result<Self> {
        let waker = session.reactor.waker().map_err(|cause| Error::system("event loop", &cause))?;
        let wake = move || {
            // Fails only when the loop has ended.
            let _ = waker.wake();
        };
        Ok(Self { host: host.to_owned(), answer: address::ask(host, port, family, wake) })
    }

    /// The answer, if it has come.
    fn look(&self) -> Option<Result<Vec<SocketAddr>>> {
        match self.answer.try_recv() {
            Ok(result) => Some(result),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => {
                Some(Err(Error::new(Status::Unresolved, "resolve", &self.host, "no answer")))
            }
        }
    }
}
