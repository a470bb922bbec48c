//! Files of the user's choice that a run writes to.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::observe::journal::Journal;
use crate::run::console::{self, Console};
use crate::run::session::Session;

/// How often is looked whether somebody reads a FIFO.
pub(super) const READER_CHECK: Duration = Duration::from_millis(20);

/// Opens a file to be written to, waiting for the reader when it is a FIFO. What a file holds
/// stays until the session [begins its files](Session::begin_files).
///
/// # Errors
/// When it cannot be opened, and what ends a run.
pub(super) fn open(path: &Path, session: &mut Session) -> Result<Journal> {
    let file = ready(path, session)?;
    let journal = file.journal();
    session.add_file(file);
    Ok(journal)
}

/// The same for a file that the session [gets](Session::add_file) later, and that keeps until then
/// what it holds.
///
/// # Errors
/// As of [`open`].
pub(super) fn ready(path: &Path, session: &mut Session) -> Result<Console> {
    let file = loop {
        match console::open(path).map_err(|cause| Error::local("open", path.display(), &cause))? {
            Some(file) => break file,
            None => session.wait(Some(Instant::now() + READER_CHECK))?,
        }
    };
    Console::file(path.to_owned(), file, &mut session.reactor)
}
