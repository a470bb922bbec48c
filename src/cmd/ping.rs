//! `pktcat ping`: one port, asked again and again.

use std::net::SocketAddr;
use std::time::Instant;

use signal_hook::consts::SIGINT;

use super::check;
use crate::config::Ping;
use crate::error::{Error, Result, Status};
use crate::net::address::{self, Protocol};
use crate::observe::journal::Verbosity;
use crate::ping::Pinger;
use crate::ping::plan::{LineFormat, Plan, Until};
use crate::run::console::{Console, OutputReader};
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::setup::resolve;
use crate::sys;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Ping) -> Result<()> {
    let protocol = config.protocols.first().copied().unwrap_or(Protocol::Tcp);
    let port = check::peer_port(&config.target, protocol)?;
    let kind = config.kind(port);
    if let Some(host) = &config.target.host {
        // A usage error is one before anything waits.
        address::without_server(host, port, config.family, config.lookup)?;
    }
    let mut session = Session::new(protocol, Verbosity::Normal, None)?;
    let (targets, until) = found(config, port, &mut session)?;
    // Each probe without an answer so far has a descriptor.
    let _ = sys::raise_descriptor_limit();
    let plan = Plan {
        protocols: config.protocols.clone(),
        targets,
        kind,
        interval: config.interval,
        timeout: config.timeout,
        until,
    };
    let Session { mut reactor, console, .. } = session;
    let stdout = Console::stdout(&mut reactor)?;
    let mut pinger = Pinger::new(plan, config.style.clone(), (stdout, console), &mut reactor)?;
    if pinger.run(&mut reactor)? == OutputReader::Gone {
        // Whoever reads has seen enough.
        return Ok(());
    }
    match pinger.failure() {
        None => Ok(()),
        // The lines on standard output have told already.
        Some(status) => Err(Error::new(status, "ping", "", "nobody was there").told()),
    }
}

/// The addresses to ask, and when the run ends: while a service is waited for, a name that is not known
/// yet is looked up again at the times of the probes, each of which counts as one.
fn found(config: &Ping, port: u16, session: &mut Session) -> Result<(Vec<SocketAddr>, Until)> {
    let names = (config.family, config.lookup);
    let begun = Instant::now();
    let mut tries: u64 = 0;
    let mut latest: Option<Error> = None;
    loop {
        let limit = Limit::new("--reply-timeout", config.timeout, Instant::now());
        let error = match resolve::resolve(session, &config.target, port, names, Some(limit)) {
            Ok(addresses) => {
                let left =
                    |count: Option<u64>| count.map(|count| count.saturating_sub(tries).max(1));
                return Ok(match config.until {
                    Until::Found(count) => (addresses, Until::Found(left(count))),
                    until => (addresses, until),
                });
            }
            Err(error) => error,
        };
        tries += 1;
        match (error.status, config.until) {
            // Stopped while it waited for the name.
            (Status::Stopped(SIGINT), _) => return Err(latest.unwrap_or(error)),
            (Status::Unresolved | Status::TimedOut, Until::Found(count))
                if count.is_none_or(|count| tries < count) => {}
            _ => return Err(error),
        }
        if latest.is_none() && config.style.format != LineFormat::Nothing {
            session.console.journal().line(&format!("pktcat: {error}; it is tried again"));
        }
        latest = Some(error.told());
        let next = begun + config.interval * u32::try_from(tries).unwrap_or(u32::MAX);
        wait_until(next, session, latest.as_ref())?;
    }
}

fn wait_until(at: Instant, session: &mut Session, latest: Option<&Error>) -> Result<()> {
    while Instant::now() < at {
        session.wait(Some(at)).map_err(|error| match (error.status, latest) {
            (Status::Stopped(SIGINT), Some(latest)) => latest.clone(),
            _ => error,
        })?;
    }
    Ok(())
}
