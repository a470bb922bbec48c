//! Files that this program was given open, as a shell does by `2> log` or `3>> log`.
//!
//! Each open file description has an offset of its own (open(2)). Opened once more, such a file would be
//! written from its beginning, over what others write to it. So it is written through a duplicate of the
//! descriptor, and what it holds stays.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::sys;

/// A duplicate of the descriptor for the file or socket at this path: that of standard output or standard
/// error, or the one that the path names, as `/dev/fd/3` does. `None` for pipes, terminals and devices,
/// which have no offset, and for all that is not open yet.
pub(crate) fn open_at(path: &Path) -> Option<File> {
    let there = fs::metadata(path).ok()?;
    match there.file_type() {
        kind if kind.is_file() => standard(&there).or_else(|| {
            let named = sys::descriptor_at(path)?;
            sys::duplicate(named).ok().map(File::from)
        }),
        // A socket cannot be opened by its name (ENXIO, open(2)).
        kind if kind.is_socket() => standard(&there),
        _ => None,
    }
}

/// A duplicate of standard output or standard error, if that is this file.
fn standard(there: &Metadata) -> Option<File> {
    outputs().into_iter().map(|(_, file)| file).find(|file| {
        let metadata = file.metadata();
        metadata.is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
    })
}

/// Duplicates of standard output and standard error, with their names.
pub(crate) fn outputs() -> Vec<(&'static str, File)> {
    let stdout = ("stdout", io::stdout().as_fd().try_clone_to_owned());
    let stderr = ("stderr", io::stderr().as_fd().try_clone_to_owned());
    let open = [stdout, stderr].into_iter();
    open.filter_map(|(name, fd)| Some((name, File::from(fd.ok()?)))).collect()
}
