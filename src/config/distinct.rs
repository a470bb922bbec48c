//! Files that are written to are no others that the command line names.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An option and the file that it names, if it is given.
pub(super) type Named<'a> = (&'static str, Option<&'a Path>);

/// What tells one file from another, however it is spelled.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    /// Device and inode of a file or FIFO that is there.
    There(u64, u64),
    /// Where one would be created.
    Missing(PathBuf),
}

/// Checks that no file to be `written` is another one of them, or one that is `read`.
///
/// # Errors
/// A usage error when one is.
pub(super) fn check(written: &[Named<'_>], read: &[Named<'_>]) -> Result<()> {
    let mut known: Vec<(&str, Identity)> = Vec::new();
    let identified = |(option, path): &Named<'_>| Some((*option, identity((*path)?)?));
    known.extend(read.iter().filter_map(identified));
    for (option, identity) in written.iter().filter_map(identified) {
        if let Some((other, _)) = known.iter().find(|(_, other)| *other == identity) {
            return Err(Error::usage(format!("{other}, {option}"), "are the same file"));
        }
        known.push((option, identity));
    }
    Ok(())
}

/// `None` for what may be written to by many: devices and terminals.
fn identity(path: &Path) -> Option<Identity> {
    let Ok(there) = fs::metadata(path) else {
        return Some(Identity::Missing(place(path)));
    };
    let kind = there.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| Identity::There(there.dev(), there.ino()))
}

/// Symbolic links followed before they are taken for a circle.
const MOST_LINKS: usize = 40;

/// Where a file that is not there would be created.
fn place(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return path,
    };
    match (fs::canonicalize(folder), path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}
