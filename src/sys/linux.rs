//! Linux: socket facts that no portable crate hands out.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::sys::socket::{setsockopt, sockopt};

use super::TcpState;

/// Reads a socket option that is a plain C structure or array, together with how many bytes of
/// it the kernel filled in.
fn get_option<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<(T, usize)> {
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

/// `tcpi_state` of TCP_INFO (tcp(7)); the numbers are those of `enum` in `netinet/tcp.h`.
pub(super) fn tcp_state(fd: BorrowedFd<'_>) -> io::Result<TcpState> {
    // The state is the first byte of struct tcp_info.
    let (state, _) = get_option::<u8>(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    Ok(match state {
        4 | 9 | 11 => TcpState::FinSent,
        5 => TcpState::FinAcknowledged,
        6 | 7 => TcpState::Closed,
        _ => TcpState::Open,
    })
}

pub(super) fn unacknowledged(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open, and SIOCOUTQ (the same number as TIOCOUTQ) writes one int.
    if unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(bytes.unsigned_abs())
}

/// `SO_MEMINFO` and the place of the drop count in it (`linux/sock_diag.h`).
const SO_MEMINFO: i32 = 55;
const SK_MEMINFO_DROPS: usize = 8;

pub(super) fn receive_drops(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let (info, length) = get_option::<[u32; 9]>(fd, libc::SOL_SOCKET, SO_MEMINFO)?;
    if length < size_of_val(&info) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(u64::from(info[SK_MEMINFO_DROPS]))
}

pub(super) fn raise_receive_buffer(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    // With CAP_NET_ADMIN the limit of net.core.rmem_max does not count (socket(7)).
    setsockopt(&fd, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &bytes))
        .map_err(Into::into)
}
