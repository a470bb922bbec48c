//! The names of local sockets: paths, and abstract names, which begin with NUL (unix(7)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use socket2::SockAddr;

/// The address of a local socket with this path, where `@NAME` stands for an abstract name
/// (unix(7)), which only Linux has.
///
/// # Errors
/// When it is too long, or this system has no abstract names.
pub(crate) fn unix_address(path: &Path) -> io::Result<SockAddr> {
    match path.as_os_str().as_bytes() {
        [b'@', name @ ..] if cfg!(target_os = "linux") => {
            SockAddr::unix(OsStr::from_bytes(&[&[0], name].concat()))
        }
        [b'@', ..] => Err(io::ErrorKind::Unsupported.into()),
        _ => SockAddr::unix(path),
    }
}

/// The path or `@NAME` of a local socket; `None` for one that has neither.
pub(crate) fn local_name(address: &SockAddr) -> Option<PathBuf> {
    #[cfg(target_os = "linux")]
    if let Some(name) = address.as_abstract_namespace() {
        return unix_path(&[&[0], name].concat());
    }
    unix_path(address.as_pathname()?.as_os_str().as_bytes())
}

/// The path for bytes that the kernel has for the address of a local socket, `None` where there are
/// none: an abstract name, which begins with NUL and has a known length, becomes `@NAME`.
pub(super) fn unix_path(bytes: &[u8]) -> Option<PathBuf> {
    let path = match bytes {
        [] => return None,
        [0, name @ ..] => [b"@", name].concat(),
        // A path that looks like such a name, as somebody else has bound it.
        [b'@', ..] => [b"./", until_nul(bytes)].concat(),
        _ => until_nul(bytes).to_owned(),
    };
    Some(PathBuf::from(OsString::from_vec(path)))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_paths_are_no_names() {
        let path = |bytes: &[u8]| unix_path(bytes).unwrap().into_os_string().into_vec();
        assert_eq!(unix_path(b""), None);
        assert_eq!(path(b"/run/x\0\0"), b"/run/x");
        assert_eq!(path(b"\0name"), b"@name");
        assert_eq!(path(b"\0na\0me"), b"@na\0me");
        assert_eq!(path(b"@name\0"), b"./@name");
        let address = unix_address(Path::new("@name")).unwrap();
        assert_eq!(address.as_abstract_namespace(), Some(&b"name"[..]));
        assert_eq!(unix_address(Path::new("./@x")).unwrap().as_pathname(), Some(Path::new("./@x")));
        assert!(unix_address(Path::new(&"@".repeat(200))).is_err());
    }
}
