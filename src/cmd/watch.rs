//! A run with everybody who wants to know of it, as the settings say.

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

/// What a session is begun with.
pub(super) struct Watched<'a> {
    pub protocol: Protocol,
    pub verbosity: Verbosity,
    /// See `--timeout`.
    pub timeout: Option<Duration>,
    pub seen: &'a Seen,
}

impl<'a> Watched<'a> {
    /// As the settings of `listen` and `connect` say.
    pub(super) fn of(common: &'a Common) -> Self {
        let Common { protocol, verbosity, timeout, seen, .. } = common;
        Self { protocol: *protocol, verbosity: *verbosity, timeout: *timeout, seen }
    }
}

/// Runs something in a session that is observed as the settings say, and ends the session. What
/// `prepare` finds wrong leaves the files as they were.
///
/// # Errors
/// Its error, told to the user; or that a file to be written cannot be.
pub(super) fn session<T>(
    watched: Watched<'_>,
    prepare: impl FnOnce(&mut Session) -> Result<T>,
    run: impl FnOnce(T, &mut Session) -> Result<()>,
) -> Result<()> {
    let Watched { protocol, verbosity, timeout, seen } = watched;
    let mut session = Session::new(protocol, verbosity, timeout)?;
    let journal = session.console.journal();
    if let BarSetting::Drawn { size } = seen.bar {
        // Before those who write lines: it makes room for them.
        session.observe(Box::new(Bar::new(journal.clone(), size)));
    }
    match seen.told {
        Told::Text => {
            session.observe(Box::new(Lines::new(journal.clone(), verbosity)));
        }
        Told::Json(bytes) => {
            let started = wall_clock_at_start(&session);
            let json = Json::new(journal.clone(), verbosity, bytes, started);
            session.observe(Box::new(json));
        }
    }
    if let Some(paint) = seen.dump {
        session.observe(Box::new(Dump::new(journal, paint)));
    }
    let result = prepare(&mut session).and_then(|ready| {
        observe_in_files(seen, &mut session)?;
        run(ready, &mut session)
    });
    session.finish(result)
}

/// Opens the files of the user's choice.
fn observe_in_files(seen: &Seen, session: &mut Session) -> Result<()> {
    if let Some((path, paint)) = &seen.dump_file {
        let journal = files::open(path, session)?;
        session.observe(Box::new(Dump::new(journal, *paint)));
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
