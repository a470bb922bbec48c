//! The role of a listener towards its clients, and the answer that `--reply` and its kin prepare.

use std::io::IsTerminal as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::rc::Rc;

use super::reading::{self, failed};
use crate::config::{Listen, Task};
use crate::error::{Error, Result, Status};
use crate::run::session::Session;
use crate::serve::hub::role::{Reply, Role, characters};

/// The most bytes of a reply that are kept in memory, if they come from a pipe or terminal, which can be
/// read only once.
const MOST_KEPT: usize = 256 << 20;

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
    let file = reading::open(path)?;
    let kind = file.metadata().map_err(|cause| failed(path, &cause))?.file_type();
    let most = match longest {
        Some(longest) => longest,
        None if kind.is_fifo() || file.is_terminal() => MOST_KEPT,
        None => return Ok(Reply::File(Rc::new(file))),
    };
    match (reading::read(&file, most, path, session)?, longest) {
        (Some(bytes), _) => Ok(Reply::Bytes(bytes.into())),
        (None, Some(longest)) => Err(too_long("--reply-file", longest)),
        (None, None) => {
            let why = "is no regular file and too long to be kept in memory";
            Err(Error::new(Status::LocalIo, "read", path.display().to_string(), why))
        }
    }
}
