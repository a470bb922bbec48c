//! Linux: moving bytes inside the kernel (splice(2)), and the pipes that takes.

use std::io;
use std::os::fd::BorrowedFd;

use nix::fcntl::{FcntlArg, SpliceFFlags};

pub(crate) const CAN_SPLICE: bool = true;

pub(crate) fn enlarge_pipe(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
    nix::fcntl::fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
}

pub(crate) fn pipe_size(fd: BorrowedFd<'_>) -> io::Result<usize> {
    Ok(usize::try_from(nix::fcntl::fcntl(fd, FcntlArg::F_GETPIPE_SZ)?).unwrap_or(0))
}

pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes: usize) -> io::Result<usize> {
    Ok(nix::fcntl::splice(from, None, to, None, bytes, SpliceFFlags::SPLICE_F_NONBLOCK)?)
}
