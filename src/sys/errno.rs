//! Error numbers in classes that mean the same on every system; some systems lack a number, or have
//! one of their own.

use std::io;

/// Whether the network says that there is no way to a host, or no such host: it is down, or a router
/// says so by ICMP.
#[must_use]
pub(crate) fn is_unreachable(cause: &io::Error) -> bool {
    let Some(code) = cause.raw_os_error() else { return false };
    let everywhere = [libc::EHOSTUNREACH, libc::ENETUNREACH, libc::ENETDOWN, libc::EHOSTDOWN];
    everywhere.contains(&code) || ONLY_HERE.contains(&code)
}

/// "Machine is not on the network": Linux says so of ICMP "source host isolated" (RFC 1122, 3.2.2.1).
#[cfg(target_os = "linux")]
const ONLY_HERE: &[i32] = &[libc::ENONET];

#[cfg(not(target_os = "linux"))]
const ONLY_HERE: &[i32] = &[];

/// Whether an error of watching a descriptor means that the system never makes anybody wait for a
/// file of its kind: epoll(7) says EPERM; kqueue(2) has filters for most files, and says that it has
/// none for this one.
#[must_use]
pub(crate) fn never_waits(cause: &io::Error) -> bool {
    cause.raw_os_error().is_some_and(|code| UNWATCHABLE.contains(&code))
}

#[cfg(target_os = "linux")]
const UNWATCHABLE: &[i32] = &[libc::EPERM];

#[cfg(not(target_os = "linux"))]
const UNWATCHABLE: &[i32] =
    &[libc::EPERM, libc::EINVAL, libc::ENODEV, libc::ENXIO, libc::EOPNOTSUPP, libc::ENOTSUP];

/// The words for an error, the same whichever C library the program was built with; `None` for one that seldom
/// occurs, for which the library has to find them. (strerror(3) of musl, macOS and FreeBSD has other words for some.)
#[must_use]
pub(crate) fn words(cause: &io::Error) -> Option<&'static str> {
    let code = cause.raw_os_error()?;
    WORDS.iter().find(|(known, _)| *known == code).map(|(_, words)| *words)
}

/// Those of the GNU C library.
const WORDS: &[(i32, &str)] = &[
    (libc::EACCES, "Permission denied"),
    (libc::EADDRINUSE, "Address already in use"),
    (libc::EADDRNOTAVAIL, "Cannot assign requested address"),
    (libc::EAFNOSUPPORT, "Address family not supported by protocol"),
    (libc::EBADF, "Bad file descriptor"),
    (libc::EBUSY, "Device or resource busy"),
    (libc::ECONNABORTED, "Software caused connection abort"),
    (libc::ECONNREFUSED, "Connection refused"),
    (libc::ECONNRESET, "Connection reset by peer"),
    (libc::EDESTADDRREQ, "Destination address required"),
    (libc::EDQUOT, "Disk quota exceeded"),
    (libc::EFBIG, "File too large"),
    (libc::EHOSTDOWN, "Host is down"),
    (libc::EHOSTUNREACH, "No route to host"),
    (libc::EINVAL, "Invalid argument"),
    (libc::EIO, "Input/output error"),
    (libc::EISDIR, "Is a directory"),
    (libc::ELOOP, "Too many levels of symbolic links"),
    (libc::EMFILE, "Too many open files"),
    (libc::EMSGSIZE, "Message too long"),
    (libc::ENAMETOOLONG, "File name too long"),
    (libc::ENETDOWN, "Network is down"),
    (libc::ENETUNREACH, "Network is unreachable"),
    (libc::ENFILE, "Too many open files in system"),
    (libc::ENOBUFS, "No buffer space available"),
    (libc::ENODEV, "No such device"),
    (libc::ENOENT, "No such file or directory"),
    (libc::ENOMEM, "Cannot allocate memory"),
    (libc::ENOPROTOOPT, "Protocol not available"),
    (libc::ENOSPC, "No space left on device"),
    (libc::ENOSYS, "Function not implemented"),
    (libc::ENOTCONN, "Transport endpoint is not connected"),
    (libc::ENOTDIR, "Not a directory"),
    (libc::ENXIO, "No such device or address"),
    (libc::EOPNOTSUPP, "Operation not supported"),
    (libc::EPERM, "Operation not permitted"),
    (libc::EPIPE, "Broken pipe"),
    (libc::EPROTONOSUPPORT, "Protocol not supported"),
    (libc::EPROTOTYPE, "Protocol wrong type for socket"),
    (libc::EROFS, "Read-only file system"),
    (libc::ESTALE, "Stale file handle"),
    (libc::ETIMEDOUT, "Connection timed out"),
];

/// Whether descriptors, memory or source ports have run out, so that the same call may succeed later.
#[must_use]
pub(crate) fn is_no_room(cause: &io::Error) -> bool {
    matches!(
        cause.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EAGAIN
                | libc::EADDRNOTAVAIL
        )
    )
}

/// Whether a datagram found no place in the queue of a device, or no memory (ip(7)), so that the same
/// call may succeed soon. No event tells when.
#[must_use]
pub(crate) fn is_full(cause: &io::Error) -> bool {
    matches!(cause.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_env = "gnu")]
    fn the_words_are_those_of_the_gnu_c_library() {
        for (code, words) in WORDS {
            let error = io::Error::from_raw_os_error(*code);
            assert_eq!(error.to_string(), format!("{words} (os error {code})"));
        }
    }
}
