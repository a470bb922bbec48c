//! The role of a listener towards its clients, and the answer that `--reply` and its kin prepare.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::rc::Rc;

use mio::Interest;

use crate::config::{Listen, Task};
use crate::error::{Error, Result, Status};
use crate::run::session::Session;
use crate::serve::hub::role::{Reply, Role, characters};

/// The most bytes of a reply that are kept in memory, if they come from a pipe or terminal, which can be
/// read only once.
const MOST_KEPT: usize = 256 << 20;

/// Bytes read in one call.
const PIECE: usize = 64 * 1024;

/// The role of a listener; `longest` is the most payload bytes of a datagram, if it uses UDP.
///
/// # Errors
/// When the answer is too long for a datagram or its file cannot be read, or a signal or time limit ends
/// the run while it is read.
pub(super) fn role(config: &Listen, longest: Option<usize>, session: &mut Session) -> Result<Role> {
    let role = match &config.task {
        Task::Relay | Task::Command(_) => Role::Relay,
        Task::Echo => Role::Echo,
        Task::Discard => Role::Discard,
        Task::Chargen => Role::Chargen(characters()),
        Task::Chat => Role::Chat,
        Task::Reply(bytes) => Role::Reply(Reply::Bytes(Rc::from(&bytes[..]))),
        Task::ReplyFile(path) => Role::Reply(open(path, longest, session)?),
    };
    fits(&role, longest)?;
    Ok(role)
}

/// Checks that the answer fits into a datagram.
///
/// # Errors
/// A usage error when it does not.
pub(super) fn fits(role: &Role, longest: Option<usize>) -> Result<()> {
    match (role, longest) {
        (Role::Reply(Reply::Bytes(bytes)), Some(longest)) if bytes.len() > longest => {
            Err(too_long("--reply", longest))
        }
        _ => Ok(()),
    }
}

fn too_long(option: &str, longest: usize) -> Error {
    Error::usage(option, format!("is longer than the {longest} bytes that a datagram carries"))
}

/// Opens the file with the answer. It is read at once if it must fit into a datagram, or if it is a pipe
/// or terminal, which can be read only once.
fn open(path: &Path, longest: Option<usize>, session: &mut Session) -> Result<Reply> {
    let failed = |cause: io::Error| Error::local("read", path.display(), &cause);
    let mut options = File::options();
    // Without O_NONBLOCK, opening a FIFO would wait for a writer, and signals would not be handled.
    options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let empty_read = if kind.is_fifo() { EmptyRead::NoWriter } else { EmptyRead::EndOfFile };
    let most = match longest {
        Some(longest) => longest,
        None if kind.is_fifo() || file.is_terminal() => MOST_KEPT,
        None => return Ok(Reply::File(Rc::new(file))),
    };
    match (read(&file, most, empty_read, path, session)?, longest) {
        (Some(bytes), _) => Ok(Reply::Bytes(bytes.into())),
        (None, Some(longest)) => Err(too_long("--reply-file", longest)),
        (None, None) => {
            let why = "is no regular file and too long to be kept in memory";
            Err(Error::new(Status::LocalIo, "read", path.display().to_string(), why))
        }
    }
}

/// What it means that read(2) returns 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyRead {
    /// The end of the file.
    EndOfFile,
    /// No process has the FIFO open for writing: not yet, or no longer (fifo(7)).
    NoWriter,
}

/// Reads the file to its end; `None` when it has more than `most` bytes.
fn read(
    mut file: &File,
    most: usize,
    empty_read: EmptyRead,
    path: &Path,
    session: &mut Session,
) -> Result<Option<Vec<u8>>> {
    let latch = session
        .reactor
        .watch(file, Interest::READABLE)
        .map_err(|cause| Error::system("poll", &cause))?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; PIECE]);
    while bytes.len() <= most {
        match file.read(&mut piece) {
            // Poll reports a hang-up only after there was a writer, and so tells the two cases apart.
            Ok(0) if empty_read == EmptyRead::NoWriter && !latch.failed() => session.wait(None)?,
            Ok(0) => break,
            Ok(n) => {
                bytes.extend_from_slice(&piece[..n]);
                session.look()?;
            }
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => session.wait(None)?,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(Error::local("read", path.display(), &cause)),
        }
    }
    session.reactor.forget(file, &latch);
    Ok(if bytes.len() > most { None } else { Some(bytes) })
}
