//! Which system calls fail here, and how: the errors of their man pages that a right program can meet.
//!
//! Left out are errors that only a mistake in the program brings (EBADF, EFAULT, ENOTSOCK), EAGAIN (it
//! promises an event that an injected fault does not bring), and calls that only change memory.

/// A system call and the errors it is made to fail by.
pub(super) type Errors = (&'static str, &'static [&'static str]);

const SENDING: &[&str] = &[
    "EINTR",
    "EPIPE",
    "ECONNRESET",
    "ENOBUFS",
    "ENOMEM",
    "EPERM",
    "EACCES",
    "ECONNREFUSED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EMSGSIZE",
    "EINVAL",
    "ENOSYS",
];
const RECEIVING: &[&str] =
    &["EINTR", "ECONNRESET", "ECONNREFUSED", "ETIMEDOUT", "ENOMEM", "EPERM", "EIO", "ENOSYS"];
const READING: &[&str] = &["EINTR", "EIO", "EINVAL", "EISDIR", "ECONNRESET", "ESTALE"];
const WRITING: &[&str] = &["EINTR", "EIO", "ENOSPC", "EDQUOT", "EFBIG", "EPERM", "EPIPE", "EINVAL"];
const ASKING: &[&str] = &["ESTALE", "EACCES", "EIO", "ENOMEM", "EOVERFLOW", "ENOSYS"];
const NO_DESCRIPTOR: &[&str] = &["EMFILE", "ENFILE", "ENOMEM"];
const OPTIONS: &[&str] = &["EINVAL", "ENOPROTOOPT", "EPERM", "ENOMEM", "ENOBUFS"];

/// Everything that fails when all is tried.
pub(super) const ALL: &[Errors] = &[
    ("read", READING),
    ("readv", READING),
    ("pread64", READING),
    ("preadv2", READING),
    ("write", WRITING),
    ("writev", WRITING),
    ("pwritev2", WRITING),
    ("sendto", SENDING),
    ("sendmsg", SENDING),
    ("sendmmsg", SENDING),
    ("sendfile", &["EINTR", "EIO", "EINVAL", "ENOSYS", "ENOMEM", "EPIPE", "ECONNRESET"]),
    ("recvfrom", RECEIVING),
    ("recvmsg", RECEIVING),
    ("recvmmsg", RECEIVING),
    (
        "splice",
        &["EINTR", "EINVAL", "EPERM", "ENOSYS", "ENOMEM", "EIO", "ECONNRESET", "EPIPE", "ENOSPC"],
    ),
    ("epoll_create1", NO_DESCRIPTOR),
    ("epoll_ctl", &["ENOMEM", "ENOSPC", "EPERM"]),
    ("epoll_wait", &["EINTR"]),
    ("epoll_pwait", &["EINTR"]),
    ("poll", &["EINTR", "ENOMEM"]),
    ("ppoll", &["EINTR", "ENOMEM"]),
    (
        "accept4",
        &[
            "EINTR",
            "ECONNABORTED",
            "EMFILE",
            "ENFILE",
            "ENOBUFS",
            "ENOMEM",
            "EPERM",
            "EPROTO",
            "ENETDOWN",
            "EHOSTUNREACH",
            "EOPNOTSUPP",
            "ENOSYS",
        ],
    ),
    (
        "connect",
        &[
            "EINTR",
            "EACCES",
            "EPERM",
            "EADDRINUSE",
            "EADDRNOTAVAIL",
            "ECONNREFUSED",
            "ENETUNREACH",
            "EHOSTUNREACH",
            "EPROTO",
            "ETIMEDOUT",
        ],
    ),
    ("socket", &["EACCES", "EAFNOSUPPORT", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM"]),
    ("socketpair", &["EMFILE", "ENFILE", "EAFNOSUPPORT"]),
    ("bind", &["EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "ENOMEM"]),
    ("listen", &["EADDRINUSE", "EOPNOTSUPP"]),
    ("shutdown", &["ENOTCONN", "EINVAL", "ENOBUFS"]),
    ("getsockname", &["ENOBUFS", "EINVAL"]),
    ("getpeername", &["ENOTCONN", "ENOBUFS"]),
    ("getsockopt", OPTIONS),
    ("setsockopt", OPTIONS),
    ("fcntl", &["EPERM", "EACCES", "EMFILE", "EINVAL", "EINTR"]),
    ("ioctl", &["ENOTTY", "EPERM", "EINVAL", "EIO"]),
    ("fstat", ASKING),
    ("newfstatat", ASKING),
    ("statx", ASKING),
    ("readlink", &["EACCES", "ENOENT", "EIO"]),
    ("openat", &["EACCES", "EPERM", "ENOENT", "EMFILE", "ENFILE", "ENXIO", "EINTR", "EIO"]),
    // EIO and ENOSPC tell of what a file system could not write; std takes them for a defect of the
    // program when it closes a folder that it has read, which no folder shows.
    ("close", &["EINTR"]),
    ("dup", NO_DESCRIPTOR),
    ("dup2", &["EMFILE", "EINTR", "EBUSY"]),
    ("dup3", &["EMFILE", "EINTR", "EBUSY"]),
    ("pipe2", NO_DESCRIPTOR),
    ("lseek", &["ESPIPE", "EINVAL"]),
    ("rename", &["EACCES", "EIO", "ENOSPC", "EXDEV"]),
    ("unlink", &["EACCES", "EPERM", "EIO", "ENOENT"]),
    ("timerfd_create", NO_DESCRIPTOR),
    ("timerfd_settime", &["EINVAL", "ECANCELED"]),
    ("prlimit64", &["EPERM", "EINVAL"]),
    ("getrandom", &["ENOSYS", "EINTR"]),
    ("clone", &["EAGAIN", "ENOMEM", "EPERM"]),
    ("clone3", &["EAGAIN", "ENOMEM", "EPERM", "ENOSYS"]),
    ("vfork", &["EAGAIN", "ENOMEM"]),
    ("wait4", &["ECHILD", "EINTR"]),
    ("waitid", &["ECHILD", "EINTR"]),
    ("kill", &["EPERM", "ESRCH"]),
];

/// What fails in an ordinary run of the tests: what systems do show.
pub(super) const ORDINARY: &[Errors] = &[
    ("read", &["EINTR", "EIO"]),
    ("write", &["ENOSPC", "EIO"]),
    ("sendto", &["EINTR", "EPIPE", "ENOBUFS", "EPERM"]),
    ("sendmsg", &["EINTR", "ENOBUFS", "EPERM"]),
    ("sendmmsg", &["EINTR", "ENOBUFS", "EPERM", "ENOSYS"]),
    ("recvfrom", &["EINTR", "ECONNRESET"]),
    ("recvmsg", &["EINTR", "ECONNREFUSED"]),
    ("recvmmsg", &["EINTR", "EPERM", "ENOSYS"]),
    ("splice", &["EINTR", "EINVAL", "EPERM", "ENOSYS", "ECONNRESET"]),
    ("epoll_wait", &["EINTR"]),
    ("epoll_ctl", &["ENOSPC"]),
    ("accept4", &["EINTR", "ECONNABORTED", "EMFILE", "EPERM"]),
    ("connect", &["ECONNREFUSED", "ENETUNREACH"]),
    ("socket", &["EMFILE"]),
    ("shutdown", &["ENOTCONN"]),
    ("setsockopt", &["ENOPROTOOPT", "EPERM"]),
    ("getsockopt", &["EPERM"]),
    ("fcntl", &["EPERM"]),
    ("statx", &["ESTALE"]),
    ("openat", &["EACCES", "EMFILE"]),
    ("dup2", &["EBUSY"]),
    ("pipe2", &["EMFILE"]),
    ("clone3", &["EAGAIN"]),
];
