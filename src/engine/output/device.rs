//! What is written to: standard output, or nothing.

use std::io;

use crate::error::{Error, Result};
use crate::io::progress::Progress;
use crate::io::reactor::Reactor;
use crate::io::splice_end::SpliceEnd;
use crate::io::stdio::Local;

/// The device behind the output. It knows nothing of messages.
#[derive(Debug)]
pub(super) enum Device {
    /// Standard output.
    Local(Local),
    /// Nowhere: what is received is discarded.
    Discard,
    /// Closed by us after the last byte.
    Closed,
    /// Its reader went away.
    Broken,
}

impl Device {
    /// Writes what there is room for; `End` when nobody reads any more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Progress> {
        self.ask(bytes.len(), |local| local.write(bytes))
    }

    /// Writes what the device itself still holds; `End` when it holds nothing.
    pub(super) fn flush(&mut self) -> Result<Progress> {
        match self {
            Self::Local(_) => self.ask(0, Local::flush),
            Self::Discard | Self::Closed | Self::Broken => Ok(Progress::End),
        }
    }

    /// What a failed write means: an error, or only that nobody reads any more.
    pub(super) fn failed(&mut self, cause: &io::Error) -> Option<Error> {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            *self = Self::Broken;
            return None;
        }
        Some(Error::local("write", "stdout", cause))
    }

    /// Whether its reader is gone.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Local(local) => local.hung_up(),
            Self::Discard | Self::Closed => false,
            Self::Broken => true,
        }
    }

    /// Whether something that was written to it has not left yet.
    pub(super) fn holds_back(&self) -> bool {
        matches!(self, Self::Local(local) if local.holds_back())
    }

    /// Lets the reader see the end, if it is still there.
    pub(super) fn close(&mut self, reactor: &mut Reactor) {
        if self.is_broken() {
            return;
        }
        if let Self::Local(local) = std::mem::replace(self, Self::Closed) {
            local.close(reactor);
        }
    }

    /// Called when a transfer turns out to be bulk: enlarges buffers where that helps.
    pub(super) fn widen(&self) {
        if let Self::Local(local) = self {
            local.widen();
        }
    }

    /// The descriptor, if bytes may be spliced into it.
    pub(super) fn splice_end(&self) -> Option<SpliceEnd<'_>> {
        match self {
            Self::Local(local) => local.splice_end(),
            Self::Discard | Self::Closed | Self::Broken => None,
        }
    }

    fn ask(
        &mut self,
        swallowed: usize,
        call: impl FnOnce(&mut Local) -> io::Result<Progress>,
    ) -> Result<Progress> {
        match self {
            Self::Local(local) => match call(local) {
                Ok(progress) => Ok(progress),
                Err(cause) => self.failed(&cause).map_or(Ok(Progress::End), Err),
            },
            Self::Discard | Self::Closed => Ok(Progress::Moved(swallowed)),
            Self::Broken => Ok(Progress::End),
        }
    }
}
