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
