//! Checks that the command line names no file twice if one of the two uses would overwrite it.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An option, and its file if the option was given.
pub(super) type Named<'a> = (&'static str, Option<&'a Path>);

/// Identifies a file, whatever path it is named by.
#[derive(Debug, PartialEq, Eq)]
enum FileIdentity {
    /// An existing file or FIFO: device and inode.
    There(u64, u64),
    /// A file that does not exist: the path at which it would be created.
    Missing(PathBuf),
}

/// Checks that the files in `written` are all different, and that none of them is in `read`.
///
/// # Errors
/// A usage error that names the two options.
pub(super) fn check(written: &[Named<'_>], read: &[Named<'_>]) -> Result<()> {
    let mut known: Vec<(&str, FileIdentity)> = Vec::new();
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

/// `None` for devices and terminals, which several options may write to.
fn identity(path: &Path) -> Option<FileIdentity> {
    let Ok(there) = fs::metadata(path) else {
        return Some(FileIdentity::Missing(place(path)));
    };
    let kind = there.file_type();
    (kind.is_file() || kind.is_fifo()).then(|| FileIdentity::There(there.dev(), there.ino()))
}

/// How many symbolic links are followed before they count as a loop; Linux's own limit
/// (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The path at which a missing file would be created.
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
