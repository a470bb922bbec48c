//! Files of the user's choice that a run reads before it begins, pipes among them, without being deaf
//! meanwhile.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use mio::Interest;

use crate::error::{Error, Result, Status};
use crate::run::session::Session;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// The most that a file of certificates or keys has, in bytes: the roots of a system are a quarter MB.
const MOST_TEXT: usize = 16 << 20;

/// That a file cannot be read.
pub(super) fn failed(path: &Path, cause: &io::Error) -> Error {
    Error::local("read", path.display(), cause)
}

/// Opens a file to be read. A FIFO that nobody writes to yet is not waited for here.
///
/// # Errors
/// When it cannot be opened, or is a folder.
pub(super) fn open(path: &Path) -> Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(|cause| failed(path, &cause))?;
    if file.metadata().map_err(|cause| failed(path, &cause))?.is_dir() {
        return Err(failed(path, &io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read or is far too long, and what ends a run.
pub(super) fn text(path: &Path, session: &mut Session) -> Result<Vec<u8>> {
    let text = read(&open(path)?, MOST_TEXT, path, session)?;
    text.ok_or_else(|| {
        Error::new(Status::LocalIo, "read", path.display().to_string(), "is too long")
    })
}

/// What it means that reading gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// That there is no more.
    OfFile,
    /// That nobody writes to the FIFO: not any more, or not yet (fifo(7)).
    OfWriters,
}

/// Reads to the end, and waits for what is yet to come; `None` when there are more than `most` bytes.
///
/// # Errors
/// When it cannot be read, and what ends a run.
pub(super) fn read(
    mut file: &File,
    most: usize,
    path: &Path,
    session: &mut Session,
) -> Result<Option<Vec<u8>>> {
    let kind = file.metadata().map_err(|cause| failed(path, &cause))?.file_type();
    let ending = if kind.is_fifo() { Ending::OfWriters } else { Ending::OfFile };
    let latch = session
        .reactor
        .watch(file, Interest::READABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    while bytes.len() <= most {
        match file.read(&mut piece) {
            // A hang-up is only told of once there was a writer.
            Ok(0) if ending == Ending::OfWriters && !latch.failed() => session.wait(None)?,
            Ok(0) => break,
            Ok(n) => {
                bytes.extend_from_slice(&piece[..n]);
                session.look()?;
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => session.wait(None)?,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed(path, &cause)),
        }
    }
    session.reactor.forget(file, &latch);
    Ok(if bytes.len() > most { None } else { Some(bytes) })
}
