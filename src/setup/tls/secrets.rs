//! The secrets of connections, for who decrypts a capture of them: lines as NSS writes them, which
//! Wireshark reads.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustls::KeyLog;

use crate::error::{Error, Result};
use crate::io::inherited;

/// A file of secrets that is added to.
#[derive(Debug)]
pub(crate) struct Secrets {
    path: PathBuf,
    /// The file, and what kept a line from being written.
    file: Mutex<(File, Option<io::Error>)>,
}

impl Secrets {
    /// Opens the file, which nobody but its owner may read when it is new.
    ///
    /// # Errors
    /// When it cannot be opened; a FIFO needs its reader first.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = File::options();
        options.append(true).create(true).mode(0o600);
        // A FIFO without a reader is an error, and not waited for.
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        // Writing to a socket could wait for its reader; that one is refused when it is opened (ENXIO).
        let inherited = inherited::open_at(path)
            .filter(|file| file.metadata().is_ok_and(|there| there.is_file()));
        let opened = inherited.map_or_else(|| options.open(path), Ok);
        let file = opened.map_err(|cause| Error::local("open", path.display(), &cause))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new((file, None)) })
    }

    /// Whether everything has been written so far.
    ///
    /// # Errors
    /// What kept a line from it. It is told once.
    pub(super) fn check(&self) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.1.take() {
            None => Ok(()),
            Some(cause) => Err(Error::local("write", self.path.display(), &cause)),
        }
    }
}

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex::encode(client_random), hex::encode(secret));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, failure) = &mut *file;
        if let Err(cause) = file.write_all(line.as_bytes()) {
            failure.get_or_insert(cause);
        }
    }
}
