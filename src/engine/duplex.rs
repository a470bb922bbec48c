//! The two sides of a relay, as far as it knows them: scripted ones can stand in for both.

use crate::engine::ends::{Reader, Standing};
use crate::engine::flow::{Sink, Source};
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::observe::tap::Activity;

/// Where our payload comes from.
pub(crate) trait Speaker: Source {
    /// Whether a person types it.
    fn is_terminal(&self) -> bool;

    /// Whether there is more of it right now, or part of a message has been read.
    fn has_more(&self) -> bool;
}

/// Where what is received goes.
pub(crate) trait Listener: Sink {
    /// What has become of whoever reads it.
    fn reader(&self) -> Reader;

    /// Whether nothing waits to be written.
    fn is_drained(&self) -> bool;
}

/// A connection, which has two halves.
pub(crate) trait Duplex: Source + Sink + Standing {
    /// How much has passed.
    fn activity(&self) -> Activity;

    /// Whether reading has met nothing more for now.
    fn is_drained(&self) -> bool;

    /// Bytes that it has taken to be sent and not yet handed to the system.
    fn held(&self) -> usize {
        0
    }

    /// Closes the sending half: the peer reads an end, and receiving goes on. `End` once that is done;
    /// anything else means that something has to leave before, and that this is to be called again.
    ///
    /// # Errors
    /// When the connection is broken.
    fn close_write(&mut self) -> Result<Progress>;
}

impl Speaker for Input {
    fn is_terminal(&self) -> bool {
        self.is_terminal()
    }

    fn has_more(&self) -> bool {
        self.has_more()
    }
}

impl Listener for Output {
    fn reader(&self) -> Reader {
        self.reader()
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }
}

impl Duplex for Stream {
    fn activity(&self) -> Activity {
        self.activity()
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn held(&self) -> usize {
        self.held()
    }

    fn close_write(&mut self) -> Result<Progress> {
        self.close_write()
    }
}
