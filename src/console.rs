//! Where lines for people and programs go: standard error and files of the user's choice.
//!
//! A reader that stalls must not stall the loop, and one that is slow must not lose or reorder
//! lines: what finds no room waits here, and while much waits, no bytes are moved that would add
//! to it. A standard error that goes away is `/dev/null` from then on; a file that does is an
//! error.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::endpoint::Progress;
use crate::endpoint::stdio::{Local, Which};
use crate::error::{Error, Result};
use crate::reactor::Reactor;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only (`--quiet`).
    Quiet,
    /// What must be known: the port behind 0, losses.
    Normal,
    /// What happens, and a summary (`-v`).
    Verbose,
}

/// Text on its way out; observers hold a handle each and add to it.
#[derive(Debug, Clone, Default)]
pub struct Journal(Rc<RefCell<Text>>);

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    /// How much of it has been written.
    written: usize,
}

impl Text {
    fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    fn took(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > self.bytes.len() / 2 {
            // A slow reader must not make it grow for ever; moving the lesser half is cheap.
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

impl Journal {
    /// Adds a line.
    pub fn line(&self, line: &str) {
        self.append(|text| {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        });
    }

    /// Lets somebody write at the end.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.0.borrow_mut().bytes);
    }

    /// Whether everything has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.borrow().waiting() == 0
    }
}

/// This much text may wait before no more bytes are moved.
const MOST_WAITING: usize = 256 * 1024;

/// A journal and the device it goes to.
#[derive(Debug)]
pub struct Console {
    journal: Journal,
    device: Device,
    /// The name of a file of the user's choice, whose failure is an error.
    path: Option<PathBuf>,
    failure: Option<Error>,
}

#[derive(Debug)]
enum Device {
    /// Nothing has been said yet.
    Unopened,
    Open(Local),
    /// Its reader is gone, or it never was there.
    Gone,
}

impl Console {
    /// The console on standard error; the descriptor is not touched before there is a line.
    #[must_use]
    pub fn stderr() -> Self {
        Self { journal: Journal::default(), device: Device::Unopened, path: None, failure: None }
    }

    /// A console on a file that [`create`] opened.
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub fn file(path: PathBuf, file: File, reactor: &mut Reactor) -> Result<Self> {
        let local = Local::opened(file, reactor)
            .map_err(|cause| Error::local("open", path.display(), &cause))?;
        let device = Device::Open(local);
        Ok(Self { journal: Journal::default(), device, path: Some(path), failure: None })
    }

    /// A handle for adding text.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Whether so much waits that nothing should happen that adds to it.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.journal.0.borrow().waiting() > MOST_WAITING
    }

    /// Why a file of the user's choice takes no more, told once.
    pub fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Writes what there is room for; `false` while something still waits.
    pub fn flush(&mut self, reactor: &mut Reactor) -> bool {
        let journal = self.journal();
        let mut text = journal.0.borrow_mut();
        if text.waiting() == 0 {
            return self.flush_device();
        }
        if matches!(self.device, Device::Unopened) {
            match Local::take(Which::Stderr, reactor) {
                Ok(local) => self.device = Device::Open(local),
                Err(_) => {
                    // No descriptor is left to write without waiting, which is what a person must
                    // be told now. The next line tries again: it may be the error of this run.
                    let _ = io::stderr().write_all(&text.bytes[text.written..]);
                    *text = Text::default();
                    return true;
                }
            }
        }
        while let Device::Open(local) = &mut self.device
            && text.waiting() > 0
        {
            match local.write(&text.bytes[text.written..]) {
                Ok(Progress::Moved(n)) => text.took(n),
                Ok(Progress::Blocked) => return false,
                Ok(Progress::End) => self.device = Device::Gone,
                Err(cause) => {
                    self.device = Device::Gone;
                    let path = self.path.as_ref().map(|path| path.display());
                    self.failure = path.map(|path| Error::local("write", path, &cause));
                }
            }
        }
        if text.waiting() > 0 {
            // What is left has no reader.
            *text = Text::default();
        }
        self.flush_device()
    }

    fn flush_device(&mut self) -> bool {
        match &mut self.device {
            Device::Open(local) => !matches!(local.flush(), Ok(Progress::Blocked)),
            Device::Unopened | Device::Gone => true,
        }
    }
}

/// Creates a file of the user's choice, or empties it. A FIFO waits for its reader, as it does
/// for the shell, which is why this is done before signals are handled.
///
/// # Errors
/// When it cannot be created; the error names it.
pub fn create(path: &Path) -> Result<File> {
    let open = || -> io::Result<File> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path)?;
        // The description is ours alone: opening made it.
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(file)
    };
    open().map_err(|cause| Error::local("open", path.display(), &cause))
}
