//! Files that the user has named for a run to write to.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::observe::journal::Journal;
use crate::run::console::{self, Console};
use crate::run::session::Session;

/// How often opening a FIFO that has no reader is tried again.
pub(super) const READER_CHECK: Duration = Duration::from_millis(20);

/// Opens a file for writing; for a FIFO it waits until there is a reader. The file is not truncated
/// before [`Session::begin_files`].
///
/// # Errors
/// When it cannot be opened, or a signal or time limit ends the run while it waits.
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
