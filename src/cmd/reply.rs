//! What a listener does with its clients, and the answer that it has ready for them.

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

/// What can be read only once is kept in memory, up to so many bytes.
const MOST_KEPT: usize = 256 << 20;

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// What is done with clients; `longest` is the most that a datagram carries, if there are any.
///
/// # Errors
/// When the answer is too long for a datagram, or its file cannot be read; what ends a run.
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

/// Whether the answer is one that a datagram can carry.
///
/// # Errors
/// A usage error when it is not.
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

/// Opens the file of an answer. What is answered to datagrams is read at once, and so is what can be
/// read only once.
fn open(path: &Path, longest: Option<usize>, session: &mut Session) -> Result<Reply> {
    let failed = |cause: io::Error| Error::local("read", path.display(), &cause);
    let mut options = File::options();
    // A FIFO that nobody writes to yet is not waited for here.
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

/// What it means that reading gives nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyRead {
    /// That there is no more.
    EndOfFile,
    /// That nobody writes to the FIFO: not any more, or not yet (fifo(7)).
    NoWriter,
}

/// Reads to the end; `None` when there are more than `most` bytes.
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
            // A hang-up is only told of once there was a writer.
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
