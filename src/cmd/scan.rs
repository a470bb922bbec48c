//! `pktcat scan`: finds out which ports of a host are open.

use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::config::Scan;
use crate::engine::datagram::{LONGEST_IPV4, LONGEST_IPV6};
use crate::error::{Error, Result, Status};
use crate::net::address::{DisplayAddress, Lookup, Protocol};
use crate::net::socket::failure;
use crate::observe::journal::Verbosity;
use crate::run::console::{Console, OutputReader};
use crate::run::limits::Limit;
use crate::run::session::Session;
use crate::scan;
use crate::scan::plan::{Payload, Plan, Target};
use crate::scan::progress::ScanBar;
use crate::scan::report::Host;
use crate::scan::results::Results;
use crate::scan::wait::Waiting;
use crate::setup::resolve;
use crate::sys;

/// The default for the most probes in flight. More of them do not make the scan of one host faster, and
/// overload small routers.
const CONCURRENCY: usize = 1000;

/// Descriptors that are not available for probes: the three standard ones and a duplicate of each, the
/// event loop's, one for reading /etc/services, and a few that may have been inherited.
const RESERVED: u64 = 16;

/// Runs the command.
///
/// # Errors
/// Everything that makes the exit status other than 0.
pub(crate) fn run(config: &Scan) -> Result<()> {
    let mut session = Session::new(config.protocol, config.verbosity, None)?;
    let begun = Instant::now();
    let until = config.wait.map(|wait| begun + wait);
    let (addresses, targets) = found(config, until, &mut session)?;
    let Session { mut reactor, console, .. } = session;
    check_payload(config, &targets)?;
    let plan = Plan {
        protocol: config.protocol,
        targets,
        ports: config.ports.as_slice().to_vec(),
        order: config.style.order,
        timeout: config.timeout,
        concurrency: concurrency(config),
        rate: config.rate,
        payload: config.payload.clone(),
    };
    let stdout = Console::stdout(&mut reactor)?;
    if config.verbosity == Verbosity::Verbose {
        console.journal().line(&introduction(&plan, addresses.len()));
    }
    let host = Host { name: config.target.host.clone(), protocol: plan.protocol };
    let ports = plan.ports.clone();
    let results = Results::new(config.style, host, ports.clone(), stdout);
    let progress = progress(config);
    let mut scan =
        scan::Scanner::new(plan, results, console, config.verbosity, progress, &mut reactor)?;
    if let Some(until) = until {
        scan = scan.waiting(Waiting::new(&ports, config.wanted, until));
    }
    if scan.run(&mut reactor)? == OutputReader::Gone {
        // The reader of standard output has closed it, as `head` does: that is no failure.
        return Ok(());
    }
    match scan.results().tally().failure(config.wanted) {
        None => Ok(()),
        // The lines on standard output have said so already.
        Some(status) => Err(Error::new(status, "scan", "", "not every port is open").told()),
    }
}

/// Between two look-ups of a name, or of the routes, that the scan waits for.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(100);

/// All addresses of the host, and those to ask. Until this time a name that is not known yet is looked
/// up again and again, and so are routes.
fn found(
    config: &Scan,
    until: Option<Instant>,
    session: &mut Session,
) -> Result<(Vec<SocketAddr>, Vec<Target>)> {
    let names = (config.family, config.lookup);
    let mut before = None;
    loop {
        let now = Instant::now();
        let limit = match (config.look_up_limit, until, config.wait) {
            (Some(length), ..) => Some(Limit::new("--probe-timeout", length, now)),
            (None, Some(until), Some(wait)) => Some(Limit::new("--wait", wait, until - wait)),
            (None, ..) => None,
        };
        let addresses = resolve::resolve(session, &config.target, 0, names, limit);
        let error = match addresses.and_then(|all| Ok((targets(&all)?, all))) {
            Ok((targets, all)) => return Ok((all, targets)),
            Err(error) => error,
        };
        // An answer that the name server has given tells more than that time ran out when it was asked again.
        let is_cut_off = config.look_up_limit.is_none() && error.status == Status::TimedOut;
        let error = if is_cut_off { before.take().unwrap_or(error) } else { error };
        let may_pass = match error.status {
            // Without a name server a word stays what it is.
            Status::Unresolved => config.lookup == Lookup::Names,
            Status::TimedOut | Status::Unreachable => true,
            _ => false,
        };
        let next = now + LOOK_UP_PAUSE;
        if !may_pass || until.is_none_or(|until| next >= until) {
            return Err(error);
        }
        before = Some(error);
        while Instant::now() < next {
            session.wait(Some(next))?;
        }
    }
}

/// The addresses to probe: the first that has a route. If all are loopback addresses, each is probed:
/// they are the same machine, and a server often listens on only one of them.
fn targets(addresses: &[SocketAddr]) -> Result<Vec<Target>> {
    let is_own = addresses.iter().all(|address| address.ip().is_loopback());
    let mut first_error = None;
    let mut targets = Vec::new();
    for &address in addresses {
        match Target::new(address) {
            Ok(target) => targets.push(target),
            Err(cause) => {
                first_error.get_or_insert_with(|| {
                    let place = DisplayAddress(address).to_string();
                    let place = place.strip_suffix(":0").unwrap_or(&place).to_owned();
                    let error = Error::network("scan", place, &cause);
                    failure::unrouted(error, address, &cause)
                });
            }
        }
        if !is_own && !targets.is_empty() {
            break;
        }
    }
    if targets.is_empty() {
        return Err(first_error.unwrap_or_else(|| Error::usage("address", "nothing to scan")));
    }
    Ok(targets)
}

fn check_payload(config: &Scan, targets: &[Target]) -> Result<()> {
    let is_v4 = |target: &Target| target.address.is_ipv4();
    let longest = if targets.iter().any(is_v4) { LONGEST_IPV4 } else { LONGEST_IPV6 };
    if let Payload::Given(payload) = &config.payload
        && payload.len() > longest
    {
        return Err(Error::usage(
            format!("a probe of {} bytes", payload.len()),
            format!("a datagram to this address carries at most {longest}"),
        ));
    }
    Ok(())
}

/// How many probes may be in flight. A UDP scan needs one descriptor for all of them.
fn concurrency(config: &Scan) -> usize {
    let asked = config.concurrency.unwrap_or(CONCURRENCY);
    if config.protocol == Protocol::Udp {
        return asked;
    }
    let limit = sys::raise_descriptor_limit();
    let room = usize::try_from(limit.saturating_sub(RESERVED)).unwrap_or(usize::MAX);
    asked.min(room).max(1)
}

/// `scanning 192.0.2.1 (tcp), 1 of 3 addresses, 1000 ports, at most 1000 at once`
fn introduction(plan: &Plan, known: usize) -> String {
    let names: Vec<String> =
        plan.targets.iter().map(|target| target.address.ip().to_string()).collect();
    let mut line = format!("scanning {} ({})", names.join(" and "), plan.protocol);
    if names.len() < known {
        line += &format!(", {} of {known} addresses", names.len());
    }
    let ports = crate::observe::report::counted(plan.ports.len() as u64, "port");
    line + &format!(", {ports}, at most {} at once", plan.concurrency)
}

/// A progress bar, if somebody watches a terminal that can draw one.
fn progress(config: &Scan) -> ScanBar {
    let stderr = io::stderr();
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let is_hidden = config.verbosity == Verbosity::Quiet || config.wait.is_some();
    if is_hidden || !stderr.is_terminal() || is_dumb {
        return ScanBar::none();
    }
    ScanBar::new(config.ports.as_slice().len())
}
