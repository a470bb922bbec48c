//! Writes text to standard error, to standard output or to a file, without blocking.
//!
//! A reader that stalls must not stall the loop, and a slow one must get all lines in order: text
//! that does not fit waits in memory, and while much of it waits, no data is moved that would add
//! to it. When standard error fails, its text is discarded from then on; when a file fails, that is
//! an error of the run.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::io::inherited;
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::stdio::{Local, Which};
use crate::observe::journal::{Journal, Text};

/// Bytes of text that may wait before no more data is moved.
const MOST_WAITING: usize = 256 * 1024;

/// Whether standard output still has a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputReader {
    /// It has, as far as is known.
    There,
    /// The reading end of the pipe was closed.
    Gone,
}

/// A journal and the device it goes to.
#[derive(Debug)]
pub(crate) struct Console {
    journal: Journal,
    device: ConsoleDevice,
    destination: Destination,
    failure: Option<Error>,
}

#[derive(Debug)]
enum ConsoleDevice {
    /// Standard error, before the first line.
    Unopened,
    /// A file that is not empty; its content stays until [`Console::begin`].
    Kept(File),
    Open(Local),
    /// It failed, or its reader has closed it.
    Gone,
}

/// Where the text goes, which decides what a failure to write means.
#[derive(Debug)]
enum Destination {
    /// Nothing: the text is discarded.
    Stderr,
    /// An error, unless the reader has closed it: then it wants no more.
    Stdout,
    /// An error.
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

    /// The console on standard error. The descriptor is taken over when the first line is written.
    #[must_use]
    pub(crate) fn stderr() -> Self {
        Self::new(ConsoleDevice::Unopened, Destination::Stderr)
    }

    /// The console on standard output, for the results of a command.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn stdout(reactor: &mut Reactor) -> Result<Self> {
        let local = Local::take(Which::Stdout, reactor)?;
        Ok(Self::new(ConsoleDevice::Open(local), Destination::Stdout))
    }

    /// A console on a file that [`open`] opened. What one holds that was opened anew stays until
    /// [`begin`](Self::begin).
    ///
    /// # Errors
    /// When epoll cannot watch it.
    pub(crate) fn file(path: PathBuf, opened: Opened, reactor: &mut Reactor) -> Result<Self> {
        let holds_something =
            |file: &File| file.metadata().is_ok_and(|there| there.is_file() && there.len() > 0);
        let device = match opened {
            Opened::Anew(file) if holds_something(&file) => ConsoleDevice::Kept(file),
            Opened::Anew(file) | Opened::Inherited(file) => {
                let local = Local::opened(file, reactor);
                ConsoleDevice::Open(
                    local.map_err(|cause| Error::local("open", path.display(), &cause))?,
                )
            }
        };
        Ok(Self::new(device, Destination::File(path)))
    }

    /// Truncates a file that was not empty, and allows writing to it.
    pub(crate) fn begin(&mut self, reactor: &mut Reactor) {
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

    /// Whether it has failed or its reader is gone.
    #[must_use]
    pub(crate) fn is_gone(&self) -> bool {
        match &self.device {
            ConsoleDevice::Gone => true,
            ConsoleDevice::Open(local) => local.hung_up(),
            ConsoleDevice::Unopened | ConsoleDevice::Kept(_) => false,
        }
    }

    /// A handle for appending text.
    #[must_use]
    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Whether more than 256 KiB wait, so that no more should be added.
    #[must_use]
    pub(crate) fn is_congested(&self) -> bool {
        self.journal.0.borrow().waiting() > MOST_WAITING
    }

    /// Takes the error of a destination that failed, if it is an error of the run.
    pub(crate) fn failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Writes as much as fits; `false` while text waits for the reader. Text for a file that
    /// [`begin`](Self::begin) has not truncated yet does not count as waiting.
    pub(crate) fn flush(&mut self, reactor: &mut Reactor) -> bool {
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
                    // There are no descriptors left for non-blocking writing, and that very error
                    // may have to be reported: so this write may block. The next line tries again.
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
                // 0 bytes: signals keep interrupting the call.
                Ok(Progress::Blocked | Progress::Moved(0)) => return false,
                Ok(Progress::Moved(n)) => text.took(n),
                Ok(Progress::End) => self.device = ConsoleDevice::Gone,
                Err(cause) => self.failed(&cause),
            }
        }
        if text.waiting() > 0 {
            // The rest has no reader.
            *text = Text::default();
        }
        self.flush_device()
    }

    /// Writes what the descriptor holds back; `false` when not all of it fits.
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

/// A file for writing, by how it came to be open.
#[derive(Debug)]
pub(crate) enum Opened {
    /// For this run: what it holds is to be replaced.
    Anew(File),
    /// Before this program began: what it holds stays.
    Inherited(File),
}

/// Opens a file for writing, or creates it, without truncating it. `None` when it is a FIFO that
/// has no reader yet.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open(path: &Path) -> io::Result<Option<Opened>> {
    if let Some(file) = inherited::open_at(path) {
        return Ok(Some(Opened::Inherited(file)));
    }
    let opened = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        // Otherwise opening a FIFO would block until it has a reader, and so would writing to one
        // whose reader is slow; now it is ENXIO (open(2)) and EAGAIN.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    match opened {
        Err(cause) if awaits_reader(&cause, path) => Ok(None),
        opened => opened.map(|file| Some(Opened::Anew(file))),
    }
}

/// Whether opening failed because the file is a FIFO without a reader.
#[must_use]
pub(crate) fn awaits_reader(cause: &io::Error, path: &Path) -> bool {
    let is_fifo = || std::fs::metadata(path).is_ok_and(|there| there.file_type().is_fifo());
    cause.raw_os_error() == Some(libc::ENXIO) && is_fifo()
}
