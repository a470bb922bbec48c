//! Writes a listener's port number to a file (`--port-file`) in such a way that a reader sees all of the
//! number or nothing.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::io::inherited;
use crate::sys::{LinkEnd, end_of_links};

/// How many names are tried for the temporary file. The names are random, so that even one which is
/// taken must have been created on purpose.
const MOST_NAMES: usize = 100;

/// Writes the port number and a newline, completely or not at all.
///
/// # Errors
/// When the file cannot be created or written; `WouldBlock` for a full pipe, and what open(2) says for
/// a FIFO without a reader (ENXIO).
pub(super) fn write(path: &Path, port: u16) -> io::Result<()> {
    let text = format!("{port}\n");
    let there = match fs::metadata(path) {
        Ok(there) => Some(there),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        // Among these: the kernel does not follow a link that another user has put into a shared folder
        // (fs.protected_symlinks, proc_sys_fs(5)).
        Err(cause) => return Err(cause),
    };
    if let Some(mut open) = inherited::open_at(path) {
        return open.write_all(text.as_bytes());
    }
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        // A pipe or device is never replaced by a file. One write of a line is not split (PIPE_BUF,
        // pipe(7)).
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        return options.open(path)?.write_all(text.as_bytes());
    }
    // What a symbolic link points to is replaced, not the link.
    match end_of_links(path)? {
        LinkEnd::Path(path) => replace(&path, there.map(|there| there.permissions()), &text),
        // The process that opened it would not see a file that replaces it.
        LinkEnd::Descriptor(path) => {
            File::options().append(true).open(path)?.write_all(text.as_bytes())
        }
    }
}

/// Replaces the file by one with this text, atomically (rename(2)).
fn replace(path: &Path, permissions: Option<Permissions>, text: &str) -> io::Result<()> {
    let (mut file, temporary) = temporary_beside(path)?;
    let result = permissions
        .map_or(Ok(()), |permissions| file.set_permissions(permissions))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The first failure is what is reported.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Creates a file in the same folder. An existing file is never opened and no link followed (O_EXCL,
/// open(2)), so that nobody else can choose what is written to.
fn temporary_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    for _ in 0..MOST_NAMES {
        let temporary = path.with_file_name(format!(".pktcat-{:016x}", fastrand::u64(..)));
        match File::options().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((file, temporary)),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(cause),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
