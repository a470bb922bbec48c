//! Names looked up while the run goes on hearing signals and its limits: getaddrinfo(3) can be given
//! neither, so it waits on a thread of its own, which is left behind when nobody wants its answer.

use std::net::SocketAddr;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};

use crate::address::{self, Family, Lookup, Target};
use crate::error::{Error, Result, Status};
use crate::session::{Session, timed_out};

/// All addresses of a target, in the order in which they should be tried.
///
/// # Errors
/// Unresolved names, literals of the other family, `limit` (`-w`) passing first, and
/// what ends a run.
pub fn resolve(
    session: &mut Session,
    target: &Target,
    port: u16,
    (family, lookup): (Family, Lookup),
    limit: Option<Duration>,
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
pub fn resolve_host(
    session: &mut Session,
    host: &str,
    port: u16,
    (family, lookup): (Family, Lookup),
    limit: Option<Duration>,
) -> Result<Vec<SocketAddr>> {
    if let Some(address) = address::without_server(host, port, family, lookup)? {
        return Ok(vec![address]);
    }
    let waker = session.reactor.waker().map_err(|cause| Error::system("event loop", &cause))?;
    let wake = move || {
        // Only a loop that is gone cannot be woken.
        let _ = waker.wake();
    };
    let answer = address::ask(host, port, family, wake);
    let end = limit.map(|limit| (Instant::now() + limit, limit));
    loop {
        match answer.try_recv() {
            Ok(result) => return result,
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => {
                return Err(Error::new(Status::Unresolved, "resolve", host, "no answer"));
            }
        }
        match end {
            Some((end, limit)) if session.looked_at() >= end => {
                let why = format!("the name server has not answered for {host}");
                // Each command that has a limit for this has it from this option.
                return Err(timed_out("-w", &why, limit));
            }
            _ => session.wait(end.map(|(end, _)| end))?,
        }
    }
}
