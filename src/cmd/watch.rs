//! Runs a command with the observers that the settings ask for.

use std::time::{Duration, SystemTime};

use super::files;
use crate::config::{BarSetting, Common, Seen, Told};
use crate::error::Result;
use crate::net::address::Protocol;
use crate::observe::bar::Bar;
use crate::observe::dump::Dump;
use crate::observe::journal::Verbosity;
use crate::observe::json::Json;
use crate::observe::pcap::Capture;
use crate::observe::report::Lines;
use crate::run::session::Session;

/// The settings of an observed session.
pub(super) struct Watched<'a> {
    pub protocol: Protocol,
    pub verbosity: Verbosity,
    /// See `--timeout`.
    pub timeout: Option<Duration>,
    pub seen: &'a Seen,
    /// Whether the run is at a local socket (`--unix`).
    pub is_local: bool,
}

impl<'a> Watched<'a> {
    /// The ones of `listen` and `connect`.
    pub(super) fn of(common: &'a Common) -> Self {
        let Common { protocol, verbosity, timeout, seen, is_local, .. } = common;
        Self {
            protocol: *protocol,
            verbosity: *verbosity,
            timeout: *timeout,
            seen,
            is_local: *is_local,
        }
    }
}

/// Creates a session with observers, calls `prepare` and `run`, and finishes the session. The files of
/// observers are opened in between, so that a command line in which `prepare` finds a fault leaves them
/// as they were.
///
/// # Errors
/// The error of either of the two, after the user has been told of it; or that a file cannot be
/// written.
pub(super) fn session<T>(
    watched: Watched<'_>,
    prepare: impl FnOnce(&mut Session) -> Result<T>,
    run: impl FnOnce(T, &mut Session) -> Result<()>,
) -> Result<()> {
    let Watched { protocol, verbosity, timeout, seen, is_local } = watched;
    let mut session = Session::new(protocol, verbosity, timeout)?;
    let journal = session.console.journal();
    let stamps = seen.stamps;
    if let BarSetting::Drawn { size } = seen.bar {
        // The bar comes before the observers that write lines, because it is erased to make room for
        // them.
        session.observe(Box::new(Bar::new(journal.clone(), size)));
    }
    match seen.told {
        Told::Text => {
            let lines =
                Lines::new(journal.clone(), verbosity).stamped(stamps).telling(seen.leaving);
            session.observe(Box::new(lines));
        }
        Told::Json(bytes) => {
            let started = wall_clock_at_start(&session);
            let json = Json::new(journal.clone(), bytes, started);
            session.observe(Box::new(json.of_local_socket(is_local)));
        }
    }
    if let Some(paint) = seen.dump {
        session.observe(Box::new(Dump::new(journal, paint).stamped(stamps)));
    }
    let result = prepare(&mut session).and_then(|ready| {
        observe_in_files(seen, &mut session)?;
        run(ready, &mut session)
    });
    session.finish(result)
}

/// Adds the observers that write to files.
fn observe_in_files(seen: &Seen, session: &mut Session) -> Result<()> {
    if let Some((path, paint)) = &seen.dump_file {
        let journal = files::open(path, session)?;
        session.observe(Box::new(Dump::new(journal, *paint).stamped(seen.stamps)));
    }
    if let Some(path) = &seen.pcap {
        let journal = files::open(path, session)?;
        session.observe(Box::new(Capture::new(journal, wall_clock_at_start(session))));
    }
    Ok(())
}

fn wall_clock_at_start(session: &Session) -> SystemTime {
    SystemTime::now() - session.tap.elapsed()
}
