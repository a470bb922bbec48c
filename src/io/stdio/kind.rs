//! What a standard descriptor is, and how it was opened.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, OFlag};

/// What a standard descriptor is, as far as endings care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `/dev/null`, which is also what a closed descriptor becomes when a program starts.
    Null,
    /// A terminal.
    Terminal,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A regular file, a block device or a directory.
    File,
    /// Another device, or what has no place in the file system at all, such as an eventfd.
    Other,
}

/// What fstat(2) and fcntl(2) tell of a descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// A device's major and minor number.
    device: (u32, u32),
    /// Bytes in a file. What the kernel makes up as it is read says zero.
    size: u64,
    /// In which directions it was opened.
    pub(super) opened: OFlag,
}

/// `/dev/null` (null(4)).
const NULL: (u32, u32) = (1, 3);

/// The device that every terminal master is opened by (pts(4)).
const TERMINAL_MASTER: (u32, u32) = (5, 2);

impl Facts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When it does not tell, which must not be taken for an answer: a file that fstat(2) fails
    /// on is not `/dev/null`, and a pipe that cannot be asked has an end.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let number = metadata.rdev();
        let device = (libc::major(number), libc::minor(number));
        let is = metadata.file_type();
        let kind = if is.is_char_device() {
            match device {
                NULL => Kind::Null,
                _ if file.is_terminal() => Kind::Terminal,
                _ => Kind::Other,
            }
        } else if is.is_fifo() {
            Kind::Pipe
        } else if is.is_socket() {
            Kind::Socket
        } else if is.is_file() || is.is_block_device() || is.is_dir() {
            Kind::File
        } else {
            Kind::Other
        };
        let flags = OFlag::from_bits_truncate(nix::fcntl::fcntl(file, FcntlArg::F_GETFL)?);
        Ok(Self { kind, device, size: metadata.len(), opened: flags & OFlag::O_ACCMODE })
    }

    /// Whether it is the side of a terminal emulator: opening it again would make another
    /// terminal.
    pub(super) fn is_master(&self) -> bool {
        self.kind == Kind::Terminal && self.device == TERMINAL_MASTER
    }

    /// Whether reading may wait for somebody although no file does that: `trace_pipe` and
    /// `/proc/kmsg` are regular files by name, and devices are what they like.
    pub(super) fn may_wait(&self) -> bool {
        self.kind == Kind::Other || self.kind == Kind::File && self.size == 0
    }
}
