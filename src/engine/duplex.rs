//! What a relay asks of the ends that it stands between, so that a test can put scripted ones there.

use std::time::Instant;

use crate::engine::datagram::Datagram;
use crate::engine::ends::{Reader, Standing};
use crate::engine::flow::{Sink, Source};
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::stream::Stream;
use crate::error::Result;
use crate::io::progress::Progress;
use crate::observe::tap::Activity;

/// Where the payload that is sent comes from.
pub(crate) trait Speaker: Source {
    /// Whether it is a terminal.
    fn is_terminal(&self) -> bool;

    /// Whether there is more of it right now, or part of a message has been read.
    fn has_more(&self) -> bool;
}

/// Where what is received goes.
pub(crate) trait Listener: Sink {
    /// Whether its reader wants more.
    fn reader(&self) -> Reader;

    /// Whether nothing waits to be written.
    fn is_drained(&self) -> bool;

    /// How many more messages are wanted; 0 where nobody counts.
    fn still_wanted(&self) -> u64 {
        0
    }
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

    /// Whether the peer's system has not acknowledged all that was sent, as far as ours tells.
    fn owes_anything(&self) -> bool {
        false
    }

    /// Closes the sending half: the peer reads an end, and receiving goes on. `End` once that is done;
    /// anything else means that something has to leave before, and that this is to be called again.
    ///
    /// # Errors
    /// When the connection is broken.
    fn close_write(&mut self) -> Result<Progress>;

    /// The peer's FIN has come and this side goes on: from now on the system asks whether the peer is still
    /// there. What it learns is [told](Standing::farewell).
    fn probe_peer(&self) {}
}

/// A datagram socket. It has no halves to close, and perhaps nobody to send to yet.
pub(crate) trait DatagramEnd: Source + Sink + Standing {
    /// How much has passed.
    fn activity(&self) -> Activity;

    /// Whether receiving has met nothing more for now.
    fn is_drained(&self) -> bool;

    /// Whether there is somebody to send to.
    fn has_peer(&self) -> bool;

    /// When sending is to be tried again though no event tells; that may have passed. `None` where an event
    /// will tell, or there was room the last time.
    fn again_at(&self) -> Option<Instant>;
}

/// A connection that can be one side of a tunnel.
pub(crate) trait Side: Duplex {
    /// Closing it will be a reset: what was sent on it is not all that was to be sent.
    fn reset(&self);

    /// The same, where nobody's reset is passed on: the forwarder itself ends it.
    fn cut_off(&self);

    /// Bytes sent that the peer's system has not acknowledged; `None` when ours does not tell.
    fn unacknowledged(&self) -> Option<u32>;

    /// It is about to be closed: says that nothing is missing, where the protocol has a word for it.
    fn conclude(&mut self) {}
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

    fn still_wanted(&self) -> u64 {
        self.still_wanted()
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

    fn owes_anything(&self) -> bool {
        matches!(self.unacknowledged(), Some(1..))
    }

    fn close_write(&mut self) -> Result<Progress> {
        self.close_write()
    }

    fn probe_peer(&self) {
        self.probe_peer();
    }
}

impl DatagramEnd for Datagram {
    fn activity(&self) -> Activity {
        self.activity()
    }

    fn is_drained(&self) -> bool {
        self.is_drained()
    }

    fn has_peer(&self) -> bool {
        self.has_peer()
    }

    fn again_at(&self) -> Option<Instant> {
        self.again_at()
    }
}

impl Side for Stream {
    fn reset(&self) {
        self.abort();
    }

    fn cut_off(&self) {
        self.cut_off();
    }

    fn unacknowledged(&self) -> Option<u32> {
        self.unacknowledged()
    }

    fn conclude(&mut self) {
        self.conclude();
    }
}
