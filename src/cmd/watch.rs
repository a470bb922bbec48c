//! A run with everybody who wants to know of it, as the settings say.

use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::{Bar, Common, Seen, Told};
use crate::console::{self, Console, Journal};
use crate::dump::Dump;
use crate::error::Result;
use crate::json::Json;
use crate::pcap::Capture;
use crate::progress::Progress;
use crate::report::Lines;
use crate::session::Session;

/// Runs something in a session that is observed as the settings say, and ends the session.
///
/// # Errors
/// Its error, told to the user; or that a file to be written cannot be.
pub(super) fn session(common: &Common, run: impl FnOnce(&mut Session) -> Result<()>) -> Result<()> {
    // Before the session handles signals: opening a FIFO waits for its reader.
    let files = Files::open(&common.seen);
    let mut session = Session::new(common.protocol, common.verbosity, common.timeout)?;
    let journal = session.console.journal();
    if let Bar::Drawn { size } = common.seen.bar {
        // Before those who write lines: it makes room for them.
        session.observe(Box::new(Progress::new(journal.clone(), size)));
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
    let result = files.and_then(|files| files.observe(&common.seen, &mut session));
    let result = result.and_then(|()| run(&mut session));
    session.finish(result)
}

/// The files of the user's choice, open.
struct Files {
    dump: Option<File>,
    pcap: Option<File>,
}

impl Files {
    fn open(seen: &Seen) -> Result<Self> {
        Ok(Self {
            dump: seen.dump_file.as_ref().map(|(path, _)| console::create(path)).transpose()?,
            pcap: seen.pcap.as_ref().map(|path| console::create(path)).transpose()?,
        })
    }

    fn observe(self, seen: &Seen, session: &mut Session) -> Result<()> {
        if let (Some(file), Some((path, paint))) = (self.dump, &seen.dump_file) {
            let journal = journal(session, path.clone(), file)?;
            session.observe(Box::new(Dump::new(journal, *paint)));
        }
        if let (Some(file), Some(path)) = (self.pcap, &seen.pcap) {
            let journal = journal(session, path.clone(), file)?;
            session.observe(Box::new(Capture::new(journal, wall_clock_at_start(session))));
        }
        Ok(())
    }
}

fn wall_clock_at_start(session: &Session) -> SystemTime {
    SystemTime::now() - session.tap.elapsed()
}

fn journal(session: &mut Session, path: PathBuf, file: File) -> Result<Journal> {
    let console = Console::file(path, file, &mut session.reactor)?;
    let journal = console.journal();
    session.add_file(console);
    Ok(journal)
}
