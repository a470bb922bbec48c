//! The file that a listener's port number goes to (`--port-file`): a reader never sees half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Symbolic links followed before they are taken for a circle.
const MOST_LINKS: usize = 40;

/// Writes the port number whole or not at all.
///
/// # Errors
/// When the file cannot be made or written.
pub(super) fn write(path: &Path, port: u16) -> io::Result<()> {
    let text = format!("{port}\n");
    let there = fs::metadata(path);
    if let Ok(there) = &there {
        if !there.is_file() {
            // A pipe or device is written to, never replaced: a line is one write.
            let mut options = File::options();
            options.write(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
            return options.open(path)?.write_all(text.as_bytes());
        }
        if let Some(mut own) = standard(there) {
            // What is written there later comes behind it.
            return own.write_all(text.as_bytes());
        }
    }
    // What a symbolic link points to is replaced, not the link.
    let path = end_of_links(path)?;
    let temporary = path.with_file_name(format!(".pktcat-{}", std::process::id()));
    let result = File::create(&temporary)
        .and_then(|mut file| {
            if let Ok(there) = there {
                file.set_permissions(there.permissions())?;
            }
            file.write_all(text.as_bytes())
        })
        .and_then(|()| fs::rename(&temporary, path));
    if result.is_err() {
        // The failure itself is what is reported.
        let _ = fs::remove_file(&temporary);
    }
    result
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

/// Where symbolic links lead to, whether or not it is there.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}
