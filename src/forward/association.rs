//! A client that speaks in datagrams, and what it is connected to.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine::datagram::Datagram;
use crate::error::{Error, Result};
use crate::forward::impair::{Lines, Way};
use crate::forward::messages::{MessageStream, Queue};
use crate::net::address::Route;
use crate::observe::tap::{Link, Tap};
use crate::setup::opening::Opening;
use crate::setup::target::Reaching;

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
    /// Why nothing more comes from TO's stream: what it said before arrives first.
    pub broken: Option<Error>,
}

/// The side of TO.
pub(super) enum Far {
    /// A datagram socket.
    Datagrams(Box<Datagram>),
    /// A stream that is being connected to, and what it is to carry then.
    Reaching(Reaching, Queue),
    /// The proxy, TLS or both come before the messages. `None` where that has failed, and the connection is closed.
    Opening(Option<Box<Opening>>, Queue),
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
    /// Hands datagrams of `segment` bytes each over to TO. For a stream they are queued, and count as sent
    /// when they have left.
    ///
    /// # Errors
    /// What the network reported for an earlier datagram; nothing was sent then.
    pub(super) fn send(&mut self, bytes: &[u8], segment: usize, tap: &Tap) -> Result<Handed> {
        let queue = match &mut self.far {
            Far::Datagrams(socket) => {
                let sent = socket.send_to_peer(bytes, segment)?;
                return Ok(sent.map_or(Handed::NoRoom, Handed::Bytes));
            }
            Far::Reaching(_, queue) | Far::Opening(_, queue) => queue,
            Far::Messages(stream) => stream.queue_mut(),
        };
        let one = &bytes[..bytes.len().min(segment)];
        if !queue.take(one) {
            tap.unsent(1);
        }
        Ok(Handed::Bytes(one.len()))
    }

    /// What waits for a stream.
    fn queue(&self) -> Option<&Queue> {
        match &self.far {
            Far::Datagrams(_) => None,
            Far::Reaching(_, queue) | Far::Opening(_, queue) => Some(queue),
            Far::Messages(stream) => Some(stream.queue()),
        }
    }

    /// How many datagrams wait for a stream.
    pub(super) fn queued(&self) -> usize {
        self.queue().map_or(0, Queue::len)
    }

    /// Whether nothing of TO's is on its way to the client.
    pub(super) fn has_answered_all(&self) -> bool {
        self.lines.as_ref().is_none_or(|lines| lines.is_clear(Way::Down))
    }

    /// How many datagrams are lost when it goes now.
    pub(super) fn unsent(&self) -> usize {
        self.queued() + self.lines.as_ref().map_or(0, |lines| lines.len())
    }

    /// The id of its datagram socket's latch; of streams their own parts know.
    pub(super) fn far_latch(&self) -> Option<usize> {
        match &self.far {
            Far::Datagrams(socket) => Some(socket.latch().id()),
            Far::Reaching(..) | Far::Opening(..) | Far::Messages(_) => None,
        }
    }

    /// What has passed, and between whom.
    pub(super) fn seen(&self) -> &Link {
        match &self.far {
            Far::Datagrams(socket) => socket.link().unwrap_or(&self.link),
            Far::Reaching(..) | Far::Opening(..) | Far::Messages(_) => &self.link,
        }
    }

    /// When it is forgotten unless something passes before; `None` while something is under way. What waits
    /// for a stream that takes nothing is not under way.
    pub(super) fn idle_at(&self, idle: Duration) -> Option<Instant> {
        let is_under_way = match &self.far {
            Far::Reaching(..) | Far::Opening(..) => true,
            // Only the answers that are still on their way are waited for.
            Far::Messages(_) if self.broken.is_some() => true,
            Far::Messages(stream) if !stream.queue().is_empty() => false,
            Far::Datagrams(_) | Far::Messages(_) => {
                self.lines.as_ref().is_some_and(|lines| !lines.is_empty())
            }
        };
        (!is_under_way).then(|| self.last + idle)
    }

    /// When to have a turn though nothing happens.
    pub(super) fn deadline(&self, idle: Duration) -> Option<Instant> {
        let reaching = match &self.far {
            Far::Reaching(reaching, _) => reaching.deadline(),
            Far::Opening(opening, _) => opening.as_ref().map(|opening| opening.deadline()),
            Far::Datagrams(_) | Far::Messages(_) => None,
        };
        let arrival = self.lines.as_ref().and_then(|lines| lines.deadline());
        [self.idle_at(idle), reaching, arrival].into_iter().flatten().min()
    }
}
