//! A client that speaks in datagrams, and what it is connected to.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::datagram::Datagram;
use crate::engine::framing::{self, Format};
use crate::error::{Error, Result};
use crate::forward::impair::Lines;
use crate::forward::messages::MessageStream;
use crate::net::address::Route;
use crate::observe::tap::{Link, Tap};
use crate::setup::target::Reaching;

/// Bytes that wait for a stream that is still being connected to; more is lost.
const MOST_WAITING: usize = 1 << 20;

/// One client and its connection to TO.
pub(super) struct Association {
    /// Where its answers go, and from which of our addresses.
    pub route: Route,
    pub link: Rc<Link>,
    pub far: Far,
    /// The bad network that was asked for.
    pub lines: Option<Box<Lines>>,
    /// When something passed last, either way.
    pub last: Instant,
    /// Whether TO has answered.
    pub answered: bool,
    /// What the network said last, if nothing has come since.
    pub refused: Option<Error>,
}

/// The side of TO.
pub(super) enum Far {
    /// A datagram socket.
    Datagrams(Box<Datagram>),
    /// A stream that is being connected to, and what it is to carry then.
    Reaching(Reaching, Vec<u8>),
    /// A stream of messages.
    Messages(MessageStream),
}

/// What became of datagrams that were handed over.
pub(super) enum Handed {
    /// So many bytes of them are dealt with.
    Bytes(usize),
    /// There is no room now.
    NoRoom,
}

impl Association {
    /// Hands datagrams of `segment` bytes each over to TO.
    ///
    /// # Errors
    /// What the network reported for an earlier datagram; nothing was sent then.
    pub(super) fn send(
        &mut self,
        bytes: &[u8],
        segment: usize,
        format: Format,
        tap: &Tap,
    ) -> Result<Handed> {
        let queue = match &mut self.far {
            Far::Datagrams(socket) => {
                let sent = socket.send_to_peer(bytes, segment)?;
                return Ok(sent.map_or(Handed::NoRoom, Handed::Bytes));
            }
            Far::Reaching(_, waiting) => Queue::Waiting(waiting),
            Far::Messages(stream) => Queue::Stream(stream),
        };
        let one = &bytes[..bytes.len().min(segment)];
        if queue.take(one, format) {
            tap.sent(&self.link, one);
        } else {
            tap.unsent(1);
        }
        Ok(Handed::Bytes(one.len()))
    }

    /// The id of its datagram socket's latch; of streams their own parts know.
    pub(super) fn far_latch(&self) -> Option<usize> {
        match &self.far {
            Far::Datagrams(socket) => Some(socket.latch().id()),
            Far::Reaching(..) | Far::Messages(_) => None,
        }
    }

    /// What has passed, and between whom.
    pub(super) fn seen(&self) -> &Link {
        match &self.far {
            Far::Datagrams(socket) => socket.link().unwrap_or(&self.link),
            Far::Reaching(..) | Far::Messages(_) => &self.link,
        }
    }

    /// When it is forgotten unless something passes before; `None` while something is under way.
    pub(super) fn idle_at(&self, idle: Duration) -> Option<Instant> {
        let is_reaching = matches!(self.far, Far::Reaching(..));
        let is_empty = self.lines.as_ref().is_none_or(|lines| lines.is_empty());
        (is_empty && !is_reaching).then(|| self.last + idle)
    }

    /// When to have a turn though nothing happens.
    pub(super) fn deadline(&self, idle: Duration) -> Option<Instant> {
        let reaching = match &self.far {
            Far::Reaching(reaching, _) => reaching.deadline(),
            Far::Datagrams(_) | Far::Messages(_) => None,
        };
        let arrival = self.lines.as_ref().and_then(|lines| lines.deadline());
        [self.idle_at(idle), reaching, arrival].into_iter().flatten().min()
    }
}

/// Where messages wait for a stream.
enum Queue<'a> {
    Waiting(&'a mut Vec<u8>),
    Stream(&'a mut MessageStream),
}

impl Queue<'_> {
    /// Takes a message; `false` where there is no room, so that it is lost.
    fn take(self, message: &[u8], format: Format) -> bool {
        match self {
            Self::Waiting(waiting) if waiting.len() < MOST_WAITING => {
                framing::encode(format, message, waiting);
                true
            }
            Self::Stream(stream) if stream.has_room() => {
                stream.push(message);
                true
            }
            Self::Waiting(_) | Self::Stream(_) => false,
        }
    }
}
