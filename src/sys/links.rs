//! Symbolic links, followed to what they name (path_resolution(7)).

use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

/// How many symbolic links are followed before they count as a loop; Linux's own limit
/// (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// What a chain of symbolic links ends at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    /// A path, whether or not a file exists there.
    Path(PathBuf),
    /// A name for an open file of some process, such as `/dev/fd/3`.
    Descriptor(PathBuf),
}

/// Follows a path that may be a symbolic link to what it names in the end.
///
/// # Errors
/// `ELOOP` when the links go on and on.
pub(crate) fn end_of_links(path: &Path) -> io::Result<LinkEnd> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = fs::read_link(&path) else { return Ok(LinkEnd::Path(path)) };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        // Links in /proc lead to open files; the text of such a link need not be an existing path
        // (proc_pid_fd(5)).
        if folder.canonicalize().is_ok_and(|folder| folder.starts_with("/proc")) {
            return Ok(LinkEnd::Descriptor(path));
        }
        path = folder.join(target);
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

/// The number of the descriptor of this process that a path names, as `/dev/fd/3` does.
pub(crate) fn descriptor_at(path: &Path) -> Option<RawFd> {
    let Ok(LinkEnd::Descriptor(path)) = end_of_links(path) else { return None };
    let folder = fs::canonicalize(path.parent()?).ok()?;
    if folder != fs::canonicalize("/proc/self/fd").ok()? {
        return None;
    }
    path.file_name()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_to_a_path_and_no_further_than_to_an_open_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let ends = |name: &str| end_of_links(&at(name));
        symlink("second", at("first")).unwrap();
        symlink(at("missing"), at("second")).unwrap();
        for name in ["first", "second", "missing"] {
            assert_eq!(ends(name).unwrap(), LinkEnd::Path(at("missing")), "{name}");
        }
        symlink("circle", at("circle")).unwrap();
        assert_eq!(ends("circle").unwrap_err().raw_os_error(), Some(libc::ELOOP));
        if cfg!(target_os = "linux") {
            let open = File::create(at("open")).unwrap();
            let name = format!("/proc/self/fd/{}", open.as_raw_fd());
            symlink(&name, at("link")).unwrap();
            assert_eq!(ends("link").unwrap(), LinkEnd::Descriptor(name.into()));
            assert_eq!(descriptor_at(&at("link")), Some(open.as_raw_fd()));
            // Another process has others under the same numbers.
            assert_eq!(descriptor_at(Path::new("/proc/1/fd/0")), None);
            assert_eq!(descriptor_at(&at("open")), None);
        }
    }
}
