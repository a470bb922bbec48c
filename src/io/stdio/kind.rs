//! What a standard descriptor is, and how it was opened.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nix::fcntl::{FcntlArg, OFlag};

use crate::sys;

/// The kind of file behind a descriptor, as far as it decides how to read it and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
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
    /// Another device, or an object outside the file system, such as an eventfd.
    Other,
}

/// What fstat(2) and fcntl(2) say about a descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) kind: Kind,
    /// Size in bytes. Files whose content the kernel generates on reading, as in /proc, say 0.
    size: u64,
    /// The access mode: O_RDONLY, O_WRONLY or O_RDWR.
    pub(super) opened: OFlag,
}

impl Facts {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When a call fails. The caller must not guess the kind then: a file that fstat(2) fails on
    /// need not be `/dev/null`.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let is = metadata.file_type();
        let kind = if is.is_char_device() {
            match () {
                () if Some(metadata.rdev()) == sys::null_device() => Kind::Null,
                () if file.is_terminal() => Kind::Terminal,
                () => Kind::Other,
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
        Ok(Self { kind, size: metadata.len(), opened: flags & OFlag::O_ACCMODE })
    }

    /// Whether reading may block. Regular files do not, except for some in /proc and tracefs, such
    /// as `/proc/kmsg` and `trace_pipe`, which have size 0; devices may.
    pub(super) fn may_wait(&self) -> bool {
        self.kind == Kind::Other || self.kind == Kind::File && self.size == 0
    }
}
