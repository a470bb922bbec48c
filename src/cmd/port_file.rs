//! The file that a listener's port number goes to (`--port-file`): a reader never sees half of it.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Symbolic links followed before they are taken for a circle.
const MOST_LINKS: usize = 40;

/// Names tried for the temporary file; that even one is taken is no accident.
const MOST_NAMES: usize = 100;

/// Writes the port number whole or not at all.
///
/// # Errors
/// When the file cannot be made or written.
pub(super) fn write(path: &Path, port: u16) -> io::Result<()> {
    let text = format!("{port}\n");
    let there = match fs::metadata(path) {
        Ok(there) => Some(there),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        // Also where the system does not follow a link that somebody else has put there
        // (fs.protected_symlinks, proc_sys_fs(5)).
        Err(cause) => return Err(cause),
    };
    if let Some(there) = &there {
        if (there.is_file() || there.file_type().is_socket())
            && let Some(mut own) = standard(there)
        {
            // What is written there later comes behind it.
            return own.write_all(text.as_bytes());
        }
        if !there.is_file() {
            // A pipe or device is written to, never replaced: a line is one write.
            let mut options = File::options();
            options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            return options.open(path)?.write_all(text.as_bytes());
        }
    }
    // What a symbolic link points to is replaced, not the link.
    match end_of_links(path)? {
        LinkEnd::Path(path) => replace(&path, there.map(|there| there.permissions()), &text),
        // Whoever opened it would not see another file in its place.
        LinkEnd::Descriptor(path) => {
            File::options().append(true).open(path)?.write_all(text.as_bytes())
        }
    }
}

/// Puts a file with this text in the place of what is there.
fn replace(path: &Path, permissions: Option<Permissions>, text: &str) -> io::Result<()> {
    let (mut file, temporary) = temporary_beside(path)?;
    let result = permissions
        .map_or(Ok(()), |permissions| file.set_permissions(permissions))
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The failure itself is what is reported.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A new file in the same folder, under a name that nobody can have prepared: it is made, never
/// opened, and no link is followed (O_EXCL, open(2)).
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

/// Standard output or error, if it goes to this file.
fn standard(there: &fs::Metadata) -> Option<File> {
    let own =
        [io::stdout().as_fd().try_clone_to_owned(), io::stderr().as_fd().try_clone_to_owned()];
    own.into_iter().flatten().map(File::from).find(|file| {
        let metadata = file.metadata();
        metadata.is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
    })
}

/// Where symbolic links lead to.
enum LinkEnd {
    /// A path, whether or not something is there.
    Path(PathBuf),
    /// The name of an open file: `/dev/fd/3`.
    Descriptor(PathBuf),
}

fn end_of_links(path: &Path) -> io::Result<LinkEnd> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(LinkEnd::Path(path)) };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        // Links of proc(5) lead to open files, and what they say is no path that must be there.
        if folder.canonicalize().is_ok_and(|folder| folder.starts_with("/proc")) {
            return Ok(LinkEnd::Descriptor(path));
        }
        path = folder.join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}
