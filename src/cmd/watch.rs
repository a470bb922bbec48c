//! A run with everybody who wants to know of it, as the settings say.

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

/// Runs something in a session that is observed as the settings say, and ends the session. What
/// `prepare` finds wrong leaves the files as they were.
///
/// # Errors
/// Its error, told to the user; or that a file to be written cannot be.
pub(super) fn session<T>(
    common: &Common,
    prepare: impl FnOnce(&mut Session) -> Result<T>,
    run: impl FnOnce(T, &mut Session) -> Result<()>,
) -> Result<()> {
    let mut session = Session::new(common.protocol, common.verbosity, common.timeout)?;
    let journal = session.console.journal();
    let stamps = common.seen.stamps;
    if let BarSetting::Drawn { size } = common.seen.bar {
        // Before those who write lines: it makes room for them.
        session.observe(Box::new(Bar::new(journal.clone(), size)));
    }
    match common.seen.told {
        Told::Text => {
            let lines = Lines::new(journal.clone(), common.verbosity)
                .stamped(stamps)
                .telling(common.seen.leaving);
            session.observe(Box::new(lines));
        }
        Told::Json(bytes) => {
            let started = wall_clock_at_start(&session);
            let json = Json::new(journal.clone(), common.verbosity, bytes, started);
            session.observe(Box::new(json));
        }
    }
    if let Some(paint) = common.seen.dump {
        session.observe(Box::new(Dump::new(journal, paint).stamped(stamps)));
    }
    let result = prepare(&mut session).and_then(|ready| {
        observe_in_files(&common.seen, &mut session)?;
        run(ready, &mut session)
    });
    session.finish(result)
}

/// Opens the files of the user's choice.
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
