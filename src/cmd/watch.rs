//! Runs a command with the observers that the settings ask for.

use std::time::SystemTime;

use super::files;
use crate::config::{BarSetting, Common, Seen, Told};
use crate::error::Result;
use crate::observe::bar::Bar;
use crate::observe::dump::Dump;
use crate::observe::json::Json;
use crate::observe::pcap::Capture;
use crate::observe::report::Lines;
use crate::run::session::Session;

/// Creates a session with observers, calls `prepare` and `run`, and finishes the session. The files of
/// observers are opened in between, so that a command line in which `prepare` finds a fault leaves them
/// as they were.
///
/// # Errors
/// The error of either of the two, after the user has been told of it; or that a file cannot be
/// written.
pub(super) fn session<T>(
    common: &Common,
    prepare: impl FnOnce(&mut Session) -> Result<T>,
    run: impl FnOnce(T, &mut Session) -> Result<()>,
) -> Result<()> {
    let mut session = Session::new(common.protocol, common.verbosity, common.timeout)?;
    let journal = session.console.journal();
    if let BarSetting::Drawn { size } = common.seen.bar {
        // The bar comes before the observers that write lines, because it is erased to make room for
        // them.
        session.observe(Box::new(Bar::new(journal.clone(), size)));
    }
    match common.seen.told {
        Told::Text => {
            session.observe(Box::new(Lines::new(journal.clone(), common.verbosity)));
        }
        Told::Json(bytes) => {
            let started = wall_clock_at_start(&session);
            let json = Json::new(journal.clone(), common.verbosity, bytes, started);
            session.observe(Box::new(json));
        }
    }
    if let Some(paint) = common.seen.dump {
        session.observe(Box::new(Dump::new(journal, paint)));
    }
    let result = prepare(&mut session).and_then(|ready| {
        observe_in_files(&common.seen, &mut session)?;
        run(ready, &mut session)
    });
    session.finish(result)
}

/// Adds the observers that write to files.
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
