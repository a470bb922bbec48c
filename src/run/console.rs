//! Where lines for people and programs go: standard error and files of the user's choice.
//!
//! A reader that stalls must not stall the loop, and one that is slow must not lose or reorder
//! lines: what finds no room waits here, and while much waits, no bytes are moved that would add
//! to it. A standard error that goes away is `/dev/null` from then on; a file that does is an
//! error. The results of the commands that print some go to standard output in the same way.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::stdio::{Local, Which};
use crate::observe::journal::{Journal, Text};

/// This much text may wait before no more bytes are moved.
const MOST_WAITING: usize = 256 * 1024;

/// A journal and the device it goes to.
#[derive(Debug)]
pub struct Console {
    journal: Journal,
    device: ConsoleDevice,
    destination: Destination,
    failure: Option<Error>,
}

#[derive(Debug)]
enum ConsoleDevice {
    /// Nothing has been said yet.
    Unopened,
    /// A file that holds something already, which stays until [`Console::begin`].
    Kept(File),
    Open(Local),
    /// Its reader is gone, or it never was there.
    Gone,
}

/// Where text goes, and with that what it means when it can go there no more.
#[derive(Debug)]
enum Destination {
    /// No more is said.
    Stderr,
    /// An error, unless the reader left: it has seen enough.
    Stdout,
    /// An error. The file is one of the user's choice.
    File(PathBuf),
}

impl Destination {
    fn failure(&self, what: &str, cause: &io::Error) -> Option<Error> {
        match self {
            Self::Stderr => None,
            Self::Stdout if cause.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Stdout => Some(Error::local(what, "stdout", cause)),
            Self::File(path) => Some(Error::local(what, path.display(), cause)),
        }
    }
}

impl Console {
    fn new(device: ConsoleDevice, destination: Destination) -> Self {
        Self { journal: Journal::default(), device, destination, failure: None }
    }

    /// The console on standard error; the descriptor is not touched before there is a line.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(ConsoleDevice::Unopened, Destination::Stderr)
    }

    /// Standard output, for the results of commands that print some.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn stdout(reactor: &mut Reactor) -> Result<Self> {
        let local = Local::take(Which::Stdout, reactor)?;
        Ok(Self::new(ConsoleDevice::Open(local), Destination::Stdout))
    }

    /// A console on a file that [`open`] opened. What the file holds stays there until
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// When the system has no room for another watch.
    pub fn file(path: PathBuf, file: File, reactor: &mut Reactor) -> Result<Self> {
        let holds_something = file.metadata().is_ok_and(|there| there.is_file() && there.len() > 0);
        let device = if holds_something {
            ConsoleDevice::Kept(file)
        } else {
            let local = Local::opened(file, reactor);
            ConsoleDevice::Open(
                local.map_err(|cause| Error::local("open", path.display(), &cause))?,
            )
        };
        Ok(Self::new(device, Destination::File(path)))
    }

    /// From now on there is something to be written: what a file held before is gone.
    pub fn begin(&mut self, reactor: &mut Reactor) {
        self.device = match std::mem::replace(&mut self.device, ConsoleDevice::Gone) {
            ConsoleDevice::Kept(file) => {
                let emptied = file.set_len(0).and_then(|()| Local::opened(file, reactor));
                match emptied {
                    Ok(local) => ConsoleDevice::Open(local),
                    Err(cause) => {
                        self.failure = self.destination.failure("write", &cause);
                        ConsoleDevice::Gone
                    }
                }
            }
            other => other,
        };
    }

    /// Whether nobody reads any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        match &self.device {
            ConsoleDevice::Gone => true,
            ConsoleDevice::Open(local) => local.hung_up(),
            ConsoleDevice::Unopened | ConsoleDevice::Kept(_) => false,
        }
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

    /// Why the destination takes no more, where that matters; told once.
    pub fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Writes what there is room for; `false` while something still waits for its reader. What is
    /// for a file whose contents are still kept waits for the run to begin, and for nobody else.
    pub fn flush(&mut self, reactor: &mut Reactor) -> bool {
        let journal = self.journal();
        let mut text = journal.0.borrow_mut();
        if text.waiting() == 0 {
            return self.flush_device();
        }
        match self.device {
            ConsoleDevice::Kept(_) => return true,
            ConsoleDevice::Unopened => match Local::take(Which::Stderr, reactor) {
                Ok(local) => self.device = ConsoleDevice::Open(local),
                Err(_) => {
                    // No descriptor is left to write without waiting, which is what a person must
                    // be told now. The next line tries again: it may be the error of this run.
                    let _ = io::stderr().write_all(&text.bytes[text.written..]);
                    *text = Text::default();
                    return true;
                }
            },
            ConsoleDevice::Open(_) | ConsoleDevice::Gone => {}
        }
        while let ConsoleDevice::Open(local) = &mut self.device
            && text.waiting() > 0
        {
            match local.write(&text.bytes[text.written..]) {
                // Nothing moves where signals interrupt every call.
                Ok(Progress::Blocked | Progress::Moved(0)) => return false,
                Ok(Progress::Moved(n)) => text.took(n),
                Ok(Progress::End) => self.device = ConsoleDevice::Gone,
                Err(cause) => self.failed(&cause),
            }
        }
        if text.waiting() > 0 {
            // What is left has no reader.
            *text = Text::default();
        }
        self.flush_device()
    }

    /// Lets out what left the journal and has not reached the reader yet.
    fn flush_device(&mut self) -> bool {
        while let ConsoleDevice::Open(local) = &mut self.device {
            match local.flush() {
                Ok(Progress::Moved(_)) => {}
                Ok(Progress::Blocked) => return false,
                Ok(Progress::End) => return true,
                Err(cause) => self.failed(&cause),
            }
        }
        true
    }

    fn failed(&mut self, cause: &io::Error) {
        self.device = ConsoleDevice::Gone;
        self.failure = self.destination.failure("write", cause);
    }
}

/// Opens a file of the user's choice for writing, or creates it; what it holds stays for now.
/// `None` when it is a FIFO that nobody reads yet.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        // So that neither a FIFO without a reader (ENXIO, open(2)) nor a slow one is waited for here.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Err(cause) if awaits_reader(&cause, path) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Whether opening failed because this is a FIFO that nobody reads yet.
#[must_use]
pub fn awaits_reader(cause: &io::Error, path: &Path) -> bool {
    let is_fifo = || std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo());
    cause.raw_os_error() == Some(libc::ENXIO) && is_fifo()
}
