//! The file that a listener's port number goes to (`--port-file`): a reader never sees half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
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
    if there.as_ref().is_ok_and(|there| !there.is_file() || is_in_use(there)) {
        // A pipe or device is written to, never replaced: a line is one write. So is what one of
        // the standard descriptors goes to.
        let mut options = File::options();
        options.append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        return options.open(path)?.write_all(text.as_bytes());
    }
    // What a symbolic link points to is replaced, not the link.
    let path = end_of_links(path);
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

/// Whether it is the file behind standard input, output or error.
fn is_in_use(there: &fs::Metadata) -> bool {
    (0..3).any(|fd| {
        fs::metadata(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
    })
}

/// Where symbolic links lead to, whether or not it is there.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}
