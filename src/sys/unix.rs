//! What every Unix has: POSIX, and the interfaces of BSD sockets that all systems share. Nothing here
//! is of Linux alone; it is also what `--portable` uses there.
#![allow(unsafe_code)]

pub(super) mod datagrams;

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::rc::Rc;
use std::{mem, ptr, slice};

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use super::facts::Ended;
use super::names::unix_path;
use super::retry::again;
use crate::peer::Address;

/// The address in a name that the kernel has filled in with `length` bytes.
pub(super) fn address_of(
    name: &MaybeUninit<libc::sockaddr_storage>,
    length: libc::socklen_t,
) -> Option<Address> {
    let name = name.as_ptr();
    let before_path = mem::offset_of!(libc::sockaddr_un, sun_path);
    if (length as usize) < before_path {
        return None;
    }
    // SAFETY: the kernel has filled in `length` bytes, at least the family, which stands in front of
    // the path.
    let family = unsafe { (*name.cast::<libc::sockaddr>()).sa_family };
    match i32::from(family) {
        libc::AF_INET if length as usize >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: for this family and length the kernel has filled in a sockaddr_in.
            let v4 = unsafe { *name.cast::<libc::sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr).into();
            Some(SocketAddr::from(SocketAddrV4::new(ip, u16::from_be(v4.sin_port))).into())
        }
        libc::AF_INET6 if length as usize >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: for this family and length the kernel has filled in a sockaddr_in6.
            let v6 = unsafe { *name.cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddr::from(SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id)).into())
        }
        libc::AF_UNIX => {
            // SAFETY: the storage is larger than a sockaddr_un, and the kernel has filled in
            // `length` bytes of it; only those are looked at.
            let path = unsafe { &(*name.cast::<libc::sockaddr_un>()).sun_path };
            let given = (length as usize).saturating_sub(before_path);
            // SAFETY: c_char and u8 have the same size and alignment.
            let path =
                unsafe { slice::from_raw_parts(path.as_ptr().cast::<u8>(), given.min(path.len())) };
            Some(Address::Unix(unix_path(path).map(Rc::from)))
        }
        _ => None,
    }
}

/// The lowest number of a duplicate: those below are the standard descriptors, some of which may be closed.
const LOWEST: RawFd = 3;

pub(super) fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: any number may be asked for; where no such descriptor is open the call says EBADF.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, LOWEST) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action the call only writes the present one into our memory.
    let result = unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeroes are a valid value, and the kernel has written over them if it succeeded.
    result == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Reads a socket option that is a plain C structure or array, together with how many bytes of
/// it the kernel filled in.
pub(super) fn get_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
) -> io::Result<(T, usize)> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the descriptor is open, the pointer and the length describe `value`, and the kernel
    // writes at most `length` bytes into it.
    let result = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, value.as_mut_ptr().cast(), &raw mut length)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the memory was zeroed, and the callers' types (integers only) allow any bit pattern.
    Ok((unsafe { value.assume_init() }, length as usize))
}

/// The smallest receive buffer that is worth asking for when larger ones are refused.
const ORDINARY_BUFFER: usize = 64 * 1024;

/// Asks for less and less: some systems refuse what is above their limit instead of giving the most
/// that they allow.
pub(super) fn raise_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let mut wanted = bytes;
    loop {
        match setsockopt(&fd, sockopt::RcvBuf, &wanted) {
            Err(_) if wanted / 2 >= ORDINARY_BUFFER => wanted /= 2,
            result => return Ok(result?),
        }
    }
}

/// Whether it is the master side of a pseudoterminal: only that one's slave has a name (ptsname(3)).
pub(super) fn is_terminal_master(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: the descriptor is open, and nobody keeps the pointer to the C library's own memory.
    !unsafe { libc::ptsname(fd.as_raw_fd()) }.is_null()
}

pub(super) fn ended_child() -> Ended {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    let ask = || {
        let mut status = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the pointer is to memory of ours that the kernel may fill in.
        if unsafe { libc::waitid(libc::P_ALL, 0, status.as_mut_ptr(), flags) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zeroes are a valid value, and what waitid(2) writes is one.
        Ok(unsafe { status.assume_init().si_pid() })
    };
    match again(ask) {
        // With WNOHANG and nobody to tell of, the structure stays as it was.
        Ok(0) => Ended::NoMore,
        Ok(child) => Ended::One(child),
        Err(cause) if cause.raw_os_error() == Some(libc::ECHILD) => Ended::All,
        Err(_) => Ended::NoMore,
    }
}

pub(super) fn bury(child: i32) -> bool {
    waitpid(Pid::from_raw(child), Some(WaitPidFlag::WNOHANG)).is_ok()
}
